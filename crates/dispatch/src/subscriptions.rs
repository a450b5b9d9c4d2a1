//! The worker's copy of the subscriptions, as of one snapshot, which finds those that an event goes to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use herald_core::attempt::retry::DeadReason;
use herald_core::egress::agent::AgentKey;
use herald_core::event::Event;
use herald_core::filter::MAX_DATA_BYTES;
use herald_core::snapshot::Snapshot;
use herald_core::subscription::matcher::{Found, Matcher};
use herald_core::subscription::{State, Subscription};

use crate::former::{Former, Unchanged};
use crate::limits::Limits;
use crate::log::{Logged, Window};

/// A subscription, and the time for which it gets events.
#[derive(Debug)]
pub struct Loaded {
    pub config: Arc<Subscription>,
    pub agent: AgentKey,
    pub since: Since,
    /// What it wanted before, oldest first, as far as an open window may ask.
    pub former: Vec<Former>,
    /// Its receiver has to consent first and has not.
    pub lacks_consent: bool,
    /// Why nothing can be sent although the subscription is active: its secret is gone, or its URL is no longer
    /// allowed.
    pub obstacle: Option<String>,
    /// When the first of its secrets expires, in microseconds since 1970.
    pub secret_ends_at: Option<i64>,
    /// Since when its breaker is open, in microseconds since 1970, as far as recorded.
    pub open_since: Option<i64>,
    /// Until when its receiver asked for a delay, in microseconds since 1970, as far as recorded.
    pub spare_until: Option<i64>,
}

/// When a subscription was created, and disabled. It gets the events that became visible in between.
#[derive(Debug)]
pub struct Since {
    pub xid: u64,
    pub snapshot: Snapshot,
    pub seq: i64,
    pub disabled_xid: Option<u64>,
}

/// All subscriptions, as of one snapshot.
#[derive(Debug)]
pub struct Subscriptions {
    /// Each subscription keeps its place while it exists: the matcher refers to it by place.
    places: Vec<Option<Loaded>>,
    free_places: Vec<usize>,
    by_id: BTreeMap<i64, usize>,
    matcher: Matcher,
    /// The places of subscriptions that wanted something else before.
    with_former: BTreeSet<usize>,
    /// The places of subscriptions that leave some events to others.
    leaving_some: BTreeSet<usize>,
    pub snapshot: Snapshot,
    /// The largest data that any subscription takes, or any filter looks at, in bytes.
    pub largest: i32,
    /// The limits that they share.
    pub limits: Limits,
    first_secret_ends_at: i64,
    /// Subscriptions whose receivers have to be asked first.
    pub without_consent: BTreeSet<i64>,
    /// Data to read although no notice in the database asks for it.
    demanded: Wanted,
    /// Changes that were read but not yet adopted by the lanes.
    changed: Changed,
}

/// Data to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub everything: bool,
    pub limits: bool,
    pub ids: BTreeSet<i64>,
}

/// The changes that notices report.
#[derive(Debug, Default)]
pub struct Changes {
    pub wanted: Wanted,
    /// Subscriptions whose pending deliveries changed.
    pub pending: BTreeSet<i64>,
    /// Pending deliveries of any subscription may have changed.
    pub any_pending: bool,
}

/// The state to go back to if the transaction that reads on fails.
#[derive(Debug)]
pub struct AsOf {
    snapshot: Snapshot,
    demanded: Wanted,
}

/// Changes that were read: new, changed or removed subscriptions, and whether the shared limits are among them.
#[derive(Debug, Default)]
pub struct Changed {
    pub ids: Vec<i64>,
    pub limits: bool,
}

impl Wanted {
    pub fn is_empty(&self) -> bool {
        !self.everything && !self.limits && self.ids.is_empty()
    }

    pub fn add(&mut self, other: &Wanted) {
        self.everything |= other.everything;
        self.limits |= other.limits;
        self.ids.extend(&other.ids);
    }
}

impl Subscriptions {
    /// Returns an empty copy: the first look reads the subscriptions.
    pub fn unloaded() -> Self {
        Self {
            places: Vec::new(),
            free_places: Vec::new(),
            by_id: BTreeMap::new(),
            matcher: Matcher::default(),
            with_former: BTreeSet::new(),
            leaving_some: BTreeSet::new(),
            snapshot: Snapshot::before_everything(),
            largest: 0,
            limits: Limits::none(),
            first_secret_ends_at: i64::MAX,
            without_consent: BTreeSet::new(),
            demanded: Wanted {
                everything: true,
                ..Wanted::default()
            },
            changed: Changed::default(),
        }
    }

