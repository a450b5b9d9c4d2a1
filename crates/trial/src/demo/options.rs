//! What the demo is asked for.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long pgbench runs.
    pub seconds: u32,
    /// Transactions per second of all pgbench clients together; 0 is unlimited.
    pub rate: u32,
    /// Leaves the cluster and the receivers running until [`Stop`](super::keep::Stop).
    pub keep: bool,
    /// Makes one receiver forget one receipt, for the account to find.
    pub drop_one: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seconds: 10,
            rate: 400,
            keep: false,
            drop_one: false,
        }
    }
}
