//! The worker's view in one transaction.

use std::collections::BTreeSet;
use std::rc::Rc;

use herald_core::egress::agent::AgentKey;
use herald_core::snapshot::Snapshot;
use herald_core::subscription::State;
use herald_dispatch::deaths::Place;
use herald_dispatch::failure::Failure;
use herald_dispatch::limits::Limits;
use herald_dispatch::log::{Logged, Look, SLICE_EVENTS, Slice, Window};
use herald_dispatch::slices::Extent;
use herald_dispatch::store::{Point, View};
use herald_dispatch::subscriptions::{Changes, Loaded, Since};

use super::slice::{SLICE_BYTES, within_bytes};
use crate::database::rows::{About, Change, SubscriptionRow, Subscriptions, WindowRow};
use crate::world::World;

pub(crate) struct Sight<'w> {
    pub world: &'w mut World,
    snapshot: Snapshot,
    pub subscriptions: Subscriptions,
    /// What it writes, and whether its commit flushes all that it saw.
    pub opened: Vec<Change>,
    pub must_flush: bool,
    /// Receivers that asked for a delay, as far as read, and until when.
    pub spared: Vec<(i64, i64)>,
}

impl<'w> Sight<'w> {
    /// Takes the snapshot.
    pub fn new(world: &'w mut World) -> Self {
        Self {
            snapshot: world.database.snapshot(),
            subscriptions: Rc::clone(&world.database.tables.subscriptions),
            opened: Vec::new(),
            must_flush: false,
            spared: Vec::new(),
            world,
        }
    }

    fn is_new(&self, xid: u64, loaded: &Snapshot) -> bool {
        self.snapshot.shows(xid) && !loaded.shows(xid)
    }
}

impl View for Sight<'_> {
    fn look(&mut self, loaded: &Snapshot) -> Result<Look, Failure> {
        let database = &self.world.database;
        let mut notices = database.tables.notices.values();
        Ok(Look {
            snapshot: self.snapshot.clone(),
            upper_seq: database.sequence.last(),
            has_changes: notices.any(|notice| self.is_new(notice.xid, loaded)),
            written: database.written(),
        })
    }

    fn changes(&mut self, loaded: &Snapshot) -> Result<Changes, Failure> {
        let mut changes = Changes::default();
        for notice in self.world.database.tables.notices.values() {
            if !self.is_new(notice.xid, loaded) {
                continue;
            }
            match notice.about {
                About::Subscription(id) => drop(changes.wanted.ids.insert(id)),
                About::Pending(id) => drop(changes.pending.insert(id)),
                About::Quotas => changes.wanted.limits = true,
            }
        }
        Ok(changes)
    }

    fn subscriptions(&mut self) -> Result<Vec<i64>, Failure> {
        let there = self.subscriptions.iter().filter(|(_, row)| !row.is_removed);
        Ok(there.map(|(id, _)| *id).collect())
    }

    fn load(&mut self, ids: &[i64], _oldest: &Snapshot) -> Result<Vec<Loaded>, Failure> {
        let rows = ids.iter().filter_map(|id| self.subscriptions.get(id));
        let there = rows.filter(|row| !row.is_removed);
        let read: Vec<Loaded> = there.map(|row| loaded(row, self.world)).collect();
        let spared =
            |subscription: &Loaded| Some((subscription.config.id, subscription.spare_until?));
        self.spared.extend(read.iter().filter_map(spared));
        Ok(read)
    }

    fn limits(&mut self) -> Result<Limits, Failure> {
        Ok(Limits {
            quotas: self.world.database.tables.quotas.clone(),
            ..Limits::none()
        })
    }

    fn slice(
        &mut self,
        window: &Window,
        end: i64,
        largest: i32,
        _extent: Extent,
    ) -> Result<Slice, Failure> {
        let rows = self
            .world
            .database
            .tables
            .events
            .range(window.next_number()..);
        let rows = rows.take_while(|(seq, _)| **seq <= end);
        let shown = rows.map(|(_, row)| row).filter(|row| {
            window.to.shows(row.xid)
                && !window.from.shows(row.xid)
                && window.slots.contains(&row.event.slot)
        });
        let (events, is_complete) = within_bytes(shown.take(SLICE_EVENTS), largest, SLICE_BYTES);
        Ok(Slice {
            events,
            is_complete,
        })
    }

    fn may_vanish(&mut self, window: &Window, events: &[Logged]) -> Result<bool, Failure> {
        let database = &self.world.database;
        Ok(!database.is_flushed(window.written)
            && events.iter().any(|logged| database.may_vanish(logged.xid)))
    }

    fn flush_at_commit(&mut self) {
        self.must_flush = true;
    }

    fn find_done(&mut self, events: &[Logged]) -> Result<BTreeSet<(i64, i64)>, Failure> {
        let tables = &self.world.database.tables;
        let of_event = |seq: i64| {
            let ids = tables.subscriptions.keys();
            let done = ids.filter(move |id| tables.is_done((**id, seq)));
            done.map(move |id| (seq, *id))
        };
        Ok(events
            .iter()
            .flat_map(|logged| of_event(logged.event.seq))
            .collect())
    }

    fn open(&mut self, window: &Window) -> Result<(), Failure> {
        let row = WindowRow {
            window: window.clone(),
            is_closed: false,
        };
        self.opened
            .push(Change::Window(window.number, Some(Box::new(row))));
        Ok(())
    }

    fn is_at(&mut self, _place: Place) {}

    fn reached(&mut self, point: Point) {
        self.world.reached(point);
    }
}

/// Returns a subscription as the worker keeps it.
fn loaded(row: &SubscriptionRow, world: &World) -> Loaded {
    let id = row.config.id;
    let wall = world.clock.wall();
    let pending = world.database.tables.pending_of(id);
    let spare_until = pending.filter_map(|(_, row)| row.spare_until).max();
    let created_seq = row.created_seq;
    Loaded {
        config: row.config.clone(),
        agent: AgentKey {
            tenant: row.tenant.clone(),
            is_tenants: row.tenant.is_some(),
            tls: None,
        },
        since: Since {
            xid: row.created_xid,
            snapshot: row.created_snapshot.clone(),
            seq: created_seq,
            disabled_xid: row
                .disabled_xid
                .filter(|_| row.config.state == State::Disabled),
        },
        lacks_consent: false,
        obstacle: None,
        secret_ends_at: None,
        former: Vec::new(),
        open_since: world.breakers.get(&id).copied(),
        spare_until: spare_until.filter(|until| *until > wall),
    }
}
