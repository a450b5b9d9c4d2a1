//! Stored subscriptions, read for the worker, and for those who ask what it would do.

use crate::prepared::Prepared;
use crate::settings::UrlPolicies;
use herald_dispatch::subscriptions::{Loaded, Since};
use pgrx::spi::SpiClient;

mod quotas;
mod row;
mod secrets;

pub use self::quotas::load_quotas;
use row::Shown;

/// Those of these subscriptions that exist, as the caller's transaction sees them.
pub fn load(client: &mut SpiClient<'_>, ids: &[i64], policies: &UrlPolicies) -> Vec<Loaded> {
    row::read(client, ids, policies, Shown::Whole)
}

/// One of them as it may be shown.
pub fn show_one(client: &mut SpiClient<'_>, id: i64, policies: &UrlPolicies) -> Option<Loaded> {
    row::read(client, &[id], policies, Shown::WithoutNamedSecrets).pop()
}

/// The ids of all.
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
