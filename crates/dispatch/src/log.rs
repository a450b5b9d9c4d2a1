//! The log as the worker reads it: windows, looks, and the slots that may hold events.
//!
//! A number from a sequence says nothing about when its transaction commits, so "everything above the last number"
//! loses events. Numbers only bound the scan; snapshots decide.

use std::time::Duration;

use herald_core::event::Event;
use herald_core::snapshot::Snapshot;

use crate::floors::{Floor, Floors};
use crate::slices::Extent;

/// How many slots the ring of events has.
pub const SLOTS: i64 = 32;
/// How long a session uses the period of the ring that it read.
pub const PERIOD_VALID: Duration = Duration::from_secs(30);
/// A writer chooses the slot by its clock; its row is found if the clock is off by at most this.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);
/// A slice of a window has at most `SLICE_EVENTS` events and spans at most `SLICE_NUMBERS` numbers, to take only
/// milliseconds.
pub const SLICE_EVENTS: usize = 200;
pub const SLICE_NUMBERS: i64 = 20_000;

/// An event and the transaction that wrote it.
#[derive(Debug)]
pub struct Logged {
    pub event: Event,
    pub xid: u64,
}

/// Values read before a look takes its snapshot, in this order; see [`floors`](crate::floors).
#[derive(Debug, Clone, Copy)]
pub struct Before {
    pub last_number: i64,
    pub next_id: u64,
}

/// The result of a look at the log.
#[derive(Debug)]
pub struct Look {
    pub snapshot: Snapshot,
    pub upper_seq: i64,
    /// Whether anything changed that the worker keeps in memory.
    pub has_changes: bool,
    /// The end of the write-ahead log at the time of the look, or later.
    pub written: u64,
}

/// How far the log was read, and what is needed to read on.
#[derive(Debug, Clone)]
pub struct Position {
    pub snapshot: Snapshot,
    floors: Floors,
}

/// The events between two snapshots, and how far they were read.
#[derive(Debug, Clone)]
pub struct Window {
    pub number: i64,
    pub from: Snapshot,
    pub to: Snapshot,
    pub floor_seq: i64,
    pub upper_seq: i64,
    pub next_seq: i64,
    pub next_floor_seq: i64,
    /// Whether a row of `herald_internal.window` says that it is open.
    pub is_open: bool,
    /// Whether an earlier worker may have delivered a part of it.
    pub is_recovered: bool,
    /// The end of the write-ahead log at the time of the look, or later.
    pub written: u64,
    /// The slots that may hold its events.
    pub slots: Vec<i16>,
    /// The number up to which it was read.
    pub read_to: i64,
}

/// The part of a window that was read at once.
#[derive(Debug)]
pub struct Slice {
    pub events: Vec<Logged>,
    /// Whether these are all events up to the requested number.
    pub is_complete: bool,
}

impl Position {
    /// Continues from a stored position, of which only the lowest floor is known.
    pub fn restored(snapshot: Snapshot, next_floor_seq: i64) -> Self {
        let floor = Floor {
            seq: next_floor_seq,
            at_micros: i64::MIN,
        };
        let floors = Floors::restored(&snapshot, floor);
        Self { snapshot, floors }
    }

    /// Moves on to the snapshot of `look`. Returns the window in between.
    pub fn advance(&mut self, look: &Look, before: Before, now_micros: i64, ring: Ring) -> Window {
        let floor = self.floors.of_window(&self.snapshot, &look.snapshot);
        let newest = Floor {
            seq: before.last_number,
            at_micros: now_micros,
        };
        self.floors.advance(&look.snapshot, before.next_id, newest);
        let from = std::mem::replace(&mut self.snapshot, look.snapshot.clone());
        Window {
            number: 0,
            from,
            to: look.snapshot.clone(),
            floor_seq: floor.seq,
            upper_seq: look.upper_seq,
            next_seq: before.last_number,
            next_floor_seq: self.floors.lowest().seq,
            is_open: false,
            is_recovered: false,
            slots: ring.slots_between(floor.at_micros, now_micros),
            written: look.written,
            read_to: floor.seq,
        }
    }
}

impl Window {
    /// Returns a window that an earlier worker opened and did not close. It may have events in any slot.
    pub fn recovered(
        number: i64,
        (from, to): (Snapshot, Snapshot),
        (floor_seq, upper_seq): (i64, i64),
        written: u64,
    ) -> Self {
        Self {
            number,
            from,
            to,
            floor_seq,
            upper_seq,
            next_seq: upper_seq,
            next_floor_seq: floor_seq,
            is_open: true,
            is_recovered: true,
            slots: (0..SLOTS as i16).collect(),
            written,
            read_to: floor_seq,
        }
    }

