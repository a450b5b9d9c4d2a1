//! Changes of what the worker keeps in memory, from the notices in `herald_internal.config_change`.

use crate::prepared::Prepared;
use herald_core::snapshot::Snapshot;
use herald_dispatch::subscriptions::Changes;
use pgrx::spi::SpiClient;

/// With this many notices or more, everything is read again.
const MOST: i64 = 1_000;

/// Reads the notices that the loaded snapshot does not show.
pub fn since(client: &mut SpiClient<'_>, loaded: &Snapshot) -> Changes {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/find_changes.sql"));
    let mut rows = STATEMENT.run(client, vec![loaded.to_string().into(), MOST.into()]);
    let mut changes = Changes::default();
    if rows.len() as i64 >= MOST {
        changes.wanted.everything = true;
        changes.any_pending = true;
        return changes;
    }
    while rows.next().is_some() {
        let kind = rows.get::<String>(1).ok().flatten().unwrap_or_default();
        let id = rows.get::<i64>(2).ok().flatten();
        match (kind.as_str(), id) {
            ("pending", Some(id)) => drop(changes.pending.insert(id)),
            ("pending", None) => changes.any_pending = true,
            ("tenant", _) => changes.wanted.limits = true,
            (_, Some(id)) => drop(changes.wanted.ids.insert(id)),
            (_, None) => changes.wanted.everything = true,
        }
    }
    changes
}
