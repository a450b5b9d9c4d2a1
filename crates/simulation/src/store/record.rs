//! Recording: writes what can be written, sets aside what is locked, and closes windows with the last of their records
//! or later.

use std::collections::BTreeSet;

use herald_core::attempt::retry::lane_delay_until;
use herald_dispatch::failure::Fault;
use herald_dispatch::record::{Accounts, Batch, Closed, End, Record, usage_of};
use herald_dispatch::store::{Effort, Recorded};
use herald_dispatch::tenants::Tenants;
use herald_dispatch::work::Origin;

use super::statement::no_server;
use crate::database::rows::{AttemptRow, Change, DeadRow, Key, PendingRow};
use crate::deed::Statement;
use crate::world::World;

impl World {
    pub(crate) fn record(&mut self, batch: Batch, effort: Effort, tenants: &Tenants) -> Recorded {
        let failure = self.statement(Statement::Record).err();
        match failure {
            Some(failure) if failure.fault == Fault::Locked => Recorded {
                untried: batch.records.len() * usize::from(effort != Effort::Whole),
                set_aside: batch.records,
                failure: (!batch.closed_windows.is_empty()).then_some(failure),
                ..Recorded::default()
            },
            Some(failure) if !self.has_crashed() && batch.records.len() > 3 => {
                self.record_a_part(batch, failure, tenants)
            }
            Some(failure) => Recorded {
                left: batch.records,
                failure: Some(failure),
                ..Recorded::default()
            },
            None => self.record_around_locks(batch, tenants),
        }
    }

    /// Writes what is in the first of several transactions, and fails at the next.
    fn record_a_part(
        &mut self,
        batch: Batch,
        failure: herald_dispatch::failure::Failure,
        tenants: &Tenants,
    ) -> Recorded {
        let mut records = batch.records;
        let left = records.split_off(records.len() / 2);
        let first = Batch {
            records,
            closed_windows: Vec::new(),
        };
        Recorded {
            left,
            failure: Some(failure),
            ..self.record_around_locks(first, tenants)
        }
    }

    fn record_around_locks(&mut self, batch: Batch, tenants: &Tenants) -> Recorded {
        let (set_aside, written): (Vec<Record>, Vec<Record>) = batch
            .records
            .into_iter()
            .partition(|record| self.is_in_the_way(record));
        let usage = usage_of(&written.iter().collect::<Vec<_>>(), tenants);
        let mut changes = self.changes_of(&written);
        changes.extend(self.accounts(&usage));
        let missing: BTreeSet<i64> = set_aside.iter().filter_map(window_of).collect();
        let closed: Vec<Closed> = batch
            .closed_windows
            .into_iter()
            .filter(|(number, _)| !missing.contains(number))
            .collect();
        let closing: Vec<Change> = closed
            .iter()
            .filter_map(|(number, _)| self.closed(*number))
            .collect();
        if set_aside.is_empty() {
            changes.extend(closing);
            self.write(changes);
        } else {
            // These are two transactions.
            self.write(changes);
            self.write(closing);
        }
        self.witness_records(&written);
        self.witness.recorded(&usage);
        Recorded {
            written,
            closed_windows: closed,
            usage,
            set_aside,
            failure: self.has_crashed().then(no_server),
            ..Recorded::default()
        }
    }

    fn is_in_the_way(&self, record: &Record) -> bool {
        self.troubles.has_locks() && self.troubles.is_locked(key_of(record), self.clock.elapsed)
    }

    fn closed(&self, number: i64) -> Option<Change> {
        let mut row = self.database.tables.windows.get(&number)?.clone();
        row.is_closed = true;
        Some(Change::Window(number, Some(Box::new(row))))
    }

    fn changes_of(&self, records: &[Record]) -> Vec<Change> {
        let mut changes = Vec::with_capacity(records.len() * 2);
        for record in records {
            let key = key_of(record);
            if record.attempt.is_some() {
                let attempt = AttemptRow {
                    is_delivered: record.end == End::Delivered,
                    number: record.delivery.attempts,
                };
                changes.push(Change::Attempt(key, Some(attempt)));
            }
            let is_pending = record.delivery.origin == Origin::Pending;
            match record.end {
                // A delivery that was discarded meanwhile does not return to pending.
                End::Pending { .. } if is_pending && !self.is_pending(key) => {}
                End::Pending { at_micros, step } => {
                    let row = self.pending_row(record, at_micros, step);
                    changes.push(Change::Pending(key, Some(row)));
                }
                End::Dead(reason) => {
                    let dead = DeadRow {
                        reason: reason.as_str(),
                        attempts: record.delivery.attempts,
                    };
                    changes.push(Change::Dead(key, Some(dead)));
                    if let Some(rank) = record.delivery.rank.filter(|_| record.blocks_key()) {
                        changes.push(Change::Blocking(key, Some(rank)));
                    }
                }
                End::Delivered => {}
            }
            if is_pending && !record.is_pending() {
                changes.push(Change::Pending(key, None));
            }
        }
        changes
    }

    fn is_pending(&self, key: Key) -> bool {
        self.database.tables.pending.contains_key(&key)
    }

    fn pending_row(&self, record: &Record, at_micros: i64, step: u32) -> PendingRow {
        let delivery = &record.delivery;
        let former = self.database.tables.pending.get(&key_of(record));
        let spare_until = record.attempt.as_ref().and_then(|attempt| {
            let ended_at = attempt.started_at_micros + attempt.outcome.duration.as_micros() as i64;
            lane_delay_until(&attempt.outcome, ended_at)
        });
        PendingRow {
            slot: delivery.event.slot,
            next_attempt_at: at_micros,
            attempts: delivery.attempts,
            step,
            created_at: former.map_or(delivery.created_at_micros, |row| row.created_at),
            spare_until: match record.attempt {
                Some(_) => spare_until,
                None => former.and_then(|row| row.spare_until),
            },
            rank: former.map_or(delivery.rank, |row| row.rank),
            blocks_since: delivery.blocks_since,
            deliver_at: delivery.scheduled_for,
        }
    }

    fn accounts(&self, usage: &Accounts) -> Vec<Change> {
        let quotas = &self.database.tables.quotas;
        let grown = usage.iter().filter_map(|(tenant, used)| {
            let mut quota = *quotas.get(tenant)?;
            quota.events += used.events;
            Some(Change::Quota(tenant.clone(), Some(quota)))
        });
        grown.collect()
    }
}

fn key_of(record: &Record) -> Key {
    (record.delivery.subscription.id, record.delivery.event.seq)
}

fn window_of(record: &Record) -> Option<i64> {
    match record.delivery.origin {
        Origin::Window(number) => Some(number),
        Origin::Pending => None,
    }
}
