//! The reader: decides which slice of the log to read next, and matches its events.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use herald_core::event::Event;

use crate::deaths::Place;
use crate::failure::Failure;
use crate::log::{Before, Logged, Look, Position, Ring, SLICE_NUMBERS, Slice, Window};
use crate::seen::SeenTypes;
use crate::slices::{Damage, Extent};
use crate::store::{Point, View};
use crate::subscriptions::{Changes, Subscriptions};
use crate::suspects::Suspects;

/// At most this many windows are read in slices beside newer ones.
const WINDOWS_BEING_READ: usize = 4;
/// After this many numbers without a match, the worker stores how far it read.
const REMEMBER_AFTER_EVENTS: i64 = 10_000;
/// The same, after this many microseconds.
const REMEMBER_AFTER_MICROS: i64 = 60_000_000;
/// At most this many subscriptions are read at once.
pub const READ_AT_ONCE: usize = 500;

/// How far the log was read.
#[derive(Debug)]
pub struct Reader {
    cursor: Cursor,
    next_number: i64,
    /// How far the log was read, according to the stored windows.
    remembered_seq: i64,
    remembered_at: i64,
    /// Subscriptions changed since then: the next worker must not match the new ones with events read before.
    must_remember: bool,
    /// How much of a window is read at once.
    pub extent: Extent,
    pub damage: Damage,
    /// The first number of the slice that is being read.
    reading_number: Option<i64>,
    pub seen: SeenTypes,
}

/// The state that advances only if the transaction commits.
#[derive(Debug, Clone)]
pub struct Cursor {
    position: Position,
    /// Windows not yet read to their end, oldest first.
    reading: VecDeque<Window>,
    look_next: bool,
}

/// Pairs of event and subscription.
pub type Matched = Vec<(Arc<Event>, i64)>;

/// The result of one transaction.
#[derive(Debug)]
pub struct Found {
    /// Whether it looked for new events, and not at the rest of an older window.
    pub is_look: bool,
    pub window: Option<Window>,
    pub matched: Matched,
    /// Changes besides the log, if any.
    pub changes: Option<Changes>,
}

/// Input for reading.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub suspects: &'a Suspects,
    pub ring: Ring,
    pub now_micros: i64,
}

impl Reader {
    /// Continues after the last stored window, and reads again those in `reading`, which were not closed.
    pub fn restored(
        last: &Window,
        reading: VecDeque<Window>,
        seen: SeenTypes,
        now_micros: i64,
    ) -> Self {
        Self {
            cursor: Cursor {
                position: Position::restored(last.to.clone(), last.next_floor_seq),
                reading,
                look_next: false,
            },
            next_number: last.number + 1,
            remembered_seq: last.next_seq,
            remembered_at: now_micros,
            must_remember: false,
            extent: Extent::Numbers(SLICE_NUMBERS),
            damage: Damage::default(),
            reading_number: None,
            seen,
        }
    }

    /// Returns the current place, to go back to if the transaction fails.
    pub fn cursor(&self) -> Cursor {
        self.cursor.clone()
    }

    /// Goes back after a failed transaction. Returns the first number of the slice that was being read, if any.
    pub fn go_back(&mut self, cursor: Cursor) -> Option<i64> {
        self.cursor = cursor;
        self.reading_number.take()
    }

    /// Returns the position up to which the log was read.
    pub fn position(&self) -> &Position {
        &self.cursor.position
    }

    /// Returns whether older windows are not yet read to their end.
    pub fn has_rest(&self) -> bool {
        !self.cursor.reading.is_empty()
    }

