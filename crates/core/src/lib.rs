//! The pure logic of pg_herald: events, matching, requests, and what follows an attempt.
//!
//! The pipeline is capture -> log -> dispatch -> record. This crate holds its decisions and none of its effects; the
//! worker's turn is in `herald-dispatch`. The crate uses neither PostgreSQL nor sockets, takes the time and random
//! numbers as arguments, and never blocks.
//!
//! **Capture.** [`event`] checks the arguments of `emit` within [`limits`], and [`json`] minifies data. The log stores
//! the event, and dispatch reads it back. The difference of two [`snapshot`]s tells which events are new.
//!
//! **Matching.** A [`subscription`] is made of its options, and its matcher finds those that get an event, by its type,
//! its tenant and their [`filter`]s.
//!
//! **Sending.** [`request`] builds the exact bytes to send: the body in a format, the target and headers with their
//! placeholders, and the proofs of the sender from [`signing`]. [`egress`] decides which urls may be stored, which
//! addresses dialled, and which connections shared. Code that walks data checks its [`depth`] first.
//!
//! **Afterwards.** The sender turns an [`attempt`] into an outcome, and its retry decides how the delivery continues.
//!
//! **Beside the pipeline.** The [`vault`] seals secrets for storage. [`error`] tells users why something is refused,
//! and [`suggest`] finds the name they meant. [`lock`] numbers the names of locks.
//!
//! Each folder's own page says what its files are.

#![forbid(unsafe_code)]

pub mod attempt;
pub mod depth;
pub mod egress;
pub mod error;
pub mod event;
pub mod filter;
mod hash;
pub mod json;
pub mod lengths;
pub mod limits;
pub mod lock;
pub mod request;
pub mod signing;
pub mod snapshot;
pub mod subscription;
pub mod suggest;
pub mod vault;
