//! Which events a subscription wants: the decision for one subscription, which the
//! [`matcher`](crate::subscription::matcher) finds quickly for all.

use crate::event::Event;
use crate::filter::{Filter, Unreadable, View};
use crate::subscription::globs::{TypeGlobs, is_operational};
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
        }
    }

    /// Returns whether it may leave events that pass to others, or to nobody.
    pub fn leaves_some(&self) -> bool {
        self.split.is_some() || self.sample.is_some()
    }

    /// Returns whether the event is in its sample.
    pub fn samples(&self, event: &Event) -> bool {
        self.sample.is_none_or(|sample| sample.includes(event))
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
