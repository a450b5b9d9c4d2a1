//! Limits that subscriptions share: what the plans of tenants allow, and what hosts take.

use crate::prepared::Prepared;
use herald_core::subscription::rate::Rate;
use herald_dispatch::hosts::{HostLimit, HostLimits};
use herald_dispatch::limits::Limits;
use herald_dispatch::tenants::{OverQuota, Quota};
use pgrx::spi::{SpiClient, SpiTupleTable};

/// Returns the limits, as of now.
pub fn load_limits(client: &mut SpiClient<'_>) -> Limits {
    let mut limits = Limits {
        hosts: load_host_limits(client),
        ..Limits::none()
    };
    load_quotas(client, &mut limits);
    limits
}

fn load_quotas(client: &mut SpiClient<'_>, limits: &mut Limits) {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../../sql/queries/load_quotas.sql"));
    let mut rows = STATEMENT.run(client, vec![]);
    while rows.next().is_some() {
        let quota = Quota {
            events_per_month: number(&rows, "events_per_month"),
            max_connections: number(&rows, "max_connections").and_then(|most| most.try_into().ok()),
            rate_limit: rate_limit(&rows),
            over_quota: match rows.get_by_name("is_blocked") {
                Ok(Some(true)) => OverQuota::Blocked,
                _ => OverQuota::Throttled,
            },
            events: number(&rows, "events").unwrap_or(0),
        };
        let next_month = number(&rows, "next_month_micros").unwrap_or(i64::MAX);
        limits.quotas_end_at = limits.quotas_end_at.min(next_month);
        if let Ok(Some(name)) = rows.get_by_name::<String, _>("name") {
            limits.quotas.insert(name.into(), quota);
        }
    }
}

fn load_host_limits(client: &mut SpiClient<'_>) -> HostLimits {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../../sql/queries/load_host_limits.sql"));
    let mut rows = STATEMENT.run(client, vec![]);
    let mut limits = HostLimits::new();
    while rows.next().is_some() {
        let limit = HostLimit {
            max_concurrency: number(&rows, "max_concurrency").and_then(|most| most.try_into().ok()),
            rate_limit: rate_limit(&rows),
        };
        if let Ok(Some(host)) = rows.get_by_name::<String, _>("host") {
            limits.insert(host.into(), limit);
        }
    }
    limits
}

fn number(rows: &SpiTupleTable<'_>, name: &str) -> Option<i64> {
    rows.get_by_name(name).ok().flatten()
}

fn rate_limit(rows: &SpiTupleTable<'_>) -> Option<Rate> {
    let text: Option<String> = rows.get_by_name("rate_limit").ok().flatten();
    Rate::parse("rate_limit", &text?).ok()
}
