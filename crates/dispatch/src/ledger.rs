//! The ledger: ended deliveries that are not yet recorded, and the memory that deliveries hold.

use std::time::Duration;

use crate::lanes::Lanes;
use crate::lanes::entry::Entry;
use crate::record::{Batch, RECORD_SIZE, Record, outcome_memory};
use crate::set_aside::SetAside;
use crate::slices::SliceSize;
use crate::store::{Effort, Recorded};
use crate::time::{Moment, Now};
use crate::windows::Windows;
use crate::work::{Delivery, Origin};

/// A dead letter takes ten to a hundred times as long as another end: dead letters have batches of their own, with as
/// many as take a moment.
const DEAD_LETTERS: SliceSize = SliceSize::new(8, 1, RECORD_SIZE);
/// A batch begins at most this long after its first end came in.
pub const RECORD_AFTER: Duration = Duration::from_millis(10);
/// The log is not read while so many ends wait to be recorded: retries, and what follows something, wait for them.
const MOST_ENDED: usize = 10 * RECORD_SIZE;
/// The log is not read while deliveries hold this many bytes in memory. Claimed pending deliveries do not count: the
/// lanes share half as much for them.
pub const MEMORY: usize = 64 << 20;

#[derive(Debug)]
pub struct Ledger {
    pub windows: Windows,
    /// Ended deliveries, not yet recorded.
    ended: Vec<Record>,
    since: Since,
    outcome_bytes: usize,
    /// How many dead letters are recorded at once, and whether the last batch had them.
    dead_letters: SliceSize,
    last_was_dead: bool,
    pub set_aside: SetAside,
    bytes_in_memory: usize,
}

/// Since when the first record of each kind, and the first closable window, have been waiting.
#[derive(Debug, Default)]
struct Since {
    dead: Option<Moment>,
    other: Option<Moment>,
    closable: Option<Moment>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            windows: Windows::default(),
            ended: Vec::new(),
            since: Since::default(),
            outcome_bytes: 0,
            dead_letters: DEAD_LETTERS,
            last_was_dead: true,
            set_aside: SetAside::default(),
            bytes_in_memory: 0,
        }
    }
}

impl Ledger {
    /// Counts a delivery that comes into memory.
    pub fn take_up(&mut self, delivery: &Delivery) {
        self.bytes_in_memory += delivery.memory();
    }

    /// Adds a record to the next batch.
    pub fn settle(&mut self, record: Record, lanes: &mut Lanes, now: Now) {
        if let Some(entry) = lanes.get(record.delivery.subscription.id) {
            entry.unrecorded += usize::from(record.is_pending());
            if let Some(rank) = record.holds_key() {
                entry.lane.hold_key(rank);
                entry.block(&record);
            }
        }
        let since = self.since_of(record.is_dead());
        since.get_or_insert(now.moment);
        self.outcome_bytes += outcome_memory(std::slice::from_ref(&record));
        self.ended.push(record);
    }

