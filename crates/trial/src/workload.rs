//! Load for the database: transactions with a record of the truth, and `pgbench`.
//!
//! [`Workload`] is for correctness: it knows exactly what was committed. [`Pgbench`] is for speed.

mod client;
mod pgbench;
mod program;
mod truth;

pub use self::client::Running;
pub use self::pgbench::{Pgbench, Report};
pub use self::program::{Dice, Ending, Fate, Step};
pub use self::truth::{Change, ChangeSql, Tally, Workload, committed_changes, insert_change};
