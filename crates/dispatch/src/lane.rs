//! The lane: the worker's bounded in-memory queue of one subscription.
//!
//! It decides which deliveries may be sent now and when its queue has to spill. It sits between match and send; it
//! sends nothing itself and has no clock: the caller passes `now` in microseconds.

pub mod keys;

mod hours;

use std::collections::VecDeque;
use std::sync::Arc;

use herald_core::subscription::breaker::{BreakerPolicy, ProbeWith};
use herald_core::subscription::hours::ActiveHours;
use herald_core::subscription::rate::Rate;

use self::hours::Hours;
use self::keys::{Keys, Next, Rank};
use crate::breaker::{Breaker, Turn};
use crate::pace::Pace;

/// How many deliveries a lane takes before the reader has to wait.
pub const CAPACITY: usize = 1_000;
/// The longest acceptable wait: of a delivery in a queue, and of a lane for the reader.
pub const SPILL_AGE_MICROS: i64 = 1_000_000;
/// A lane stays proven for this long after a success.
const PROVEN_MICROS: i64 = 60_000_000;
/// This many successes end throttling.
const SUCCESSES_TO_RECOVER: u32 = 10;
/// The concurrency is halved at most so often: then it is one.
const MOST_HALVINGS: u32 = 10;

/// A subscription's queue of deliveries `T`.
///
/// ```
/// use herald_dispatch::lane::Lane;
///
/// let mut lane = Lane::new(4);
/// lane.push("first", 0);
/// lane.push("second", 0);
/// // Nothing is known of the receiver yet: one request at a time.
/// assert_eq!(lane.take_ready(10), Some("first"));
/// assert_eq!(lane.take_ready(10), None);
/// lane.succeeded(20);
/// assert_eq!(lane.take_ready(30), Some("second"));
/// ```
#[derive(Debug, Clone)]
pub struct Lane<T> {
    queue: VecDeque<(i64, T)>,
    in_flight: usize,
    max_concurrency: usize,
    is_held: bool,
    is_spilled: bool,
    succeeded_at: i64,
    /// Since when requests have been under way, or have failed, and none has succeeded.
    unanswered_since: Option<i64>,
    delayed_until: i64,
    halvings: u32,
    successes_to_recover: u32,
    last_pushed_at: i64,
    /// The rates that it keeps to: its own, and what its receiver consented to.
    paces: Vec<Pace>,
    /// Rates that it shares with other lanes, and others keep.
    shared_rates: Vec<Rate>,
    breaker: Option<Breaker>,
    hours: Option<Hours>,
    /// What follows something else.
    keys: Keys<T>,
}

impl<T> Lane<T> {
    /// Returns an empty lane that sends at most `max_concurrency` requests at once.
    pub fn new(max_concurrency: usize) -> Self {
        Self {
            queue: VecDeque::new(),
            in_flight: 0,
            max_concurrency,
            is_held: false,
            is_spilled: false,
            succeeded_at: i64::MIN,
            unanswered_since: None,
            delayed_until: i64::MIN,
            halvings: 0,
            successes_to_recover: 0,
            last_pushed_at: i64::MIN,
            paces: Vec::new(),
            shared_rates: Vec::new(),
            breaker: None,
            hours: None,
            keys: Keys::default(),
        }
    }

    /// Applies changed options of the subscription. A held lane (paused) sends nothing, and new deliveries go to
    /// pending: they come first once the lane is no longer held.
    pub fn configure(&mut self, max_concurrency: usize, is_held: bool) {
        self.max_concurrency = max_concurrency;
        self.is_held = is_held;
        self.is_spilled |= is_held;
    }

    /// Makes the lane keep to these rates. What has left at a rate that stays counts.
    ///
    /// ```
    /// use herald_core::subscription::rate::Rate;
    /// use herald_dispatch::lane::Lane;
    ///
    /// let mut lane = Lane::new(4);
    /// lane.set_rates([Rate::parse("rate_limit", "10/s").unwrap()]);
    /// lane.push("first", 0);
    /// lane.push("second", 0);
    /// assert_eq!(lane.take_ready(0), Some("first"));
    /// lane.succeeded(10);
    /// assert_eq!(lane.take_ready(40_000), None);
    /// assert_eq!(lane.paced_until(40_000), Some(55_000));
    /// assert_eq!(lane.take_ready(50_000), Some("second"));
    /// ```
    pub fn set_rates(&mut self, rates: impl IntoIterator<Item = Rate>) {
        let former = std::mem::take(&mut self.paces);
        let pace = |rate: Rate| {
            let same = former.iter().find(|pace| pace.rate() == rate);
            same.copied().unwrap_or_else(|| Pace::new(rate))
        };
        self.paces = rates.into_iter().map(pace).collect();
    }

