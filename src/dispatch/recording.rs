//! What came to its end is written down, some of it at a time, and leaves the worker's memory.

use super::work::Origin;
use super::{RECORD_AFTER, RECORD_SIZE, Worker, now_micros};
use crate::failpoint;
use crate::pg::transaction::TransactionError;
use crate::record::{self, Batch, End, Record, Recorded};
use herald_core::subscription::State;
use std::time::{Duration, Instant};

impl Worker {
    pub(super) fn is_record_due(&mut self) -> bool {
        if self.ended.is_empty() && !self.windows.any_closable() {
            self.ended_since = None;
            return false;
        }
        let since = *self.ended_since.get_or_insert_with(Instant::now);
        self.ended.len() >= RECORD_SIZE || since.elapsed() >= RECORD_AFTER
    }

    /// Writes down what came to its end, and closes the windows that are done with it.
    pub(super) fn record(&mut self) -> Result<(), TransactionError> {
        let rest = self.ended.split_off(self.ended.len().min(RECORD_SIZE));
        let records = std::mem::replace(&mut self.ended, rest);
        let batch = Batch {
            closed_windows: self.windows.closable(&records),
            records,
        };
        failpoint::reached("before_record");
        // While something is locked, it is not waited for each time.
        let recorded = if self.set_aside.is_empty() {
            record::record(batch, self.ring, &self.tenants)
        } else {
            record::record_around_locks(batch, self.ring, &self.tenants, true)
        };
        failpoint::reached("after_record");
        self.take_in_recorded(recorded)
    }

    pub(super) fn take_in_recorded(&mut self, recorded: Recorded) -> Result<(), TransactionError> {
        self.expect_shedding(&recorded.written);
        self.windows.forget(&recorded.closed_windows);
        self.tenants.recorded(&recorded.usage);
        self.suspects.recorded(&recorded.written);
        let now = now_micros();
        for record in &recorded.written {
            self.forget_recorded(record, now);
        }
        self.set_aside(recorded.set_aside);
        if !recorded.left.is_empty() {
            let newer = std::mem::replace(&mut self.ended, recorded.left);
            self.ended.extend(newer);
        }
        if self.ended.is_empty() {
            self.ended_since = None;
        }
        recorded.error.map_or(Ok(()), Err)
    }

    fn forget_recorded(&mut self, record: &Record, now: i64) {
        if let Origin::Window(number) = record.work.origin {
            self.windows.settle(number);
        }
        if matches!(record.end, End::Pending { .. }) && self.is_ended(record.work.subscription.id) {
            self.burials.expect(Duration::ZERO);
        }
        let Some(entry) = self.forget(&record.work) else {
            return;
        };
        if entry.lane.is_spilled() && entry.claimed.is_empty() {
            // That may have been the last one: a claim that finds nothing lets the reader feed the lane again.
            entry.expect_due(now);
        }
        if let End::Pending { at_micros, .. } = record.end {
            entry.unrecorded = entry.unrecorded.saturating_sub(1);
            // From now on the row is there to be claimed; a claim in between did not see it.
            entry.expect_due(at_micros);
            if entry.claimed_to >= Some((at_micros, record.work.event.seq)) {
                entry.claimed_to = None;
            }
        }
    }

    /// Whether what is pending for this subscription is to be buried.
    fn is_ended(&self, id: i64) -> bool {
        self.subscriptions
            .by_id(id)
            .is_none_or(|one| one.config.state == State::Disabled)
    }
}
