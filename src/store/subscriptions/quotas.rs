//! What the plans of tenants allow, and what the tenants used.

use crate::prepared::Prepared;
use herald_dispatch::tenants::{OverQuota, Quota, Quotas};
use pgrx::spi::SpiClient;

/// Returns the quotas of all tenants, and when they change: at the end of the month, in microseconds since 1970.
pub fn load_quotas(client: &mut SpiClient<'_>) -> (Quotas, i64) {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../../sql/queries/load_quotas.sql"));
    let mut rows = STATEMENT.run(client, vec![]);
    let mut quotas = Quotas::new();
    let mut outdated_at = i64::MAX;
    while rows.next().is_some() {
        let number = |name: &str| rows.get_by_name::<i64, _>(name).ok().flatten();
        let quota = Quota {
            events_per_month: number("events_per_month"),
            max_connections: number("max_connections").and_then(|most| most.try_into().ok()),
            over_quota: match rows.get_by_name("is_blocked") {
                Ok(Some(true)) => OverQuota::Blocked,
                _ => OverQuota::Throttled,
            },
            events: number("events").unwrap_or(0),
        };
        outdated_at = outdated_at.min(number("next_month_micros").unwrap_or(i64::MAX));
        if let Ok(Some(name)) = rows.get_by_name::<String, _>("name") {
            quotas.insert(name.into(), quota);
        }
    }
    (quotas, outdated_at)
}
