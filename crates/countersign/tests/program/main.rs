//! The program as people and service managers see it: the built binary with its output, and a running service over real servers.

mod cli;
mod orders;
mod running;
mod totp;
mod world;
