//! The modelled store: what the worker's statements do to the modelled database. It behaves like `src/store` but shares
//! no code with it: both have to keep the [`contract`](crate::contract).

mod claim;
mod record;
pub mod slice;
mod statement;
mod view;

use std::collections::VecDeque;

use herald_core::event::Event;
use herald_core::snapshot::Snapshot;
use herald_core::subscription::State;
use herald_dispatch::cleaned::{Cleaned, Part};
use herald_dispatch::ended::{Buried, Ended, Gone};
use herald_dispatch::failure::Failure;
use herald_dispatch::log::{Before, Ring};
use herald_dispatch::record::Batch;
use herald_dispatch::report::Report;
use herald_dispatch::store::{
    Claim, Claims, Configuration, Effort, Parked, Point, Recorded, Released, Store, Took, View,
};
use herald_dispatch::tenants::Tenants;
use herald_dispatch::walk::{Shed, Walk};

use self::slice::logged;
use self::statement::no_server;
use self::view::Sight;
use crate::clock::micros;
use crate::database::Durability;
use crate::database::rows::{About, Change, DeadRow};
use crate::deed::{Statement, When};
use crate::world::{Shared, World};

/// How far a step walks along a backlog: less than with PostgreSQL, so that short backlogs take several steps.
const WALKED_AT_ONCE: i64 = 7;

impl World {
    /// Returns the changes that bury a pending delivery.
    fn bury_pending(&self, key: (i64, i64), reason: &'static str) -> [Change; 2] {
        let attempts = self
            .database
            .tables
            .pending
            .get(&key)
            .map_or(0, |row| row.attempts);
        let dead = DeadRow { reason, attempts };
        [Change::Pending(key, None), Change::Dead(key, Some(dead))]
    }

    fn free_pending(&self, id: i64) -> impl Iterator<Item = i64> + '_ {
        let elapsed = self.clock.elapsed;
        let pending = self.database.tables.pending_of(id).map(|(seq, _)| seq);
        pending.filter(move |seq| !self.troubles.is_locked((id, *seq), elapsed))
    }
}

impl Shared {
    /// Does the work of a statement, unless that fails, and tells how much virtual time it took.
    fn timed<T>(&self, statement: Statement, work: impl FnOnce(&mut World) -> T) -> Took<T> {
        let world = &mut *self.0.borrow_mut();
        let began = world.clock.elapsed;
        let result = world.statement(statement).map(|_| work(world));
        let took = micros(world.clock.elapsed - began);
        Took { result, took }
    }
}

impl Store for Shared {
    fn is_woken(&self) -> bool {
        self.0.borrow().database.is_woken
    }

    fn glimpse<R>(
        &mut self,
        see: impl FnOnce(&mut dyn View, Before) -> Result<R, Failure>,
    ) -> Took<R> {
        let world = &mut *self.0.borrow_mut();
        let began = world.clock.elapsed;
        world.database.is_woken = false;
        let trouble = world.statement(Statement::Glimpse);
        let before = Before {
            last_number: world.database.sequence.last(),
            next_id: world.database.next_xid(),
        };
        world.act_in_look(When::BeforeSnapshot);
        let mut sight = Sight::new(world);
        sight.world.act_in_look(When::AfterSnapshot);
        let seen = see(&mut sight, before);
        let Sight {
            subscriptions,
            opened,
            must_flush,
            spared,
            ..
        } = sight;
        let result = trouble.and_then(|_| {
            if world.has_crashed() {
                return Err(no_server());
            }
            world.write(opened);
            if must_flush {
                world.database.flush();
            }
            world.known = subscriptions;
            world.witness.read_spared(spared);
            world.witness.known_quotas = world.database.tables.quotas.clone();
            world.witness.looked(world.clock.elapsed);
            seen
        });
        let took = micros(world.clock.elapsed - began);
        Took { result, took }
    }

