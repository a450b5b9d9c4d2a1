//! The settings that a worker starts with.

use std::time::Duration;

/// The settings that a worker starts with.
#[derive(Debug, Clone, Copy)]
pub struct Station {
    pub threads: usize,
    pub poll_interval: Duration,
    /// The memory that deliveries may hold, in bytes.
    pub memory: usize,
}
