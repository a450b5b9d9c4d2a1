//! The time of day, in the unit used by this crate.

use std::time::{SystemTime, UNIX_EPOCH};

/// Returns microseconds since 1970.
pub fn now_micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_micros() as i64
}
