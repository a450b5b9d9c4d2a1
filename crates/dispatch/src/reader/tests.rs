//! Tests the reader with a log in memory.

use super::*;
use crate::failure::Fault;
use crate::limits::Limits;
use crate::log::SLICE_EVENTS;
use crate::slices::DamageKind;
use crate::subscriptions::Loaded;
use crate::testing::loaded;

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
    /// The snapshots since which former states were loaded.
    loaded_since: Vec<u64>,
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

    fn load(&mut self, ids: &[i64], oldest: &Snapshot) -> Result<Vec<Loaded>, Failure> {
        self.loaded_since.push(oldest.xmax());
        Ok(ids.iter().copied().map(loaded).collect())
    }

    fn limits(&mut self) -> Result<Limits, Failure> {
        Ok(Limits::none())
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
            loaded_since: Vec::new(),
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
    found.matched.iter().map(|found| found.event.seq).collect()
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
    assert_eq!(seqs(&first), [1, 2, 3]);
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
        .map(|found| (found.event.seq, found.subscription))
        .collect();
    assert_eq!(matched, [(2, 2)]);
}

#[test]
fn what_subscriptions_wanted_before_is_loaded_as_far_as_a_window_may_ask_for_it() {
    let window = |number, to| Window::recovered(number, (snapshot(5), snapshot(to)), (0, 3), 0);
    for (reading, since) in [
        (vec![], 10),
        (vec![window(6, 8)], 8),
        (vec![window(6, 9), window(5, 7)], 7),
    ] {
        let mut sight = Sight::of(1..=3);
        sight.next(&mut reader(reading), &mut Subscriptions::unloaded());
        assert_eq!(sight.loaded_since, [since]);
    }
}
