//! A pace: keeps to a rate, evenly, with a bounded burst (the generic cell rate algorithm).
//!
//! It has no clock: the caller passes `now` in microseconds.

use herald_core::subscription::rate::Rate;

/// Whoever has to wait waits at most this much longer than necessary, in nanoseconds.
const TOGETHER_NANOS: i64 = 5_000_000;

/// What has left at a rate.
///
/// ```
/// use herald_core::subscription::rate::Rate;
/// use herald_dispatch::pace::Pace;
///
/// let mut pace = Pace::new(Rate::parse("rate_limit", "10/s").unwrap());
/// pace.count(0);
/// assert_eq!(pace.next_at(0), Some(55_000));
/// assert_eq!(pace.next_at(50_000), None);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    rate: Rate,
    /// When the next request would leave at even intervals, in nanoseconds.
    even_nanos: i64,
}

impl Pace {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            even_nanos: i64::MIN,
        }
    }

    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts a request that leaves now.
    pub fn count(&mut self, now: i64) {
        let even = self.even_nanos.max(nanos(now));
        self.even_nanos = even.saturating_add(self.rate.interval_nanos());
    }

    /// Takes back a request that was counted and does not leave.
    pub fn take_back(&mut self) {
        self.even_nanos = self.even_nanos.saturating_sub(self.rate.interval_nanos());
    }

    /// Returns when the next request may leave; `None` for now.
    pub fn next_at(&mut self, now: i64) -> Option<i64> {
        let tolerance = self.tolerance_nanos();
        // A request that left was at most this early, unless the clock was set back.
        let latest =
            nanos(now).saturating_add(tolerance.saturating_add(self.rate.interval_nanos()));
        self.even_nanos = self.even_nanos.min(latest);
        let earliest = self.even_nanos.saturating_sub(tolerance);
        // Waiting a little longer lets several leave together, and costs none of them.
        let together = (tolerance / 4).min(TOGETHER_NANOS);
        let until = earliest.saturating_add(together).saturating_add(999);
        (earliest > nanos(now)).then(|| until.div_euclid(1_000))
    }

    /// Returns how many requests may leave in this time from now on, in microseconds.
    pub fn most_within(&self, micros: i64, now: i64) -> usize {
        let even = self.even_nanos.max(nanos(now));
        let earliest = even.saturating_sub(self.tolerance_nanos());
        let span = nanos(now.saturating_add(micros)).saturating_sub(earliest);
        let intervals = span.div_euclid(self.rate.interval_nanos());
        usize::try_from(intervals.saturating_add(1)).unwrap_or(0)
    }

    /// Returns how much earlier than at even intervals a request may leave: the rest of the burst, and half an interval, so
    /// that being late costs nothing.
    fn tolerance_nanos(&self) -> i64 {
        let interval = self.rate.interval_nanos();
        let rest = i64::from(self.rate.burst()) - 1;
        interval.saturating_mul(rest).saturating_add(interval / 2)
    }
}

fn nanos(micros: i64) -> i64 {
    micros.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    /// Returns when requests leave in a minute, if somebody looks every so many microseconds.
    fn leave(rate: &str, every: usize) -> Vec<i64> {
        let mut pace = Pace::new(Rate::parse("rate_limit", rate).unwrap());
        let mut left = Vec::new();
        for now in (0..60 * SECOND).step_by(every) {
            while pace.next_at(now).is_none() {
                pace.count(now);
                left.push(now);
            }
        }
        left
    }

    /// Returns the most that leave in any time of this length.
    fn most_within(left: &[i64], micros: i64) -> usize {
        let within = |from: usize| left.partition_point(|at| *at <= left[from] + micros) - from;
        (0..left.len()).map(within).max().unwrap()
    }

    #[test]
    fn ten_in_a_second_are_never_twelve_and_nearly_all_of_them_leave() {
        for every in [1, 1_000, 5_000, 40_000] {
            let left = leave("10/s", every);
            assert!(most_within(&left, SECOND) <= 11, "every {every}");
            assert!(
                (590..=601).contains(&left.len()),
                "{} every {every}",
                left.len()
            );
        }
    }

    #[test]
    fn a_fast_rate_leaves_in_bursts_of_a_twentieth_of_a_second() {
        for every in [100, 5_000, 20_000] {
            let left = leave("2000/s", every);
            assert!(most_within(&left, SECOND) <= 2_101, "every {every}");
            assert!(left.len() >= 119_000, "{} every {every}", left.len());
        }
    }

    #[test]
    fn a_stated_burst_leaves_at_once_after_a_pause() {
        let mut pace = Pace::new(Rate::parse("rate_limit", "1/min burst 3").unwrap());
        for _ in 0..3 {
            assert_eq!(pace.next_at(0), None);
            pace.count(0);
        }
        assert_eq!(pace.next_at(0), Some(30 * SECOND + 5_000));
        pace.take_back();
        assert_eq!(pace.next_at(0), None);
    }

    #[test]
    fn a_clock_that_is_set_back_delays_by_an_interval_at_most() {
        let mut pace = Pace::new(Rate::parse("rate_limit", "10/s").unwrap());
        pace.count(3_600 * SECOND);
        assert_eq!(pace.next_at(0), Some(105_000));
        assert_eq!(pace.next_at(100_000), None);
        pace.count(100_000);
        assert_eq!(pace.next_at(100_000), Some(205_000));
    }

    #[test]
    fn the_end_of_time_stops_nothing() {
        let mut pace = Pace::new(Rate::parse("rate_limit", "1/day burst 1000000").unwrap());
        for now in [i64::MIN, i64::MAX, 0] {
            pace.count(now);
            let _ = pace.next_at(now);
            pace.take_back();
        }
    }
}