    /// Returns what has to be read although no notice asks for it: nothing was read yet, or a secret's grace period or
    /// a month is over.
    pub fn wanted(&self, now_micros: i64) -> Wanted {
        let mut wanted = self.demanded.clone();
        wanted.limits |= self.limits.quotas_end_at <= now_micros;
        if self.first_secret_ends_at <= now_micros {
            let ended = self
                .iter()
                .filter(|loaded| loaded.secret_ends_at.is_some_and(|end| end <= now_micros));
            wanted.ids.extend(ended.map(|loaded| loaded.config.id));
        }
        wanted
    }

    /// Makes the next look read all subscriptions again: things outside the database that they depend on may have
    /// changed.
    pub fn expire(&mut self) {
        self.demanded.everything = true;
    }

    /// Makes the next look read this subscription again.
    pub fn expire_one(&mut self, id: i64) {
        self.demanded.ids.insert(id);
    }

    /// Makes the next look read the shared limits again.
    pub fn expire_limits(&mut self) {
        self.demanded.limits = true;
    }

    /// Returns whether it is known that no subscription exists. Disabled ones count: the looks made meanwhile decide
    /// which events they missed.
    pub fn is_nobody_there(&self) -> bool {
        self.by_id.is_empty() && self.demanded.is_empty()
    }

    /// Returns the ids of the known subscriptions.
    pub fn ids(&self) -> impl Iterator<Item = i64> + '_ {
        self.by_id.keys().copied()
    }

    /// Adopts these limits.
    pub fn put_limits(&mut self, limits: Limits) {
        self.limits = limits;
        self.changed.limits = true;
    }

    /// Replaces the subscriptions with these ids by `read`, which has those that exist.
    pub fn put_all(&mut self, ids: &[i64], read: Vec<Loaded>) {
        let mut read: BTreeMap<i64, Loaded> = read
            .into_iter()
            .map(|loaded| (loaded.config.id, loaded))
            .collect();
        for id in ids {
            self.put(*id, read.remove(id));
        }
        self.changed.ids.extend(ids);
    }

    /// Notes that everything wanted was read, as of this snapshot.
    pub fn mark_up_to_date(&mut self, snapshot: Snapshot) {
        self.demanded = Wanted::default();
        self.snapshot = snapshot;
        self.summarize();
    }

    /// Returns the current state, to go back to.
    pub fn as_of(&self) -> AsOf {
        AsOf {
            snapshot: self.snapshot.clone(),
            demanded: self.demanded.clone(),
        }
    }

    /// Goes back after a failed transaction: what it read is read again. Until then the lanes and the accounts continue
    /// without it.
    pub fn go_back(&mut self, as_of: AsOf) {
        (self.snapshot, self.demanded) = (as_of.snapshot, as_of.demanded);
    }

    /// Takes the changes that were read since the last call.
    pub fn take_changed(&mut self) -> Changed {
        std::mem::take(&mut self.changed)
    }

    pub fn has_changed(&self) -> bool {
        self.changed.limits || !self.changed.ids.is_empty()
    }

    /// Sets the subscription with this id; `None` if it no longer exists.
    fn put(&mut self, id: i64, loaded: Option<Loaded>) {
        let place = self.by_id.get(&id).copied();
        if let Some(place) = place
            && let Some(former) = self.places[place].take()
        {
            self.matcher.remove(place, &former.config.wanted);
            self.with_former.remove(&place);
            self.leaving_some.remove(&place);
        }
        match (place, loaded) {
            (None, None) => {}
            (Some(place), None) => {
                self.by_id.remove(&id);
                self.free_places.push(place);
            }
            (place, Some(loaded)) => {
                let place = place.or_else(|| self.free_places.pop()).unwrap_or_else(|| {
                    self.places.push(None);
                    self.places.len() - 1
                });
                self.matcher.insert(place, &loaded.config.wanted);
                if !loaded.former.is_empty() {
                    self.with_former.insert(place);
                }
                if loaded.config.wanted.leaves_some() {
                    self.leaving_some.insert(place);
                }
                self.by_id.insert(id, place);
                self.places[place] = Some(loaded);
            }
        }
    }

    /// Computes the values that concern all subscriptions together.
    fn summarize(&mut self) {
        let (mut largest, mut first_end, mut without_consent) = (0, i64::MAX, BTreeSet::new());
        for loaded in self.iter() {
            largest = largest.max(loaded.config.max_payload);
            first_end = first_end.min(loaded.secret_ends_at.unwrap_or(i64::MAX));
            if loaded.lacks_consent && loaded.config.state == State::Active {
                without_consent.insert(loaded.config.id);
            }
        }
        self.largest = i32::try_from(largest).unwrap_or(i32::MAX);
        if self.matcher.asks_for_data() {
            self.largest = self.largest.max(MAX_DATA_BYTES);
        }
        self.first_secret_ends_at = first_end;
        self.without_consent = without_consent;
    }

    pub fn iter(&self) -> impl Iterator<Item = &Loaded> {
        self.places.iter().flatten()
    }

    pub(crate) fn at(&self, place: usize) -> Option<&Loaded> {
        self.places.get(place)?.as_ref()
    }

    pub fn by_id(&self, id: i64) -> Option<&Loaded> {
        self.places[*self.by_id.get(&id)?].as_ref()
    }

    /// Returns whether the URL or the handshake has changed since.
    pub fn is_outdated(&self, subscription: &Subscription) -> bool {
        self.by_id(subscription.id)
            .is_some_and(|loaded| loaded.config.generation != subscription.generation)
    }

    /// Returns whether the pending deliveries of this subscription have to be buried.
    pub fn is_ended(&self, id: i64) -> bool {
        self.by_id(id)
            .is_none_or(|loaded| loaded.config.state == State::Disabled)
    }

    /// Returns the subscriptions whose last changes this window does not show, as they were before.
    pub fn unchanged_in(&self, window: &Window) -> Unchanged {
        let changed = self.with_former.iter().filter_map(|place| {
            let loaded = self.places[*place].as_ref()?;
            Some((*place, loaded.former.as_slice()))
        });
        Unchanged::of(changed, window)
    }

    /// Forgets former states that no window asks for any more: `oldest` is the oldest snapshot of one.
    pub fn forget_former(&mut self, oldest: &Snapshot) {
        let places = &mut self.places;
        self.with_former.retain(|place| {
            let Some(loaded) = &mut places[*place] else {
                return false;
            };
            loaded
                .former
                .retain(|former| !oldest.shows(former.until_xid));
            !loaded.former.is_empty()
        });
    }

    /// Returns the subscriptions that an event of this window goes to, and those that it cannot go to, because its data
    /// cannot be read for their filters.
    pub fn matching<'a>(
        &'a self,
        logged: &'a Logged,
        window: &'a Window,
        unchanged: &mut Unchanged,
        found: &'a mut Found,
    ) -> impl Iterator<Item = (&'a Loaded, Fate)> {
        self.matcher.find(&logged.event, found);
        unchanged.correct(&logged.event, found);
        if unchanged.leaves_some || !self.leaving_some.is_empty() {
            self.leave_to_takers(logged, window, unchanged, found);
        }
        let matching = found.matching.iter().map(|place| (place, Fate::Sent));
        let undecided = found.undecided.iter();
        let undecided = undecided.map(|place| (place, Fate::undecided(&logged.event)));
        matching
            .chain(undecided)
            .filter_map(|(place, fate)| Some((self.places[*place].as_ref()?, fate)))
            .filter(move |(loaded, _)| loaded.since.gets(logged, window))
    }
}