    fn forget_changes(&mut self, loaded: &Snapshot) -> Result<(), Failure> {
        let world = &mut *self.0.borrow_mut();
        world.statement(Statement::Forget)?;
        let notices = &world.database.tables.notices;
        let shown = notices
            .iter()
            .filter(|(_, notice)| loaded.shows(notice.xid));
        let changes = shown.map(|(id, _)| Change::Notice(*id, None)).collect();
        world.write(changes);
        Ok(())
    }

    fn hold_reason(&mut self) -> Result<Option<String>, Failure> {
        let world = &mut *self.0.borrow_mut();
        if world.has_crashed() {
            Err(no_server())
        } else {
            Ok(None)
        }
    }

    fn find_due(&mut self, subscriptions: &[i64]) -> Result<Vec<(i64, i64)>, Failure> {
        let world = &mut *self.0.borrow_mut();
        world.statement(Statement::Claim)?;
        let tables = &world.database.tables;
        let first = |id: &i64| {
            let rows = tables.pending_of(*id);
            let rows = rows.filter(|(_, row)| row.deliver_at.is_none());
            let due = rows.map(|(_, row)| row.next_attempt_at);
            due.min().map(|at| (*id, at))
        };
        Ok(subscriptions.iter().filter_map(first).collect())
    }

    fn claim(&mut self, claim: &Claim<'_>) -> Took<Claims> {
        self.timed(Statement::Claim, |world| {
            claim::claim(&world.database.tables, claim)
        })
    }

    fn claim_keys(&mut self, claim: &Claim<'_>, keys: &[i64]) -> Took<Claims> {
        self.timed(Statement::Claim, |world| {
            claim::claim_keys(&world.database.tables, claim, keys)
        })
    }

    fn find_parked(&mut self, subscription: i64, after: Option<i64>, most: usize) -> Took<Parked> {
        self.timed(Statement::Claim, |world| {
            claim::find_parked(&world.database.tables, subscription, after, most)
        })
    }

    fn unpark(&mut self, subscription: i64, most: usize) -> Took<usize> {
        self.timed(Statement::Claim, |world| {
            let changes = claim::unparked(world, subscription, most);
            let count = changes.len();
            world.write(changes);
            count
        })
    }

    fn release_scheduled(&mut self, most: usize) -> Took<Released> {
        self.timed(Statement::Claim, |world| {
            let (changes, released) = claim::released(world, most);
            world.write(changes);
            released
        })
    }

    fn event_at(&mut self, (_, seq): (i16, i64), largest: i32) -> Result<Option<Event>, Failure> {
        let world = &mut *self.0.borrow_mut();
        world.statement(Statement::Claim)?;
        let row = world.database.tables.events.get(&seq);
        Ok(row.map(|row| logged(row, largest).event))
    }

    fn record(&mut self, batch: Batch, effort: Effort, _ring: Ring, tenants: &Tenants) -> Recorded {
        let world = &mut *self.0.borrow_mut();
        let began = world.clock.elapsed;
        let recorded = world.record(batch, effort, tenants);
        Recorded {
            took: micros(world.clock.elapsed - began),
            ..recorded
        }
    }

    fn disable(&mut self, gone: &Gone) -> Result<(), Failure> {
        let world = &mut *self.0.borrow_mut();
        world.statement(Statement::Disable)?;
        let row = world.database.tables.subscriptions.get(&gone.subscription);
        let counts = row.is_some_and(|row| {
            row.config.state != State::Disabled && row.config.generation == gone.generation
        });
        if counts {
            world.set_state(gone.subscription, State::Disabled);
        }
        Ok(())
    }

    fn find_ended(&mut self, after: i64) -> Result<VecDeque<Ended>, Failure> {
        let world = &mut *self.0.borrow_mut();
        world.statement(Statement::Bury)?;
        let tables = &world.database.tables;
        let later = tables.subscriptions.range(after + 1..);
        let ended = later.filter(|(id, row)| {
            let is_over = row.is_removed || row.config.state == State::Disabled;
            is_over && tables.pending_of(**id).next().is_some()
        });
        let found = ended.take(16).map(|(id, row)| Ended {
            id: *id,
            reason: if row.is_removed {
                "unsubscribed"
            } else {
                "gone"
            }
            .into(),
            after_seq: -1,
        });
        Ok(found.collect())
    }

