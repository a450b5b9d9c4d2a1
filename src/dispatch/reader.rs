//! Reading on: from a look at the log to deliveries in their lanes.

use super::changes::Changes;
use super::hold;
use super::subscriptions::Subscriptions;
use super::work::{Claimed, Origin};
use super::{MEMORY, Worker, now_micros};
use crate::failpoint;
use crate::log::read::{
    self, Position, REMEMBER_AFTER_EVENTS, REMEMBER_AFTER_MICROS, Ring, SLICE_NUMBERS, Window,
    window_slot,
};
use crate::log::row::Logged;
use crate::pg::transaction::{
    TransactionError, flush_at_commit, snapshot_transaction, transaction,
};
use crate::pg::wal;
use crate::pg::{identity, process};
use crate::prepared::Prepared;
use crate::record::{End, Record};
use crate::settings::UrlPolicies;
use herald_core::retry::DeadReason;
use herald_core::slices::{Damage, Extent};
use herald_core::snapshot::Snapshot;
use herald_core::subscription::State;
use pgrx::spi::{SpiClient, SpiTupleTable};
use pgrx::{Spi, pg_sys};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Windows that are read in slices beside newer ones.
const WINDOWS_BEING_READ: usize = 4;

/// How far the log was read.
pub struct Reader {
    extension: pg_sys::Oid,
    event_seq: pg_sys::Oid,
    position: Position,
    next_number: i64,
    /// Windows that have not been read to their end, oldest first.
    reading: VecDeque<Window>,
    /// How far a stored window says that the log was read.
    remembered_seq: i64,
    remembered_at: i64,
    /// Subscriptions changed since then: whoever reads on must not ask the new ones about what was read before.
    must_remember: bool,
    look_next: bool,
    timeline: i32,
    /// How much of a window is read at once.
    extent: Extent,
    damage: Damage,
    /// The first number of the slice that is being read.
    reading_number: Option<i64>,
}

/// What one transaction found.
struct Slice {
    /// Whether it was a look for something new, and not at the rest of an older window.
    is_look: bool,
    window: Option<Window>,
    matched: Vec<(Arc<herald_core::event::Event>, i64)>,
    /// What changed beside the log, if something did.
    changes: Option<Changes>,
}

impl Reader {
    /// Finds where an earlier worker stopped: after the longest run of closed windows, with the open ones to be read
    /// again.
    pub fn restore(
        extension: pg_sys::Oid,
        event_seq: pg_sys::Oid,
    ) -> Result<(Self, Ring), TransactionError> {
        static WINDOWS: Prepared =
            Prepared::read(include_str!("../../sql/queries/load_windows.sql"));
        static RING: Prepared =
            Prepared::read(include_str!("../../sql/queries/load_ring_period.sql"));
        transaction(|| {
            Spi::connect_mut(|client| {
                let period = RING.run(client, vec![]).first().get_two::<i64, i64>();
                let (period, changed_at) = period.unwrap_or((None, None));
                let mut rows = WINDOWS.run(client, vec![identity::origin().into()]);
                let mut reading = VecDeque::new();
                let mut last = None;
                while rows.next().is_some() {
                    let stored = stored_window(&rows).unwrap_or_else(|| {
                        pgrx::error!("pg_herald: a row of herald.window could not be read")
                    });
                    if !stored.is_closed {
                        reading.push_back(stored.window.clone());
                    }
                    last = Some((stored.window, stored.timeline));
                }
                let Some((last, last_timeline)) = last else {
                    pgrx::error!("pg_herald: herald.window has no row of this database")
                };
                let timeline = identity::timeline();
                if ![0, timeline].contains(&last_timeline) {
                    pgrx::warning!(
                        "pg_herald: this cluster was promoted or recovered to a new timeline ({timeline}, was \
                         {last_timeline}), and its deliveries go on; see to it that the old primary sends nothing"
                    );
                }
                let position = Position::restored(last.to.clone(), last.next_floor_seq);
                let reader = Self {
                    extension,
                    event_seq,
                    remembered_seq: last.next_seq,
                    remembered_at: now_micros(),
                    must_remember: false,
                    position,
                    next_number: last.number + 1,
                    reading,
                    look_next: false,
                    timeline,
                    extent: Extent::Numbers(SLICE_NUMBERS),
                    damage: Damage::default(),
                    reading_number: None,
                };
                (
                    reader,
                    Ring::changed(period.unwrap_or(24 * 3_600 * 1_000_000), changed_at),
                )
            })
        })
    }

