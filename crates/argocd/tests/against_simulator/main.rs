//! Client, watch and verdict together against a simulated Argo CD over a real git repository.
//!
//! Each test pushes commits and follows them as the service does: judge, do what the judgement wants, wait for news.

mod lab;
mod stories;
mod watching;
