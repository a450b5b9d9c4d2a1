//! Which records cannot be written now because another session has locked what they need.

use super::write::attempt_table;
use super::{End, Record};
use crate::dispatch::work::Origin;
use crate::log::read::Ring;
use crate::pg::{catalog, lock};
use crate::prepared::Prepared;
use pgrx::spi::SpiClient;
use std::collections::HashSet;

/// The places of the records that cannot be written now: their row in `herald.pending` or `herald._dead_letter` is locked,
/// or a table that they need. What the others need stays locked until the end of the transaction.
pub fn find(client: &mut SpiClient<'_>, records: &[Record], ring: Ring) -> HashSet<usize> {
    let tables = Tables::lock(records, ring);
    if tables.are_free() {
        return find_rows(client, records);
    }
    records
        .iter()
        .enumerate()
        .filter(|(_, record)| tables.are_in_the_way_of(record))
        .map(|(place, _)| place)
        .collect()
}

/// Which of the tables that some records need could be locked for writing.
struct Tables {
    attempt: bool,
    pending: bool,
    dead_letter: bool,
}

impl Tables {
    /// Waits for nobody.
    fn lock(records: &[Record], ring: Ring) -> Self {
        let is_free =
            |name: &str| catalog::relation_in_herald(name).is_none_or(lock::try_for_writing);
        Self {
            attempt: attempt_table(records.iter(), ring).is_none_or(lock::try_for_writing),
            pending: !records.iter().any(needs_pending) || is_free("pending"),
            dead_letter: !records.iter().any(needs_dead_letter) || is_free("_dead_letter"),
        }
    }

    fn are_free(&self) -> bool {
        self.attempt && self.pending && self.dead_letter
    }

    fn are_in_the_way_of(&self, record: &Record) -> bool {
        record.attempt.is_some() && !self.attempt
            || needs_pending(record) && !self.pending
            || needs_dead_letter(record) && !self.dead_letter
    }
}

fn needs_pending(record: &Record) -> bool {
    record.work.origin == Origin::Pending || matches!(record.end, End::Pending { .. })
}

fn needs_dead_letter(record: &Record) -> bool {
    matches!(record.end, End::Dead(_))
}

fn find_rows(client: &mut SpiClient<'_>, records: &[Record]) -> HashSet<usize> {
    static STATEMENT: Prepared = Prepared::write(include_str!("../../sql/queries/find_locked.sql"));
    let subscriptions: Vec<i64> = records
        .iter()
        .map(|record| record.work.subscription.id)
        .collect();
    let seqs: Vec<i64> = records.iter().map(|record| record.work.event.seq).collect();
    let mut rows = STATEMENT.run(client, vec![subscriptions.into(), seqs.into()]);
    let mut locked = HashSet::new();
    while rows.next().is_some() {
        if let Ok(Some(place)) = rows.get::<i64>(1) {
            locked.insert(usize::try_from(place - 1).unwrap_or_default());
        }
    }
    locked
}
