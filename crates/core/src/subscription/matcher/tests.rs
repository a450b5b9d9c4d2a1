//! Tests the matcher against the rules, a scan of all subscriptions, and a newly compiled matcher.

use proptest::prelude::*;

use super::*;
use crate::egress::url_policy::UrlPolicy;
use crate::subscription::{State, SubscriptionOptions};

fn subscription(types: &[&str], tenant: Option<&str>) -> Subscription {
    let options = SubscriptionOptions {
        types: types.iter().map(|glob| (*glob).into()).collect(),
        tenant: tenant.map(str::to_owned),
        ..SubscriptionOptions::new("shop", "https://example.com/")
    };
    options.compile(&UrlPolicy::default()).unwrap()
}

/// Describes the rule that keeps the event from the subscription.
fn why_not(subscription: &Subscription, event_type: &str, tenant: Option<&str>) -> Option<String> {
    let types: Vec<String> = subscription.types.iter().map(ToString::to_string).collect();
    let wanted = Wanted::new(&types, subscription.tenant.clone());
    let refusal = wanted.refusal(event_type, tenant)?;
    Some(wanted.words(refusal, event_type, tenant))
}

#[test]
fn an_event_never_reaches_another_tenants_subscription() {
    let subscriptions =
        [Some("a"), Some("b"), None].map(|tenant| subscription(&["*", "t", "t*", "*t"], tenant));
    let matcher = Matcher::new(&subscriptions);
    assert_eq!(matcher.matching("t", Some("a")), [0, 2]);
    assert_eq!(matcher.matching("t", Some("b")), [1, 2]);
    assert_eq!(matcher.matching("t", Some("c")), [2]);
    assert_eq!(matcher.matching("t", Some("")), [2]);
    assert_eq!(matcher.matching("t", None), [2]);
}

#[test]
fn subscriptions_match_in_every_state() {
    let mut subscriptions = [(); 3].map(|()| subscription(&["*"], None));
    subscriptions[0].state = State::Disabled;
    subscriptions[1].state = State::Paused;
    assert_eq!(Matcher::new(&subscriptions).matching("t", None), [0, 1, 2]);
}

#[test]
fn a_subscription_with_several_fitting_globs_is_named_once() {
    let subscriptions = [subscription(&["*", "a.b", "a.*", "*.b", "*a*"], None)];
    assert_eq!(Matcher::new(&subscriptions).matching("a.b", None), [0]);
}

#[test]
fn operational_events_go_only_to_those_who_name_them() {
    let subscriptions =
        [&["*"][..], &["herald.*"], &["*.disabled"]].map(|types| subscription(types, None));
    assert_eq!(
        Matcher::new(&subscriptions).matching("herald.subscription.disabled", None),
        [1]
    );
    assert!(
        why_not(&subscriptions[0], "herald.x", None)
            .unwrap()
            .contains("operational")
    );
}

#[test]
fn a_refusal_names_the_tenants() {
    let subscription = subscription(&["*"], Some("a"));
    let words = why_not(&subscription, "t", Some("b")).unwrap();
    assert_eq!(
        words,
        r#"tenant: the subscription is for "a" and the event is of "b""#
    );
    assert!(
        why_not(&subscription, "t", None)
            .unwrap()
            .contains("has none")
    );
}

#[test]
fn types_are_cut_at_any_byte() {
    let subscriptions = [
        subscription(&["a*"], None),
        subscription(&["*é"], None),
        subscription(&["ab*"], None),
    ];
    assert_eq!(Matcher::new(&subscriptions).matching("aé", None), [0, 1]);
}

proptest! {
    #[test]
    fn the_index_agrees_with_asking_each_subscription(
        wanted in proptest::collection::vec(
            (proptest::collection::vec("(herald[.])?[ab.*é]{1,6}", 1..4), proptest::option::of("[ab]")), 0..20),
        event_type in "(herald[.])?[ab.é]{0,6}",
        tenant in proptest::option::of("[ab]"),
    ) {
        let subscriptions: Vec<_> = wanted.iter().map(|(types, tenant)| {
            subscription(&types.iter().map(String::as_str).collect::<Vec<_>>(), tenant.as_deref())
        }).collect();
        let asked: Vec<_> = (0..subscriptions.len()).filter(|index| {
            why_not(&subscriptions[*index], &event_type, tenant.as_deref()).is_none()
        }).collect();
        prop_assert_eq!(Matcher::new(&subscriptions).matching(&event_type, tenant.as_deref()), asked);
    }

    #[test]
    fn a_changed_matcher_equals_a_recompiled_one(
        wanted in proptest::collection::vec(
            (proptest::collection::vec("(herald[.])?[ab.*]{1,4}", 1..4), proptest::option::of("[ab]"), any::<bool>()), 0..20),
        event_type in "(herald[.])?[ab.]{0,4}",
        tenant in proptest::option::of("[ab]"),
    ) {
        let subscriptions: Vec<_> = wanted.iter().map(|(types, tenant, _)| {
            subscription(&types.iter().map(String::as_str).collect::<Vec<_>>(), tenant.as_deref())
        }).collect();
        let mut matcher = Matcher::new(&subscriptions);
        for (index, subscription) in subscriptions.iter().enumerate() {
            matcher.remove(index, subscription);
        }
        prop_assert!(matcher.for_everybody.is_empty() && matcher.by_tenant.is_empty(), "something is left");
        let kept = || subscriptions.iter().enumerate().filter(|(index, _)| wanted[*index].2);
        for (index, subscription) in kept() {
            matcher.insert(index, subscription);
        }
        let asked: Vec<_> = kept().filter(|(_, subscription)| {
            why_not(subscription, &event_type, tenant.as_deref()).is_none()
        }).map(|(index, _)| index).collect();
        prop_assert_eq!(matcher.matching(&event_type, tenant.as_deref()), asked);
    }
}
