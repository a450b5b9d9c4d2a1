//! herald-trial puts pg_herald to the test from outside: real servers, real sockets, real crashes.
//!
//! The end-to-end tests, the demo and the benchmarks stand on it, so nothing in here knows the extension's insides:
//! it speaks SQL and HTTP only, and verifies signatures with somebody else's code.
//!
//! * [`cluster`]: a throw-away PostgreSQL server that can be stopped, crashed and started again.
//! * [`receiver`]: an HTTP(S) endpoint that can misbehave in every way we know, and that accounts for each request.
//! * [`workload`]: transactions with a record of the truth, and `pgbench`.
//! * [`verdict`]: truth against receipts: what was lost, what should never have been sent, what came twice.
//! * [`wait`]: conditions with a deadline.
//! * [`size`]: how much a trial does, little on every change or all of it, and the figures it measured.
//! * [`statistics`]: many measurements in one number.
//! * [`demo`], [`torture`]: `cargo xtask demo` and `cargo xtask torture`, which stand on all of them.
//! * [`hostile`]: attacks at random from roles, tenants, an operator and receivers, beside a healthy subscription.

#![forbid(unsafe_code)]

pub mod clock;
pub mod cluster;
pub mod demo;
pub mod error;
pub mod hostile;
pub mod receiver;
pub mod size;
pub mod statistics;
pub mod torture;
pub mod verdict;
pub mod wait;
pub mod workload;

pub use cluster::{Cluster, StopMode};
pub use error::{Error, Result};
pub use receiver::{Mode, Receiver};
pub use size::{at_size, figure};
pub use verdict::{Receipts, Verdict};
pub use wait::{eventually, within};
pub use workload::{Change, Pgbench, Workload};