    /// Forgets a delivery that leaves memory. Returns its lane, if that still exists.
    pub fn forget<'l>(
        &mut self,
        delivery: &Delivery,
        lanes: &'l mut Lanes,
    ) -> Option<&'l mut Entry> {
        let bytes = delivery.memory();
        self.bytes_in_memory = self.bytes_in_memory.saturating_sub(bytes);
        let is_claimed = delivery.origin == Origin::Pending;
        if is_claimed {
            lanes.release(delivery, bytes);
        }
        let entry = lanes.get(delivery.subscription.id)?;
        if is_claimed {
            entry.claimed.remove(&delivery.event.seq);
        }
        Some(entry)
    }

    /// Returns the memory that deliveries and unrecorded outcomes hold, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes_in_memory + self.unrecorded_memory() + self.set_aside.memory()
    }

    /// Returns the memory of outcomes that were not yet tried, or could not be recorded, in bytes.
    pub fn unrecorded_memory(&self) -> usize {
        self.outcome_bytes
    }

    /// Returns whether recording lags behind.
    pub fn is_behind(&self) -> bool {
        self.ended.len() >= MOST_ENDED
    }

    /// Returns whether anything waits to be recorded.
    pub fn has_something(&self) -> bool {
        !self.ended.is_empty() || self.windows.any_closable()
    }

    fn since_of(&mut self, is_dead: bool) -> &mut Option<Moment> {
        if is_dead {
            &mut self.since.dead
        } else {
            &mut self.since.other
        }
    }

    /// Returns how long until it is time to record, if anything waits.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        if !self.has_something() {
            return None;
        }
        if self.ended.len() >= RECORD_SIZE {
            return Some(Duration::ZERO);
        }
        let since = [self.since.dead, self.since.other, self.since.closable];
        let waited = since.into_iter().flatten().map(|since| now.since(since));
        Some(RECORD_AFTER.saturating_sub(waited.max().unwrap_or_default()))
    }

    /// Returns whether it is time to record.
    pub fn is_due(&mut self, now: Now) -> bool {
        if self.windows.any_closable() {
            self.since.closable.get_or_insert(now.moment);
        } else {
            self.since.closable = None;
        }
        self.due_in(now) == Some(Duration::ZERO)
    }

    /// Takes the next batch, with the windows that it completes, and the effort to make: while records are set aside, a
    /// batch does not wait for locks.
    pub fn next_batch(&mut self) -> (Batch, Effort) {
        // Alternate, so that neither kind waits for all of the other.
        let are_dead =
            self.since.dead.is_some() && (self.since.other.is_none() || !self.last_was_dead);
        self.last_was_dead = are_dead;
        self.since.closable = None;
        let most = if are_dead {
            self.dead_letters.get()
        } else {
            RECORD_SIZE
        };
        let of_a_kind = self
            .ended
            .extract_if(.., |record| record.is_dead() == are_dead);
        let records: Vec<Record> = of_a_kind.take(most).collect();
        if !self.ended.iter().any(|record| record.is_dead() == are_dead) {
            *self.since_of(are_dead) = None;
        }
        self.outcome_bytes -= outcome_memory(&records);
        let effort = if self.set_aside.is_empty() {
            Effort::Whole
        } else {
            Effort::AroundLocks
        };
        (self.with_windows(records), effort)
    }

    /// Adapts the number of dead letters to the time that a batch took.
    pub fn took(&mut self, recorded: &Recorded) {
        let written = &recorded.written;
        if !written.is_empty() && written.iter().all(Record::is_dead) {
            let micros = recorded.took.as_micros() as i64;
            self.dead_letters.took(written.len(), micros);
        }
    }

    /// Takes all records, at the end of the worker's life.
    pub fn last_batch(&mut self) -> Batch {
        let mut records = std::mem::take(&mut self.ended);
        (self.outcome_bytes, self.since) = (0, Since::default());
        records.extend(self.set_aside.take_all());
        self.with_windows(records)
    }

    fn with_windows(&self, records: Vec<Record>) -> Batch {
        Batch {
            closed_windows: self.windows.closable(&records),
            records,
        }
    }

    /// Puts back records that were not written, before those that ended meanwhile.
    pub fn put_back(&mut self, left: Vec<Record>) {
        self.outcome_bytes += outcome_memory(&left);
        for record in &left {
            *self.since_of(record.is_dead()) = Some(Moment::default());
        }
        let newer = std::mem::replace(&mut self.ended, left);
        self.ended.extend(newer);
    }

    /// Takes the set-aside records that are to be tried now. They belong to their lanes again.
    pub fn take_set_aside(&mut self, lanes: &mut Lanes, now: Now) -> Option<(Batch, Effort)> {
        let (batch, effort) = self.set_aside.take_due(now)?;
        for record in &batch.records {
            if record.delivery.origin == Origin::Pending {
                lanes.take_back(&record.delivery);
            }
        }
        Some((batch, effort))
    }

    /// Sets aside records that cannot be written now, without the data of their events: the log has it.
    pub fn set_aside(
        &mut self,
        mut records: Vec<Record>,
        lanes: &mut Lanes,
        now: Now,
    ) -> Option<String> {
        for record in &mut records {
            let delivery = &mut record.delivery;
            let before = delivery.memory();
            delivery.forget_data();
            let after = delivery.memory();
            self.bytes_in_memory = self.bytes_in_memory.saturating_sub(before - after);
            // Its lane may claim another delivery meanwhile.
            if delivery.origin == Origin::Pending {
                lanes.set_aside(delivery, before);
            }
        }
        self.set_aside.push(records, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::End;
    use crate::testing::{at, delivery, pending};
    use herald_core::attempt::retry::DeadReason;

    #[test]
    fn a_batch_is_due_when_it_is_full_or_its_first_record_is_ten_milliseconds_old() {
        let (mut ledger, mut lanes) = (Ledger::default(), Lanes::default());
        assert!(!ledger.is_due(at(0)));
        ledger.settle(pending(), &mut lanes, at(0));
        ledger.settle(pending(), &mut lanes, at(9));
        assert!(!ledger.is_due(at(9)));
        assert!(ledger.is_due(at(10)));
        for _ in 0..RECORD_SIZE {
            ledger.settle(pending(), &mut lanes, at(10));
        }
        assert!(ledger.is_due(at(10)));
        let (batch, effort) = ledger.next_batch();
        assert_eq!((batch.records.len(), effort), (RECORD_SIZE, Effort::Whole));
    }

    #[test]
    fn a_window_that_can_be_closed_waits_ten_milliseconds_after_the_batch_before_it() {
        let mut ledger = Ledger::default();
        ledger.windows.add(1, 0);
        ledger.windows.mark_read(1);
        assert!(ledger.windows.any_closable());
        assert!(!ledger.is_due(at(0)) && ledger.is_due(at(10)));
        let (batch, _) = ledger.next_batch();
        assert_eq!(batch.closed_windows.len(), 1);
        // The next window can be closed at once, too.
        assert!(!ledger.is_due(at(10)) && !ledger.is_due(at(19)) && ledger.is_due(at(20)));
    }

    #[test]
    fn recording_lags_behind_at_a_thousand_ends() {
        let (mut ledger, mut lanes) = (Ledger::default(), Lanes::default());
        for _ in 0..MOST_ENDED {
            assert!(!ledger.is_behind());
            ledger.settle(pending(), &mut lanes, at(0));
        }
        assert!(ledger.is_behind());
        drop(ledger.next_batch());
        assert!(!ledger.is_behind());
    }

    #[test]
    fn what_was_not_written_comes_before_what_ended_meanwhile() {
        let (mut ledger, mut lanes) = (Ledger::default(), Lanes::default());
        let record = |seq| Record::unattempted(delivery(1, seq), End::Delivered);
        ledger.settle(record(1), &mut lanes, at(0));
        let (batch, _) = ledger.next_batch();
        ledger.settle(record(2), &mut lanes, at(0));
        ledger.put_back(batch.records);
        let (batch, _) = ledger.next_batch();
        let seqs: Vec<i64> = batch
            .records
            .iter()
            .map(|ended| ended.delivery.event.seq)
            .collect();
        assert_eq!(seqs, [1, 2]);
    }

    #[test]
    fn dead_letters_are_recorded_apart_and_no_more_of_them_than_take_a_moment() {
        let (mut ledger, mut lanes) = (Ledger::default(), Lanes::default());
        for seq in 0..20 {
            let end = match seq % 2 {
                0 => End::Delivered,
                _ => End::Dead(DeadReason::Expired),
            };
            ledger.settle(
                Record::unattempted(delivery(1, seq), end),
                &mut lanes,
                at(0),
            );
        }
        let mut next = |took| {
            let (batch, _) = ledger.next_batch();
            let recorded = Recorded {
                written: batch.records,
                took: Duration::from_millis(took),
                ..Recorded::default()
            };
            ledger.took(&recorded);
            let seqs = recorded
                .written
                .iter()
                .map(|record| record.delivery.event.seq);
            seqs.collect::<Vec<i64>>()
        };
        assert_eq!(next(90), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
        assert_eq!(next(4), [1, 3, 5, 7, 9, 11, 13, 15]);
        assert_eq!(next(4), [17, 19]);
        assert!(next(0).is_empty());
    }

    #[test]
    fn records_set_aside_hold_no_data_and_block_no_batch() {
        let (mut ledger, mut lanes) = (Ledger::default(), Lanes::default());
        let mut delivery = delivery(1, 1);
        let event = herald_core::event::Event {
            data: Some("x".repeat(5_000)),
            ..(*delivery.event).clone()
        };
        delivery.event = std::sync::Arc::new(event);
        ledger.take_up(&delivery);
        let before = ledger.memory();
        let record = Record::unattempted(delivery, End::Delivered);
        let told = ledger.set_aside(vec![record], &mut lanes, at(0));
        assert!(told.is_some());
        assert!(ledger.memory() + 4_000 <= before);
        ledger.settle(pending(), &mut lanes, at(0));
        assert_eq!(ledger.next_batch().1, Effort::AroundLocks);
        assert_eq!(ledger.last_batch().records.len(), 1);
    }
}
