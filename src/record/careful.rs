//! Recording around what cannot be written: what is locked is set aside, the rest is halved until the record with the
//! value that PostgreSQL refuses is found.

use super::{Batch, Closed, Record, Recorded, write};
use crate::dispatch::work::Origin;
use crate::log::read::Ring;
use crate::pg::transaction::{Fault, TransactionError};
use herald_core::tenants::Tenants;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How long the main thread is kept by it. What is not written by then is set aside.
const TIME: Duration = Duration::from_millis(500);

/// Writes what can be written now of a batch that was tried before.
pub fn record_again(batch: Batch, ring: Ring, tenants: &Tenants) -> Recorded {
    record(batch, ring, tenants, false)
}

/// Writes what can be written of a batch now. The first time, the log says what cannot.
pub fn record(batch: Batch, ring: Ring, tenants: &Tenants, is_first_time: bool) -> Recorded {
    let mut recording = Recording {
        ring,
        tenants,
        is_first_time,
        until: Instant::now() + TIME,
        done: Recorded::default(),
    };
    recording.write(batch.records);
    recording.close(batch.closed_windows);
    recording.done
}

struct Recording<'t> {
    ring: Ring,
    tenants: &'t Tenants,
    is_first_time: bool,
    until: Instant,
    done: Recorded,
}

impl Recording<'_> {
    /// Halves have transactions of their own, and what is committed is never written again.
    fn write(&mut self, mut records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        if self.done.error.is_some() {
            self.done.left.extend(records);
            return;
        }
        if Instant::now() >= self.until {
            self.done.set_aside.extend(records);
            return;
        }
        match self.try_to_write(&records) {
            Ok(locked) => self.sort(records, &locked),
            Err(error) => match error.fault() {
                Fault::Server => {
                    self.done.left.extend(records);
                    self.done.error = Some(error);
                }
                Fault::Value if records.len() == 1 => {
                    records
                        .into_iter()
                        .for_each(|record| self.write_less(record, &error));
                }
                Fault::Others if records.len() == 1 => self.done.set_aside.extend(records),
                Fault::Value | Fault::Others => {
                    let second = records.split_off(records.len() / 2);
                    self.write(records);
                    self.write(second);
                }
            },
        }
    }

    /// Returns the places of the records that were passed by because they are locked.
    fn try_to_write(&mut self, records: &[Record]) -> Result<HashSet<usize>, TransactionError> {
        let within = self.until.saturating_duration_since(Instant::now());
        let (locked, usage) = write::passing_by_locks(records, self.ring, self.tenants, within)?;
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

    /// Writes a record that PostgreSQL refuses without what the receiver said.
    fn write_less(&mut self, record: Record, error: &TransactionError) {
        let (event, subscription) = (&record.work.event.uid, &record.work.subscription.name);
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

    /// Closes windows of which everything is written.
    fn close(&mut self, mut windows: Vec<Closed>) {
        let missing: HashSet<i64> = self
            .done
            .set_aside
            .iter()
            .chain(&self.done.left)
            .filter_map(|record| match record.work.origin {
                Origin::Window(number) => Some(number),
                _ => None,
            })
            .collect();
        windows.retain(|(number, _)| !missing.contains(number));
        if windows.is_empty() || self.done.error.is_some() {
            return;
        }
        match write::close(&windows) {
            Ok(()) => self.done.closed_windows = windows,
            Err(error) => self.done.error = Some(error),
        }
    }
}

impl Record {
    fn without_words(&self) -> Record {
        let mut record = self.clone();
        if let Some((_, outcome)) = &mut record.attempt {
            outcome.response.clear();
            if let Some((_, words)) = &mut outcome.error {
                words.clear();
            }
        }
        record
    }
}
