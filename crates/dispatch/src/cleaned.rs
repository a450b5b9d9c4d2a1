//! The parts of a round of housekeeping, and their results.

/// The part of a round that comes next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Part {
    pub number: i32,
    /// The held event up to which events were checked for release.
    pub released_to: i64,
}

/// The result of a part of a round.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cleaned {
    /// The period of the ring: how long a slot is written.
    pub period_micros: Option<i64>,
    pub has_more: bool,
    pub released_to: Option<i64>,
    /// The part that comes next; 0 after the last.
    pub next_part: i32,
}
