//! herald-trial tests pg_herald from outside: real servers, real sockets, real crashes.
//!
//! The end-to-end tests, the demo and the benchmarks build on it, so nothing here knows the extension's internals: it
//! speaks SQL and HTTP only, and verifies signatures with third-party code.
//!
//! * [`cluster`]: a throw-away PostgreSQL server that can be stopped, crashed and started again.
//! * [`receiver`]: an HTTP(S) endpoint that can misbehave in every way we know, and that records each request.
//! * [`workload`]: transactions with a record of the truth, and `pgbench`.
//! * [`verdict`]: truth against receipts: what was lost, wrongly sent, or duplicated.
//! * [`wait`]: conditions with a deadline.
//! * [`size`]: how much a trial does, little on every change or everything, and the figures it measures.
//! * [`statistics`]: many measurements in one number.
//! * [`demo`], [`torture`]: `cargo xtask demo` and `cargo xtask torture`, which build on all of them.
//! * [`hostile`]: random attacks from roles, tenants, an operator and receivers, beside a healthy subscription.

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
