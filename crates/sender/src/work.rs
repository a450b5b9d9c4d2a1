//! A work of the pool: what a send thread must know of it, and what comes back.

use herald_core::attempt::outcome::Outcome;
use herald_core::egress::agent::AgentKey;
use herald_core::request::HttpRequest;

/// What the pool can send.
pub trait Prepare: Send + 'static {
    /// Builds the request, with body, timestamp and signature. Called on a sending thread just before the bytes leave,
    /// so that the signature is never older than the connection. `Err` is the outcome if it cannot be built.
    fn prepare(&mut self, now_unix: i64) -> Result<HttpRequest, Outcome>;

    /// Returns the key of the connections that the request may use.
    fn agent(&self) -> AgentKey;

    /// Called when the sending thread of this number, counted from 0, begins with the work. For notes of what a thread
    /// is doing, in case the process dies; must be quick, and must not panic.
    fn begun(&self, _thread: usize) {}

    /// Called when the thread is done with the work that it had [`begun`](Self::begun), whatever the result.
    fn ended(_thread: usize) {}
}

/// A work that was tried, with its outcome.
#[derive(Debug)]
pub struct Attempted<P> {
    /// The work as it was given to [`Sender::send`](crate::Sender::send).
    pub work: P,
    /// Its outcome.
    pub outcome: Outcome,
    /// When a thread took the work, in microseconds since 1970.
    pub started_at_unix_micros: i64,
}
