//! The named limits of the HTTP face, each with its why. All of them are arguments, so that tests can make them small.

use std::time::Duration;

/// What one request may cost.
#[derive(Debug, Clone)]
pub struct ApiLimits {
    /// Bytes of a request body from an agent: a change set of ordinary size with base64 overhead, never a whole repository.
    pub body_bytes: usize,
    /// Bytes of a webhook body: Telegram's updates are a few kilobytes.
    pub webhook_bytes: usize,
    /// How long a body may take to arrive, as a whole: a slow sender must not hold a task for ever.
    pub body_timeout: Duration,
    /// Bytes of all bodies being read or worked on at once; who comes later waits for room.
    pub bodies_bytes: usize,
    /// JSON values in one body: eight megabytes of `[0,0,…]` would be a hundred megabytes in memory.
    pub json_values: usize,
    /// Files in one change set, counted before anything is made of them.
    pub files: usize,
    /// The longest wait of one read, in seconds.
    pub wait_seconds: u64,
    /// Proposals on a page when the agent does not say.
    pub page: u32,
    /// How long an answer of `/readyz` is reused: callers without a token must not make the database write at will.
    pub health_reuse: Duration,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            body_bytes: 8 * 1024 * 1024,
            webhook_bytes: 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            bodies_bytes: 64 * 1024 * 1024,
            json_values: 20_000,
            files: 1_000,
            wait_seconds: 60,
            page: 50,
            health_reuse: Duration::from_secs(1),
        }
    }
}
