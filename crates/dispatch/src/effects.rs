//! Effects of a decision besides storing and sending; the caller carries them out after the step.

use std::time::Duration;

use herald_core::attempt::outcome::Outcome;

use crate::deaths::Place;

#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// A line in the server's log.
    Log(String),
    /// The same, as a warning.
    Warn(String),
    /// The outcome of a test request, for the session that waits for it.
    Answer { mail: u64, outcome: Outcome },
    /// A receiver's answer to the question whether it wants deliveries.
    Consent(Answered),
    /// A breaker that opened, closed, or was probed in vain.
    Breaker(Turned),
    /// A receiver that is probed all the time was probed.
    Probed(Probed),
    /// The suspects, and the deliveries to bury, if the worker dies.
    Keep {
        suspects: Vec<Place>,
        poison: Vec<Place>,
    },
}

/// A receiver's answer to the question whether it wants deliveries.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    pub subscription: i64,
    /// The generation of the URL and the handshake that were used.
    pub generation: i32,
    /// The granted rate, or why consent was not given.
    pub consent: Result<Option<u32>, String>,
}

/// What a probe shows of its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    pub subscription: i64,
    pub is_up: bool,
    /// For how long it is taken to have been so.
    pub lasted: Duration,
}

/// What a breaker is now.
#[derive(Debug, PartialEq, Eq)]
pub struct Turned {
    pub subscription: i64,
    /// Since when it is open, in microseconds since 1970, and the last failure; `None` if it is closed.
    pub open: Option<(i64, String)>,
}

/// Effects in the order in which they were decided.
pub type Effects = Vec<Effect>;
