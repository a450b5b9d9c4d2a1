//! A part of a turn.

use crate::steps::Step;

/// A part of a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Settles returned work, and spills queues that hold up a window.
    Settle,
    /// Hands waiting work to the sender.
    Send,
    /// Does something with the database.
    Step(Step),
}
