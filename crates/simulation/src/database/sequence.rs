//! A sequence: numbers that are drawn before their transaction commits, and logged 32 in advance.

/// PostgreSQL's SEQ_LOG_VALS.
const LOGGED_AHEAD: i64 = 32;

#[derive(Debug, Default)]
pub struct Sequence {
    last: i64,
    logged: i64,
    /// Positions in the write-ahead log, and the number up to which the sequence is logged there.
    unflushed: Vec<(u64, i64)>,
    flushed: i64,
}

impl Sequence {
    /// Returns the last number drawn.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// Draws the next number. Returns it, and whether the sequence has to be logged.
    pub fn draw(&mut self) -> (i64, bool) {
        self.last += 1;
        let must_log = self.last > self.logged;
        if must_log {
            self.logged = self.last + LOGGED_AHEAD;
        }
        (self.last, must_log)
    }

    /// Notes that the last draw is logged at this position of the write-ahead log.
    pub fn log(&mut self, at: u64) {
        self.unflushed.push((at, self.logged));
    }

    pub fn flushed(&mut self, up_to: u64) {
        let on_disk = self.unflushed.partition_point(|(at, _)| *at <= up_to);
        for (_, logged) in self.unflushed.drain(..on_disk) {
            self.flushed = logged;
        }
    }

    /// Forgets what is not on disk, and skips what was logged ahead.
    pub fn crash(&mut self, flushed: u64) {
        self.flushed(flushed);
        self.unflushed.clear();
        (self.last, self.logged) = (self.flushed, self.flushed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_passes_by_what_was_logged_ahead_and_gives_again_what_was_not_flushed() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.draw(), (1, true));
        sequence.log(5);
        assert_eq!(sequence.draw(), (2, false));
        sequence.flushed(5);
        for _ in 3..=40 {
            let (_, must_log) = sequence.draw();
            if must_log {
                sequence.log(9);
            }
        }
        sequence.crash(8);
        assert_eq!(sequence.last(), 33);
        assert_eq!(sequence.draw(), (34, true));
    }
}
