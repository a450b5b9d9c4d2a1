//! What was played: how often, when, and what the worker did meanwhile.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// What one actor or all of them did, and what the worker did meanwhile.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) tries: BTreeMap<String, Tries>,
    pub(super) spans: Vec<Span>,
    pub(super) steps: BTreeMap<&'static str, Lasted>,
}

/// How often an attack was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    pub played: u64,
    pub statements: u64,
    /// Statements that the server refused, and how many of those it must refuse.
    pub refused: u64,
    pub expected: u64,
    /// The longest time that a statement took.
    pub longest: Duration,
}

/// When an attack was under way, in microseconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) began_at: i64,
    pub(super) ended_at: i64,
    /// How long the worker's main thread meanwhile ran on a processor and waited for one, if known.
    pub(super) processor: Option<(i64, i64)>,
}

impl Tries {
    /// Returns true if this attack never got anywhere, although it may: then it tests nothing.
    pub(super) fn is_toothless(&self) -> bool {
        self.played >= 10 && self.expected < self.refused && self.refused == self.statements
    }
}

impl AddAssign for Tries {
    fn add_assign(&mut self, other: Self) {
        self.played += other.played;
        self.statements += other.statements;
        self.expected += other.expected;
        self.refused += other.refused;
        self.longest = self.longest.max(other.longest);
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} played, {:>6} of {:>6} statements refused, longest {} ms",
            self.played,
            self.refused,
            self.statements,
            self.longest.as_millis()
        )
    }
}

/// The long runs of a step.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lasted {
    /// How many runs took longer than 5 ms, and how long in total, in microseconds.
    pub long: u64,
    pub total_micros: i64,
    pub longest_micros: i64,
    /// The parts of that total on a processor, and waiting for one. For the rest it waited for a lock or a disk.
    pub running_micros: i64,
    pub queueing_micros: i64,
}

impl fmt::Display for Lasted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} times longer than 5 ms, {} ms at most; {} ms in all, of which {} ms on a processor and {} ms waiting for one",
            self.long,
            self.longest_micros / 1_000,
            self.total_micros / 1_000,
            self.running_micros / 1_000,
            self.queueing_micros / 1_000,
        )
    }
}
