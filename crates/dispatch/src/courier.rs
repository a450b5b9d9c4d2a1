//! The courier, which takes work to send and returns it with the attempt.

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
    /// Hands work over, or returns it if the sender takes no more now.
    fn send(&mut self, work: Work) -> Result<(), Work>;

    /// Returns work that has come back, at most `most` pieces.
    fn returned(&mut self, most: usize) -> Vec<Returned>;
}
