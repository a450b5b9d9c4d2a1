//! The story of a run, line by line, for the reader of a failed seed.

use crate::clock::Clock;

#[derive(Debug, Default, Clone, Copy)]
pub struct Story {
    pub is_told: bool,
}

impl Story {
    /// Prints a line, which is made only if the story is told.
    pub fn tell(self, clock: &Clock, line: impl FnOnce() -> String) {
        if self.is_told {
            let seconds = clock.elapsed as f64 / 1e6;
            println!("{seconds:>14.6}  {}", line());
        }
    }
}
