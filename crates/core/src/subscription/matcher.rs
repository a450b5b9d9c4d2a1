//! The matcher: finds the subscriptions that get an event.
//!
//! It sits between log and dispatch. It is compiled from all subscriptions, follows each change, and is asked for every
//! event. The cost of asking must grow only with the number of matching subscriptions; an event of one tenant or none
//! must never reach another tenant's subscription; and no fault in the index may add or lose a match: the index only
//! proposes, and [`Glob::matches`] decides.

use std::collections::{BTreeMap, HashMap};

use crate::subscription::compiled::Subscription;
use crate::subscription::globs::{Glob, TypeGlobs, is_operational};

/// A subscription's place in the slice that the matcher was compiled from.
pub type SubscriptionIndex = usize;

/// All subscriptions, indexed by tenant and by the beginning or end of their globs.
///
/// ```
/// use herald_core::subscription::matcher::Matcher;
/// use herald_core::subscription::SubscriptionOptions;
/// use herald_core::egress::url_policy::UrlPolicy;
///
/// let subscriptions = ["order.*", "invoice.paid", "*"].map(|glob| {
///     let options = SubscriptionOptions::new("shop", "https://example.com/");
///     SubscriptionOptions { types: vec![glob.into()], ..options }.compile(&UrlPolicy::default()).unwrap()
/// });
/// let matcher = Matcher::new(&subscriptions);
/// assert_eq!(matcher.matching("order.paid", None), [0, 2]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    /// Subscriptions without a tenant, which get events of every tenant and of none.
    for_everybody: TypeIndex,
    by_tenant: HashMap<String, TypeIndex>,
}

impl Matcher {
    /// Compiles subscriptions; [`matching`](Self::matching) returns their places.
    pub fn new<'a>(subscriptions: impl IntoIterator<Item = &'a Subscription>) -> Matcher {
        let mut matcher = Matcher::default();
        for (index, subscription) in subscriptions.into_iter().enumerate() {
            matcher.insert(index, subscription);
        }
        matcher
    }

    /// Adds a subscription at its own place, in any state: the matcher cannot know since when it is disabled.
    pub fn insert(&mut self, index: SubscriptionIndex, subscription: &Subscription) {
        let type_index = match &subscription.tenant {
            None => &mut self.for_everybody,
            Some(tenant) => self.by_tenant.entry(tenant.clone()).or_default(),
        };
        for glob in subscription.types.iter() {
            type_index.insert(glob, index);
        }
    }

    /// Removes a subscription, given as it was added.
    ///
    /// ```
    /// use herald_core::subscription::matcher::Matcher;
    /// use herald_core::subscription::SubscriptionOptions;
    /// use herald_core::egress::url_policy::UrlPolicy;
    ///
    /// let options = SubscriptionOptions::new("shop", "https://example.com/");
    /// let subscription = options.compile(&UrlPolicy::default()).unwrap();
    /// let mut matcher = Matcher::new([&subscription]);
    /// matcher.remove(0, &subscription);
    /// assert!(matcher.matching("order.paid", None).is_empty());
    /// ```
    pub fn remove(&mut self, index: SubscriptionIndex, subscription: &Subscription) {
        let type_index = match &subscription.tenant {
            None => Some(&mut self.for_everybody),
            Some(tenant) => self.by_tenant.get_mut(tenant),
        };
        let Some(type_index) = type_index else {
            return;
        };
        for glob in subscription.types.iter() {
            type_index.remove(glob, index);
        }
        if let Some(tenant) = &subscription.tenant
            && self.by_tenant.get(tenant).is_some_and(TypeIndex::is_empty)
        {
            self.by_tenant.remove(tenant);
        }
    }

    /// Returns the subscriptions that get an event of this type and tenant, in ascending order, each once.
    ///
    /// ```
    /// use herald_core::subscription::matcher::Matcher;
    ///
    /// assert!(Matcher::default().matching("order.paid", None).is_empty());
    /// ```
    pub fn matching(&self, event_type: &str, tenant: Option<&str>) -> Vec<SubscriptionIndex> {
        let mut matching = Vec::new();
        self.matching_into(event_type, tenant, &mut matching);
        matching
    }

    /// Runs [`matching`](Self::matching) into a vector, cleared first, to spare an allocation per event.
    pub fn matching_into(
        &self,
        event_type: &str,
        tenant: Option<&str>,
        matching: &mut Vec<SubscriptionIndex>,
    ) {
        matching.clear();
        self.for_everybody.collect(event_type, matching);
        if let Some(type_index) = tenant.and_then(|tenant| self.by_tenant.get(tenant)) {
            type_index.collect(event_type, matching);
        }
        matching.sort_unstable();
        matching.dedup();
    }
}

/// The events that one subscription wants: the [`Matcher`]'s decision for a single subscription.
///
/// ```
/// use herald_core::subscription::matcher::{Refusal, Wanted};
///
/// let wanted = Wanted::new(&["order.*".into()], Some("acme".into()));
/// assert_eq!(wanted.refusal("order.paid", Some("acme")), None);
/// assert_eq!(wanted.refusal("order.paid", None), Some(Refusal::Tenant));
/// assert_eq!(wanted.refusal("invoice.paid", Some("acme")), Some(Refusal::Types));
/// assert_eq!(
///     wanted.words(Refusal::Types, "invoice.paid", Some("acme")),
///     r#"types: "invoice.paid" is matched by none of "order.*""#
/// );
/// ```
#[derive(Debug, Clone)]
pub struct Wanted {
    types: TypeGlobs,
    tenant: Option<String>,
}

/// The rule that keeps an event from a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The event belongs to another tenant, or to none.
    Tenant,
    Types,
}

