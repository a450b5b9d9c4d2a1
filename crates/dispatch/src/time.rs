//! The time, as the caller passes it: the time of day, for stored values and for lanes, and the time since the worker's
//! start, for measurements, because the clock may be set.

use std::ops::Add;
use std::time::Duration;

/// A moment in the life of the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment(Duration);

/// The time at which something is decided.
///
/// ```
/// use herald_dispatch::time::{Moment, Now};
/// use std::time::Duration;
///
/// let second = Duration::from_secs(1);
/// let now = Now { micros: 0, moment: Moment::after_start(second) };
/// assert_eq!(now.since(Moment::default()), second);
/// assert_eq!(now.until(now.moment + second), second);
/// assert!(now.is_past(Moment::default()));
/// let later = now.after(second);
/// assert_eq!((later.micros, later.since(now.moment)), (1_000_000, second));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// In microseconds since 1970.
    pub micros: i64,
    pub moment: Moment,
}

impl Moment {
    pub fn after_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// Returns how long this is after an earlier moment.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

impl Now {
    /// Returns how long ago the moment was.
    pub fn since(self, moment: Moment) -> Duration {
        self.moment.since(moment)
    }

    /// Returns how long it is until the moment.
    pub fn until(self, moment: Moment) -> Duration {
        moment.since(self.moment)
    }

    /// Returns whether the moment has come.
    pub fn is_past(self, moment: Moment) -> bool {
        self.moment >= moment
    }

    /// Returns the time after something that took this long.
    pub fn after(self, took: Duration) -> Self {
        let micros = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        Self {
            micros: self.micros.saturating_add(micros),
            moment: self.moment + took,
        }
    }
}
