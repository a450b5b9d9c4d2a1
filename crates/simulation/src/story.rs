//! What happened, line by line, for a reader of a seed that failed.

use crate::clock::Clock;

#[derive(Debug, Default, Clone, Copy)]
pub struct Story {
    pub is_told: bool,
}

impl Story {
    /// A line of it. It is made only if somebody listens.
    pub fn tell(self, clock: &Clock, line: impl FnOnce() -> String) {
        if self.is_told {
            let seconds = clock.elapsed as f64 / 1e6;
            println!("{seconds:>14.6}  {}", line());
        }
    }
}
