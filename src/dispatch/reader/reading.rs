//! The worker's side of reading: what a look found goes into the lanes, and what changed beside the log is taken over.

use super::SliceContext;
use crate::dispatch::work::{Claimed, Origin};
use crate::dispatch::{MEMORY, Worker, hold};
use crate::failpoint;
use crate::log::read::{self, SLICE_NUMBERS, Window};
use crate::pg::process;
use crate::pg::transaction::{TransactionError, snapshot_transaction, transaction};
use crate::prepared::Prepared;
use crate::record::{End, Record};
use herald_core::event::Event;
use herald_core::retry::DeadReason;
use herald_core::slices::Extent;
use herald_core::subscription::State;
use pgrx::Spi;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Worker {
    /// Whether there is room for what a look at the log finds.
    pub(in crate::dispatch) fn can_read(&self) -> bool {
        self.settings.enabled && self.memory() < MEMORY && !self.lanes.survey().any_full
    }

    /// Reads one slice of the log into the lanes. Returns whether there is more to read at once.
    pub(in crate::dispatch) fn read(&mut self, now: i64) -> Result<bool, TransactionError> {
        let began_at = Instant::now();
        let (extension, event_seq) = (self.reader.extension, self.reader.event_seq);
        let context = SliceContext {
            url_policies: &self.settings.sending.url_policies,
            ring: self.ring,
            now,
        };
        // The position moves only if the transaction commits.
        let before = (
            self.reader.position.clone(),
            self.reader.reading.clone(),
            self.reader.look_next,
        );
        let (reader, subscriptions) = (&mut self.reader, &mut self.subscriptions);
        let found = snapshot_transaction(
            || read::before_look(extension, event_seq),
            |before| {
                Spi::connect_mut(|client| reader.next(client, before, subscriptions, &context))
            },
        );
        self.looked_at = Instant::now();
        self.look_took = self.looked_at - began_at;
        let slice = match found {
            Ok(slice) => slice,
            Err(error) => {
                (
                    self.reader.position,
                    self.reader.reading,
                    self.reader.look_next,
                ) = before;
                self.look_wanted = true;
                // Notices of the look may be lost with it.
                self.due_looked_at = None;
                self.changes_to_forget = true;
                return self.read_less(error, now);
            }
        };
        let extent = self.reader.extent;
        self.reader.extent = extent.after_success(SLICE_NUMBERS);
        failpoint::reached("after_flush");
        // A session that waits for a synchronous standby stops waiting when the postmaster dies, and what it committed
        // can be seen although no standby has it. Nobody stops waiting before, so nothing of that was seen if the
        // postmaster is still there after the look.
        process::leave_with_postmaster();
        // The rest of an older window leaves the look that was wanted to the next turn.
        self.look_wanted = !slice.is_look;
        if self.subscriptions.has_changed() {
            // A restore into this database may have put another database's log here. Who cannot tell leaves what was
            // found, which is in an open window, to the next worker.
            match hold::hold_reason() {
                Ok(None) => self.take_over(now),
                Ok(Some(_)) => {
                    self.is_stopping = true;
                    return Ok(false);
                }
                Err(error) => {
                    self.is_stopping = true;
                    return Err(error);
                }
            }
        }
        if let Some(window) = slice.window {
            if extent == Extent::Bare {
                self.bury_unreadable(&window, slice.matched, now);
            } else {
                self.enqueue(&window, slice.matched, now);
            }
            self.take_in(window, now);
        }
        self.look_wanted |= !self.reader.reading.is_empty();
        if let Some(changes) = slice.changes {
            self.changes_to_forget = true;
            if changes.any_pending {
                self.due_looked_at = None;
            }
            for id in changes.pending {
                self.look_into_pending(id, now);
            }
        }
        Ok(self.look_wanted)
    }

    /// After a slice that could not be read: where something in it is damaged, less is tried at once.
    fn read_less(&mut self, error: TransactionError, now: i64) -> Result<bool, TransactionError> {
        let reader = &mut self.reader;
        let Some(number) = reader.reading_number.take() else {
            return Err(error);
        };
        if !error.is_about_what_was_read() {
            return Err(error);
        }
        let extent = reader.extent.after_failure();
        let kind = error.damage();
        if !reader.damage.may_go_to(extent, number, kind, now) {
            return Err(error);
        }
        reader.extent = extent;
        match extent {
            Extent::Numbers(_) => {}
            Extent::Bare => pgrx::warning!(
                "pg_herald: event number {number} cannot be read, and its deliveries are buried: {error}"
            ),
            Extent::PassedBy => pgrx::warning!(
                "pg_herald: nothing of event number {number} can be read, and it is passed by: {error}"
            ),
        }
        Ok(true)
    }

    /// Gives up what matched an event that cannot be read.
    fn bury_unreadable(&mut self, window: &Window, matched: Vec<(Arc<Event>, i64)>, now: i64) {
        if !window.is_open {
            return;
        }
        self.windows.add(window.number, matched.len());
        for (event, id) in matched {
            match self.work_of(window, event, id, now) {
                Some(work) => self.settle(Record {
                    work,
                    attempt: None,
                    end: End::Dead(DeadReason::Poison),
                }),
                None => self.windows.settle(window.number),
            }
        }
    }

    /// Remembers how far a window is read.
    fn take_in(&mut self, window: Window, now: i64) {
        if window.is_open {
            if window.number == self.reader.next_number {
                self.reader.next_number += 1;
                self.reader.remembered_seq = window.upper_seq;
                self.reader.remembered_at = now;
                self.reader.must_remember = false;
            }
            if window.is_read() {
                self.windows.mark_read(window.number);
            }
        }
        if !window.is_read() {
            failpoint::reached("mid_slice");
            self.reader.reading.push_front(window);
        }
    }

    fn enqueue(&mut self, window: &Window, matched: Vec<(Arc<Event>, i64)>, now: i64) {
        if !window.is_open {
            return;
        }
        self.windows.add(window.number, matched.len());
        for (event, id) in matched {
            let Some(work) = self.work_of(window, event, id, now) else {
                self.windows.settle(window.number);
                continue;
            };
            let is_spilled = self
                .lanes
                .get(id)
                .is_none_or(|entry| entry.lane.is_spilled());
            if is_spilled || self.settings.always_pending {
                self.spill(work, now);
            } else if let Some(entry) = self.lanes.get(id) {
                entry.lane.push(work, now);
                self.lanes.make_ready(id);
            }
        }
    }

    /// A delivery of a window, in memory from here on; `None` if its subscription exists no more.
    fn work_of(
        &mut self,
        window: &Window,
        event: Arc<Event>,
        id: i64,
        now: i64,
    ) -> Option<Claimed> {
        let token = self.new_token();
        let one = self.subscriptions.by_id(id)?;
        let work = Claimed {
            event,
            subscription: Arc::clone(&one.config),
            agent: one.agent.clone(),
            origin: Origin::Window(window.number),
            attempts: 0,
            step: 0,
            created_at_micros: now,
            token,
        };
        self.bytes_in_memory += work.memory();
        Some(work)
    }

    /// Goes by what was read of subscriptions from here on. Buries the deliveries of removed ones.
    fn take_over(&mut self, now: i64) {
        let changed = self.subscriptions.take_changed();
        if changed.quotas {
            self.tenants.configure(&self.subscriptions.quotas);
            for one in self.subscriptions.iter() {
                self.lanes.configure(one, &self.tenants);
            }
        }
        let mut any_ended = false;
        for id in changed.ids {
            if let Some(one) = self.subscriptions.by_id(id) {
                any_ended |= one.config.state == State::Disabled;
                self.lanes.configure(one, &self.tenants);
                self.look_into_pending(id, now);
                continue;
            }
            any_ended = true;
            for work in self.lanes.remove(id) {
                self.settle(Record {
                    work,
                    attempt: None,
                    end: End::Dead(DeadReason::Unsubscribed),
                });
            }
        }
        if any_ended {
            // What they left in memory is in herald.pending by then.
            self.burials.expect(Duration::from_millis(100));
        }
    }

    /// Somebody else changed the pending deliveries of a subscription.
    fn look_into_pending(&mut self, id: i64, now: i64) {
        if let Some(entry) = self.lanes.get(id) {
            entry.claimed_to = None;
            entry.expect_due(now);
        }
    }

    /// Deletes notices of changes that are loaded.
    pub(in crate::dispatch) fn forget_changes(&mut self) -> Result<(), TransactionError> {
        if !self.changes_to_forget {
            return Ok(());
        }
        static STATEMENT: Prepared = Prepared::write(include_str!(
            "../../../sql/queries/forget_config_changes.sql"
        ));
        let loaded = self.reader.position.snapshot.to_string();
        transaction(|| {
            Spi::connect_mut(|client| {
                STATEMENT.run(client, vec![loaded.into()]);
            });
        })?;
        self.changes_to_forget = false;
        Ok(())
    }
}
