//! The git worker against real git: over a local path, over HTTP, and over ssh where a server is installed.

mod build_and_push;
mod diffs;
mod faults;
mod folders;
mod history;
mod http;
mod merges;
mod paths;
mod signing;
mod ssh;
mod support;
mod tls;
