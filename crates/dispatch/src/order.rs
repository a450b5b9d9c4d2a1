//! An ordered lane's knowledge of `herald.pending`: the keys of which more can be sent.
//!
//! Of a key's rows, only one that was tried has a due time; the others are parked. Nobody writes a row to say that its
//! turn has come: when nothing of a key is in memory any longer, the lane asks for its next rows. If it may have missed
//! that, as at the start of a worker or after a user has discarded rows, it walks along the keys and finds those whose
//! first row is parked.

use std::collections::BTreeSet;
use std::ops::Bound;

use herald_core::subscription::ordering::OrderedBy;

use crate::lane::Lane;
use crate::store::{Due, Parked};

/// The due time of a parked row: never. The store writes it as infinity.
pub const PARKED: i64 = i64::MAX;

/// At most this many keys are asked for at once.
pub const KEYS_AT_ONCE: usize = 100;
/// At most this many keys are passed at once on a walk.
pub const WALKED_AT_ONCE: usize = 500;
/// For so many steps of a walk, a look begins no other one.
const STEPS_A_LOOK: u32 = 10;
/// With more keys to ask for, the lane rather walks.
const MOST_FREE: usize = 10_000;

#[derive(Debug, Default)]
pub struct Order {
    by: Option<OrderedBy>,
    /// Keys to ask for, and the last one asked for: each has its turn.
    free: BTreeSet<i64>,
    last: Option<i64>,
    walk: Walk,
    /// The steps of this walk so far.
    steps: u32,
    /// How many looks begin no walk, as the last one was long.
    rests: u32,
    /// A walk has to follow: something changed during this one, or once all older events are in pending.
    is_to_be_repeated: bool,
    waits_for_older: bool,
    /// The last claim asked for keys, so that due rows have the next.
    has_asked: bool,
    /// Dead letters hold keys.
    is_held: bool,
}

/// A walk along the keys.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Walk {
    #[default]
    None,
    /// It continues after this key; `None` at its beginning.
    After(Option<i64>),
}

/// What to ask for.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// The next rows of these keys.
    Rows(Vec<i64>),
    /// The keys after this one whose first row is parked.
    Keys(Option<i64>),
    /// Whatever is parked: nothing follows anything any longer.
    Parked,
}

impl Order {
    /// Applies the option. What is pending may be parked by what the option was before.
    pub fn configure<T>(&mut self, by: Option<OrderedBy>, lane: &mut Lane<T>) {
        if by.is_some() || self.by.is_some() {
            self.walk();
        }
        if by.is_some() && self.by != by {
            // What is pending comes first.
            lane.expect_spilled();
        }
        self.by = by;
    }

    pub fn by(&self) -> Option<OrderedBy> {
        self.by
    }

    /// Notes that nothing of this key is in memory any longer.
    pub fn free(&mut self, key: i64) {
        if self.free.len() < MOST_FREE {
            self.free.insert(key);
        } else {
            self.walk();
        }
    }

    /// Notes that a key is blocked, perhaps by a dead letter.
    pub fn blocked(&mut self, is_dead: bool) {
        self.is_held |= is_dead;
    }

    /// Walks along the keys, from their beginning; if a walk is under way, another one follows it.
    pub fn walk(&mut self) {
        match self.walk {
            Walk::None => self.walk = Walk::After(None),
            Walk::After(after) => self.is_to_be_repeated |= after.is_some(),
        }
    }

    /// Walks in case that another session changed something: the more seldom, the more keys there are.
    pub fn look(&mut self) {
        match self.rests.checked_sub(1) {
            Some(rests) => self.rests = rests,
            None => self.walk(),
        }
    }

    /// Walks when all older events are in pending.
    pub fn walk_later(&mut self) {
        self.waits_for_older = true;
    }

    /// Returns whether there is something to ask for now.
    pub fn is_due(&self) -> bool {
        !self.free.is_empty() || self.walk != Walk::None
    }

    /// Returns whether the lane knows of all keys of which more can be sent.
    pub fn is_settled(&self) -> bool {
        !self.is_due() && !self.waits_for_older
    }

