//! The limits that subscriptions share, as the database has them.

use crate::hosts::HostLimits;
use crate::tenants::Quotas;

/// Limits that subscriptions share.
#[derive(Debug, Clone)]
pub struct Limits {
    pub quotas: Quotas,
    /// Until when the quotas hold, in microseconds since 1970: the end of the month.
    pub quotas_end_at: i64,
    pub hosts: HostLimits,
}

impl Limits {
    /// Returns the limits where nobody set any.
    pub fn none() -> Self {
        Self {
            quotas: Quotas::new(),
            quotas_end_at: i64::MAX,
            hosts: HostLimits::new(),
        }
    }
}
