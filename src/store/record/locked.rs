//! Finds the records that cannot be written now because another session has locked what they need.

use super::attempts;
use crate::pg::dirty::DirtyIndex;
use crate::pg::{catalog, lock};
use crate::prepared::{Prepared, column};
use herald_dispatch::log::Ring;
use herald_dispatch::record::Record;
use herald_dispatch::tenants::Tenants;
use herald_dispatch::work::Origin;
use pgrx::spi::SpiClient;
use std::collections::HashSet;

/// Returns the places of the records that cannot be written now: another session has locked a row or a table that they
/// need, or has an uncommitted version of their row. What the others need stays locked until the end of the
/// transaction.
pub fn find(
    client: &mut SpiClient<'_>,
    records: &[Record],
    ring: Ring,
    tenants: &Tenants,
) -> HashSet<usize> {
    let tables = Tables::lock(records, ring, tenants);
    if tables.are_free() {
        let mut locked = find_rows(client, records, tenants);
        find_uncommitted(records, &mut locked);
        return locked;
    }
    records
        .iter()
        .enumerate()
        .filter(|(_, record)| tables.are_in_the_way_of(record, tenants))
        .map(|(place, _)| place)
        .collect()
}

/// Which of the tables that the records need could be locked for writing.
struct Tables {
    attempt: bool,
    pending: bool,
    dead_letter: bool,
    usage: bool,
}

impl Tables {
    /// Locks the tables, but waits for none.
    fn lock(records: &[Record], ring: Ring, tenants: &Tenants) -> Self {
        let is_free = |name: &str| catalog::relation(name).is_none_or(lock::try_for_writing);
        let needs_usage = |record: &Record| record.account(tenants).is_some();
        Self {
            attempt: attempts::table(records.iter(), ring).is_none_or(lock::try_for_writing),
            pending: !records.iter().any(needs_pending) || is_free("herald.pending"),
            dead_letter: !records.iter().any(Record::is_dead)
                || is_free("herald_internal.dead_letter"),
            usage: !records.iter().any(needs_usage) || is_free("herald_internal.usage"),
        }
    }

    fn are_free(&self) -> bool {
        self.attempt && self.pending && self.dead_letter && self.usage
    }

    fn are_in_the_way_of(&self, record: &Record, tenants: &Tenants) -> bool {
        record.attempt.is_some() && !self.attempt
            || needs_pending(record) && !self.pending
            || record.is_dead() && !self.dead_letter
            || record.account(tenants).is_some() && !self.usage
    }
}

fn needs_pending(record: &Record) -> bool {
    record.delivery.origin == Origin::Pending || record.is_pending()
}

fn find_rows(client: &mut SpiClient<'_>, records: &[Record], tenants: &Tenants) -> HashSet<usize> {
    static STATEMENT: Prepared =
        Prepared::write(include_str!("../../../sql/queries/find_locked.sql"));
    let mut rows = STATEMENT.run(
        client,
        vec![
            column(records, |record| record.delivery.subscription.id),
            column(records, |record| record.delivery.event.seq),
            column(records, |record| {
                record.account(tenants).map(|name| &**name)
            }),
        ],
    );
    let mut locked = HashSet::new();
    while rows.next().is_some() {
        if let Ok(Some(place)) = rows.get::<i64>(1) {
            locked.insert(usize::try_from(place - 1).unwrap_or_default());
        }
    }
    locked
}

/// Adds the records whose row another session has inserted but not committed: SKIP LOCKED does not see it, and ON
/// CONFLICT would wait for it.
fn find_uncommitted(records: &[Record], locked: &mut HashSet<usize>) {
    add_uncommitted(
        records,
        Record::is_pending,
        ("herald.pending", "herald.pending_pkey"),
        locked,
    );
    let dead_letters = (
        "herald_internal.dead_letter",
        "herald_internal.dead_letter_of_delivery",
    );
    add_uncommitted(records, Record::is_dead, dead_letters, locked);
}

/// Searches a table by its index of deliveries.
fn add_uncommitted(
    records: &[Record],
    is_inserted: fn(&Record) -> bool,
    (table, index): (&str, &str),
    locked: &mut HashSet<usize>,
) {
    let mut places = (0..records.len())
        .filter(|place| is_inserted(&records[*place]))
        .peekable();
    if places.peek().is_none() {
        return;
    }
    let table = catalog::relation(table);
    let index = catalog::relation(index);
    // If the index is not as it was made, the insert waits for each row, briefly.
    let index = table
        .zip(index)
        .and_then(|(table, index)| DirtyIndex::open(table, index));
    if let Some(index) = index {
        locked.extend(places.filter(|place| index.is_being_written(key(&records[*place]))));
    }
}

fn key(record: &Record) -> (i64, i64) {
    (record.delivery.subscription.id, record.delivery.event.seq)
}