    /// Returns whether nothing holds what is read from now on, if nothing is pending.
    pub fn is_open(&self) -> bool {
        self.is_settled() && !self.is_held
    }

    /// Begins what waited for older events, which are all in pending now.
    pub fn older_are_pending(&mut self) {
        if std::mem::take(&mut self.waits_for_older) {
            self.walk();
        }
    }

    /// Returns what to ask for next, without keys of which something `is_held` in memory: they are asked for afterwards.
    /// If rows are due besides, they have every second turn.
    pub fn question(&mut self, any_due: bool, is_held: impl Fn(i64) -> bool) -> Option<Question> {
        if std::mem::take(&mut self.has_asked) && any_due {
            return None;
        }
        let question = self.next_question(is_held);
        self.has_asked = question.is_some();
        question
    }

    fn next_question(&mut self, is_held: impl Fn(i64) -> bool) -> Option<Question> {
        let mut keys = Vec::new();
        while keys.len() < KEYS_AT_ONCE
            && let Some(key) = self.take_free()
        {
            if !is_held(key) {
                keys.push(key);
            }
        }
        if !keys.is_empty() {
            return Some(Question::Rows(keys));
        }
        match self.walk {
            Walk::After(_) if self.by.is_none() => Some(Question::Parked),
            Walk::After(after) => Some(Question::Keys(after)),
            Walk::None => None,
        }
    }

    /// Takes the key to ask for after the last one, and after all the first one.
    fn take_free(&mut self) -> Option<i64> {
        let after = (
            Bound::Excluded(self.last.unwrap_or(i64::MIN)),
            Bound::Unbounded,
        );
        let next = self.free.range(after).next().or_else(|| self.free.first());
        let next = *next?;
        self.free.remove(&next);
        self.last = Some(next);
        Some(next)
    }

    /// Takes keys that were not asked for after all.
    pub fn ask_again(&mut self, keys: impl IntoIterator<Item = i64>) {
        for key in keys {
            self.free(key);
        }
    }

    /// Takes what a walk found.
    pub fn walked(&mut self, found: Parked) {
        self.steps = self.steps.saturating_add(1);
        if found.last.is_none() {
            self.rests = std::mem::take(&mut self.steps) / STEPS_A_LOOK;
        }
        self.walk = match found.last {
            Some(last) => Walk::After(Some(last)),
            None if std::mem::take(&mut self.is_to_be_repeated) => Walk::After(None),
            None => Walk::None,
        };
        self.free.extend(found.keys);
        self.is_held = found.is_held;
    }
}

