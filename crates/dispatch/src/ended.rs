//! Subscriptions that end: the answer of a receiver that is gone, deliveries to bury, and what was buried of them.

/// A receiver's answer that it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    pub subscription: i64,
    /// The generation of the URL that was called.
    pub generation: i32,
    pub reason: String,
}

/// A subscription with deliveries to bury, and how far this round got: buried rows stay in the index while an old
/// snapshot may see them, and later slices must not scan them again.
#[derive(Debug)]
pub struct Ended {
    pub id: i64,
    pub reason: String,
    pub after_seq: i64,
}

/// The result of burying a slice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Buried {
    pub count: usize,
    /// The number up to which everything is buried.
    pub up_to: Option<i64>,
}
