//! A walk along a backlog, and the result of each step.

/// How far a backlog was walked, from its oldest delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Walk {
    pub id: i64,
    /// The deliveries passed, up to as many as the limit allows.
    pub passed: i64,
    /// The number of the last delivery passed.
    pub after_seq: i64,
}

/// The result of a step along a backlog.
#[derive(Debug, Clone, Copy)]
pub struct Shed {
    pub passed: i64,
    pub after_seq: i64,
    /// How many excess deliveries were buried.
    pub buried: usize,
    /// Whether the backlog is within its limit now.
    pub is_over: bool,
}