    /// The slice to read now: of an older window that is not read to its end, in turn with a look for a new one.
    fn next(
        &mut self,
        client: &mut SpiClient<'_>,
        before: read::Before,
        subscriptions: &mut Subscriptions,
        worker: &SliceContext<'_>,
    ) -> Slice {
        let may_look = self.reading.len() < WINDOWS_BEING_READ;
        let look_now = self.reading.is_empty() || self.look_next && may_look;
        self.look_next = !look_now;
        let Some(look) = read::look(client, &subscriptions.snapshot) else {
            pgrx::error!("pg_herald: the log could not be looked at");
        };
        let changes = look
            .has_changes
            .then(|| Changes::since(client, &subscriptions.snapshot));
        let mut wanted = subscriptions.wanted(worker.now);
        if let Some(changes) = &changes {
            wanted.everything |= changes.wanted.everything;
            wanted.quotas |= changes.wanted.quotas;
            wanted.ids.extend(&changes.wanted.ids);
        }
        if !wanted.is_empty() || changes.is_some() {
            subscriptions.refresh(client, look.snapshot.clone(), &wanted, worker.url_policies);
            self.must_remember |= !wanted.is_empty();
        }
        let subscriptions = &*subscriptions;
        let window = if look_now {
            Some(
                self.position
                    .advance(&look, before, worker.now, worker.ring),
            )
        } else {
            self.reading.pop_front()
        };
        let mut slice = Slice {
            is_look: look_now,
            window: None,
            matched: Vec::new(),
            changes,
        };
        if let Some(mut window) = window {
            if !window.is_empty() {
                let number = window.next_number();
                self.reading_number = Some(number);
                let extent = self.damage.extent_at(number, self.extent);
                self.extent = extent;
                let logged = window.read_slice(client, subscriptions.largest, extent);
                self.reading_number = None;
                let may_vanish = may_vanish(&window, &logged);
                slice.matched = match_slice(client, subscriptions, &window, logged);
                if may_vanish && !slice.matched.is_empty() {
                    flush_at_commit();
                }
            }
            let is_due =
                !window.is_open && window.is_read() && self.must_be_remembered(&window, worker.now);
            // One that is not read to its end is written down before a later one: the next worker goes on from the last.
            let is_unfinished = !window.is_read();
            if !window.is_open && (!slice.matched.is_empty() || is_unfinished) || is_due {
                window.number = self.next_number;
                self.open(client, &window);
                window.is_open = true;
                failpoint::reached("after_read");
            }
            slice.window = Some(window).filter(|window| window.is_open || !window.is_empty());
        }
        slice
    }

    /// Whether a window without deliveries has to be written down, so that the next worker goes on from its end. An
    /// idle worker writes nothing.
    fn must_be_remembered(&self, window: &Window, now: i64) -> bool {
        let behind = window.upper_seq - self.remembered_seq;
        behind > 0
            && (self.must_remember
                || behind >= REMEMBER_AFTER_EVENTS
                || now - self.remembered_at >= REMEMBER_AFTER_MICROS)
    }

    /// Writes the window down. Its row need not be on disk before anything of it is sent: who does not find it reads on
    /// from the one before, and has no record that is younger.
    fn open(&mut self, client: &mut SpiClient<'_>, window: &Window) {
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/open_window.sql"));
        STATEMENT.run(
            client,
            vec![
                window.number.into(),
                identity::origin().into(),
                window_slot(window.number).into(),
                self.timeline.into(),
                window.from.to_string().into(),
                window.to.to_string().into(),
                window.floor_seq.into(),
                window.upper_seq.into(),
                window.next_seq.into(),
                window.next_floor_seq.into(),
            ],
        );
    }
}

