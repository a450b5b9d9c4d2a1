//! All lanes: which of them have deliveries to send, and what they claimed from `herald.pending`.

pub mod entry;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use herald_core::subscription::State;
use herald_core::subscription::rate::Rate;

use self::entry::{Entry, Share};
use crate::hosts::Hosts;
use crate::subscriptions::Loaded;
use crate::survey::Survey;
use crate::tenants::Tenants;
use crate::time::{Moment, Now};
use crate::work::Delivery;

/// Surveys take at most a tenth of the time: the pause after a survey is this many times as long as it took.
const SURVEY_GAP: u32 = 9;

/// The lanes of all subscriptions.
#[derive(Debug)]
pub struct Lanes {
    by_id: BTreeMap<i64, Entry>,
    /// The memory that all claimed deliveries hold, in bytes, and how much they should hold at most.
    claimed_bytes: usize,
    claim_memory: usize,
    /// Lanes that may have deliveries to send, each once, served in turn.
    ready: VecDeque<i64>,
    /// Lanes that wait for one of the threads for doubtful lanes, each once.
    parked: VecDeque<i64>,
    /// Lanes that have deliveries and may send none before this time.
    /// A lane that rests stands in line: the moment, a number that grows, and the lane.
    resting: BTreeSet<(Moment, u64, i64)>,
    last_rest: u64,
    /// Lanes that are probed without a delivery, each once, and when to look at them next.
    probed: BTreeSet<(Moment, i64)>,
    survey: Survey,
    surveyed_at: Moment,
    survey_took: Duration,
}

impl Lanes {
    /// Returns an empty set of lanes, whose claims should hold at most half of this memory.
    pub fn within(memory: usize) -> Self {
        Self {
            by_id: BTreeMap::new(),
            claimed_bytes: 0,
            claim_memory: memory / 2,
            ready: VecDeque::new(),
            parked: VecDeque::new(),
            resting: BTreeSet::new(),
            last_rest: 0,
            probed: BTreeSet::new(),
            survey: Survey::default(),
            surveyed_at: Moment::default(),
            survey_took: Duration::ZERO,
        }
    }

    /// Returns a lane's share: a quarter of the free memory. However many lanes with slow receivers keep theirs, some
    /// is left for the next lane.
    pub fn share(&self) -> Share {
        Share {
            bytes: self.claim_memory.saturating_sub(self.claimed_bytes) / 4,
            is_scarce: self.claimed_bytes >= self.claim_memory / 2 * 3,
        }
    }

    /// Returns the memory that claimed deliveries hold, in bytes.
    pub fn claimed_bytes(&self) -> usize {
        self.claimed_bytes
    }

    /// Sets aside a delivery that held `bytes`, so that its lane may claim another.
    pub fn set_aside(&mut self, delivery: &Delivery, bytes: usize) {
        self.release(delivery, bytes);
        if let Some(entry) = self.by_id.get_mut(&delivery.subscription.id) {
            entry.aside += 1;
        }
    }

    /// Takes back a delivery that was set aside, to try it again.
    pub fn take_back(&mut self, delivery: &Delivery) {
        if let Some(entry) = self.claim(delivery) {
            entry.aside = entry.aside.saturating_sub(1);
        }
    }

    /// Claims a delivery for its lane.
    pub fn claim(&mut self, delivery: &Delivery) -> Option<&mut Entry> {
        let bytes = delivery.memory();
        let entry = self.by_id.get_mut(&delivery.subscription.id)?;
        entry.claimed.insert(delivery.event.seq);
        entry.claimed_bytes += bytes;
        self.claimed_bytes += bytes;
        Some(entry)
    }

    /// Reduces by `bytes` the memory that a claimed delivery holds.
    pub fn release(&mut self, delivery: &Delivery, bytes: usize) {
        if let Some(entry) = self.by_id.get_mut(&delivery.subscription.id) {
            let bytes = bytes.min(entry.claimed_bytes);
            entry.claimed_bytes -= bytes;
            self.claimed_bytes -= bytes;
        }
    }