    /// Returns whether the window certainly has no event.
    pub fn is_empty(&self) -> bool {
        self.upper_seq <= self.floor_seq
    }

    pub fn is_read(&self) -> bool {
        self.read_to >= self.upper_seq
    }

    /// Returns the number that is read next.
    pub fn next_number(&self) -> i64 {
        self.read_to + 1
    }

    /// Returns the number up to which a slice of this extent is read.
    pub fn slice_end(&self, extent: Extent) -> i64 {
        match extent {
            Extent::Numbers(numbers) => self.upper_seq.min(self.read_to.saturating_add(numbers)),
            Extent::Bare | Extent::PassedBy => self.next_number(),
        }
    }

    /// Notes that the slice was read, up to `end`.
    pub fn take_in(&mut self, slice: &Slice, end: i64) {
        self.read_to = match slice.events.last() {
            Some(last) if !slice.is_complete || slice.events.len() == SLICE_EVENTS => {
                last.event.seq
            }
            _ => end,
        };
    }
}

/// Returns the slot of `herald_internal.window` for a window's number: ten thousand in a row share a slot.
pub fn window_slot(number: i64) -> i16 {
    (number.div_euclid(10_000)).rem_euclid(4) as i16
}

/// The ring of event slots: how long a slot is written.
#[derive(Debug, Clone, Copy)]
pub struct Ring {
    pub period_micros: i64,
    /// From this time on, all sessions use the period.
    settled_at_micros: i64,
}

impl Ring {
    /// Returns a ring whose period changed at `at_micros`, if ever. Sessions use the former period until they read it
    /// again, and events in slots that the worker does not read would be lost.
    pub fn changed(period_micros: i64, at_micros: Option<i64>) -> Self {
        let settling = (PERIOD_VALID + CLOCK_TOLERANCE).as_micros() as i64;
        Self {
            period_micros,
            settled_at_micros: at_micros.map_or(i64::MIN, |at| at.saturating_add(settling)),
        }
    }

    /// Returns the slots that may have been written between two times, with a wide margin for clocks.
    fn slots_between(self, since_micros: i64, now_micros: i64) -> Vec<i16> {
        let period = self.period_micros.max(1);
        let margin = period.max(CLOCK_TOLERANCE.as_micros() as i64);
        let first = since_micros.saturating_sub(margin).div_euclid(period);
        let last = now_micros.saturating_add(margin).div_euclid(period);
        let is_settled = since_micros >= self.settled_at_micros;
        if !is_settled || last.saturating_sub(first) >= SLOTS - 1 {
            return (0..SLOTS as i16).collect();
        }
        (first..=last)
            .map(|turn| turn.rem_euclid(SLOTS) as i16)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn window() -> Window {
        let snapshots = ("1:1:".parse().unwrap(), "9:9:".parse().unwrap());
        Window::recovered(1, snapshots, (100, 900), 0)
    }

    fn slice(seqs: impl IntoIterator<Item = i64>, is_complete: bool) -> Slice {
        let logged = |seq| Logged {
            event: Event {
                seq,
                ..Event::new("", "", "", 0)
            },
            xid: 3,
        };
        Slice {
            events: seqs.into_iter().map(logged).collect(),
            is_complete,
        }
    }

    #[test]
    fn a_window_is_read_to_its_end_and_not_beyond() {
        let mut window = window();
        assert_eq!(window.slice_end(Extent::Numbers(300)), 400);
        window.take_in(&slice([120, 380], true), 400);
        assert_eq!((window.next_number(), window.is_read()), (401, false));
        assert_eq!(window.slice_end(Extent::Numbers(20_000)), 900);
        window.take_in(&slice([], true), 900);
        assert!(window.is_read());
    }

    #[test]
    fn a_slice_that_is_full_or_too_large_ends_with_its_last_event() {
        for (found, is_complete) in [(101..103, false), (101..301, true)] {
            let mut window = window();
            let last = found.end - 1;
            window.take_in(&slice(found, is_complete), 900);
            assert_eq!(window.read_to, last);
        }
    }

    #[test]
    fn one_number_is_read_where_an_event_is_damaged() {
        for extent in [Extent::Bare, Extent::PassedBy] {
            assert_eq!(window().slice_end(extent), 101);
        }
    }

    #[test]
    fn every_slot_is_looked_into_after_the_period_has_changed() {
        let settled = Ring::changed(DAY, None);
        let slots = settled.slots_between(40 * DAY, 40 * DAY + 1);
        assert_eq!(slots, [7, 8, 9]);
        let changed = Ring::changed(DAY, Some(40 * DAY));
        assert_eq!(changed.slots_between(40 * DAY, 40 * DAY + 1).len(), 32);
    }
}
