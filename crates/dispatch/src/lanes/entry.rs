//! A lane's entry among all lanes: its queue, its state in `herald.pending`, and how much it may claim.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::lane::Lane;
use crate::lane::keys::Rank;
use crate::order::Order;
use crate::record::Record;
use crate::slices::SliceSize;
use crate::time::{Moment, Now};
use crate::work::{Delivery, Origin};

/// How many pending deliveries a lane claims at once.
const CLAIM_SIZE: SliceSize = SliceSize::new(64, 4, 512);

/// A lane with fewer than `REFILL_BELOW` deliveries is refilled from pending, up to `REFILL_TO`.
const REFILL_TO: usize = 750;
const REFILL_BELOW: usize = 250;
/// A lane with a rate is filled with what it can use in this time, in microseconds.
const REFILL_MICROS: i64 = 2_000_000;
/// A lane that the log keeps full still claims this many: retries do not wait for the end of the log.
const REFILL_WHEN_FULL: usize = 100;

/// A lane whose receiver has not answered lately sends one request at a time, and claims at most this many deliveries.
const UNPROVEN: usize = 16;

/// A lane holds at most this many claimed deliveries: more accumulate only if their outcomes cannot be recorded.
const MOST_CLAIMED: usize = 5_000;

/// A lane, and its state in `herald.pending`.
#[derive(Debug)]
pub struct Entry {
    pub lane: Lane<Delivery>,
    /// The keys of which pending has more.
    pub order: Order,
    /// Pending deliveries that are in the lane or under way, or whose end is not yet recorded.
    pub claimed: BTreeSet<i64>,
    /// The bytes that these hold in memory, and how many of them are set aside and hold next to nothing.
    pub(crate) claimed_bytes: usize,
    pub(crate) aside: usize,
    /// All rows up to this due time and number are claimed or deleted; `None` if unknown. Claims continue from there,
    /// so they neither reread claimed rows nor scan deleted ones.
    pub claimed_to: Option<(i64, i64)>,
    /// When its first unclaimed pending delivery is due, if known.
    pub next_due: Option<i64>,
    /// How many pending deliveries it claims at once: fewer if that takes long, or after an event that could not be read.
    pub claim_size: SliceSize,
    /// Rows that will be in `herald.pending` once the current batch is recorded.
    pub unrecorded: usize,
    /// Until when it rests, and its number among those that do.
    pub(crate) rests: Option<(Moment, u64)>,
    /// When to look at it for a probe, and when it was last probed, if it is all the time.
    pub(crate) probe_at: Option<Moment>,
    pub(crate) probed_at: Option<Moment>,
    /// The generation of its URL.
    pub(crate) generation: i32,
    /// Its receiver said that it is gone, which is not yet recorded.
    pub is_gone: bool,
    pub(crate) is_ready: bool,
    pub(crate) is_parked: bool,
}

/// How many pending deliveries a lane may hold.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    pub bytes: usize,
    /// Three quarters of the memory are taken: a lane may exceed its share, by one delivery, only if its receiver
    /// answers.
    pub is_scarce: bool,
}

