//! Users at work: what a step does to the database, the receivers and the worker.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use herald_core::event::Event;
use herald_core::subscription::{State, Subscription};
use herald_dispatch::order::PARKED;
use herald_dispatch::tenants::{OverQuota, Quota};

use crate::clock::SECOND;
use crate::database::rows::{About, Change, DeadRow, EventRow, Key, PendingRow, SubscriptionRow};
use crate::database::{Durability, Open, SessionId};
use crate::deed::{Deed, Kind, Mood, QuotaWish, Step, Wish};
use crate::wishes::{compiled, per_second, tenant_name, type_name};
use crate::witness::Shown;
use crate::world::World;

/// How long a slot of the ring is written, in microseconds.
pub const PERIOD: i64 = 3_600 * SECOND;

impl World {
    /// Does what a step says, as far as possible.
    pub fn do_step(&mut self, step: &Step) {
        self.story.tell(&self.clock, || {
            format!("step {}: {:?}", step.number, step.deed)
        });
        match &step.deed {
            Deed::Emit {
                session,
                kind,
                count,
            } => {
                for place in 0..u64::from(*count) {
                    self.emit(*session, *kind, step.number * 10_000 + place);
                }
            }
            Deed::RollBackTo { session, count } => self.roll_back_to(*session, *count),
            Deed::Commit {
                session,
                durability,
            } => {
                if let Some(open) = self.database.sessions.open.remove(session) {
                    self.commit(open, *durability);
                }
            }
            Deed::RollBack { session } => {
                if let Some(open) = self.database.sessions.open.remove(session) {
                    self.database.roll_back(open.xid, self.clock.elapsed);
                }
            }
            Deed::Prepare { session } => {
                if let Some(open) = self.database.sessions.open.remove(session) {
                    self.database.sessions.prepared.push(open);
                    self.database.flush();
                }
            }
            Deed::EndPrepared { is_commit } => self.end_prepared(*is_commit),
            Deed::Subscribe { session, id, wish } => self.subscribe(*session, *id, wish),
            Deed::Unsubscribe { id } => self.unsubscribe(*id),
            Deed::Pause { id } => self.set_state(*id, State::Paused),
            Deed::Resume { id } => self.set_state(*id, State::Active),
            Deed::ChangeUrl { id } => self.change(*id, |config| config.generation += 1),
            Deed::ChangeConcurrency { id, most } => {
                let most = usize::try_from(*most).unwrap_or(1);
                self.change(*id, |config| config.max_concurrency = most);
            }
            Deed::Redeliver { id, last } => self.send_again(*id, *last, true),
            Deed::Replay { id, last } => self.send_again(*id, *last, false),
            Deed::Discard { id } => self.discard(*id),
            Deed::Mood { id, mood } => self.set_mood(*id, *mood),
            Deed::SetQuota { tenant, quota } => self.set_quota(*tenant, *quota),
            deed => self.disturb(deed),
        }
    }

    /// Does a deed of fate or of an administrator.
    fn disturb(&mut self, deed: &Deed) {
        let now = self.clock.elapsed;
        match deed {
            Deed::Trouble { with, fault, lasts } => self.troubles.fail(*with, *fault, now + lasts),
            Deed::Slowness { times, lasts } => self.troubles.slow_down(*times, now + lasts),
            Deed::Lock { id, count, lasts } => {
                let pending = self.database.tables.pending_of(*id);
                for (seq, _) in pending.take(*count) {
                    self.troubles.lock((*id, seq), now + lasts);
                }
            }
            Deed::Crash { found, down_for } => self.worker.crash = Some((*found, *down_for)),
            Deed::CrashAt {
                point,
                found,
                down_for,
            } => {
                self.worker.crash_at = Some((*point, *found, *down_for));
            }
            Deed::Stop { down_for } => self.worker.stop = Some(*down_for),
            Deed::SetClock { by } => {
                self.clock.set(*by);
                let until = now.max(self.witness.disturbed_at()) + by.abs();
                self.witness.disturbed(until);
                self.witness.late_by += (-by).max(0);
                // Rates are kept by the time of day.
                self.witness.life.sent_at.clear();
                // What is in the window of a breaker now is not known: as if an attempt had just succeeded.
                let wall = self.clock.wall();
                for shown in self.witness.life.shown.values_mut() {
                    forget(shown, wall);
                }
                self.witness.life.sent_at_of_tenant.clear();
            }
            Deed::Settings {
                is_enabled,
                always_pending,
            } => {
                self.worker.is_enabled = *is_enabled;
                self.worker.always_pending = *always_pending;
                self.worker.has_new_settings = true;
                self.database.latch = true;
                self.witness.disturbed(now);
            }
            deed => unreachable!("{deed:?} is a deed of a user"),
        }
    }

