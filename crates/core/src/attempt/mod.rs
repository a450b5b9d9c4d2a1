//! What follows an attempt: its [`outcome`], and the [`retry`] that decides how the delivery continues, or for which
//! [`dead_reason`] it ends.

pub mod dead_reason;
pub mod outcome;
pub mod retry;
