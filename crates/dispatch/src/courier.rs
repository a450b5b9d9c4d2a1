//! Who sends: work is handed over, and comes back with what became of it.

use crate::record::Attempt;
use crate::work::Work;

/// Work that came back.
#[derive(Debug)]
pub struct Returned {
    pub work: Work,
    pub attempt: Attempt,
    /// A random number from 0 to 1, for the time of the next attempt.
    pub chance: f64,
}

/// The sender, as dispatch sees it. It never waits.
pub trait Courier {
    /// Hands work over, or returns it when no more is taken now.
    fn send(&mut self, work: Work) -> Result<(), Work>;

    /// What has come back, at most so many.
    fn returned(&mut self, most: usize) -> Vec<Returned>;
}
