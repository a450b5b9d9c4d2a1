//! The matcher: finds the subscriptions that get an event.
//!
//! It sits between log and dispatch. It is compiled from all subscriptions, follows each change, and is asked for every
//! event. The cost of asking must grow only with the number of matching subscriptions; an event of one tenant or none
//! must never reach another tenant's subscription; and no fault in the index may add or lose a match: the index only
//! proposes, and [`Wanted`] decides.

mod type_index;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use self::type_index::{Proposed, TypeIndex};
use crate::event::Event;
use crate::filter::{Paths, Unreadable, View};
use crate::subscription::compiled::Subscription;
use crate::subscription::wanted::Wanted;

/// At most this many bytes of data are read again for one event and group, for filters that are asked alone.
const MAX_REREAD_BYTES: usize = 4_194_304;

/// A subscription's place in the slice that the matcher was compiled from.
pub type SubscriptionIndex = usize;

/// All subscriptions, indexed by tenant, by the beginning or end of their globs, and by what their filters need.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::subscription::matcher::Matcher;
/// use herald_core::subscription::SubscriptionOptions;
/// use herald_core::egress::url_policy::UrlPolicy;
///
/// let subscriptions = ["order.*", "invoice.paid", "*"].map(|glob| {
///     let options = SubscriptionOptions::new("shop", "https://example.com/");
///     SubscriptionOptions { types: vec![glob.into()], ..options }.compile(&UrlPolicy::default()).unwrap()
/// });
/// let matcher = Matcher::new(&subscriptions);
/// assert_eq!(matcher.matching(&Event::new("1", "/shop", "order.paid", 0)), [0, 2]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    /// Subscriptions without a tenant, which get events of every tenant and of none.
    for_everybody: Group,
    by_tenant: HashMap<String, Group>,
}

/// The subscriptions of one tenant, or of none. What its filters ask for costs no other group anything.
#[derive(Debug, Clone, Default)]
struct Group {
    types: TypeIndex,
    /// Those with a filter.
    filtered: BTreeMap<SubscriptionIndex, Arc<Wanted>>,
    /// The paths into the data that their filters ask for.
    paths: Paths,
}

/// The subscriptions of an event, in ascending order, each once.
#[derive(Debug, Default)]
pub struct Found {
    pub matching: Vec<SubscriptionIndex>,
    /// Those whose filters cannot be asked, because the event's data cannot be read.
    pub undecided: Vec<SubscriptionIndex>,
    proposed: Proposed,
}

impl Matcher {
    /// Compiles subscriptions; [`matching`](Self::matching) returns their places.
    pub fn new<'a>(subscriptions: impl IntoIterator<Item = &'a Subscription>) -> Matcher {
        let mut matcher = Matcher::default();
        for (index, subscription) in subscriptions.into_iter().enumerate() {
            matcher.insert(index, &subscription.wanted);
        }
        matcher
    }

    /// Adds a subscription at its own place, in any state: the matcher cannot know since when it is disabled.
    pub fn insert(&mut self, index: SubscriptionIndex, wanted: &Arc<Wanted>) {
        let group = match &wanted.tenant {
            None => &mut self.for_everybody,
            Some(tenant) => self.by_tenant.entry(tenant.clone()).or_default(),
        };
        for glob in wanted.types.iter() {
            group.types.insert(glob, wanted.filter.as_ref(), index);
        }
        if let Some(filter) = &wanted.filter {
            group.filtered.insert(index, Arc::clone(wanted));
            group.paths.extend(filter.paths());
        }
    }

    /// Removes a subscription, given as it was added.
    ///
    /// ```
    /// use herald_core::event::Event;
    /// use herald_core::subscription::matcher::Matcher;
    /// use herald_core::subscription::SubscriptionOptions;
    /// use herald_core::egress::url_policy::UrlPolicy;
    ///
    /// let options = SubscriptionOptions::new("shop", "https://example.com/");
    /// let subscription = options.compile(&UrlPolicy::default()).unwrap();
    /// let mut matcher = Matcher::new([&subscription]);
    /// matcher.remove(0, &subscription.wanted);
    /// assert!(matcher.matching(&Event::new("1", "/shop", "order.paid", 0)).is_empty());
    /// ```
    pub fn remove(&mut self, index: SubscriptionIndex, wanted: &Wanted) {
        let group = match &wanted.tenant {
            None => Some(&mut self.for_everybody),
            Some(tenant) => self.by_tenant.get_mut(tenant),
        };
        let Some(group) = group else {
            return;
        };
        for glob in wanted.types.iter() {
            group.types.remove(glob, index);
        }
        if let Some(filter) = &wanted.filter
            && group.filtered.remove(&index).is_some()
        {
            group.paths.remove(filter.paths());
        }
        if let Some(tenant) = &wanted.tenant
            && group.types.is_empty()
        {
            self.by_tenant.remove(tenant);
        }
    }

    /// Returns whether the filter of any subscription may look at an event's data.
    pub fn asks_for_data(&self) -> bool {
        let groups = self.by_tenant.values().chain([&self.for_everybody]);
        groups.into_iter().any(|group| !group.paths.is_empty())
    }

    /// Returns the subscriptions that get this event, in ascending order, each once.
    pub fn matching(&self, event: &Event) -> Vec<SubscriptionIndex> {
        let mut found = Found::default();
        self.find(event, &mut found);
        found.matching
    }

    /// Finds the subscriptions of an event. Takes a result that is cleared first, to spare allocations per event.
    pub fn find(&self, event: &Event, found: &mut Found) {
        found.matching.clear();
        found.undecided.clear();
        self.for_everybody.find(event, found);
        let tenant = event.tenant.as_ref();
        if let Some(group) = tenant.and_then(|tenant| self.by_tenant.get(tenant)) {
            group.find(event, found);
        }
        for indexes in [&mut found.matching, &mut found.undecided] {
            indexes.sort_unstable();
            indexes.dedup();
        }
    }
}

impl Group {
    fn find(&self, event: &Event, found: &mut Found) {
        let view = View::new(event, &self.paths);
        let Found {
            matching,
            undecided,
            proposed,
        } = found;
        self.types.propose(&event.r#type, &view, proposed);
        matching.append(&mut proposed.plain);
        let data = event.data.as_ref().map_or(0, String::len);
        let mut rereads = MAX_REREAD_BYTES / data.max(1);
        proposed.filtered.sort_unstable();
        proposed.filtered.dedup();
        for index in proposed.filtered.drain(..) {
            let Some(wanted) = self.filtered.get(&index) else {
                continue;
            };
            if !wanted.types.matches(&event.r#type) {
                continue;
            }
            let mut passes = wanted.passes(&view);
            if let (Err(Unreadable::TooMany), Some(filter)) = (passes, &wanted.filter)
                && rereads > 0
            {
                // The filters together ask for too much of the data, and this one perhaps does not.
                rereads -= 1;
                passes = filter.matches(&view.with(filter.paths()));
            }
            match passes {
                Ok(true) => matching.push(index),
                Ok(false) => {}
                Err(_) => undecided.push(index),
            }
        }
    }
}

#[cfg(test)]
impl Group {
    /// Returns how many filters are asked about an event.
    fn proposed(&self, event: &Event) -> usize {
        let mut proposed = Proposed::default();
        let view = View::new(event, &self.paths);
        self.types.propose(&event.r#type, &view, &mut proposed);
        proposed.filtered.len()
    }
}

#[cfg(test)]
mod tests;