    fn open(&mut self, session: SessionId) -> &mut Open {
        if !self.database.sessions.open.contains_key(&session) {
            let xid = self.database.begin();
            let open = Open {
                xid,
                changes: Vec::new(),
            };
            self.database.sessions.open.insert(session, open);
        }
        self.database
            .sessions
            .open
            .get_mut(&session)
            .expect("it was opened before")
    }

    pub(crate) fn emit(&mut self, session: SessionId, kind: Kind, uid: u64) {
        let xid = self.open(session).xid;
        let seq = self.database.draw();
        let wall = self.clock.wall();
        let mut event = Event::new(
            &uid.to_string(),
            "/simulation",
            &type_name(kind.r#type),
            wall,
        );
        event.seq = seq;
        event.slot = wall.div_euclid(PERIOD).rem_euclid(32) as i16;
        event.tenant = kind.tenant.map(|tenant| tenant_name(tenant).to_string());
        event.data = (kind.bytes > 0).then(|| "x".repeat(kind.bytes));
        event.size = kind.bytes as i32;
        // Derived, so that stored seeds still give the same schedules.
        // Probes have the numbers above.
        let is_scheduled = self.has_scheduled && uid % 7 == 3 && uid < 1 << 62;
        event.deliver_at_micros = is_scheduled.then(|| wall + (uid % 23) as i64 * SECOND);
        event.key = (!uid.is_multiple_of(6)).then(|| (uid % 5).to_string());
        let row = EventRow {
            event,
            xid,
            order: 0,
            committed_at: 0,
            drawn_after: self.database.next_order() - 1,
        };
        self.open(session)
            .changes
            .push(Change::Event(seq, Some(Box::new(row))));
    }

    fn roll_back_to(&mut self, session: SessionId, count: u16) {
        let Some(open) = self.database.sessions.open.get_mut(&session) else {
            return;
        };
        for _ in 0..count {
            if let Some(Change::Event(..)) = open.changes.last() {
                open.changes.pop();
            }
        }
    }

    /// Commits a transaction, which makes its changes visible.
    pub(crate) fn commit(&mut self, mut open: Open, durability: Durability) {
        let (order, now) = (self.database.next_order(), self.clock.elapsed);
        for change in &mut open.changes {
            match change {
                Change::Event(_, Some(row)) => {
                    (row.order, row.committed_at) = (order, now);
                }
                Change::Subscription(_, Some(row)) => Rc::make_mut(row).certain_from = order,
                _ => {}
            }
        }
        let seqs: Vec<i64> = open.changes.iter().filter_map(number_of).collect();
        self.database
            .commit(open.xid, open.changes, durability, now);
        self.committed(seqs);
    }

    fn end_prepared(&mut self, is_commit: bool) {
        let Some(open) = self.database.sessions.prepared.pop() else {
            return;
        };
        if is_commit {
            self.commit(open, Durability::Flushed);
        } else {
            self.database.roll_back(open.xid, self.clock.elapsed);
        }
    }

    fn subscribe(&mut self, session: SessionId, id: i64, wish: &Wish) {
        let xid = self.open(session).xid;
        let row = SubscriptionRow {
            config: Arc::new(compiled(id, wish)),
            wants: wish.wants,
            tenant: wish.tenant.map(tenant_name),
            is_removed: false,
            created_xid: xid,
            created_snapshot: self.database.snapshot(),
            created_seq: self.database.sequence.last(),
            disabled_xid: None,
            certain_from: 0,
            certain_until: u64::MAX,
        };
        let notice = self.database.notice(xid, About::Subscription(id));
        let changes = &mut self.open(session).changes;
        changes.push(Change::Subscription(id, Some(Rc::new(row))));
        changes.push(notice);
    }

    /// Changes a subscription in its own transaction.
    fn change_row(&mut self, id: i64, change: impl FnOnce(&mut SubscriptionRow, u64, u64)) {
        let Some(row) = self.database.tables.subscriptions.get(&id) else {
            return;
        };
        if row.is_removed {
            return;
        }
        let mut row = (**row).clone();
        let xid = self.database.begin();
        change(&mut row, xid, self.database.next_order());
        let notice = self.database.notice(xid, About::Subscription(id));
        let changes = vec![Change::Subscription(id, Some(Rc::new(row))), notice];
        let now = self.clock.elapsed;
        self.database.commit(xid, changes, Durability::Flushed, now);
        self.witness.disturbed(now);
    }

    pub(crate) fn change(&mut self, id: i64, change: impl FnOnce(&mut Subscription)) {
        self.change_row(id, |row, _, _| change(Arc::make_mut(&mut row.config)));
    }

    fn unsubscribe(&mut self, id: i64) {
        self.change_row(id, |row, _, order| {
            row.is_removed = true;
            row.certain_until = order;
        });
    }

    pub(crate) fn set_state(&mut self, id: i64, state: State) {
        // A breaker begins anew when its subscription was disabled.
        let wall = self.clock.wall();
        if let Some(shown) = self.witness.life.shown.get_mut(&id) {
            forget(shown, wall);
        }
        self.change_row(id, |row, xid, order| {
            if state == State::Disabled {
                row.disabled_xid.get_or_insert(xid);
                row.certain_until = order;
            } else if row.disabled_xid.take().is_some() {
                (row.certain_from, row.certain_until) = (order, u64::MAX);
            }
            Arc::make_mut(&mut row.config).state = state;
        });
    }

    /// Makes some of the last events that the subscription wants pending for it again.
    pub(crate) fn send_again(&mut self, id: i64, last: usize, is_redelivery: bool) {
        let tables = &self.database.tables;
        let Some(row) = tables.subscriptions.get(&id).cloned() else {
            return;
        };
        if row.is_removed {
            return;
        }
        let wall = self.clock.wall();
        let next_number = self.database.sequence.last() + 1;
        let wanted = tables
            .events
            .values()
            .rev()
            .filter(|event| row.wants(event));
        let mut changes = Vec::new();
        for event in wanted.take(last) {
            let key: Key = (id, event.event.seq);
            let former = tables.pending.get(&key).copied();
            let attempts = tables.attempts.get(&key).and_then(|all| all.last());
            let attempts = attempts.map_or(0, |attempt| attempt.number);
            let pending = match (former, is_redelivery) {
                (Some(_), false) => continue,
                (Some(former), true) => PendingRow {
                    next_attempt_at: if former.next_attempt_at == PARKED {
                        PARKED
                    } else {
                        wall
                    },
                    step: 0,
                    blocks_since: None,
                    ..former
                },
                (None, _) => {
                    let of_it = tables.blocking.range((id, i64::MIN)..=(id, i64::MAX));
                    let mut of_it = of_it.map(|(_, rank)| *rank);
                    let held = of_it.find(|rank| rank.seq == event.event.seq);
                    let rank = row.rank_of(&event.event, next_number);
                    let rank = rank.map(|rank| held.unwrap_or(rank));
                    PendingRow {
                        slot: event.event.slot,
                        next_attempt_at: rank.map_or(wall, |_| PARKED),
                        attempts: if is_redelivery { attempts } else { 0 },
                        step: 0,
                        created_at: wall,
                        spare_until: None,
                        rank,
                        blocks_since: None,
                        deliver_at: None,
                    }
                }
            };
            changes.push(Change::Pending(key, Some(pending)));
            changes.extend(self.released(id, Some(event.event.seq)));
            if is_redelivery {
                changes.push(Change::Dead(key, None));
            }
            self.witness.excuse(&event.event.uid, id);
        }
        self.change_pending(id, changes);
    }

    /// Returns the changes that make the dead letters of a subscription, or one of them, hold no key.
    fn released(&self, id: i64, seq: Option<i64>) -> Vec<Change> {
        let held = self
            .database
            .tables
            .blocking
            .range((id, i64::MIN)..=(id, i64::MAX));
        let held = held.filter(|(_, rank)| seq.is_none_or(|seq| rank.seq == seq));
        held.map(|(key, _)| Change::Blocking(*key, None)).collect()
    }

    /// Skips the dead letters that hold keys of a subscription.
    pub(crate) fn skip_letters(&mut self, id: i64) {
        let changes = self.released(id, None);
        if !changes.is_empty() {
            self.change_pending(id, changes);
        }
    }

    fn discard(&mut self, id: i64) {
        let mut changes = Vec::new();
        for (seq, row) in self.database.tables.pending_of(id) {
            if self.troubles.is_locked((id, seq), self.clock.elapsed) {
                return;
            }
            let dead = DeadRow {
                reason: "discarded",
                attempts: row.attempts,
            };
            changes.push(Change::Pending((id, seq), None));
            changes.push(Change::Dead((id, seq), Some(dead)));
        }
        self.witness.discarded(id);
        self.change_pending(id, changes);
    }

    fn change_pending(&mut self, id: i64, mut changes: Vec<Change>) {
        let xid = self.database.begin();
        changes.push(self.database.notice(xid, About::Pending(id)));
        let now = self.clock.elapsed;
        self.database.commit(xid, changes, Durability::Flushed, now);
        self.witness.disturbed(now);
    }

    fn set_mood(&mut self, id: i64, mood: Mood) {
        self.receivers.set_mood(id, mood);
        self.witness.disturbed(self.clock.elapsed);
    }

    pub(crate) fn set_quota(&mut self, tenant: u8, wish: QuotaWish) {
        let name = tenant_name(tenant);
        let used = self.database.tables.quotas.get(&name);
        let quota = Quota {
            rate_limit: wish.rate_limit.map(per_second),
            events_per_month: wish.events,
            max_connections: wish.connections,
            over_quota: if wish.is_blocked {
                OverQuota::Blocked
            } else {
                OverQuota::Throttled
            },
            events: used.map_or(0, |quota| quota.events),
        };
        let xid = self.database.begin();
        let notice = self.database.notice(xid, About::Quotas);
        let changes = vec![Change::Quota(name, Some(quota)), notice];
        let now = self.clock.elapsed;
        self.database.commit(xid, changes, Durability::Flushed, now);
        self.witness.disturbed(now);
    }
}

/// Notes that what a breaker knows is not known: as if an attempt had just succeeded.
fn forget(shown: &mut VecDeque<Shown>, wall: i64) {
    if let Some(last) = shown.back().copied() {
        shown.push_back(Shown {
            at: wall,
            is_down: false,
            ..last
        });
    }
}

/// Returns the number of an event that is written.
fn number_of(change: &Change) -> Option<i64> {
    match change {
        Change::Event(seq, Some(_)) => Some(*seq),
        _ => None,
    }
}