    /// Notes rates that it shares with other lanes: it holds no more than it can use at them.
    pub fn set_shared_rates(&mut self, rates: impl IntoIterator<Item = Rate>) {
        self.shared_rates = rates.into_iter().collect();
    }

    /// Gives the lane a breaker with this policy, or none. A new one has been open since `open_since`, if that is given.
    pub fn set_breaker(&mut self, policy: Option<BreakerPolicy>, open_since: Option<i64>) {
        self.breaker = policy.map(|policy| match self.breaker.take() {
            Some(mut breaker) => {
                breaker.set_policy(policy);
                breaker
            }
            None => Breaker::new(policy, open_since),
        });
    }

    /// Makes the lane send within these hours only.
    pub fn set_hours(&mut self, hours: Option<Arc<ActiveHours>>) {
        let is_same = self.hours.as_ref().map(|own| &own.hours) == hours.as_ref();
        if !is_same {
            self.hours = hours.map(Hours::new);
        }
    }

    pub fn breaker(&self) -> Option<&Breaker> {
        self.breaker.as_ref()
    }

    /// Returns whether its breaker is open.
    pub fn is_open(&self) -> bool {
        self.breaker.as_ref().is_some_and(Breaker::is_open)
    }

    /// Tells the breaker whether an attempt shows that the receiver is down, and returns what that changes. A lane whose
    /// breaker closes sends one request at a time until ten have succeeded.
    pub fn saw(&mut self, is_down: bool, now: i64) -> Option<Turn> {
        let turn = self.breaker.as_mut()?.saw(is_down, now);
        if turn == Some(Turn::Closed) {
            self.halvings = MOST_HALVINGS;
            self.successes_to_recover = SUCCESSES_TO_RECOVER;
        }
        turn
    }

    /// Holds the lane: it sends nothing until it is configured again.
    pub fn hold(&mut self) {
        self.is_held = true;
        self.is_spilled = true;
    }

    pub fn is_held(&self) -> bool {
        self.is_held
    }

    /// Puts a delivery at the end of the queue.
    pub fn push(&mut self, delivery: T, now: i64) {
        self.queue.push_back((now, delivery));
        self.last_pushed_at = now;
    }

    /// Puts a delivery at the end of the queue, or behind those that it follows.
    pub fn push_ranked(&mut self, delivery: T, rank: Rank, now: i64) {
        match self.keys.admit(rank, delivery, now) {
            Some(delivery) => self.push(delivery, now),
            None => self.last_pushed_at = now,
        }
    }

    /// Makes those that follow it wait for this delivery.
    pub fn hold_key(&mut self, rank: Rank) {
        self.keys.hold(rank);
    }

    /// Lets the next delivery follow this one. Returns whether none is here.
    pub fn let_go(&mut self, rank: Rank, now: i64) -> bool {
        match self.keys.let_go(rank) {
            Next::Sent(next) => {
                self.push(next, now);
                false
            }
            Next::Held => false,
            Next::Free => true,
        }
    }

    /// Returns whether it has, or waits for, a delivery of this key.
    pub fn holds_key(&self, key: i64) -> bool {
        self.keys.is_held(key)
    }

    /// Takes the deliveries that wait behind others of this key, in order.
    pub fn take_behind(&mut self, key: i64) -> Vec<T> {
        self.keys.take_behind(key)
    }

    /// Takes the next delivery, if one may be sent now. The caller reports its end by [`succeeded`](Self::succeeded) or
    /// [`failed`](Self::failed).
    pub fn take_ready(&mut self, now: i64) -> Option<T> {
        if self.in_flight >= self.concurrency(now) || self.paced_until(now).is_some() {
            return None;
        }
        let (_, delivery) = self.queue.pop_front()?;
        self.in_flight += 1;
        self.unanswered_since.get_or_insert(now);
        self.count(now);
        Some(delivery)
    }

    /// Counts a request for the rates.
    pub fn count(&mut self, now: i64) {
        for pace in &mut self.paces {
            pace.count(now);
        }
    }

    /// Puts back a taken delivery that could not be handed to the sender.
    pub fn put_back(&mut self, delivery: T, now: i64) {
        self.withdrawn();
        self.queue.push_front((now, delivery));
    }

