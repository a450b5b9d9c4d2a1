//! What follows an attempt: its [`outcome`], and the [`retry`] that decides how the delivery continues.

pub mod outcome;
pub mod retry;