impl Entry {
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            lane: Lane::new(concurrency),
            order: Order::default(),
            claimed: BTreeSet::new(),
            claimed_bytes: 0,
            aside: 0,
            claimed_to: None,
            next_due: None,
            claim_size: CLAIM_SIZE,
            unrecorded: 0,
            rests: None,
            probe_at: None,
            probed_at: None,
            generation: 0,
            is_gone: false,
            is_ready: false,
            is_parked: false,
        }
    }

    /// Returns whether a delivery that was just read goes straight into the lane. While older windows are not read to
    /// their ends, what they have may come before it.
    pub fn takes(&self, delivery: &Delivery, read_up_to: Option<i64>) -> bool {
        let is_early = |up_to| delivery.rank.is_some() && delivery.event.seq > up_to;
        !self.lane.is_spilled() && !read_up_to.is_some_and(is_early)
    }

    /// Puts a delivery into the lane.
    pub fn push(&mut self, delivery: Delivery, now: i64) {
        match delivery.rank {
            Some(rank) => self.lane.push_ranked(delivery, rank, now),
            None => self.lane.push(delivery, now),
        }
    }

    /// Returns the time between two probes, in microseconds, if it is probed all the time and seems to be up.
    pub(crate) fn probed_while_well(&self) -> Option<i64> {
        let every = self.lane.probed_every();
        every.filter(|_| !self.lane.is_open())
    }

    /// Notes a probe. Returns how long the receiver was as it shows, if its uptime is told: since the last probe, but no
    /// longer than the longest time between two.
    pub fn probed(&mut self, now: Now) -> Option<Duration> {
        let every = self.lane.probed_within();
        let last = std::mem::replace(&mut self.probed_at, every.map(|_| now.moment));
        let longest = Duration::from_micros(every?.unsigned_abs());
        Some(now.since(last?).min(longest))
    }

    /// Lets the next delivery follow one that was delivered.
    pub fn delivered(&mut self, delivery: &Delivery, now: i64) {
        if let Some(rank) = delivery.rank {
            let is_free = self.lane.let_go(rank, now);
            // A row of its own is in the way until the end is recorded.
            if is_free && delivery.origin != Origin::Pending {
                self.ask_for(rank.key);
            }
        }
    }

    /// Lets the next delivery follow one with this rank, which is in pending, or dead.
    pub fn let_go(&mut self, rank: Rank, now: i64) {
        if self.lane.let_go(rank, now) {
            self.ask_for(rank.key);
        }
    }

    /// Lets the next delivery follow one whose end was recorded.
    pub fn recorded(&mut self, record: &Record, now: i64) {
        // Again: a walk may have looked before.
        self.block(record);
        if let Some(rank) = record.holds_key() {
            self.let_go(rank, now);
        } else if let Some(rank) = record.delivery.rank
            && record.delivery.origin == Origin::Pending
            && !self.lane.holds_key(rank.key)
        {
            self.ask_for(rank.key);
        }
    }

    /// Has what follows this go to pending, too, if it waits for it there.
    pub fn block(&mut self, record: &Record) {
        if record.blocks_key() {
            self.lane.expect_spilled();
            self.order.blocked(record.is_dead());
        }
    }

    /// Has pending asked for more of this key, if it may have some.
    fn ask_for(&mut self, key: i64) {
        if self.lane.is_spilled() {
            self.order.free(key);
        }
    }

    /// Notes that a pending delivery is due at this time.
    pub fn expect_due(&mut self, at_micros: i64) {
        self.next_due = Some(self.next_due.map_or(at_micros, |due| due.min(at_micros)));
    }

    /// Returns how many more pending deliveries the lane takes now, if this is its share. A lane that holds none may
    /// take one delivery beyond the share; if memory is scarce, only if its receiver answers.
    pub fn room(&self, share: Share, now: i64) -> usize {
        let is_proven = self.lane.is_proven(now);
        let may_hold_one = self.claimed_bytes == 0 && (is_proven || !share.is_scarce);
        if self.byte_room(share) == 0 && !may_hold_one {
            return 0;
        }
        // At least one: the lane then rests until it may be sent.
        let usable = self.lane.usable_within(REFILL_MICROS, now);
        let usable = usable.unwrap_or(usize::MAX).max(1);
        let (below, to) = (REFILL_BELOW.min(usable.div_ceil(2)), REFILL_TO.min(usable));
        let when_full = REFILL_WHEN_FULL.min(usable.div_ceil(4));
        // What waits behind others of its key takes the place of none.
        let wanted = if self.lane.queued() < below {
            to - self.lane.queued()
        } else if self.claimed.len() < when_full / 2 {
            when_full - self.claimed.len()
        } else {
            0
        };
        let most = if self.lane.is_open() {
            // The next delivery, as a probe.
            1 + self.aside
        } else if is_proven {
            MOST_CLAIMED
        } else {
            MOST_CLAIMED.min(UNPROVEN + self.aside)
        };
        wanted.min(most.saturating_sub(self.claimed.len()))
    }

    /// Returns how many bytes of this share are left.
    pub fn byte_room(&self, share: Share) -> usize {
        share.bytes.saturating_sub(self.claimed_bytes)
    }

    /// Returns when, as far as known, the lane can take its first pending delivery, if this is its share.
    pub fn due(&self, share: Share, now: i64) -> Option<i64> {
        let due = if self.order.is_due() {
            Some(now)
        } else {
            self.next_due
        };
        let due = due.filter(|_| self.room(share, now) > 0)?;
        match self.lane.delayed_until(now) {
            Some(until) => Some(due.max(until)),
            None => (self.lane.concurrency(now) > 0).then_some(due),
        }
    }
}

#[cfg(test)]
mod tests {
    use herald_core::subscription::rate::Rate;

    use super::*;
    use crate::testing::delivery;

    #[test]
    fn what_may_follow_an_event_that_is_not_read_yet_waits_in_pending() {
        let entry = Entry::new(1);
        let (plain, mut ranked) = (delivery(1, 9), delivery(1, 9));
        ranked.rank = Some(Rank {
            key: 7,
            at: 9,
            seq: 9,
        });
        assert!(entry.takes(&ranked, None) && entry.takes(&ranked, Some(9)));
        assert!(!entry.takes(&ranked, Some(8)) && entry.takes(&plain, Some(8)));
    }

    #[test]
    fn a_lane_at_a_rate_claims_what_it_can_use_and_not_one_by_one() {
        let mut entry = Entry::new(1);
        entry.lane.succeeded(0);
        entry
            .lane
            .set_rates([Rate::parse("rate_limit", "10/s").unwrap()]);
        let share = Share {
            bytes: 1 << 20,
            is_scarce: false,
        };
        let mut rooms = Vec::new();
        for seq in 1..=21 {
            rooms.push(entry.room(share, 0));
            entry.lane.push(delivery(1, seq), 0);
            entry.claimed.insert(seq);
        }
        assert_eq!(rooms[0], 21);
        assert_eq!(rooms[10], 11);
        assert!(rooms[11..].iter().all(|room| *room == 0), "{rooms:?}");
    }
}
