//! The time, as the caller gives it: of day, for what is written down and what lanes go by, and since the worker's start,
//! for what is measured, as a clock on the wall may be set.

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

    /// How long it is after an earlier one.
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
    /// How long ago that was.
    pub fn since(self, moment: Moment) -> Duration {
        self.moment.since(moment)
    }

    /// How long it is until then.
    pub fn until(self, moment: Moment) -> Duration {
        moment.since(self.moment)
    }

    /// Whether it is that late.
    pub fn is_past(self, moment: Moment) -> bool {
        self.moment >= moment
    }

    /// The time after something that took so long.
    pub fn after(self, took: Duration) -> Self {
        let micros = i64::try_from(took.as_micros()).unwrap_or(i64::MAX);
        Self {
            micros: self.micros.saturating_add(micros),
            moment: self.moment + took,
        }
    }
}
