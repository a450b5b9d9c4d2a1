//! The ranges of option values, and the errors for others.

use std::ops::RangeInclusive;

use crate::attempt::retry::{LONGEST, interval_text};
use crate::error::Error;

/// The range of an option, and the error for values outside.
pub(crate) struct Limit {
    pub(crate) option: &'static str,
    range: RangeInclusive<i64>,
    show: fn(i64) -> String,
    pub(crate) allowed: &'static str,
    hint: &'static str,
}

pub(crate) const TIMEOUT: Limit = Limit {
    option: "timeout",
    range: 100_000..=300_000_000,
    show: interval_text,
    allowed: "100 ms to 5 min",
    hint: "Use timeout => '30 s'.",
};

pub(crate) const MAX_CONCURRENCY: Limit = Limit {
    option: "max_concurrency",
    range: 1..=1000,
    show: |value| value.to_string(),
    allowed: "1 to 1000",
    hint: "Use max_concurrency => 10.",
};

pub(crate) const MAX_PAYLOAD: Limit = Limit {
    option: "max_payload",
    range: 1..=16 << 20,
    show: |value| value.to_string(),
    allowed: "1 to 16777216 bytes",
    hint: "Use max_payload => 262144.",
};

pub(crate) const MAX_AGE: Limit = Limit {
    option: "max_age",
    range: 1..=LONGEST.as_micros() as i64,
    show: interval_text,
    allowed: "more than 0, up to 10 years",
    hint: "Leave max_age out to let deliveries wait; update herald.subscription set max_age = null takes it back.",
};

pub(crate) const MAX_BACKLOG: Limit = Limit {
    option: "max_backlog",
    range: 1..=100_000_000,
    show: |value| value.to_string(),
    allowed: "1 to 100000000",
    hint: "Use max_backlog => 100000, or leave it out.",
};

pub(crate) const MAX_BLOCK: Limit = Limit {
    option: "max_block",
    range: 1..=LONGEST.as_micros() as i64,
    show: interval_text,
    allowed: "more than 0, up to 10 years",
    hint: "Use max_block => '1 h', or leave it out.",
};

pub(crate) const SAMPLE: Limit = Limit {
    option: "sample",
    range: 1..=1_000_000,
    show: |value| value.to_string(),
    allowed: "1 to 1000000",
    hint: "Use sample => 10 for one event in ten, or leave it out.",
};

pub(crate) const DEAD_LETTER_RETENTION: Limit = Limit {
    option: "dead_letter_retention",
    range: 1_000_000..=LONGEST.as_micros() as i64,
    show: interval_text,
    allowed: "1 s to 10 years",
    hint: "Use dead_letter_retention => '30 days'.",
};

impl Limit {
    pub(crate) fn check_optional(&self, value: Option<i64>) -> Result<Option<u64>, Error> {
        value.map(|value| self.check(value)).transpose()
    }

    pub(crate) fn check(&self, value: i64) -> Result<u64, Error> {
        if self.range.contains(&value) {
            Ok(value.unsigned_abs())
        } else {
            Err(Error::OutOfRange {
                option: self.option,
                value: (self.show)(value),
                allowed: self.allowed,
                hint: self.hint,
            })
        }
    }
}

/// Returns the value of a word among these choices.
pub(crate) fn choice<T: Clone>(
    option: &'static str,
    wanted: &str,
    choices: &[(&str, T)],
) -> Result<T, Error> {
    let found = choices.iter().find(|(name, _)| *name == wanted);
    let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    found
        .map(|(_, value)| value.clone())
        .ok_or_else(|| Error::Option {
            option,
            fault: format!("It is {wanted:?}."),
            hint: format!("Use one of {}.", names().join(", ")),
        })
}
