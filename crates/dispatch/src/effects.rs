//! What follows from a decision beside what is stored and sent: the caller sees to it when the step is over.

use herald_core::outcome::Outcome;

use crate::deaths::Place;

#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// A line in the server's log.
    Log(String),
    /// The same, as a warning.
    Warn(String),
    /// A session waits for what became of its test request.
    Answer { mail: u64, outcome: Outcome },
    /// A receiver was asked whether it wants deliveries.
    Consent(Answered),
    /// These are under suspicion from now on, and these to be buried, if the worker dies.
    Keep {
        suspects: Vec<Place>,
        poison: Vec<Place>,
    },
}

/// What a receiver answered to the question whether it wants deliveries.
#[derive(Debug, PartialEq, Eq)]
pub struct Answered {
    pub subscription: i64,
    /// The generation of the url and the handshake that were asked.
    pub generation: i32,
    /// The rate that it granted, or why it granted nothing.
    pub consent: Result<Option<u32>, String>,
}

/// In the order in which they were decided.
pub type Effects = Vec<Effect>;
