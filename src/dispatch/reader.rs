//! Reading on: which slice is read now, and what of it goes where. [`reading`] is the worker's side.

mod reading;

use super::changes::Changes;
use super::now_micros;
use super::subscriptions::Subscriptions;
use crate::failpoint;
use crate::log::read::{
    self, Position, REMEMBER_AFTER_EVENTS, REMEMBER_AFTER_MICROS, Ring, SLICE_NUMBERS, Window,
    window_slot,
};
use crate::log::row::Logged;
use crate::pg::transaction::{TransactionError, flush_at_commit, transaction};
use crate::pg::{identity, wal};
use crate::prepared::Prepared;
use crate::settings::UrlPolicies;
use herald_core::slices::{Damage, Extent};
use herald_core::snapshot::Snapshot;
use pgrx::spi::{SpiClient, SpiTupleTable};
use pgrx::{Spi, pg_sys};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

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