    fn bury(&mut self, ended: &Ended, most: usize) -> Took<Buried> {
        self.timed(Statement::Bury, |world| world.bury_slice(ended, most))
    }

    fn shed(&mut self, walk: Walk, most: usize) -> Took<Shed> {
        self.timed(Statement::Shed, |world| world.shed(walk, most))
    }

    fn keep_house(&mut self, _part: Part) -> Took<Option<Cleaned>> {
        let world = &mut *self.0.borrow_mut();
        let result = world.statement(Statement::House);
        Took {
            took: micros(*result.as_ref().unwrap_or(&0)),
            result: result.map(|_| None),
        }
    }

    fn configuration(&mut self) -> Result<Configuration, Failure> {
        let world = &mut *self.0.borrow_mut();
        world.statement(Statement::Configuration)?;
        Ok(Configuration::Same)
    }

    fn report(&mut self, _report: &Report, _fresh_types: &[String]) -> Result<(), Failure> {
        self.0.borrow_mut().statement(Statement::Report).map(drop)
    }

    fn reached(&mut self, point: Point) {
        self.0.borrow_mut().reached(point);
    }
}

impl World {
    fn bury_slice(&mut self, ended: &Ended, most: usize) -> Buried {
        let row = self.database.tables.subscriptions.get(&ended.id);
        let is_over = row.is_some_and(|row| row.is_removed || row.config.state == State::Disabled);
        if !is_over {
            return Buried::default();
        }
        let reason = if ended.reason == "gone" {
            "gone"
        } else {
            "unsubscribed"
        };
        let free = self
            .free_pending(ended.id)
            .filter(|seq| *seq > ended.after_seq);
        let seqs: Vec<i64> = free.take(most).collect();
        let buried = seqs
            .iter()
            .flat_map(|seq| self.bury_pending((ended.id, *seq), reason));
        let changes = buried.collect();
        self.write(changes);
        Buried {
            count: seqs.len(),
            up_to: Some(seqs.last().copied().unwrap_or(ended.after_seq)),
        }
    }

    fn shed(&mut self, walk: Walk, slice: usize) -> Shed {
        let row = self.database.tables.subscriptions.get(&walk.id);
        let limit = row
            .filter(|row| !row.is_removed)
            .and_then(|row| row.config.max_backlog);
        let mut shed = Shed {
            passed: walk.passed,
            after_seq: walk.after_seq,
            buried: 0,
            is_over: true,
        };
        let Some(limit) = limit else {
            return shed;
        };
        let room =
            usize::try_from((limit as i64 - walk.passed).clamp(0, WALKED_AT_ONCE)).unwrap_or(0);
        let pending = self.database.tables.pending_of(walk.id);
        let behind = pending
            .map(|(seq, _)| seq)
            .filter(|seq| *seq > walk.after_seq);
        let found: Vec<i64> = behind.take(if room > 0 { room } else { slice }).collect();
        if room > 0 {
            shed.passed += found.len() as i64;
            shed.after_seq = found.last().copied().unwrap_or(walk.after_seq);
            shed.is_over = found.len() < room;
            return shed;
        }
        let elapsed = self.clock.elapsed;
        shed.is_over = found.len() < slice;
        shed.after_seq = found.last().copied().unwrap_or(walk.after_seq);
        let free = found
            .into_iter()
            .filter(|seq| !self.troubles.is_locked((walk.id, *seq), elapsed));
        let free: Vec<i64> = free.collect();
        shed.buried = free.len();
        if !free.is_empty() {
            let buried = free
                .iter()
                .flat_map(|seq| self.bury_pending((walk.id, *seq), "discarded"));
            let mut changes: Vec<Change> = buried.collect();
            let xid = self.database.begin();
            changes.push(self.database.notice(xid, About::Pending(walk.id)));
            self.database
                .commit(xid, changes, Durability::Asynchronous, elapsed);
        }
        shed
    }
}
