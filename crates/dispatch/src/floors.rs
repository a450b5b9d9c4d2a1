//! Floors: lower bounds for the event numbers of transactions that a snapshot does not show.
//!
//! They bound the reading of the log: snapshots decide which events are read, and the floor only says where to start
//! looking. A floor that is too low costs time, one that is too high loses events.
//!
//! A transaction gets its id before it draws a number. So a look at the log first reads the last number, then the next
//! id, and then takes its snapshot: a transaction with that id or a higher one has only higher numbers. A transaction
//! with a lower id that the snapshot does not show was running, listed or not: a snapshot lists only ids below its
//! xmax, the id after the last transaction that *ended*. Such a transaction keeps the floor of the look before it got
//! its id.

use std::collections::{BTreeMap, VecDeque};

use herald_core::snapshot::Snapshot;

/// Lower bounds for the events of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Floor {
    /// All events have higher numbers.
    pub seq: i64,
    /// No event was written before this, in microseconds since 1970.
    pub at_micros: i64,
}

/// The floors of all transactions that a snapshot does not show.
///
/// ```
/// use herald_dispatch::floors::{Floor, Floors};
/// use herald_core::snapshot::Snapshot;
///
/// let snapshot = |text: &str| text.parse::<Snapshot>().unwrap();
/// let floor = |seq| Floor { seq, at_micros: 0 };
///
/// let mut floors = Floors::restored(&snapshot("10:10:"), floor(0));
/// floors.advance(&snapshot("10:10:"), 10, floor(3));
/// // Transaction 10 has its id and drew the number 4, but the snapshot does not list it.
/// floors.advance(&snapshot("10:10:"), 11, floor(4));
/// assert_eq!(floors.of_window(&snapshot("10:10:"), &snapshot("11:11:")), floor(3));
/// ```
#[derive(Debug, Clone)]
pub struct Floors {
    /// Floors of the transactions that the snapshot lists as running.
    listed: BTreeMap<u64, Floor>,
    /// Ids, each with the floor of the transactions from there up to the next entry's id. Never empty.
    by_first_id: VecDeque<(u64, Floor)>,
}

impl Floors {
    /// Continues from a stored snapshot, of which only the lowest floor is known.
    pub fn restored(snapshot: &Snapshot, floor: Floor) -> Self {
        Self {
            listed: snapshot.running().iter().map(|id| (*id, floor)).collect(),
            by_first_id: VecDeque::from([(0, floor)]),
        }
    }

    /// Returns the floor of the events that `to` shows and `from`, the snapshot of the last [`advance`](Self::advance),
    /// does not.
    pub fn of_window(&self, from: &Snapshot, to: &Snapshot) -> Floor {
        let listed = from.ended_in(to).map(|id| self.of(id));
        let unlisted = (to.xmax() > from.xmax()).then(|| self.of(from.xmax()));
        listed.chain(unlisted).fold(self.newest(), Floor::min)
    }

    /// The lowest of all floors: where a reader that knows only the snapshot has to start.
    pub fn lowest(&self) -> Floor {
        let listed = self.listed.values().copied();
        let unlisted = self.by_first_id.front().map(|(_, floor)| *floor);
        listed.chain(unlisted).fold(self.newest(), Floor::min)
    }

    /// Moves on to a newer snapshot. Before it was taken, the next id was `next_id`, and before that, the last number
    /// drawn was that of `floor`.
    pub fn advance(&mut self, to: &Snapshot, next_id: u64, floor: Floor) {
        match self.by_first_id.back_mut() {
            Some((id, newest)) if *id == next_id => *newest = floor,
            _ => self.by_first_id.push_back((next_id, floor)),
        }
        self.listed = to.running().iter().map(|id| (*id, self.of(*id))).collect();
        while self
            .by_first_id
            .get(1)
            .is_some_and(|(id, _)| *id <= to.xmax())
        {
            self.by_first_id.pop_front();
        }
    }

    fn of(&self, id: u64) -> Floor {
        self.listed.get(&id).copied().unwrap_or_else(|| {
            let after = self.by_first_id.partition_point(|(first, _)| *first <= id);
            self.by_first_id[after.saturating_sub(1)].1
        })
    }

    fn newest(&self) -> Floor {
        self.by_first_id[self.by_first_id.len() - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    fn floor(seq: i64) -> Floor {
        Floor {
            seq,
            at_micros: seq,
        }
    }

    #[test]
    fn what_begins_after_a_look_has_numbers_above_its_last() {
        let mut floors = Floors::restored(&snapshot("10:10:"), floor(0));
        floors.advance(&snapshot("10:10:"), 10, floor(7));
        assert_eq!(
            floors.of_window(&snapshot("10:10:"), &snapshot("12:12:")),
            floor(7)
        );
        assert_eq!(floors.lowest(), floor(7));
    }

    #[test]
    fn a_transaction_keeps_its_floor_when_it_becomes_listed() {
        let mut floors = Floors::restored(&snapshot("10:10:"), floor(0));
        floors.advance(&snapshot("10:10:"), 10, floor(3));
        // 10 runs, unlisted; then 11 ends, and 10 is listed.
        floors.advance(&snapshot("10:10:"), 12, floor(5));
        floors.advance(&snapshot("10:12:10"), 12, floor(6));
        assert_eq!(
            floors.of_window(&snapshot("10:12:10"), &snapshot("12:12:")),
            floor(3)
        );
        assert_eq!(
            floors.of_window(&snapshot("10:12:10"), &snapshot("10:13:10")),
            floor(6)
        );
        assert_eq!(floors.lowest(), floor(3));
        floors.advance(&snapshot("12:12:"), 12, floor(8));
        assert_eq!(floors.lowest(), floor(8));
    }

    #[test]
    fn floors_move_on_although_something_always_runs() {
        let mut floors = Floors::restored(&snapshot("10:10:"), floor(0));
        for n in 0..1_000 {
            // Eight transactions run at each look, and one ended since the last.
            let at = snapshot(&format!("{0}:{0}:", 10 + n));
            floors.advance(&at, 18 + n, floor(n as i64));
        }
        assert!(floors.lowest() >= floor(990));
        assert!(floors.by_first_id.len() < 10);
    }

    #[test]
    fn a_stored_floor_holds_for_everything_that_may_have_run() {
        let floors = Floors::restored(&snapshot("10:12:10"), floor(2));
        for later in ["12:12:", "10:20:10", "11:12:"] {
            assert_eq!(
                floors.of_window(&snapshot("10:12:10"), &snapshot(later)),
                floor(2)
            );
        }
    }
}