    /// Reads the next slice: alternates between older windows not yet read to their end and looks for a new one.
    pub fn next(
        &mut self,
        view: &mut dyn View,
        before: Before,
        subscriptions: &mut Subscriptions,
        context: Context<'_>,
    ) -> Result<Found, Failure> {
        let cursor = &mut self.cursor;
        let may_look = cursor.reading.len() < WINDOWS_BEING_READ;
        let is_look = cursor.reading.is_empty() || cursor.look_next && may_look;
        cursor.look_next = !is_look;
        let look = view.look(&subscriptions.snapshot)?;
        let changes = match look.has_changes {
            true => Some(view.changes(&subscriptions.snapshot)?),
            false => None,
        };
        let now = context.now_micros;
        self.must_remember |= load(view, subscriptions, &look, changes.as_ref(), now)?;
        let cursor = &mut self.cursor;
        let window = if is_look {
            Some(cursor.position.advance(&look, before, now, context.ring))
        } else {
            cursor.reading.pop_front()
        };
        let (window, matched) = match window {
            Some(window) => self.read_on(view, window, subscriptions, context)?,
            None => (None, Vec::new()),
        };
        Ok(Found {
            is_look,
            window,
            matched,
            changes,
        })
    }

    /// Reads a slice of the window, and stores the window if necessary.
    fn read_on(
        &mut self,
        view: &mut dyn View,
        mut window: Window,
        subscriptions: &Subscriptions,
        context: Context<'_>,
    ) -> Result<(Option<Window>, Matched), Failure> {
        let mut matched = Vec::new();
        if !window.is_empty() {
            let largest = subscriptions.largest;
            let events = self.read_slice(view, &mut window, largest, context)?;
            let may_vanish = view.may_vanish(&window, &events)?;
            self.seen.note(&events);
            matched = match_slice(view, subscriptions, &window, events)?;
            // An event that may vanish must not be sent.
            if may_vanish && !matched.is_empty() {
                view.flush_at_commit();
            }
        }
        // A window not read to its end is stored before a later one: the next worker continues from the last.
        let must_open = !matched.is_empty()
            || !window.is_read()
            || self.must_be_remembered(&window, context.now_micros);
        if !window.is_open && must_open {
            window.number = self.next_number;
            view.open(&window)?;
            window.is_open = true;
            view.reached(Point::AfterRead);
        }
        let is_of_use = window.is_open || !window.is_empty();
        Ok((is_of_use.then_some(window), matched))
    }

    fn read_slice(
        &mut self,
        view: &mut dyn View,
        window: &mut Window,
        largest: i32,
        context: Context<'_>,
    ) -> Result<Vec<Logged>, Failure> {
        let number = window.next_number();
        self.reading_number = Some(number);
        let extent = self.damage.extent_at(number, self.extent);
        let extent = extent.around(number, context.suspects.given_up());
        self.extent = extent;
        let end = window.slice_end(extent);
        let slice = match extent {
            Extent::PassedBy => Slice {
                events: Vec::new(),
                is_complete: true,
            },
            Extent::Numbers(_) | Extent::Bare => view.slice(window, end, largest, extent)?,
        };
        window.take_in(&slice, end);
        self.reading_number = None;
        Ok(slice.events)
    }

    /// Returns whether a window without deliveries has to be stored, so that the next worker continues from its end. An
    /// idle worker writes nothing.
    fn must_be_remembered(&self, window: &Window, now_micros: i64) -> bool {
        let behind = window.upper_seq - self.remembered_seq;
        behind > 0
            && (self.must_remember
                || behind >= REMEMBER_AFTER_EVENTS
                || now_micros - self.remembered_at >= REMEMBER_AFTER_MICROS)
    }

    /// Adopts the progress of a window after the commit. Returns whether it is read to its end.
    pub fn take_in(&mut self, window: Window, now_micros: i64) -> bool {
        if window.is_open && window.number == self.next_number {
            self.next_number += 1;
            self.remembered_seq = window.upper_seq;
            self.remembered_at = now_micros;
            self.must_remember = false;
        }
        let is_read = window.is_read();
        if !is_read {
            self.cursor.reading.push_front(window);
        }
        is_read
    }
}

