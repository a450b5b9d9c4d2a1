//! Claims due deliveries from `herald.pending` into their lanes.
//!
//! Each database has one worker, so a claim is kept only in memory: after a crash all rows are still pending.

mod claiming;
mod found;
mod keys;

pub use self::claiming::{Claiming, Unknown};