struct SliceContext<'a> {
    url_policies: &'a UrlPolicies,
    ring: Ring,
    now: i64,
}

/// Whether a crash may undo the commit of one of these events, as far as known: it was asynchronous. Nothing is sent of
/// what may vanish.
fn may_vanish(window: &Window, logged: &[Logged]) -> bool {
    if window.written.is_flushed() {
        return false;
    }
    let mut xids: Vec<u64> = logged.iter().map(|one| one.xid).collect();
    xids.sort_unstable();
    xids.dedup();
    !xids.into_iter().all(wal::is_commit_flushed)
}

/// The deliveries of a slice: pairs of event and subscription. Of a window that an earlier worker began, without
/// those that it recorded.
fn match_slice(
    client: &mut SpiClient<'_>,
    subscriptions: &Subscriptions,
    window: &Window,
    logged: Vec<Logged>,
) -> Vec<(Arc<herald_core::event::Event>, i64)> {
    let done = if window.is_recovered {
        find_done(client, &logged)
    } else {
        HashSet::new()
    };
    let mut found = Vec::new();
    let mut matched = Vec::new();
    for one in logged {
        let ids: Vec<i64> = subscriptions
            .matching(&one, window, &mut found)
            .map(|to| to.config.id)
            .collect();
        if ids.is_empty() {
            continue;
        }
        let event = Arc::new(one.event);
        let open = ids
            .into_iter()
            .filter(|id| !done.contains(&(event.seq, *id)));
        matched.extend(open.map(|id| (Arc::clone(&event), id)));
    }
    matched
}

fn find_done(client: &mut SpiClient<'_>, logged: &[Logged]) -> HashSet<(i64, i64)> {
    static STATEMENT: Prepared = Prepared::read(include_str!("../../sql/queries/find_done.sql"));
    let seqs: Vec<i64> = logged.iter().map(|one| one.event.seq).collect();
    let mut rows = STATEMENT.run(client, vec![seqs.into()]);
    let mut done = HashSet::new();
    while rows.next().is_some() {
        if let Ok((Some(seq), Some(subscription))) = rows.get_two::<i64, i64>() {
            done.insert((seq, subscription));
        }
    }
    done
}

struct StoredWindow {
    window: Window,
    timeline: i32,
    is_closed: bool,
}

fn stored_window(row: &SpiTupleTable<'_>) -> Option<StoredWindow> {
    let number = |name: &str| row.get_by_name::<i64, _>(name).ok().flatten();
    let snapshot = |name: &str| -> Option<Snapshot> {
        row.get_by_name::<String, _>(name)
            .ok()
            .flatten()?
            .parse()
            .ok()
    };
    let mut window = Window::recovered(
        number("number")?,
        snapshot("from_snapshot")?,
        snapshot("to_snapshot")?,
        number("floor_seq")?,
        number("upper_seq")?,
    );
    window.next_seq = number("next_seq")?;
    window.next_floor_seq = number("next_floor_seq")?;
    Some(StoredWindow {
        window,
        timeline: row.get_by_name::<i32, _>("timeline").ok()??,
        is_closed: row.get_by_name::<bool, _>("is_closed").ok()??,
    })
}

impl Worker {
    /// Whether there is room for what a look at the log finds.
    pub(super) fn can_read(&self) -> bool {
        self.settings.enabled && self.memory() < MEMORY && !self.lanes.survey().any_full
    }

    /// Reads one slice of the log into the lanes. Returns whether there is more to read at once.
    pub(super) fn read(&mut self, now: i64) -> Result<bool, TransactionError> {
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
    fn bury_unreadable(
        &mut self,
        window: &Window,
        matched: Vec<(Arc<herald_core::event::Event>, i64)>,
        now: i64,
    ) {
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

    fn enqueue(
        &mut self,
        window: &Window,
        matched: Vec<(Arc<herald_core::event::Event>, i64)>,
        now: i64,
    ) {
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
        event: Arc<herald_core::event::Event>,
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
    pub(super) fn forget_changes(&mut self) -> Result<(), TransactionError> {
        if !self.changes_to_forget {
            return Ok(());
        }
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/forget_config_changes.sql"));
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