    /// Gives up a taken delivery without a request.
    pub fn withdrawn(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.paces.iter_mut().for_each(Pace::take_back);
        if self.in_flight == 0 {
            self.unanswered_since = None;
        }
    }

    /// Counts a request that succeeded.
    pub fn succeeded(&mut self, now: i64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.succeeded_at = now;
        self.unanswered_since = (self.in_flight > 0).then_some(now);
        if self.halvings > 0 {
            self.successes_to_recover = self.successes_to_recover.saturating_sub(1);
            if self.successes_to_recover == 0 {
                self.halvings = 0;
            }
        }
    }

    /// Counts a request that failed. The receiver may have asked for a delay.
    pub fn failed(&mut self, throttle: bool, delay_until: Option<i64>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if throttle {
            self.halvings = (self.halvings + 1).min(MOST_HALVINGS);
            self.successes_to_recover = SUCCESSES_TO_RECOVER;
        }
        self.spare(delay_until);
    }

    /// Makes the lane send nothing before this time.
    ///
    /// ```
    /// use herald_dispatch::lane::Lane;
    ///
    /// let mut lane = Lane::new(4);
    /// lane.push("first", 0);
    /// lane.spare(Some(100));
    /// assert_eq!(lane.take_ready(99), None);
    /// assert_eq!(lane.take_ready(100), Some("first"));
    /// ```
    pub fn spare(&mut self, until: Option<i64>) {
        self.delayed_until = self.delayed_until.max(until.unwrap_or(i64::MIN));
    }

    /// Returns how many requests may be under way now.
    pub fn concurrency(&self, now: i64) -> usize {
        if self.is_held || self.delayed_until(now).is_some() || self.waits_for_probe() {
            0
        } else if !self.is_proven(now) || self.is_open() {
            self.max_concurrency.min(1)
        } else {
            (self.max_concurrency >> self.halvings).max(1)
        }
    }

    /// Returns whether a success in the last minute shows that the receiver answers.
    pub fn is_proven(&self, now: i64) -> bool {
        now < self.succeeded_at.saturating_add(PROVEN_MICROS)
    }

    /// Returns when the lane's rates let the next request leave; `None` for now.
    pub fn paced_until(&mut self, now: i64) -> Option<i64> {
        self.paces
            .iter_mut()
            .filter_map(|pace| pace.next_at(now))
            .max()
    }

    /// Returns how many deliveries it can use in this time from now on, in microseconds, at its rates; `None` for any
    /// number. Of rates that it shares, others may have used up the burst.
    pub fn usable_within(&self, micros: i64, now: i64) -> Option<usize> {
        let own = self.paces.iter().map(|pace| pace.most_within(micros, now));
        let shared = self.shared_rates.iter();
        own.chain(shared.map(|rate| rate.evenly_within(micros)))
            .min()
    }

    /// Returns when the lane may send again, if it is delayed.
    pub fn delayed_until(&self, now: i64) -> Option<i64> {
        let closed = self
            .hours
            .as_ref()
            .and_then(|hours| hours.closed_until(now));
        let delayed = (self.delayed_until > now)
            .then_some(self.delayed_until)
            .max(closed);
        delayed.max(
            self.breaker
                .as_ref()
                .and_then(|breaker| breaker.shut_until(now)),
        )
    }

    /// Returns whether it sends no delivery until a probe without one succeeds.
    pub fn waits_for_probe(&self) -> bool {
        let policy = self.breaker.as_ref().map(Breaker::policy);
        self.is_open() && policy.is_some_and(|policy| policy.probe_with != ProbeWith::Delivery)
    }

    /// Returns the time between two probes while all is well, in microseconds.
    pub fn probed_every(&self) -> Option<i64> {
        self.breaker.as_ref()?.policy().probe_every
    }

    /// Returns the longest time between two probes as its breaker is now, if it is probed all the time.
    pub fn probed_within(&self) -> Option<i64> {
        let policy = self.breaker.as_ref()?.policy();
        let every = policy.probe_every?;
        Some(match self.is_open() {
            true => every.max(policy.probe),
            false => every,
        })
    }

    /// Returns when the lane may send again, if it is delayed, or its rates keep it from sending.
    pub fn rests_until(&mut self, now: i64) -> Option<i64> {
        self.delayed_until(now).max(self.paced_until(now))
    }