/// What becomes of an event for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Sent,
    /// A filter cannot decide, so that people have to.
    Buried(DeadReason),
}

impl Fate {
    fn undecided(event: &Event) -> Self {
        let is_loaded = event.data.is_some() || event.size == 0;
        Self::Buried(if is_loaded {
            DeadReason::Poison
        } else {
            DeadReason::TooLarge
        })
    }
}

impl Loaded {
    /// Returns whether nothing may be sent to it now.
    pub fn is_held(&self) -> bool {
        !matches!(self.config.state, State::Active | State::Sandbox) || self.obstacle.is_some()
    }
}

impl Since {
    /// Returns a start before every window that is still to be read.
    pub fn ever() -> Self {
        Self {
            xid: 0,
            snapshot: Snapshot::before_everything(),
            seq: 0,
            disabled_xid: None,
        }
    }

    /// Returns whether the subscription existed when the event became visible: it gets the events of the windows that
    /// show it, except those from before its creation. The answer is the same whenever a window is read again.
    pub fn gets(&self, logged: &Logged, window: &Window) -> bool {
        let is_over = self.disabled_xid.is_some_and(|xid| window.to.shows(xid));
        if is_over || !window.to.shows(self.xid) {
            return false;
        }
        if logged.xid == self.xid {
            return logged.event.seq > self.seq;
        }
        // Events that this window adds to `from` are newer than a subscription that is older than `from`.
        self.snapshot.xmax() <= window.from.xmin() || !self.snapshot.shows(logged.xid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failed_transaction_read_is_read_again() {
        let mut subscriptions = Subscriptions::unloaded();
        let as_of = subscriptions.as_of();
        let before = subscriptions.snapshot.clone();
        subscriptions.put_limits(Limits::none());
        subscriptions.mark_up_to_date("9:9:".parse().unwrap());
        assert!(!subscriptions.wanted(0).everything);
        subscriptions.go_back(as_of);
        assert!(subscriptions.wanted(0).everything);
        assert_eq!(subscriptions.snapshot, before);
    }
}
