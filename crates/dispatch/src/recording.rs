//! Recording: writes down ended deliveries, a batch at a time, and removes them from the worker's memory.

use std::time::Duration;

use crate::burials::Burials;
use crate::effects::{Effect, Effects};
use crate::failure::Failure;
use crate::gate::Gate;
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::log::Ring;
use crate::record::{Batch, End, Record};
use crate::scheduled::Scheduled;
use crate::settle::spill;
use crate::shedding::Shedding;
use crate::store::{Effort, Point, Recorded, Store};
use crate::subscriptions::Subscriptions;
use crate::time::Now;
use crate::work::Origin;

/// The parts of the worker that recording needs.
#[derive(Debug)]
pub struct Recording<'a, S> {
    pub lanes: &'a mut Lanes,
    pub gate: &'a mut Gate,
    pub ledger: &'a mut Ledger,
    pub burials: &'a mut Burials,
    pub shedding: &'a mut Shedding,
    pub scheduled: &'a mut Scheduled,
    pub subscriptions: &'a Subscriptions,
    pub store: &'a mut S,
    pub effects: &'a mut Effects,
    pub ring: Ring,
}

impl<S: Store> Recording<'_, S> {
    /// Writes the next batch, and closes the windows that it completes.
    pub fn record(&mut self, now: Now) -> Result<(), Failure> {
        let (batch, effort) = self.ledger.next_batch();
        self.store.reached(Point::BeforeRecord);
        let recorded = self.write(batch, effort);
        self.store.reached(Point::AfterRecord);
        self.ledger.took(&recorded);
        self.take_in(recorded, now)
    }

    /// Writes set-aside records that are no longer locked, if it is time to try.
    pub fn record_set_aside(&mut self, now: Now) -> Result<(), Failure> {
        let Some((batch, effort)) = self.ledger.take_set_aside(self.lanes, now) else {
            return Ok(());
        };
        let tried = batch.records.len();
        let mut recorded = self.write(batch, effort);
        recorded.set_aside.append(&mut recorded.left);
        self.ledger.set_aside.tried(tried, &recorded);
        self.take_in(recorded, now)
    }

    /// Writes as much as possible at the end of the worker's life, despite locks.
    pub fn record_last(&mut self, now: Now) -> Result<(), Failure> {
        let batch = self.ledger.last_batch();
        if batch.is_empty() {
            return Ok(());
        }
        let recorded = self.write(batch, Effort::Last);
        self.take_in(recorded, now)
    }

    fn write(&mut self, batch: Batch, effort: Effort) -> Recorded {
        self.store
            .record(batch, effort, self.ring, &self.gate.tenants)
    }

    fn take_in(&mut self, recorded: Recorded, now: Now) -> Result<(), Failure> {
        let now = now.after(recorded.took);
        let written = &recorded.written;
        self.shedding.recorded(written, now);
        self.ledger.windows.forget(&recorded.closed_windows);
        self.gate.tenants.recorded(&recorded.usage);
        self.gate.suspects.recorded(written, self.effects);
        for record in written {
            self.forget(record, now);
        }
        let told = self.ledger.set_aside(recorded.set_aside, self.lanes, now);
        self.effects.extend(told.map(Effect::Log));
        self.ledger.put_back(recorded.left);
        recorded.failure.map_or(Ok(()), Err)
    }

    /// Removes a recorded delivery from memory.
    fn forget(&mut self, record: &Record, now: Now) {
        let delivery = &record.delivery;
        if let Some(at) = delivery.scheduled_for.filter(|_| record.is_pending()) {
            self.scheduled.expect(at);
        }
        if let Origin::Window(number) = delivery.origin {
            self.ledger.windows.settle(number);
        }
        if record.is_pending() && self.subscriptions.is_ended(delivery.subscription.id) {
            self.burials.expect(Duration::ZERO, now);
        }
        if record.blocks_key() {
            for follower in self.lanes.take_behind(delivery) {
                spill(follower, self.ledger, self.lanes, now);
            }
        }
        let Some(entry) = self.ledger.forget(delivery, self.lanes) else {
            return;
        };
        entry.recorded(record, now.micros);
        if entry.lane.is_spilled() && entry.claimed.is_empty() {
            // This may have been the last pending delivery: a claim that finds nothing lets the reader feed the lane
            // again.
            entry.expect_due(now.micros);
        }
        if let End::Pending { at_micros, .. } = record.end {
            entry.unrecorded = entry.unrecorded.saturating_sub(1);
            // From now on the row can be claimed; an earlier claim did not see it.
            entry.expect_due(at_micros);
            if entry.claimed_to >= Some((at_micros, delivery.event.seq)) {
                entry.claimed_to = None;
            }
        }
        // Another one may follow it now.
        self.lanes.make_ready(delivery.subscription.id);
    }
}