    /// Returns how many deliveries it has that are not under way.
    pub fn len(&self) -> usize {
        self.queue.len() + self.keys.waiting()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns how many of these follow no other.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Returns whether it has a delivery that follows no other.
    pub fn has_next(&self) -> bool {
        !self.queue.is_empty()
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns whether the reader has to wait for this lane.
    pub fn is_full(&self) -> bool {
        self.len() >= CAPACITY
    }

    /// Returns whether the lane has nothing to do: it may be waiting for events that the reader cannot reach because of
    /// another lane. A spilled lane is fed from pending and does not wait for the reader.
    pub fn is_idle(&self) -> bool {
        self.is_empty() && self.in_flight == 0 && !self.is_spilled
    }

    /// Returns whether the lane is idle but got a delivery a moment ago.
    pub fn is_starving(&self, now: i64) -> bool {
        self.is_idle() && self.last_pushed_at.saturating_add(SPILL_AGE_MICROS) > now
    }

    /// Returns whether deliveries wait and the receiver took one in the last second. A queue whose receiver hangs or
    /// refuses is not worth waiting for.
    pub fn is_flowing(&self, now: i64) -> bool {
        !self.queue.is_empty() && !is_long_ago(self.succeeded_at, now)
    }

    /// Returns whether the queue has to move to pending: the lane is held or delayed, or its receiver has taken nothing
    /// for a second of what it was sent, or its rates let go of less in a second than it has. Deliveries that only wait
    /// for a thread stay, and so do those from pending, which hold no window open.
    pub fn must_spill(&self, now: i64) -> bool {
        if self.is_empty() {
            return false;
        }
        let is_unanswered = self
            .unanswered_since
            .is_some_and(|since| is_long_ago(since, now));
        let is_stuck = is_unanswered && self.is_slow(now);
        let usable = self.usable_within(SPILL_AGE_MICROS, now);
        let is_long = usable.is_some_and(|usable| self.len() > usable);
        let is_shut = self.delayed_until(now).is_some() || self.waits_for_probe();
        // Most of it waits for a few keys.
        let is_crowded = self.keys.waiting() >= CAPACITY / 2
            && self
                .keys
                .waiting_since()
                .is_some_and(|since| is_long_ago(since, now));
        self.is_held || is_shut || (is_stuck || is_long || is_crowded) && !self.is_spilled
    }

    /// Returns whether the oldest delivery has waited for over a second, even if others succeeded. Such a queue spills
    /// only if other lanes wait for the reader because of it: going through pending costs more than waiting.
    pub fn is_slow(&self, now: i64) -> bool {
        let oldest = self.queue.front().map(|(pushed_at, _)| *pushed_at);
        let oldest = oldest.into_iter().chain(self.keys.waiting_since());
        oldest.min().is_some_and(|since| is_long_ago(since, now))
    }

    /// Returns whether all deliveries of this lane go through pending, to keep their order.
    pub fn is_spilled(&self) -> bool {
        self.is_spilled
    }

    /// Feeds the lane from pending from now on.
    pub fn expect_spilled(&mut self) {
        self.is_spilled = true;
    }

    /// Empties the lane and returns its deliveries, in order. From then on the lane is fed from pending.
    pub fn spill(&mut self) -> impl Iterator<Item = T> {
        self.is_spilled = true;
        std::mem::take(&mut self.queue)
            .into_iter()
            .map(|(_, delivery)| delivery)
            .chain(self.keys.take_all_behind())
    }

    /// Lets the reader feed the lane again, as nothing is pending any longer.
    pub fn unspill(&mut self) {
        self.is_spilled = false;
    }
}

/// Returns the lanes that have been due for longest, at most `most`, given their due times. So a lane that is due again
/// at once keeps no other from its turn.
///
/// ```
/// use herald_dispatch::lane::first_due;
///
/// assert_eq!(first_due([(30, 3), (10, 1), (20, 2)], 2), [1, 2]);
/// ```
pub fn first_due(lanes: impl IntoIterator<Item = (i64, i64)>, most: usize) -> Vec<i64> {
    let mut due: Vec<(i64, i64)> = lanes.into_iter().collect();
    if due.len() > most {
        due.select_nth_unstable(most);
        due.truncate(most);
    }
    due.sort_unstable();
    due.into_iter().map(|(_, lane)| lane).collect()
}

fn is_long_ago(moment: i64, now: i64) -> bool {
    moment.saturating_add(SPILL_AGE_MICROS) < now
}

#[cfg(test)]
mod tests;