/// Returns those rows of ordered keys that can be sent, one after another: of each key the first ones that are due or
/// parked. One that waits for a retry holds those behind it. The rows are in the order of each key.
///
/// ```
/// use herald_dispatch::lane::keys::Rank;
/// use herald_dispatch::order::{PARKED, sendable};
/// use herald_dispatch::store::Due;
///
/// let row = |key, seq, next_attempt_at| Due { seq, next_attempt_at, rank: Some(Rank { key, at: seq, seq }), ..Due::default() };
/// let rows = vec![row(1, 1, 5), row(1, 2, PARKED), row(1, 3, 20), row(1, 4, PARKED), row(2, 5, PARKED)];
/// let seqs = |claimed: &[i64]| -> Vec<i64> {
///     let claimed = claimed.iter().copied().collect();
///     sendable(rows.clone(), 10, &claimed).iter().map(|due| due.seq).collect()
/// };
/// assert_eq!(seqs(&[]), [1, 2, 5]);
/// // One that is under way holds nobody here.
/// assert_eq!(seqs(&[3]), [1, 2, 4, 5]);
/// ```
pub fn sendable(mut rows: Vec<Due>, now_micros: i64, claimed: &BTreeSet<i64>) -> Vec<Due> {
    let mut held = BTreeSet::new();
    rows.retain(|due| {
        let key = due.rank.map(|rank| rank.key);
        if claimed.contains(&due.seq) || key.is_some_and(|key| held.contains(&key)) {
            return false;
        }
        let waits = due.next_attempt_at > now_micros && due.next_attempt_at != PARKED;
        if waits {
            held.extend(key);
        }
        !waits
    });
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing_held(_: i64) -> bool {
        false
    }

    #[test]
    fn free_keys_come_before_a_walk_and_a_walk_goes_on_after_them() {
        let mut order = Order {
            by: Some(OrderedBy::Key),
            ..Order::default()
        };
        order.walk();
        order.free(7);
        assert_eq!(
            order.question(false, nothing_held),
            Some(Question::Rows(vec![7]))
        );
        assert_eq!(
            order.question(false, nothing_held),
            Some(Question::Keys(None))
        );
        order.walked(Parked {
            keys: vec![3],
            last: Some(5),
            is_held: false,
        });
        assert_eq!(
            order.question(false, nothing_held),
            Some(Question::Rows(vec![3]))
        );
        assert_eq!(
            order.question(false, nothing_held),
            Some(Question::Keys(Some(5)))
        );
        order.walked(Parked::default());
        assert_eq!(order.question(false, nothing_held), None);
        assert!(order.is_settled());
    }

    #[test]
    fn due_rows_have_every_second_turn_and_each_key_has_its_own() {
        let mut order = Order::default();
        order.ask_again(0..150);
        let rows = |range: std::ops::Range<i64>| Some(Question::Rows(range.collect()));
        assert_eq!(order.question(true, nothing_held), rows(0..100));
        order.ask_again(0..100);
        assert_eq!(order.question(true, nothing_held), None);
        let Some(Question::Rows(keys)) = order.question(true, nothing_held) else {
            unreachable!()
        };
        assert_eq!((keys[0], keys[49], keys[50]), (100, 149, 0));
    }

    #[test]
    fn what_changes_during_a_walk_makes_another_one_follow_it() {
        let mut order = Order {
            by: Some(OrderedBy::Key),
            walk: Walk::After(Some(5)),
            ..Order::default()
        };
        order.walk();
        assert_eq!(
            order.question(false, nothing_held),
            Some(Question::Keys(Some(5)))
        );
        order.walked(Parked::default());
        assert_eq!(
            order.question(false, nothing_held),
            Some(Question::Keys(None))
        );
        order.walked(Parked::default());
        assert!(order.is_settled());
    }

    #[test]
    fn a_look_after_a_long_walk_does_not_begin_another_one_at_once() {
        let mut order = Order {
            by: Some(OrderedBy::Key),
            ..Order::default()
        };
        order.look();
        for key in 0..i64::from(2 * STEPS_A_LOOK) {
            assert!(order.is_due());
            order.walked(Parked {
                last: Some(key).filter(|key| *key < i64::from(2 * STEPS_A_LOOK) - 1),
                ..Parked::default()
            });
        }
        order.look();
        order.look();
        assert!(!order.is_due());
        order.look();
        assert!(order.is_due());
        order.walked(Parked::default());
        order.look();
        assert!(order.is_due());
    }

    #[test]
    fn a_key_that_is_held_is_not_asked_for() {
        let mut order = Order::default();
        order.free(7);
        assert_eq!(order.question(false, |key| key == 7), None);
    }

    #[test]
    fn more_free_keys_than_memory_is_for_make_a_walk() {
        let mut order = Order::default();
        for key in 0..=MOST_FREE as i64 {
            order.free(key);
        }
        assert_eq!(order.free.len(), MOST_FREE);
        assert_eq!(order.walk, Walk::After(None));
    }

    #[test]
    fn a_walk_waits_for_older_events() {
        let mut order = Order::default();
        order.walk_later();
        assert!(!order.is_due() && !order.is_settled());
        order.older_are_pending();
        assert!(order.is_due());
    }

    #[test]
    fn a_lane_that_gets_an_order_is_fed_from_pending_first_and_one_that_loses_it_finds_what_is_parked()
     {
        let (mut order, mut lane) = (Order::default(), Lane::<u8>::new(1));
        order.configure(None, &mut lane);
        assert!(order.is_settled() && !lane.is_spilled());
        order.configure(Some(OrderedBy::Key), &mut lane);
        assert!(lane.is_spilled());
        order.walked(Parked::default());
        order.configure(None, &mut lane);
        assert_eq!(order.question(false, nothing_held), Some(Question::Parked));
    }
}
