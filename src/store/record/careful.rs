//! Records around what cannot be written: locked records are set aside, the rest is halved until the record with the
//! value that PostgreSQL refuses is found.

use super::write;
use crate::pg::process;
use crate::pg::transaction::{Fault, TransactionError};
use herald_dispatch::log::Ring;
use herald_dispatch::record::{Batch, Closed, End, Record};
use herald_dispatch::store::Recorded;
use herald_dispatch::tenants::Tenants;
use herald_dispatch::work::Origin;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long it may keep the main thread, and so everybody's deliveries. Records not tried by then are set aside.
const TIME: Duration = Duration::from_millis(50);
/// The same when the worker stops, and nothing else waits.
const LAST_TIME: Duration = Duration::from_millis(500);
/// The least time of a transaction, even if less is left, so that a slow machine writes something in each round.
const LEAST: Duration = Duration::from_millis(100);

/// Writes what can now be written of a batch that was tried before. A single record may take as long as `alone`.
pub fn record_again(batch: Batch, ring: Ring, tenants: &Tenants, alone: Duration) -> Recorded {
    record_for(batch, ring, tenants, false, TIME, alone)
}

/// Writes what can be written before the worker ends. A slow record leaves time for all others: deliveries of unwritten
/// records are made again.
pub fn record_last(batch: Batch, ring: Ring, tenants: &Tenants) -> Recorded {
    record_for(batch, ring, tenants, false, LAST_TIME, LEAST)
}

/// Writes what can now be written of a batch. The first time, logs what cannot.
pub fn record(batch: Batch, ring: Ring, tenants: &Tenants, is_first_time: bool) -> Recorded {
    record_for(batch, ring, tenants, is_first_time, TIME, write::LONGEST)
}

fn record_for(
    batch: Batch,
    ring: Ring,
    tenants: &Tenants,
    is_first_time: bool,
    time: Duration,
    alone: Duration,
) -> Recorded {
    let mut recording = Recording {
        ring,
        tenants,
        is_first_time,
        alone,
        until: Instant::now() + time,
        done: Recorded::default(),
    };
    // Records that touch no row that others may hold come first: slow rows leave no time for them.
    let (delivered, others) = batch.records.into_iter().partition(writes_attempt_only);
    recording.write(delivered);
    recording.write(others);
    recording.close(batch.closed_windows);
    recording.done
}

/// Returns whether only the attempt is written of it.
fn writes_attempt_only(record: &Record) -> bool {
    record.end == End::Delivered && matches!(record.delivery.origin, Origin::Window(_))
}

struct Recording<'t> {
    ring: Ring,
    tenants: &'t Tenants,
    is_first_time: bool,
    /// The time limit for the transaction of a single record.
    alone: Duration,
    until: Instant,
    done: Recorded,
}

impl Recording<'_> {
    /// Writes the records. Halves have their own transactions, and what is committed is never written again.
    fn write(&mut self, mut records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        if self.done.failure.is_some() {
            self.done.left.extend(records);
            return;
        }
        // The stop itself records what is not written by then.
        if Instant::now() >= self.until || process::is_interrupted() {
            self.done.untried += records.len();
            self.done.set_aside.extend(records);
            return;
        }
        match self.try_to_write(&records) {
            Ok(locked) => self.sort(records, &locked),
            Err(error) => match error.fault() {
                Fault::Server => {
                    self.done.left.extend(records);
                    self.done.failure = Some(error.into());
                }
                Fault::Value if records.len() == 1 => {
                    records
                        .into_iter()
                        .for_each(|record| self.write_without_words(record, &error));
                }
                Fault::Others if records.len() == 1 => {
                    self.done.is_slow |= error.is_timeout();
                    self.done.set_aside.extend(records);
                }
                Fault::Value | Fault::Others => {
                    let second = records.split_off(records.len() / 2);
                    self.write(records);
                    self.write(second);
                }
            },
        }
    }

    /// Writes the records. Returns the places of those passed by because they are locked.
    fn try_to_write(&mut self, records: &[Record]) -> Result<HashSet<usize>, TransactionError> {
        let left = self.until.saturating_duration_since(Instant::now());
        // A slow batch leaves time for its other half; a single record gets all the time that it may take.
        let within = match records.len() {
            1 => self.alone,
            _ => (left / 2).max(LEAST),
        };
        let (locked, usage) = write::skipping_locked(records, self.ring, self.tenants, within)?;
        self.done.usage.extend(usage);
        Ok(locked)
    }

    fn sort(&mut self, records: Vec<Record>, locked: &HashSet<usize>) {
        for (place, record) in records.into_iter().enumerate() {
            if locked.contains(&place) {
                self.done.set_aside.push(record);
            } else {
                self.done.written.push(record);
            }
        }
    }

    /// Writes a record that PostgreSQL refuses, but without what the receiver said.
    fn write_without_words(&mut self, record: Record, error: &TransactionError) {
        let (event, subscription) = (
            &record.delivery.event.uid,
            &record.delivery.subscription.name,
        );
        let without_words = record.without_words();
        let written = self.try_to_write(std::slice::from_ref(&without_words));
        if matches!(written, Ok(locked) if locked.is_empty()) {
            pgrx::log!(
                "pg_herald: recorded an attempt for event {event} of subscription \"{subscription}\" without its \
                 response: {error}"
            );
            self.done.written.push(record);
            return;
        }
        if self.is_first_time {
            pgrx::log!(
                "pg_herald: cannot record an attempt for event {event} of subscription \"{subscription}\": {error}; \
                 retrying"
            );
        }
        self.done.set_aside.push(record);
    }

    /// Closes the windows whose records are all written.
    fn close(&mut self, mut windows: Vec<Closed>) {
        let missing: HashSet<i64> = self
            .done
            .set_aside
            .iter()
            .chain(&self.done.left)
            .filter_map(|record| match record.delivery.origin {
                Origin::Window(number) => Some(number),
                Origin::Pending => None,
            })
            .collect();
        windows.retain(|(number, _)| !missing.contains(number));
        if windows.is_empty() || self.done.failure.is_some() || process::is_interrupted() {
            return;
        }
        match write::close(&windows) {
            Ok(()) => self.done.closed_windows = windows,
            Err(error) => self.done.failure = Some(error.into()),
        }
    }
}
