//! Puts the deliveries that a look found into lanes, and adopts changes besides the log.

use std::sync::Arc;
use std::time::Duration;

use herald_core::attempt::retry::DeadReason;
use herald_core::subscription::State;

use crate::burials::Burials;
use crate::claim::Unknown;
use crate::effects::{Effect, Effects};
use crate::failure::Failure;
use crate::gate::Gate;
use crate::lane::keys::Rank;
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::log::{Ring, SLICE_NUMBERS, Window};
use crate::looks::Looks;
use crate::order::PARKED;
use crate::reader::{Context, Found, Match, Matched, Reader};
use crate::record::{End, Record};
use crate::report::Report;
use crate::scheduled::Scheduled;
use crate::settle::spill;
use crate::shedding::Shedding;
use crate::slices::Extent;
use crate::store::{Point, Store, Took};
use crate::subscriptions::{Changes, Fate, Subscriptions};
use crate::time::Now;
use crate::tokens::Tokens;
use crate::work::{Delivery, Origin};

/// The parts of the worker that reading needs.
#[derive(Debug)]
pub struct Reading<'a, S> {
    pub reader: &'a mut Reader,
    pub looks: &'a mut Looks,
    pub subscriptions: &'a mut Subscriptions,
    pub lanes: &'a mut Lanes,
    pub gate: &'a mut Gate,
    pub ledger: &'a mut Ledger,
    pub burials: &'a mut Burials,
    pub shedding: &'a mut Shedding,
    pub scheduled: &'a mut Scheduled,
    pub unknown: &'a mut Unknown,
    pub report: &'a mut Report,
    pub tokens: &'a mut Tokens,
    pub store: &'a mut S,
    pub effects: &'a mut Effects,
    pub ring: Ring,
    /// All deliveries go through `herald.pending`.
    pub always_pending: bool,
    /// Notices of loaded changes wait to be deleted.
    pub has_notices: &'a mut bool,
    /// Nothing may be sent from this database any longer.
    pub must_stop: &'a mut bool,
}

