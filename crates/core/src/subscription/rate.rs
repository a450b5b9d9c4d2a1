//! Rates: at most so many requests in a time, such as `10/s`.
//!
//! Users write them as an option of a subscription, in plans and for hosts. How a rate is kept is dispatch's business.

use crate::error::Error;
use crate::suggest::nearest;

const MICROS_PER_SECOND: i64 = 1_000_000;
/// The units, with their length in microseconds.
const UNITS: [(&str, i64); 4] = [
    ("s", MICROS_PER_SECOND),
    ("min", 60 * MICROS_PER_SECOND),
    ("h", 3_600 * MICROS_PER_SECOND),
    ("day", 86_400 * MICROS_PER_SECOND),
];
/// The largest number of requests in a unit, and at once.
const MOST: u32 = 1_000_000;
/// Unless stated otherwise, what is due in this time may leave at once: the worker looks at its lanes about as often.
const DEFAULT_BURST_MICROS: i64 = 50_000;

/// A rate: requests leave evenly, and after a pause a few at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    count: u32,
    per_micros: i64,
    burst: u32,
}

impl Rate {
    /// Parses a rate: a number, a slash and a unit, and perhaps how many may leave at once.
    ///
    /// ```
    /// use herald_core::subscription::rate::Rate;
    ///
    /// let rate = Rate::parse("rate_limit", "100/min burst 5").unwrap();
    /// assert_eq!((rate.interval_nanos(), rate.burst()), (600_000_000, 5));
    /// let error = Rate::parse("rate_limit", "10/sec").unwrap_err();
    /// assert_eq!(error.hint().unwrap(), r#"Use rate_limit => '10/s', '100/min', '5000/h' or '1000/day'."#);
    /// ```
    pub fn parse(option: &'static str, text: &str) -> Result<Rate, Error> {
        let refused = |fault: String| Error::Option {
            option,
            fault,
            hint: format!("Use {option} => '10/s', '100/min', '5000/h' or '1000/day'."),
        };
        let number = |text: &str, what: &str| {
            let number = text
                .parse()
                .ok()
                .filter(|number| (1..=MOST).contains(number));
            number.ok_or_else(|| refused(format!("{what} is not an integer of 1 to {MOST}.")))
        };
        let mut words = text.split_ascii_whitespace();
        let (count, unit) = words
            .next()
            .and_then(|rate| rate.split_once('/'))
            .ok_or_else(|| refused("It is not a number, a slash and a unit.".into()))?;
        let per = UNITS.into_iter().find(|(name, _)| *name == unit);
        let (_, per_micros) = per.ok_or_else(|| refused(unknown_unit(unit)))?;
        let count = number(count, "Its number")?;
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => default_burst(count, per_micros),
            (Some("burst"), Some(burst), None) => number(burst, "Its burst")?,
            _ => {
                let fault = "After the rate, only a burst may follow, as in '10/s burst 20'.";
                return Err(refused(fault.into()));
            }
        };
        Ok(Rate {
            count,
            per_micros,
            burst,
        })
    }

    /// Returns a rate in requests per minute, of which a second's worth may leave at once.
    pub fn per_minute(count: u32) -> Rate {
        Rate {
            count: count.max(1),
            per_micros: 60 * MICROS_PER_SECOND,
            burst: (count / 60).max(1),
        }
    }

    /// Returns the time between two requests, in nanoseconds.
    pub fn interval_nanos(self) -> i64 {
        self.per_micros * 1_000 / i64::from(self.count)
    }

    /// Returns how many requests may leave at once after a pause.
    pub fn burst(self) -> u32 {
        self.burst
    }

    /// Returns how many requests leave in a time at even intervals, in microseconds, from the first on.
    pub fn evenly_within(self, micros: i64) -> usize {
        let passing = micros.saturating_mul(1_000) / self.interval_nanos();
        usize::try_from(passing.saturating_add(1)).unwrap_or(usize::MAX)
    }

    /// Returns how many requests may leave in a time at most, in microseconds, after a pause.
    ///
    /// ```
    /// use herald_core::subscription::rate::Rate;
    ///
    /// let rate = Rate::parse("rate_limit", "10/s").unwrap();
    /// assert_eq!(rate.most_within(1_000_000), 11);
    /// ```
    pub fn most_within(self, micros: i64) -> usize {
        let passing = micros.saturating_mul(1_000) / self.interval_nanos();
        usize::try_from(passing.saturating_add(self.burst.into())).unwrap_or(usize::MAX)
    }
}

fn default_burst(count: u32, per_micros: i64) -> u32 {
    let due = i64::from(count) * DEFAULT_BURST_MICROS / per_micros;
    u32::try_from(due).unwrap_or(MOST).max(1)
}

fn unknown_unit(unit: &str) -> String {
    let names = UNITS.map(|(name, _)| name);
    match nearest(unit, names) {
        Some(nearest) => format!("It has no unit {unit:?}; perhaps you meant {nearest:?}."),
        None => format!("It has no unit {unit:?}; the units are s, min, h and day."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_unit_and_perhaps_a_burst() {
        for (text, interval, burst) in [
            ("10/s", 100_000_000, 1),
            ("1000/s", 1_000_000, 50),
            ("100/min", 600_000_000, 1),
            ("5000/h", 720_000_000, 1),
            ("1/day", 86_400_000_000_000, 1),
            ("1000000/s", 1_000, 50_000),
            ("10/s burst 20", 100_000_000, 20),
            (" 10/s  burst  1000000 ", 100_000_000, 1_000_000),
        ] {
            let rate = Rate::parse("rate_limit", text).unwrap();
            assert_eq!(
                (rate.interval_nanos(), rate.burst()),
                (interval, burst),
                "{text}"
            );
        }
    }

    #[test]
    fn a_faulty_rate_is_refused_with_its_fault() {
        for (text, fault) in [
            ("", "It is not a number, a slash and a unit."),
            ("10", "It is not a number, a slash and a unit."),
            ("10 / s", "It is not a number, a slash and a unit."),
            (
                "10/m",
                r#"It has no unit "m"; the units are s, min, h and day."#,
            ),
            (
                "10/mins",
                r#"It has no unit "mins"; perhaps you meant "min"."#,
            ),
            ("0/s", "Its number is not an integer of 1 to 1000000."),
            ("-1/s", "Its number is not an integer of 1 to 1000000."),
            ("1.5/s", "Its number is not an integer of 1 to 1000000."),
            ("1000001/s", "Its number is not an integer of 1 to 1000000."),
            (
                "99999999999999999999/s",
                "Its number is not an integer of 1 to 1000000.",
            ),
            (
                "10/s burst 0",
                "Its burst is not an integer of 1 to 1000000.",
            ),
            (
                "10/s burst",
                "After the rate, only a burst may follow, as in '10/s burst 20'.",
            ),
            (
                "10/s 20",
                "After the rate, only a burst may follow, as in '10/s burst 20'.",
            ),
            (
                "10/s burst 2 3",
                "After the rate, only a burst may follow, as in '10/s burst 20'.",
            ),
        ] {
            let error = Rate::parse("rate_limit", text).unwrap_err();
            assert_eq!(error.detail().unwrap(), fault, "{text}");
        }
    }
}
