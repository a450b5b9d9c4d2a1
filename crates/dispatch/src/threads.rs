//! The threads that requests hold, shared so that slow receivers cannot hold all of them.
//!
//! The pool has twice as many threads as `herald.sender_threads`: one half for young requests, the other, the overflow,
//! for requests older than a second. Lanes without a recent success, and lanes with slow requests, together get at most
//! half of the young threads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

const SLOW_MICROS: i64 = 1_000_000;

#[derive(Debug)]
pub struct Threads {
    limit: usize,
    /// Start times and tokens, in the order of starting.
    started: VecDeque<(i64, u64)>,
    young: BTreeMap<u64, Holder>,
    young_doubtful: usize,
    overflow: BTreeSet<u64>,
    slow_by_lane: BTreeMap<i64, usize>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    lane: i64,
    is_doubtful: bool,
}

impl Threads {
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            started: VecDeque::new(),
            young: BTreeMap::new(),
            young_doubtful: 0,
            overflow: BTreeSet::new(),
            slow_by_lane: BTreeMap::new(),
        }
    }

    /// Returns how many threads `limit` young requests need.
    pub fn pool_size(limit: usize) -> usize {
        limit * 2
    }

    /// Returns whether any lane may start a request.
    pub fn has_room(&self) -> bool {
        self.young.len() < self.limit && self.in_flight() < Self::pool_size(self.limit)
    }

    /// Returns whether this lane may start a request.
    pub fn has_room_for(&self, lane: i64, is_proven: bool) -> bool {
        self.has_room() && (!self.is_doubtful(lane, is_proven) || self.has_room_for_doubtful())
    }

    /// Returns whether a doubtful lane may have a thread, if any is free.
    pub fn has_room_for_doubtful(&self) -> bool {
        self.young_doubtful < self.limit.div_ceil(2)
    }

    pub fn start(&mut self, token: u64, lane: i64, is_proven: bool, now: i64) {
        let is_doubtful = self.is_doubtful(lane, is_proven);
        self.started.push_back((now, token));
        self.young.insert(token, Holder { lane, is_doubtful });
        self.young_doubtful += usize::from(is_doubtful);
    }

    pub fn finish(&mut self, token: u64, lane: i64) {
        if let Some(holder) = self.young.remove(&token) {
            self.young_doubtful -= usize::from(holder.is_doubtful);
        } else if self.overflow.remove(&token)
            && let Some(slow) = self.slow_by_lane.get_mut(&lane)
        {
            *slow -= 1;
            if *slow == 0 {
                self.slow_by_lane.remove(&lane);
            }
        }
    }

    /// Moves requests that are over a second old to the overflow, as far as it has room.
    pub fn age(&mut self, now: i64) {
        while let Some((started, token)) = self.started.front().copied() {
            if !self.young.contains_key(&token) {
                self.started.pop_front();
                continue;
            }
            if started.saturating_add(SLOW_MICROS) > now || self.overflow.len() >= self.limit {
                return;
            }
            self.started.pop_front();
            if let Some(holder) = self.young.remove(&token) {
                self.young_doubtful -= usize::from(holder.is_doubtful);
                *self.slow_by_lane.entry(holder.lane).or_default() += 1;
                self.overflow.insert(token);
            }
        }
    }

    /// Returns after how many microseconds [`Threads::age`] makes room for another request, if none ends earlier.
    pub fn until_aged(&self, now: i64) -> Option<i64> {
        let (started, _) = self.started.front()?;
        let has_room = self.overflow.len() < self.limit;
        has_room.then(|| {
            started
                .saturating_add(SLOW_MICROS)
                .saturating_sub(now)
                .max(0)
        })
    }

    pub fn in_flight(&self) -> usize {
        self.young.len() + self.overflow.len()
    }

    fn is_doubtful(&self, lane: i64, is_proven: bool) -> bool {
        !is_proven || self.slow_by_lane.contains_key(&lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn doubtful_lanes_get_half_of_the_threads() {
        let mut threads = Threads::new(4);
        for token in 0..2 {
            assert!(threads.has_room_for(1, false));
            threads.start(token, 1, false, 0);
        }
        assert!(!threads.has_room_for(2, false));
        assert!(threads.has_room_for(2, true));
        threads.finish(0, 1);
        assert!(threads.has_room_for(2, false));
    }

    #[test]
    fn a_request_that_is_a_second_old_makes_room_for_another() {
        let mut threads = Threads::new(2);
        threads.start(0, 1, true, 0);
        threads.start(1, 1, true, 0);
        assert!(!threads.has_room());
        threads.age(SECOND - 1);
        assert!(!threads.has_room());
        assert_eq!(threads.until_aged(SECOND - 1), Some(1));
        threads.age(SECOND);
        assert!(threads.has_room());
        assert_eq!(threads.until_aged(SECOND), None);
    }

    #[test]
    fn a_lane_with_a_slow_request_is_doubtful_until_it_ends() {
        let mut threads = Threads::new(2);
        threads.start(0, 1, true, 0);
        threads.age(SECOND);
        threads.start(1, 1, true, SECOND);
        assert!(!threads.has_room_for(1, true));
        assert!(threads.has_room_for(2, true));
        threads.finish(0, 1);
        threads.finish(1, 1);
        assert!(threads.has_room_for(1, true));
        assert_eq!(threads.in_flight(), 0);
    }

    #[test]
    fn a_full_overflow_stops_the_slow_and_no_more_than_the_pool_is_ever_in_flight() {
        let mut threads = Threads::new(2);
        for round in 0..2 {
            threads.start(round * 2, 1, true, 0);
            threads.start(round * 2 + 1, 1, true, 0);
            threads.age(SECOND);
        }
        assert_eq!(threads.in_flight(), Threads::pool_size(2));
        assert!(!threads.has_room());
    }
}