impl<S: Store> Reading<'_, S> {
    /// Reads a slice of the log into the lanes. Returns whether more can be read at once.
    pub fn read(&mut self, now: Now) -> Result<bool, Failure> {
        let context = Context {
            suspects: &self.gate.suspects,
            ring: self.ring,
            now_micros: now.micros,
        };
        let (cursor, as_of) = (self.reader.cursor(), self.subscriptions.as_of());
        let (reader, subscriptions) = (&mut *self.reader, &mut *self.subscriptions);
        let Took { result, took } = self
            .store
            .glimpse(|view, before| reader.next(view, before, subscriptions, context));
        let after = now.after(took);
        self.looks.looked(after, took);
        match result {
            Ok(found) => self.take_in(found, after),
            Err(failure) => {
                let number = self.reader.go_back(cursor);
                self.subscriptions.go_back(as_of);
                self.looks.is_wanted = true;
                // The look's notices may be lost with it.
                self.unknown.forget_all();
                *self.has_notices = true;
                self.read_less(number, failure, after)
            }
        }
    }

    /// Adopts the result of a committed transaction.
    fn take_in(&mut self, found: Found, now: Now) -> Result<bool, Failure> {
        if self.reader.seen.has_fresh() {
            self.report.saw_types();
        }
        let extent = self.reader.extent;
        self.reader.extent = extent.after_success(SLICE_NUMBERS);
        self.store.reached(Point::AfterFlush);
        // If this was the rest of an older window, the look that was wanted follows in the next turn.
        self.looks.is_wanted = !found.is_look;
        if self.subscriptions.has_changed() {
            // A restore may have put another database's log here. If that cannot be ruled out, what was found stays in
            // its open window, for the next worker.
            match self.store.hold_reason() {
                Ok(None) => self.take_over(now),
                held => {
                    *self.must_stop = true;
                    return held.map(|_| false);
                }
            }
        }
        // What others made pending comes before what is found now.
        if let Some(changes) = found.changes {
            self.look_into(changes, now);
        }
        if let Some(window) = found.window {
            self.take_in_window(window, found.matched, extent, now);
        }
        self.subscriptions
            .forget_former(self.reader.oldest_snapshot());
        self.looks.is_wanted |= self.reader.has_rest();
        Ok(self.looks.is_wanted)
    }

    /// Tries a smaller extent after a slice that could not be read, if something in it is damaged.
    fn read_less(
        &mut self,
        number: Option<i64>,
        failure: Failure,
        now: Now,
    ) -> Result<bool, Failure> {
        let (Some(number), Some(kind)) = (number, failure.damage) else {
            return Err(failure);
        };
        let reader = &mut *self.reader;
        let extent = reader.extent.after_failure();
        if !reader.damage.may_go_to(extent, number, kind, now.micros) {
            return Err(failure);
        }
        reader.extent = extent;
        match extent {
            Extent::Numbers(_) => {}
            Extent::Bare => self.effects.push(Effect::Warn(format!(
                "event number {number} cannot be read, and its deliveries are buried: {failure}"
            ))),
            Extent::PassedBy => self.effects.push(Effect::Warn(format!(
                "nothing of event number {number} can be read, and it is passed by: {failure}"
            ))),
        }
        Ok(true)
    }

    fn take_in_window(&mut self, window: Window, matched: Matched, extent: Extent, now: Now) {
        let number = window.is_open.then_some(window.number);
        if let Some(number) = number {
            self.ledger.windows.add(number, matched.len());
            for found in matched {
                let fate = match extent {
                    // Its event cannot be read.
                    Extent::Bare => Fate::Buried(DeadReason::Poison),
                    _ => found.fate,
                };
                match (self.delivery(number, found, now), fate) {
                    (Some(delivery), Fate::Buried(reason)) => self.bury(delivery, reason, now),
                    (Some(delivery), Fate::Sent) if delivery.event.is_expired(now.micros) => {
                        self.ledger.windows.settle(number);
                        self.ledger.forget(&delivery, self.lanes);
                    }
                    (Some(delivery), Fate::Sent) => self.enqueue(delivery, now),
                    (None, _) => self.ledger.windows.settle(number),
                }
            }
        }
        if !self.reader.take_in(window, now.micros) {
            self.store.reached(Point::MidSlice);
        } else if let Some(number) = number {
            self.ledger.windows.mark_read(number);
        }
    }

    fn enqueue(&mut self, delivery: Delivery, now: Now) {
        let id = delivery.subscription.id;
        let read_up_to = self.reader.read_up_to();
        match self.lanes.get(id) {
            _ if delivery.scheduled_for.is_some() => {
                let end = End::Pending {
                    at_micros: PARKED,
                    step: 0,
                };
                let record = Record::unattempted(delivery, end);
                self.ledger.settle(record, self.lanes, now);
            }
            Some(entry) if !self.always_pending && entry.takes(&delivery, read_up_to) => {
                entry.push(delivery, now.micros);
                self.lanes.make_ready(id);
            }
            _ => spill(delivery, self.ledger, self.lanes, now),
        }
    }

    /// Returns a delivery of a window and counts its memory; `None` if its subscription no longer exists.
    fn delivery(&mut self, window: i64, found: Match, now: Now) -> Option<Delivery> {
        let token = self.tokens.give();
        let loaded = self.subscriptions.by_id(found.subscription)?;
        let ordering = loaded.config.ordering;
        // What is scheduled follows nothing. It is released even if its time has come, as it may have been cancelled.
        let scheduled_for = found.event.deliver_at_micros;
        let key = ordering
            .filter(|_| scheduled_for.is_none())
            .and_then(|ordering| ordering.by.number(&found.event));
        let seq = found.event.seq;
        let delivery = Delivery {
            rank: key.map(|key| Rank { key, at: seq, seq }),
            blocks_since: None,
            scheduled_for,
            event: found.event,
            subscription: Arc::clone(&loaded.config),
            agent: loaded.agent.clone(),
            origin: Origin::Window(window),
            attempts: 0,
            step: 0,
            created_at_micros: scheduled_for.map_or(now.micros, |at| at.max(now.micros)),
            token,
        };
        self.ledger.take_up(&delivery);
        Some(delivery)
    }

    /// Adopts changed subscriptions. Buries the deliveries of removed ones.
    fn take_over(&mut self, now: Now) {
        let changed = self.subscriptions.take_changed();
        if changed.limits {
            let limits = &self.subscriptions.limits;
            self.gate.tenants.configure(&limits.quotas);
            self.gate.hosts.configure(&limits.hosts);
            for loaded in self.subscriptions.iter() {
                self.lanes.configure(loaded, &self.gate.tenants);
                self.lanes
                    .share_rates(loaded, &self.gate.tenants, &self.gate.hosts);
            }
        }
        let mut any_ended = false;
        for id in changed.ids {
            if let Some(loaded) = self.subscriptions.by_id(id) {
                any_ended |= loaded.config.state == State::Disabled;
                self.lanes.configure(loaded, &self.gate.tenants);
                self.lanes
                    .share_rates(loaded, &self.gate.tenants, &self.gate.hosts);
                self.shedding.expect(&loaded.config, now);
                self.look_into_pending(id, now);
                continue;
            }
            any_ended = true;
            for delivery in self.lanes.remove(id) {
                self.bury(delivery, DeadReason::Unsubscribed, now);
            }
        }
        if any_ended {
            // By then, their deliveries in memory have moved to herald.pending.
            self.burials.expect(Duration::from_millis(100), now);
        }
    }

    fn bury(&mut self, delivery: Delivery, reason: DeadReason, now: Now) {
        let record = Record::unattempted(delivery, End::Dead(reason));
        self.ledger.settle(record, self.lanes, now);
    }

    /// Adopts notices of pending deliveries that other sessions changed.
    fn look_into(&mut self, changes: Changes, now: Now) {
        *self.has_notices = true;
        if changes.any_pending || !changes.pending.is_empty() {
            self.scheduled.look();
        }
        if changes.any_pending {
            self.unknown.forget_all();
        }
        for id in changes.pending {
            self.look_into_pending(id, now);
            if let Some(loaded) = self.subscriptions.by_id(id) {
                self.shedding.expect(&loaded.config, now);
            }
        }
    }

    fn look_into_pending(&mut self, id: i64, now: Now) {
        if let Some(entry) = self.lanes.get(id) {
            entry.claimed_to = None;
            entry.expect_due(now.micros);
            if entry.order.by().is_some() {
                // What is pending comes before what is read from now on.
                entry.lane.expect_spilled();
                entry.order.walk();
            }
        }
    }
}
