//! The selection of one subscription: whether it gets an event, beside the members of its group.
//!
//! The worker decides this for all subscriptions at once; `why`, `replay` and the like ask for one.

use crate::event::Event;
use crate::filter::{Unreadable, View};
use crate::subscription::split::{Member, taker};
use crate::subscription::wanted::Wanted;

/// A subscription, and the other members of its group.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::subscription::SubscriptionOptions;
/// use herald_core::subscription::selection::{Contender, Selection};
///
/// let [shop, crm] = [(1, "shop"), (2, "crm")].map(|(id, name)| {
///     let options = SubscriptionOptions::new(name, "").with_selecting(r#"{"split": {"group": "ab"}}"#);
///     Contender { id, name: name.into(), wanted: options.readable_wanted() }
/// });
/// let event = Event::new("1", "/shop", "order.paid", 0);
/// let selections = [(&shop, &crm), (&crm, &shop)].map(|(own, other)| Selection {
///     own: own.clone(),
///     others: vec![other.clone()],
/// });
/// let gets = selections.map(|selection| selection.gets(&event).unwrap());
/// assert!(gets[0] != gets[1]);
/// ```
#[derive(Debug, Clone)]
pub struct Selection {
    pub own: Contender,
    pub others: Vec<Contender>,
}

/// A subscription that may get an event.
#[derive(Debug, Clone)]
pub struct Contender {
    pub id: i64,
    pub name: String,
    pub wanted: Wanted,
}

impl Selection {
    /// Returns whether the subscription gets an event of its types and tenant. An error says that its filter cannot
    /// decide.
    pub fn gets(&self, event: &Event) -> Result<bool, Unreadable> {
        let wanted = &self.own.wanted;
        if !self.own.passes(event)? {
            return Ok(false);
        }
        let is_taker = wanted.split.is_none() || self.taker(event).is_none();
        Ok(is_taker && wanted.takes(event))
    }

    /// Describes the rule that keeps the event from the subscription; `None` if none does.
    pub fn why_not(&self, event: &Event) -> Option<String> {
        let wanted = &self.own.wanted;
        if let Some(refusal) = wanted.why_not(event) {
            return Some(refusal);
        }
        if let Some(split) = &wanted.split
            && let Some(other) = self.taker(event)
        {
            let by = match &event.key {
                Some(key) => format!("key {key:?}"),
                None => format!("id {:?}", event.id),
            };
            return Some(format!(
                "split: of group {:?}, {:?} gets it, by its {by}",
                split.group, other.name
            ));
        }
        if let Some(sample) = wanted.sample.filter(|sample| !sample.includes(event)) {
            return Some(format!(
                "sample: it gets one event in {}, and this is none of them",
                sample.one_in()
            ));
        }
        let is_outside = !wanted.is_within_hours(event);
        is_outside.then(|| "active_hours: the event was recorded outside of them".into())
    }

    /// Returns the other member that gets an event which the subscription wants; `None` if it gets it itself.
    fn taker(&self, event: &Event) -> Option<&Contender> {
        let others = self.others.iter().filter(|other| other.wants(event));
        let members = others.chain([&self.own]).filter_map(|contender| {
            Some(Member {
                subscription: contender.id,
                split: contender.wanted.split.as_ref()?,
                is_decided: contender.passes(event).is_ok(),
            })
        });
        let taker = taker(event, members)?;
        self.others.iter().find(|other| other.id == taker)
    }
}

impl Contender {
    /// Returns whether the event is of its group, its tenant and its types, and not refused by its filter.
    fn wants(&self, event: &Event) -> bool {
        let refusal = self.wanted.refusal(&event.r#type, event.tenant.as_deref());
        refusal.is_none() && self.passes(event).unwrap_or(true)
    }

    fn passes(&self, event: &Event) -> Result<bool, Unreadable> {
        match &self.wanted.filter {
            None => Ok(true),
            Some(filter) => filter.matches(&View::new(event, filter.paths())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscription::{State, SubscriptionOptions};

    fn contender(id: i64, options: &str) -> Contender {
        let options = SubscriptionOptions {
            state: State::Active,
            ..SubscriptionOptions::new("", "").with_selecting(options)
        };
        Contender {
            id,
            name: format!("shop-{id}"),
            wanted: options.readable_wanted(),
        }
    }

    fn event(number: usize, data: &str) -> Event {
        Event {
            data: Some(data.into()),
            size: 1,
            ..Event::new(&format!("event-{number}"), "/shop", "order.paid", 0)
        }
    }

    #[test]
    fn a_member_that_does_not_want_the_event_leaves_it_to_the_others() {
        let selection = Selection {
            own: contender(1, r#"{"split": {"group": "ab"}}"#),
            others: vec![contender(
                2,
                r#"{"split": {"group": "ab", "weight": 1000000}, "filter": {"data": {"a": 1}}}"#,
            )],
        };
        for number in 0..20 {
            assert_eq!(selection.gets(&event(number, r#"{"a": 2}"#)), Ok(true));
            assert_eq!(selection.gets(&event(number, r#"{"a": 1}"#)), Ok(false));
        }
    }

    #[test]
    fn the_rule_that_decided_is_named() {
        let event = event(7, r#"{"a": 1}"#);
        let own = r#"{"filter": {"data": {"a": 2}}, "split": {"group": "ab", "weight": 0}, "sample": 1000000}"#;
        let other = contender(2, r#"{"split": {"group": "ab"}}"#);
        let keyed = Event {
            key: Some("k".into()),
            ..event.clone()
        };
        let mut selection = Selection {
            own: contender(1, own),
            others: vec![other],
        };
        let words = selection.why_not(&event).unwrap();
        assert_eq!(words, "filter: data.a: 2, and it is 1");
        selection.own.wanted.filter = None;
        let words = selection.why_not(&event).unwrap();
        assert_eq!(
            words,
            r#"split: of group "ab", "shop-2" gets it, by its id "event-7""#
        );
        let words = selection.why_not(&keyed).unwrap();
        assert_eq!(
            words,
            r#"split: of group "ab", "shop-2" gets it, by its key "k""#
        );
        selection.others.clear();
        let words = selection.why_not(&event).unwrap();
        assert_eq!(
            words,
            "sample: it gets one event in 1000000, and this is none of them"
        );
        assert_eq!(selection.gets(&event), Ok(false));
        selection.own.wanted.sample = None;
        assert_eq!(selection.why_not(&event), None);
        assert_eq!(selection.gets(&event), Ok(true));
    }
}