    /// Applies the options of a subscription, which may be new.
    pub fn configure(&mut self, loaded: &Loaded, tenants: &Tenants) {
        let (id, concurrency) = (loaded.config.id, loaded.config.max_concurrency);
        let entry = self
            .by_id
            .entry(id)
            .or_insert_with(|| Entry::new(concurrency));
        let is_held =
            entry.is_gone || loaded.is_held() || tenants.is_held(loaded.agent.tenant.as_deref());
        entry.lane.configure(concurrency, is_held);
        let granted = loaded.config.rate.map(Rate::per_minute);
        let rates = granted.into_iter().chain(loaded.config.rate_limit);
        entry.lane.set_rates(rates);
        // A subscription that is disabled, or a sandbox, begins anew when it is resumed.
        let has_none = matches!(loaded.config.state, State::Disabled | State::Sandbox);
        // So does one with another receiver.
        if entry.generation != loaded.config.generation {
            entry.generation = loaded.config.generation;
            entry.lane.set_breaker(None, None);
        }
        let policy = loaded.config.breaker.filter(|_| !has_none);
        entry.lane.set_breaker(policy, loaded.open_since);
        entry.lane.set_hours(loaded.config.active_hours.clone());
        entry.lane.spare(loaded.spare_until);
        let ordered_by = loaded.config.ordering.map(|ordering| ordering.by);
        entry.order.configure(ordered_by, &mut entry.lane);
        self.expect_probe(id, Moment::default());
        self.make_ready(id);
    }

    /// Notes the rates that the lane of a subscription shares with others.
    pub fn share_rates(&mut self, loaded: &Loaded, tenants: &Tenants, hosts: &Hosts) {
        let of_tenant = tenants.rate(loaded.agent.tenant.as_deref());
        let of_host = hosts.rate(loaded.config.target.host());
        if let Some(entry) = self.by_id.get_mut(&loaded.config.id) {
            entry
                .lane
                .set_shared_rates(of_tenant.into_iter().chain(of_host));
        }
    }

    /// Removes the lane of a subscription that no longer exists. Returns its deliveries.
    pub fn remove(&mut self, id: i64) -> Vec<Delivery> {
        let Some(mut entry) = self.by_id.remove(&id) else {
            return Vec::new();
        };
        self.claimed_bytes -= entry.claimed_bytes;
        if let Some(at) = entry.probe_at {
            self.probed.remove(&(at, id));
        }
        if let Some((until, number)) = entry.rests {
            self.resting.remove(&(until, number, id));
        }
        entry.lane.spill().collect()
    }

    /// Takes the deliveries that wait behind this one in memory, in order.
    pub fn take_behind(&mut self, delivery: &Delivery) -> Vec<Delivery> {
        let entry = self.by_id.get_mut(&delivery.subscription.id);
        delivery
            .rank
            .zip(entry)
            .map(|(rank, entry)| entry.lane.take_behind(rank.key))
            .unwrap_or_default()
    }

    /// Has a lane looked at then, if it is probed, or sooner if that is known.
    pub fn expect_probe(&mut self, id: i64, at: Moment) {
        if !self.is_probed(id) {
            return;
        }
        let Some(entry) = self.by_id.get_mut(&id) else {
            return;
        };
        if entry.probe_at.is_some_and(|earlier| earlier <= at) {
            return;
        }
        if let Some(later) = entry.probe_at.replace(at) {
            self.probed.remove(&(later, id));
        }
        self.probed.insert((at, id));
    }

    /// Has a lane looked at when its next probe is due after one that ended now.
    pub fn expect_next_probe(&mut self, id: i64, now: Now) {
        let entry = self.by_id.get(&id);
        let every = entry.and_then(Entry::probed_while_well).unwrap_or(0);
        self.expect_probe(id, now.moment + Duration::from_micros(every.unsigned_abs()));
    }

    /// Returns when to probe the receiver of a lane again that is probed all the time and seems to be up, if it was probed.
    pub fn next_probe_while_well(&self, id: i64) -> Option<Moment> {
        let entry = self.by_id.get(&id)?;
        let every = entry.probed_while_well()?;
        Some(entry.probed_at? + Duration::from_micros(every.unsigned_abs()))
    }