/// Reads new and changed subscriptions; how much it reads depends on their number, not on the total. Returns whether
/// anything had to be read.
fn load(
    view: &mut dyn View,
    subscriptions: &mut Subscriptions,
    look: &Look,
    changes: Option<&Changes>,
    now_micros: i64,
) -> Result<bool, Failure> {
    let mut wanted = subscriptions.wanted(now_micros);
    if let Some(changes) = changes {
        wanted.add(&changes.wanted);
    }
    if wanted.is_empty() && changes.is_none() {
        return Ok(false);
    }
    if wanted.everything || wanted.quotas {
        subscriptions.put_quotas(view.quotas()?);
    }
    let mut ids: BTreeSet<i64> = wanted.ids.clone();
    if wanted.everything {
        ids.extend(view.subscriptions()?);
        ids.extend(subscriptions.ids());
    }
    let ids: Vec<i64> = ids.into_iter().collect();
    for ids in ids.chunks(READ_AT_ONCE) {
        subscriptions.put_all(ids, view.load(ids)?);
    }
    subscriptions.mark_up_to_date(look.snapshot.clone());
    Ok(!wanted.is_empty())
}

/// Returns the deliveries of a slice, without those that an earlier worker recorded.
fn match_slice(
    view: &mut dyn View,
    subscriptions: &Subscriptions,
    window: &Window,
    events: Vec<Logged>,
) -> Result<Matched, Failure> {
    let done = if window.is_recovered {
        view.find_done(&events)?
    } else {
        BTreeSet::new()
    };
    let mut found = Vec::new();
    let mut matched = Vec::new();
    for logged in events {
        view.is_at(Place::of_event(logged.event.slot, logged.event.seq));
        let ids: Vec<i64> = subscriptions
            .matching(&logged, window, &mut found)
            .map(|to| to.config.id)
            .collect();
        if ids.is_empty() {
            continue;
        }
        let event = Arc::new(logged.event);
        let open = ids
            .into_iter()
            .filter(|id| !done.contains(&(event.seq, *id)));
        matched.extend(open.map(|id| (Arc::clone(&event), id)));
    }
    Ok(matched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Fault;
    use crate::log::SLICE_EVENTS;
    use crate::slices::DamageKind;
    use crate::subscriptions::Loaded;
    use crate::tenants::Quotas;
    use crate::testing::loaded;
    use herald_core::snapshot::Snapshot;

    /// A log that shows the events of all transactions that the window shows.
    #[derive(Debug)]
    struct Sight {
        snapshot: u64,
        /// Numbers, with the transactions that wrote them.
        events: Vec<(i64, u64)>,
        changes: Option<Changes>,
        subscriptions: Vec<i64>,
        may_vanish: bool,
        done: BTreeSet<(i64, i64)>,
        /// The extent that cannot be read.
        unreadable: Extent,
        opened: Vec<i64>,
        is_flushed: bool,
    }

    fn snapshot(xmax: u64) -> Snapshot {
        format!("{xmax}:{xmax}:").parse().unwrap()
    }

    fn damage() -> Failure {
        Failure {
            fault: Fault::Refused,
            words: "a row is damaged".into(),
            damage: Some(DamageKind::Row),
        }
    }

    impl View for Sight {
        fn look(&mut self, _loaded: &Snapshot) -> Result<Look, Failure> {
            Ok(Look {
                snapshot: snapshot(self.snapshot),
                upper_seq: self.events.last().map_or(0, |(seq, _)| *seq),
                has_changes: self.changes.is_some(),
                written: 0,
            })
        }

        fn changes(&mut self, _loaded: &Snapshot) -> Result<Changes, Failure> {
            Ok(self.changes.take().unwrap_or_default())
        }

        fn subscriptions(&mut self) -> Result<Vec<i64>, Failure> {
            Ok(self.subscriptions.clone())
        }

        fn load(&mut self, ids: &[i64]) -> Result<Vec<Loaded>, Failure> {
            Ok(ids.iter().copied().map(loaded).collect())
        }

        fn quotas(&mut self) -> Result<(Quotas, i64), Failure> {
            Ok((Quotas::new(), i64::MAX))
        }

        fn slice(
            &mut self,
            window: &Window,
            end: i64,
            _largest: i32,
            extent: Extent,
        ) -> Result<Slice, Failure> {
            if extent == self.unreadable {
                return Err(damage());
            }
            let is_in = |(seq, xid): &&(i64, u64)| {
                let is_new = window.to.shows(*xid) && !window.from.shows(*xid);
                *seq > window.read_to && *seq <= end && is_new
            };
            let logged = |(seq, xid): &(i64, u64)| Logged {
                event: Event {
                    seq: *seq,
                    ..Event::new("", "/shop", "order.paid", 0)
                },
                xid: *xid,
            };
            let found = self.events.iter().filter(is_in).take(SLICE_EVENTS);
            Ok(Slice {
                events: found.map(logged).collect(),
                is_complete: true,
            })
        }

        fn may_vanish(&mut self, _window: &Window, _events: &[Logged]) -> Result<bool, Failure> {
            Ok(self.may_vanish)
        }

        fn flush_at_commit(&mut self) {
            self.is_flushed = true;
        }

        fn find_done(&mut self, _events: &[Logged]) -> Result<BTreeSet<(i64, i64)>, Failure> {
            Ok(self.done.clone())
        }

        fn open(&mut self, window: &Window) -> Result<(), Failure> {
            self.opened.push(window.number);
            Ok(())
        }

        fn is_at(&mut self, _place: Place) {}
    }

    impl Sight {
        /// Returns a log with subscription 1, and events with these numbers from a transaction that is visible now.
        fn of(seqs: std::ops::RangeInclusive<i64>) -> Self {
            Self {
                snapshot: 20,
                events: seqs.map(|seq| (seq, 15)).collect(),
                changes: None,
                subscriptions: vec![1],
                may_vanish: false,
                done: BTreeSet::new(),
                unreadable: Extent::PassedBy,
                opened: Vec::new(),
                is_flushed: false,
            }
        }

        fn next(&mut self, reader: &mut Reader, subscriptions: &mut Subscriptions) -> Found {
            self.try_next(reader, subscriptions).unwrap()
        }

        fn try_next(
            &mut self,
            reader: &mut Reader,
            subscriptions: &mut Subscriptions,
        ) -> Result<Found, Failure> {
            let before = Before {
                last_number: 0,
                next_id: self.snapshot,
            };
            let context = Context {
                suspects: &Suspects::default(),
                ring: Ring::changed(86_400_000_000, None),
                now_micros: 0,
            };
            reader.next(self, before, subscriptions, context)
        }
    }

    /// Returns a reader after a window up to number 0 in snapshot 10, with these windows to read again.
    fn reader(reading: Vec<Window>) -> Reader {
        let last = Window::recovered(6, (snapshot(5), snapshot(10)), (0, 0), 0);
        Reader::restored(&last, reading.into(), SeenTypes::default(), 0)
    }

    fn seqs(found: &Found) -> Vec<i64> {
        found.matched.iter().map(|(event, _)| event.seq).collect()
    }

    #[test]
    fn a_window_with_deliveries_is_written_down_and_flushed_if_a_commit_in_it_may_vanish() {
        for may_vanish in [false, true] {
            let mut sight = Sight {
                may_vanish,
                ..Sight::of(1..=3)
            };
            let found = sight.next(&mut reader(Vec::new()), &mut Subscriptions::unloaded());
            assert_eq!((seqs(&found), found.is_look), (vec![1, 2, 3], true));
            assert_eq!(
                (&sight.opened[..], sight.is_flushed),
                (&[7][..], may_vanish)
            );
        }
    }

    #[test]
    fn a_window_without_deliveries_is_written_down_only_after_subscriptions_changed() {
        let (mut reader, mut subscriptions) = (reader(Vec::new()), Subscriptions::unloaded());
        let mut sight = Sight {
            subscriptions: Vec::new(),
            ..Sight::of(1..=3)
        };
        let found = sight.next(&mut reader, &mut subscriptions);
        assert_eq!(sight.opened, [7]);
        reader.take_in(found.window.unwrap(), 0);
        sight.snapshot = 30;
        sight.events = vec![(4, 25)];
        let found = sight.next(&mut reader, &mut subscriptions);
        assert_eq!((sight.opened.len(), seqs(&found)), (1, Vec::new()));
        reader.take_in(found.window.unwrap(), 0);
        sight.snapshot = 40;
        sight.events.push((10_000 + 4, 35));
        sight.next(&mut reader, &mut subscriptions);
        assert_eq!(sight.opened, [7, 8]);
    }

    #[test]
    fn a_window_that_is_not_read_to_its_end_is_written_down_and_goes_on_in_turn_with_looks() {
        let (mut reader, mut subscriptions) = (reader(Vec::new()), Subscriptions::unloaded());
        let mut sight = Sight {
            subscriptions: Vec::new(),
            ..Sight::of(1..=500)
        };
        let mut looks = Vec::new();
        for _ in 0..4 {
            let found = sight.next(&mut reader, &mut subscriptions);
            looks.push(found.is_look);
            if let Some(window) = found.window {
                reader.take_in(window, 0);
            }
        }
        assert_eq!(
            (looks, sight.opened),
            (vec![true, false, true, false], vec![7])
        );
        assert!(!reader.has_rest());
    }

    #[test]
    fn what_an_earlier_worker_recorded_is_not_delivered_again() {
        let open = Window::recovered(6, (snapshot(5), snapshot(16)), (0, 3), 0);
        let mut sight = Sight {
            done: BTreeSet::from([(2, 1)]),
            ..Sight::of(1..=3)
        };
        let found = sight.next(&mut reader(vec![open]), &mut Subscriptions::unloaded());
        assert_eq!((seqs(&found), found.is_look), (vec![1, 3], false));
        assert!(sight.opened.is_empty());
    }

    #[test]
    fn after_a_transaction_that_failed_the_same_events_are_found_again() {
        let (mut reader, mut subscriptions) = (reader(Vec::new()), Subscriptions::unloaded());
        let mut sight = Sight::of(1..=3);
        let cursor = reader.cursor();
        sight.unreadable = reader.extent;
        assert!(sight.try_next(&mut reader, &mut subscriptions).is_err());
        assert_eq!(reader.go_back(cursor), Some(1));
        let cursor = reader.cursor();
        sight.unreadable = Extent::PassedBy;
        let first = sight.next(&mut reader, &mut subscriptions);
        // Its commit failed.
        assert_eq!(reader.go_back(cursor), None);
        let second = sight.next(&mut reader, &mut subscriptions);
        assert_eq!(seqs(&first), seqs(&second));
        assert_eq!(sight.opened, [7, 7]);
    }

    #[test]
    fn subscriptions_that_changed_are_read_before_the_events_are_matched() {
        let (mut reader, mut subscriptions) = (reader(Vec::new()), Subscriptions::unloaded());
        let mut sight = Sight {
            subscriptions: Vec::new(),
            ..Sight::of(1..=1)
        };
        let found = sight.next(&mut reader, &mut subscriptions);
        reader.take_in(found.window.unwrap(), 0);
        let mut changes = Changes::default();
        changes.wanted.ids.insert(2);
        sight.changes = Some(changes);
        sight.snapshot = 30;
        sight.events.push((2, 25));
        let found = sight.next(&mut reader, &mut subscriptions);
        let matched: Vec<(i64, i64)> = found
            .matched
            .iter()
            .map(|(event, id)| (event.seq, *id))
            .collect();
        assert_eq!(matched, [(2, 2)]);
    }
}
