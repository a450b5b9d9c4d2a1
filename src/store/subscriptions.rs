//! Reads stored subscriptions, for the worker and for SQL that shows what the worker would do.

use crate::prepared::Prepared;
use crate::settings::UrlPolicies;
use herald_dispatch::subscriptions::Loaded;
use pgrx::spi::SpiClient;

mod limits;
mod row;
mod secrets;

pub use self::limits::load_limits;
use herald_core::snapshot::Snapshot;
use row::Shown;

/// Loads the subscriptions with these ids that exist, as the caller's transaction sees them, with what they wanted
/// before changes that the snapshot does not show.
pub fn load(
    client: &mut SpiClient<'_>,
    ids: &[i64],
    policies: &UrlPolicies,
    oldest: Option<&Snapshot>,
) -> Vec<Loaded> {
    row::read(client, ids, policies, Shown::Whole, oldest)
}

/// Loads one subscription, as it may be shown.
pub fn show_one(client: &mut SpiClient<'_>, id: i64, policies: &UrlPolicies) -> Option<Loaded> {
    row::read(client, &[id], policies, Shown::WithoutNamedSecrets, None).pop()
}

/// Returns the ids of all subscriptions.
pub fn find_all(client: &mut SpiClient<'_>) -> Vec<i64> {
    static STATEMENT: Prepared =
        Prepared::read(include_str!("../../sql/queries/find_subscriptions.sql"));
    let mut rows = STATEMENT.run(client, vec![]);
    let mut ids = Vec::with_capacity(rows.len());
    while rows.next().is_some() {
        ids.extend(rows.get::<i64>(1).ok().flatten());
    }
    ids
}