    /// Forgets when a receiver was probed, as nobody looks whether it is up any longer.
    pub fn forget_probe(&mut self, id: i64) {
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.probed_at = None;
        }
    }

    /// Returns until when this lane may not be probed.
    pub fn probe_delayed_until(&mut self, id: i64, now_micros: i64) -> Option<i64> {
        self.by_id.get_mut(&id)?.lane.rests_until(now_micros)
    }

    /// Counts a probe for the rates of its lane.
    pub fn count_probe(&mut self, id: i64, now_micros: i64) {
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.lane.count(now_micros);
        }
    }

    /// Returns whether a lane is probed without a delivery, and is not held anyway: its breaker is open, or it is probed
    /// while all is well, too.
    pub fn is_probed(&self, id: i64) -> bool {
        self.by_id.get(&id).is_some_and(|entry| {
            let lane = &entry.lane;
            (lane.waits_for_probe() || lane.probed_every().is_some()) && !lane.is_held()
        })
    }

    /// Returns when to look for the first probe.
    pub fn first_probe(&self) -> Option<Moment> {
        self.probed.first().map(|(at, _)| *at)
    }

    /// Takes the next lane to look at for a probe.
    pub fn take_probed(&mut self, now: Now) -> Option<i64> {
        let (at, id) = self.probed.first().copied()?;
        if !now.is_past(at) {
            return None;
        }
        self.probed.pop_first();
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.probe_at = None;
        }
        Some(id)
    }

    pub fn get(&mut self, id: i64) -> Option<&mut Entry> {
        self.by_id.get_mut(&id)
    }

    pub fn ids(&self) -> Vec<i64> {
        self.by_id.keys().copied().collect()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (i64, &mut Entry)> {
        self.by_id.iter_mut().map(|(id, entry)| (*id, entry))
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &Entry)> {
        self.by_id.iter().map(|(id, entry)| (*id, entry))
    }

    /// Marks the lane as ready, unless its queue is empty.
    pub fn make_ready(&mut self, id: i64) {
        if let Some(entry) = self.by_id.get_mut(&id)
            && !entry.is_ready
            && entry.lane.has_next()
        {
            entry.is_ready = true;
            self.ready.push_back(id);
        }
    }

    /// Returns whether, as far as known, a lane has deliveries to send and waits for a thread.
    pub fn any_waiting(&self) -> bool {
        !self.ready.is_empty() || !self.parked.is_empty()
    }

    /// Parks a lane that has deliveries to send until a thread for doubtful lanes is free.
    pub fn park(&mut self, id: i64) {
        if let Some(entry) = self.by_id.get_mut(&id)
            && !entry.is_parked
        {
            entry.is_parked = true;
            self.parked.push_back(id);
        }
    }

    /// Makes a lane ready again when its delay ends, or its rates allow, if it has deliveries.
    pub fn rest(&mut self, id: i64, now: Now) {
        let entry = self.by_id.get_mut(&id);
        if let Some(until) = entry.and_then(|entry| entry.lane.rests_until(now.micros)) {
            self.rest_until(id, until, now);
        }
    }

    /// Makes a lane ready again at this time of day, if it has deliveries. It is counted from now on: the clock may be
    /// set meanwhile.
    pub fn rest_until(&mut self, id: i64, until_micros: i64, now: Now) {
        let rest = until_micros.saturating_sub(now.micros).max(0);
        let until = now.moment + Duration::from_micros(rest.unsigned_abs());
        let Some(entry) = self.by_id.get_mut(&id) else {
            return;
        };
        if !entry.lane.has_next() || entry.rests.is_some_and(|(earlier, _)| earlier <= until) {
            return;
        }
        self.last_rest += 1;
        if let Some((later, number)) = entry.rests.replace((until, self.last_rest)) {
            self.resting.remove(&(later, number, id));
        }
        self.resting.insert((until, self.last_rest, id));
    }

    /// Returns when the first lane with deliveries has rested.
    pub fn rests_until(&self) -> Option<Moment> {
        self.resting.first().map(|(until, ..)| *until)
    }

    /// Makes the lanes ready that have rested.
    pub fn end_rests(&mut self, now: Now) {
        while let Some((until, _, id)) = self.resting.first().copied()
            && now.is_past(until)
        {
            self.resting.pop_first();
            if let Some(entry) = self.by_id.get_mut(&id) {
                entry.rests = None;
            }
            self.make_ready(id);
        }
    }

    /// Takes the next lane that may have deliveries to send; parked lanes only if a thread for them is free, and then
    /// first.
    pub fn take_ready(&mut self, may_be_doubtful: bool) -> Option<i64> {
        if may_be_doubtful && let Some(id) = self.parked.pop_front() {
            if let Some(entry) = self.by_id.get_mut(&id) {
                entry.is_parked = false;
            }
            return Some(id);
        }
        let id = self.ready.pop_front()?;
        if let Some(entry) = self.by_id.get_mut(&id) {
            entry.is_ready = false;
        }
        Some(id)
    }

    /// Returns the last survey.
    pub fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Sets when a lane may claim next, until the next survey.
    pub fn expect_first_due(&mut self, at_micros: Option<i64>) {
        self.survey.first_due = at_micros;
    }

    /// Returns how long the next survey has to wait, so that surveys take only a part of the time.
    pub fn until_survey(&self, now: Now) -> Duration {
        now.until(self.surveyed_at + self.survey_took * SURVEY_GAP)
    }

    /// Surveys all lanes.
    pub fn take_survey(&mut self, now_micros: i64) {
        self.survey = Survey::of(self.by_id.values(), self.share(), now_micros);
    }

    /// Notes that a survey ended now, and how long it took.
    pub fn surveyed(&mut self, now: Now, took: Duration) {
        self.surveyed_at = now.moment;
        self.survey_took = took;
    }
}
