//! Which events a subscription wants: the decision for one subscription, which the
//! [`matcher`](crate::subscription::matcher) finds quickly for all.

use std::sync::Arc;

use crate::event::Event;
use crate::event::uid::recorded_micros;
use crate::filter::{Filter, Unreadable, View};
use crate::subscription::globs::{TypeGlobs, is_operational};
use crate::subscription::hours::ActiveHours;
use crate::subscription::split::{Sample, Split};

/// The events that one subscription wants.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::subscription::wanted::{Refusal, Wanted};
///
/// let wanted = Wanted::new(&["order.*".into()], Some("acme".into()), None);
/// assert_eq!(wanted.refusal("order.paid", Some("acme")), None);
/// assert_eq!(wanted.refusal("order.paid", None), Some(Refusal::Tenant));
/// assert_eq!(wanted.refusal("invoice.paid", Some("acme")), Some(Refusal::Types));
/// let event = Event { tenant: Some("acme".into()), ..Event::new("1", "/shop", "invoice.paid", 0) };
/// assert_eq!(
///     wanted.why_not(&event).unwrap(),
///     r#"types: "invoice.paid" is matched by none of "order.*""#
/// );
/// ```
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The wanted types.
    pub types: TypeGlobs,
    /// The tenant whose events it gets; `None` for all events.
    pub tenant: Option<String>,
    /// What it asks of an event beside its type.
    pub filter: Option<Filter>,
    /// Its share in what the members of its group want.
    pub split: Option<Split>,
    /// The part of all this that it takes.
    pub sample: Option<Sample>,
    /// The times of day of what it takes; `None` for all.
    pub hours: Option<Arc<ActiveHours>>,
}

/// The rule that keeps an event from a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The event belongs to another tenant, or to none.
    Tenant,
    Types,
}

impl Wanted {
    /// Creates the rules, without a split and a sample. Types that cannot be read match every event, as in a
    /// [held](crate::subscription::options::SubscriptionOptions::held) subscription.
    pub fn new(types: &[String], tenant: Option<String>, filter: Option<Filter>) -> Wanted {
        Wanted {
            types: TypeGlobs::parse(types).unwrap_or_else(|_| TypeGlobs::everything()),
            tenant,
            filter,
            split: None,
            sample: None,
            hours: None,
        }
    }

    /// Returns whether it may leave events that pass to others, or to nobody.
    pub fn leaves_some(&self) -> bool {
        self.split.is_some() || self.sample.is_some() || self.hours.is_some()
    }

    /// Returns whether it takes an event that it wants, and that no other member of its group gets: the event is in its
    /// sample, and was recorded within its hours.
    pub fn takes(&self, event: &Event) -> bool {
        self.sample.is_none_or(|sample| sample.includes(event)) && self.is_within_hours(event)
    }

    /// Returns whether the event was recorded within its hours.
    pub fn is_within_hours(&self, event: &Event) -> bool {
        self.hours.as_ref().is_none_or(|hours| {
            let recorded = recorded_micros(&event.uid);
            recorded.is_none_or(|recorded| hours.is_open(recorded))
        })
    }

    /// Returns the rule beside the filter that keeps an event of this type and tenant from the subscription.
    pub fn refusal(&self, event_type: &str, tenant: Option<&str>) -> Option<Refusal> {
        let own = self.tenant.as_deref();
        if own.is_some() && own != tenant {
            return Some(Refusal::Tenant);
        }
        (!self.types.matches(event_type)).then_some(Refusal::Types)
    }

    /// Returns whether the event passes the filter.
    pub fn passes(&self, view: &View<'_>) -> Result<bool, Unreadable> {
        match &self.filter {
            None => Ok(true),
            Some(filter) => filter.matches(view),
        }
    }

    /// Describes the rule, up to the filter, that keeps the event from the subscription, and the value that it saw; `None`
    /// if none does. Data that cannot be read keeps no event from a subscription.
    pub fn why_not(&self, event: &Event) -> Option<String> {
        if let Some(refusal) = self.refusal(&event.r#type, event.tenant.as_deref()) {
            return Some(self.words(refusal, &event.r#type, event.tenant.as_deref()));
        }
        let filter = self.filter.as_ref()?;
        let refusal = filter
            .explain(&View::new(event, filter.paths()))
            .ok()
            .flatten()?;
        Some(format!(
            "filter: {}, and it is {}",
            refusal.rule, refusal.saw
        ))
    }

    /// Describes the refusal in words.
    fn words(&self, refusal: Refusal, event_type: &str, tenant: Option<&str>) -> String {
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
