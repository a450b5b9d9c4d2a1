//! What another session's lock keeps from being recorded waits here, in memory, and is tried again apart from the rest.

use super::{RECORD_SIZE, Worker};
use crate::pg::transaction::TransactionError;
use crate::record::{Batch, Record, record_again};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long after everything was tried it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// The log speaks of it this often, at most.
const LOGGED_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct SetAside {
    records: VecDeque<Record>,
    /// What receivers said in them, in bytes.
    response_bytes: usize,
    /// When the next round begins, and how many records of the current one were not tried.
    due: Instant,
    left_in_round: usize,
    logged_at: Option<Instant>,
}

impl Default for SetAside {
    fn default() -> Self {
        Self {
            records: VecDeque::new(),
            response_bytes: 0,
            due: Instant::now(),
            left_in_round: 0,
            logged_at: None,
        }
    }
}

impl SetAside {
    fn push(&mut self, records: Vec<Record>) {
        if records.is_empty() {
            return;
        }
        if self.records.is_empty() {
            self.due = Instant::now() + PAUSE;
            self.left_in_round = 0;
        }
        self.response_bytes += records.iter().map(response_bytes).sum::<usize>();
        self.records.extend(records);
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOGGED_EVERY) {
            pgrx::log!(
                "pg_herald: {} outcomes wait until other sessions release their locks on herald.pending or \
                 herald.dead_letter; see: select * from herald.doctor()",
                self.records.len()
            );
            self.logged_at = Some(Instant::now());
        }
    }

    fn take_due(&mut self) -> Vec<Record> {
        if Instant::now() < self.due {
            return Vec::new();
        }
        if self.left_in_round == 0 {
            self.left_in_round = self.records.len();
        }
        let count = self.left_in_round.min(RECORD_SIZE);
        self.left_in_round -= count;
        if self.left_in_round == 0 {
            self.due = Instant::now() + PAUSE;
        }
        let records: Vec<Record> = self.records.drain(..count).collect();
        self.response_bytes -= records.iter().map(response_bytes).sum::<usize>();
        records
    }

    /// What it takes in memory beside its deliveries, in bytes.
    pub fn memory(&self) -> usize {
        self.response_bytes
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// When some of it is tried again.
    pub fn due_in(&self) -> Option<Duration> {
        (!self.records.is_empty()).then(|| self.due.saturating_duration_since(Instant::now()))
    }
}

fn response_bytes(record: &Record) -> usize {
    let outcome = record.attempt.as_ref().map(|(_, outcome)| outcome);
    outcome.map_or(0, |outcome| outcome.response.len())
}

impl Worker {
    /// Keeps what cannot be written now. It needs no data of events for that: the log has it.
    pub(super) fn set_aside(&mut self, mut records: Vec<Record>) {
        for record in &mut records {
            let before = record.work.memory();
            record.work.forget_data();
            self.bytes_in_memory = self
                .bytes_in_memory
                .saturating_sub(before - record.work.memory());
        }
        self.set_aside.push(records);
    }

    /// Writes what is no longer locked, if it is time to try.
    pub(super) fn record_set_aside(&mut self) -> Result<(), TransactionError> {
        let records = self.set_aside.take_due();
        if records.is_empty() {
            return Ok(());
        }
        let batch = Batch {
            records,
            closed_windows: Vec::new(),
        };
        let mut recorded = record_again(batch, self.ring, &self.tenants);
        recorded.set_aside.append(&mut recorded.left);
        self.take_in_recorded(recorded)
    }

    /// Writes what can be written at the end of the worker's life, whatever is locked.
    pub(super) fn record_last(&mut self) -> Result<(), TransactionError> {
        let mut records = std::mem::take(&mut self.ended);
        records.extend(std::mem::take(&mut self.set_aside.records));
        let batch = Batch {
            closed_windows: self.windows.closable(&records),
            records,
        };
        if batch.is_empty() {
            return Ok(());
        }
        let recorded = record_again(batch, self.ring, &self.tenants);
        self.take_in_recorded(recorded)
    }
}