impl Wanted {
    /// Creates the rules. Types that cannot be read match every event, as in a
    /// [held](crate::subscription::options::SubscriptionOptions::held) subscription.
    pub fn new(types: &[String], tenant: Option<String>) -> Wanted {
        Wanted {
            types: TypeGlobs::parse(types).unwrap_or_else(|_| TypeGlobs::everything()),
            tenant,
        }
    }

    /// Returns the rule that keeps an event of this type and tenant from the subscription.
    pub fn refusal(&self, event_type: &str, tenant: Option<&str>) -> Option<Refusal> {
        let own = self.tenant.as_deref();
        if own.is_some() && own != tenant {
            return Some(Refusal::Tenant);
        }
        (!self.types.matches(event_type)).then_some(Refusal::Types)
    }

    /// Describes the refusal in words.
    pub fn words(&self, refusal: Refusal, event_type: &str, tenant: Option<&str>) -> String {
        let own = self.tenant.as_deref().unwrap_or_default();
        match (refusal, tenant) {
            (Refusal::Tenant, None) => {
                format!("tenant: the subscription is for {own:?} and the event has none")
            }
            (Refusal::Tenant, Some(other)) => {
                format!("tenant: the subscription is for {own:?} and the event is of {other:?}")
            }
            (Refusal::Types, _) if is_operational(event_type) => {
                "types: operational events are matched only by globs that begin with herald."
                    .to_owned()
            }
            (Refusal::Types, _) => {
                let globs = self
                    .types
                    .iter()
                    .map(|glob| format!("{:?}", glob.to_string()));
                let globs = globs.collect::<Vec<_>>().join(", ");
                format!("types: {event_type:?} is matched by none of {globs}")
            }
        }
    }
}

/// Globs of subscriptions, each filed under the key that proposes it for the fewest types.
#[derive(Debug, Clone, Default)]
struct TypeIndex {
    exact: HashMap<String, Vec<SubscriptionIndex>>,
    heads: AffixIndex,
    tails: AffixIndex,
    /// Globs such as `*` and `*paid*`, which any type may match.
    anywhere: Vec<Entry>,
}

#[derive(Debug, Clone)]
struct Entry {
    glob: Glob,
    index: SubscriptionIndex,
}

impl TypeIndex {
    fn insert(&mut self, glob: &Glob, index: SubscriptionIndex) {
        let entry = Entry {
            glob: glob.clone(),
            index,
        };
        let head = glob.head();
        match glob.tail() {
            None => self.exact.entry(head.into()).or_default().push(index),
            Some("") if head.is_empty() => self.anywhere.push(entry),
            Some(tail) if tail.len() > head.len() => self.tails.insert(tail, entry),
            Some(_) if head.is_empty() => self.anywhere.push(entry),
            Some(_) => self.heads.insert(head, entry),
        }
    }

    fn remove(&mut self, glob: &Glob, index: SubscriptionIndex) {
        let head = glob.head();
        match glob.tail() {
            None => {
                if let Some(indexes) = self.exact.get_mut(head) {
                    indexes.retain(|other| *other != index);
                    if indexes.is_empty() {
                        self.exact.remove(head);
                    }
                }
            }
            Some("") if head.is_empty() => self.anywhere.retain(|entry| entry.index != index),
            Some(tail) if tail.len() > head.len() => self.tails.remove(tail, index),
            Some(_) if head.is_empty() => self.anywhere.retain(|entry| entry.index != index),
            Some(_) => self.heads.remove(head, index),
        }
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty()
            && self.heads.by_affix.is_empty()
            && self.tails.by_affix.is_empty()
            && self.anywhere.is_empty()
    }

    fn collect(&self, event_type: &str, matching: &mut Vec<SubscriptionIndex>) {
        matching.extend(self.exact.get(event_type).into_iter().flatten());
        let bytes = event_type.as_bytes();
        let heads = self.heads.propose(bytes.len(), |length| &bytes[..length]);
        let tails = self
            .tails
            .propose(bytes.len(), |length| &bytes[bytes.len() - length..]);
        let proposed = heads.chain(tails).chain(&self.anywhere);
        matching.extend(
            proposed
                .filter(|entry| entry.glob.matches(event_type))
                .map(|entry| entry.index),
        );
    }
}

/// Globs by the beginning (or end) of their types, looked up once for each length that occurs.
#[derive(Debug, Clone, Default)]
struct AffixIndex {
    /// The number of affixes of each length. Types are short, so lengths are few.
    lengths: BTreeMap<usize, usize>,
    by_affix: HashMap<Vec<u8>, Vec<Entry>>,
}

impl AffixIndex {
    fn insert(&mut self, affix: &str, entry: Entry) {
        let entries = self.by_affix.entry(affix.into()).or_default();
        if entries.is_empty() {
            *self.lengths.entry(affix.len()).or_default() += 1;
        }
        entries.push(entry);
    }

    fn remove(&mut self, affix: &str, index: SubscriptionIndex) {
        let Some(entries) = self.by_affix.get_mut(affix.as_bytes()) else {
            return;
        };
        entries.retain(|entry| entry.index != index);
        if entries.is_empty() {
            self.by_affix.remove(affix.as_bytes());
            if let Some(affixes) = self.lengths.get_mut(&affix.len()) {
                *affixes -= 1;
                if *affixes == 0 {
                    self.lengths.remove(&affix.len());
                }
            }
        }
    }

    fn propose<'a>(
        &'a self,
        longest: usize,
        affix_of: impl Fn(usize) -> &'a [u8],
    ) -> impl Iterator<Item = &'a Entry> {
        let lengths = self
            .lengths
            .keys()
            .take_while(move |length| **length <= longest);
        lengths
            .filter_map(move |length| self.by_affix.get(affix_of(*length)))
            .flatten()
    }
}

#[cfg(test)]
mod tests;
