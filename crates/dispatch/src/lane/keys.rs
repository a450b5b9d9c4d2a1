//! Order: of deliveries that follow each other, the first is in the lane's queue or under way, and the others wait behind
//! it.

use std::collections::{BTreeMap, BTreeSet};

/// A delivery's place among those that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rank {
    /// What they have in common: [`number`](herald_core::subscription::ordering::OrderedBy::number).
    pub key: i64,
    /// The number of its event; of one that is sent again, the number that came next then.
    pub at: i64,
    /// The number of its event.
    pub seq: i64,
}

/// The keys of which a lane has something in memory.
#[derive(Debug, Clone)]
pub struct Keys<T> {
    by_key: BTreeMap<i64, Key<T>>,
    waiting: usize,
    waiting_since: i64,
}

#[derive(Debug, Clone)]
struct Key<T> {
    /// The numbers of what the others wait for: it is in the queue, under way, or its end is no success and not recorded.
    ahead: BTreeSet<i64>,
    behind: BTreeMap<(i64, i64), T>,
}

/// What follows when a delivery lets go of its key.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// The next one of the key.
    Sent(T),
    /// The key is held by another one.
    Held,
    /// Nothing of the key is in memory any longer.
    Free,
}

impl<T> Default for Keys<T> {
    fn default() -> Self {
        Self {
            by_key: BTreeMap::new(),
            waiting: 0,
            waiting_since: 0,
        }
    }
}

impl<T> Default for Key<T> {
    fn default() -> Self {
        Self {
            ahead: BTreeSet::new(),
            behind: BTreeMap::new(),
        }
    }
}

impl<T> Keys<T> {
    /// Returns the delivery if its turn has come; otherwise it waits behind others of its key.
    ///
    /// ```
    /// use herald_dispatch::lane::keys::{Keys, Next, Rank};
    ///
    /// let rank = |seq| Rank { key: 7, at: seq, seq };
    /// let mut keys = Keys::default();
    /// assert_eq!(keys.admit(rank(1), "first", 0), Some("first"));
    /// assert_eq!(keys.admit(rank(3), "third", 0), None);
    /// assert_eq!(keys.admit(rank(2), "second", 0), None);
    /// assert_eq!(keys.let_go(rank(1)), Next::Sent("second"));
    /// assert_eq!(keys.let_go(rank(2)), Next::Sent("third"));
    /// assert_eq!(keys.let_go(rank(3)), Next::Free);
    /// ```
    pub fn admit(&mut self, rank: Rank, delivery: T, now: i64) -> Option<T> {
        let key = self.by_key.entry(rank.key).or_default();
        if key.ahead.is_empty() || key.ahead.contains(&rank.seq) {
            key.ahead.insert(rank.seq);
            return Some(delivery);
        }
        if key.behind.insert((rank.at, rank.seq), delivery).is_none() {
            if self.waiting == 0 {
                self.waiting_since = now;
            }
            self.waiting += 1;
        }
        None
    }

    /// Makes the others of its key wait for this delivery.
    pub fn hold(&mut self, rank: Rank) {
        let key = self.by_key.entry(rank.key).or_default();
        key.ahead.insert(rank.seq);
    }

    /// Notes that nothing waits for this delivery any longer.
    pub fn let_go(&mut self, rank: Rank) -> Next<T> {
        let Some(key) = self.by_key.get_mut(&rank.key) else {
            return Next::Free;
        };
        key.ahead.remove(&rank.seq);
        if !key.ahead.is_empty() {
            return Next::Held;
        }
        match key.behind.pop_first() {
            Some(((_, seq), next)) => {
                key.ahead.insert(seq);
                self.waiting -= 1;
                Next::Sent(next)
            }
            None => {
                self.by_key.remove(&rank.key);
                Next::Free
            }
        }
    }

    /// Returns whether something of this key is in memory.
    pub fn is_held(&self, key: i64) -> bool {
        self.by_key.contains_key(&key)
    }

    /// Takes what waits behind others of this key, in order.
    pub fn take_behind(&mut self, key: i64) -> Vec<T> {
        let behind = self.by_key.get_mut(&key).map(|key| &mut key.behind);
        let taken: Vec<T> = behind
            .into_iter()
            .flat_map(std::mem::take)
            .map(|(_, delivery)| delivery)
            .collect();
        self.waiting -= taken.len();
        taken
    }

    /// Takes all that waits behind others, in order within each key.
    pub fn take_all_behind(&mut self) -> Vec<T> {
        self.waiting = 0;
        self.by_key
            .values_mut()
            .flat_map(|key| std::mem::take(&mut key.behind).into_values())
            .collect()
    }

    /// Returns how many wait behind others.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Returns since when some have been waiting behind others without a pause, if any wait.
    pub fn waiting_since(&self) -> Option<i64> {
        (self.waiting > 0).then_some(self.waiting_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(key: i64, seq: i64) -> Rank {
        Rank { key, at: seq, seq }
    }

    #[test]
    fn keys_do_not_wait_for_each_other() {
        let mut keys = Keys::default();
        assert_eq!(keys.admit(rank(1, 1), 1, 0), Some(1));
        assert_eq!(keys.admit(rank(2, 2), 2, 0), Some(2));
        assert_eq!(keys.admit(rank(1, 3), 3, 0), None);
        assert_eq!(keys.let_go(rank(2, 2)), Next::Free);
        assert_eq!(keys.let_go(rank(1, 1)), Next::Sent(3));
    }

    #[test]
    fn a_key_is_held_until_all_that_hold_it_let_go() {
        let mut keys = Keys::default();
        keys.hold(rank(1, 1));
        keys.hold(rank(1, 2));
        assert_eq!(keys.admit(rank(1, 3), 3, 0), None);
        assert_eq!(keys.let_go(rank(1, 2)), Next::Held);
        assert_eq!(keys.let_go(rank(1, 1)), Next::Sent(3));
        assert_eq!(keys.let_go(rank(1, 3)), Next::Free);
        assert!(!keys.is_held(1));
    }

    #[test]
    fn one_that_comes_back_takes_its_own_place() {
        let mut keys = Keys::default();
        assert_eq!(keys.admit(rank(1, 1), 1, 0), Some(1));
        assert_eq!(keys.admit(rank(1, 1), 1, 0), Some(1));
        assert_eq!(keys.let_go(rank(1, 1)), Next::Free);
    }

    #[test]
    fn one_that_is_sent_again_waits_behind_those_that_were_there() {
        let mut keys = Keys::default();
        assert_eq!(keys.admit(rank(1, 4), 4, 0), Some(4));
        let again = Rank {
            at: 5,
            ..rank(1, 2)
        };
        assert_eq!(keys.admit(again, 2, 0), None);
        assert_eq!(keys.admit(rank(1, 5), 5, 0), None);
        assert_eq!(keys.let_go(rank(1, 4)), Next::Sent(2));
    }

    #[test]
    fn what_is_taken_waits_no_longer() {
        let mut keys = Keys::default();
        for seq in 1..=3 {
            keys.admit(rank(1, seq), seq, 10 * seq);
        }
        assert_eq!((keys.waiting(), keys.waiting_since()), (2, Some(20)));
        assert_eq!(keys.take_behind(1), [2, 3]);
        assert_eq!((keys.waiting(), keys.waiting_since()), (0, None));
        assert_eq!(keys.let_go(rank(1, 1)), Next::Free);
    }
}
