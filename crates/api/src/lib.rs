//! HTTP /v1 for agents: one face of the use cases in `engine`, with its OpenAPI description.
//!
//! [`router()`] is the whole application, [`serve()`] puts it on a socket with time-outs, limits and TLS, [`serve_metrics()`] has an
//! address of its own. Nothing here decides anything: bodies are parsed at the edge, the engine answers, a document is rendered.
//!
//! A request passes, in this order: the connection's limits (`server`), the outermost layer that numbers, measures and renders
//! refusals (`outermost`), the bearer token (`authenticate`), and only then is a body read (`extract`).

mod authenticate;
mod body;
mod conditional;
mod document;
mod extract;
mod face;
mod idempotency;
mod json;
mod leftover;
mod limits;
mod openapi;
mod outermost;
mod problem;
mod refused;
mod routes;
mod server;
mod tls;

pub use document::ProposalDocument;
pub use limits::ApiLimits;
pub use openapi::{openapi, router};
pub use problem::ProblemDocument;
pub use server::{ServerOptions, serve, serve_metrics};
pub use tls::{TlsError, TlsFiles};

#[cfg(test)]
mod tests;
