//! Tests the matcher against the rules, a scan of all subscriptions, and a newly compiled matcher.

use proptest::prelude::*;

use super::*;
use crate::egress::url_policy::UrlPolicy;
use crate::filter::MAX_VALUES;
use crate::subscription::options::Json;
use crate::subscription::{State, SubscriptionOptions};

fn subscription(types: &[&str], tenant: Option<&str>) -> Subscription {
    filtered(types, tenant, None)
}

fn filtered(types: &[&str], tenant: Option<&str>, filter: Option<&str>) -> Subscription {
    let options = SubscriptionOptions {
        types: types.iter().map(|glob| (*glob).into()).collect(),
        tenant: tenant.map(str::to_owned),
        filter: filter.map(|text| Json(text.to_owned())),
        ..SubscriptionOptions::new("shop", "https://example.com/")
    };
    options.compile(&UrlPolicy::default()).unwrap()
}

fn event(event_type: &str, tenant: Option<&str>) -> Event {
    Event {
        tenant: tenant.map(str::to_owned),
        ..Event::new("1", "/shop", event_type, 0)
    }
}

fn with_data(json: &str) -> Event {
    Event {
        data: Some(json.to_owned()),
        size: 1,
        ..event("t", None)
    }
}

fn matching(matcher: &Matcher, event_type: &str, tenant: Option<&str>) -> Vec<SubscriptionIndex> {
    matcher.matching(&event(event_type, tenant))
}

/// Describes the rule that keeps the event from the subscription.
fn why_not(subscription: &Subscription, event_type: &str, tenant: Option<&str>) -> Option<String> {
    subscription.wanted.why_not(&event(event_type, tenant))
}

#[test]
fn an_event_never_reaches_another_tenants_subscription() {
    let subscriptions =
        [Some("a"), Some("b"), None].map(|tenant| subscription(&["*", "t", "t*", "*t"], tenant));
    let matcher = Matcher::new(&subscriptions);
    assert_eq!(matching(&matcher, "t", Some("a")), [0, 2]);
    assert_eq!(matching(&matcher, "t", Some("b")), [1, 2]);
    assert_eq!(matching(&matcher, "t", Some("c")), [2]);
    assert_eq!(matching(&matcher, "t", Some("")), [2]);
    assert_eq!(matching(&matcher, "t", None), [2]);
}

#[test]
fn subscriptions_match_in_every_state() {
    let mut subscriptions = [(); 3].map(|()| subscription(&["*"], None));
    subscriptions[0].state = State::Disabled;
    subscriptions[1].state = State::Paused;
    assert_eq!(
        matching(&Matcher::new(&subscriptions), "t", None),
        [0, 1, 2]
    );
}

#[test]
fn a_subscription_with_several_fitting_globs_is_named_once() {
    let subscriptions = [subscription(&["*", "a.b", "a.*", "*.b", "*a*"], None)];
    assert_eq!(matching(&Matcher::new(&subscriptions), "a.b", None), [0]);
}

#[test]
fn operational_events_go_only_to_those_who_name_them() {
    let subscriptions =
        [&["*"][..], &["herald.*"], &["*.disabled"]].map(|types| subscription(types, None));
    assert_eq!(
        matching(
            &Matcher::new(&subscriptions),
            "herald.subscription.disabled",
            None
        ),
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
    assert_eq!(matching(&Matcher::new(&subscriptions), "aé", None), [0, 1]);
}

#[test]
fn a_filter_narrows_what_the_types_match() {
    let filters = [
        None,
        Some(r#"{"data": {"status": "paid"}}"#),
        Some(r#"{"data": {"status": ["sent", "lost"]}}"#),
        Some(r#"{"data": {"total": ">= 100"}}"#),
        Some(r#"{"data": {"customer": "a*"}, "exact": {"type": "t"}}"#),
        Some(r#"{"not": {"data": {"status": "paid"}}}"#),
    ];
    let subscriptions = filters.map(|filter| filtered(&["t*"], None, filter));
    let matcher = Matcher::new(&subscriptions);
    for (json, expected) in [
        (r#"{"status": "paid"}"#, vec![0, 1]),
        (r#"{"status": "lost", "total": 100}"#, vec![0, 2, 3, 5]),
        (r#"{"total": 99.99, "customer": "anna"}"#, vec![0, 4, 5]),
        (r#"{"total": "100"}"#, vec![0, 5]),
    ] {
        assert_eq!(matcher.matching(&with_data(json)), expected, "{json}");
    }
    assert!(matcher.matching(&event("u", None)).is_empty());
}

#[test]
fn an_event_whose_data_cannot_be_read_is_undecided_for_filters_that_need_it_and_its_types() {
    let subscriptions = [
        filtered(&["t"], None, None),
        filtered(&["t"], None, Some(r#"{"data": {"a": 1}}"#)),
        filtered(&["u"], None, Some(r#"{"data": {"a": 1}}"#)),
        filtered(
            &["t"],
            None,
            Some(r#"{"exact": {"source": "/other"}, "data": {"a": 1}}"#),
        ),
        filtered(&["t"], Some("b"), Some(r#"{"data": {"a": 1}}"#)),
    ];
    let matcher = Matcher::new(&subscriptions);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let not_loaded = Event {
        data: None,
        ..with_data("")
    };
    for event in [with_data(&deep), not_loaded] {
        let mut found = Found::default();
        matcher.find(&event, &mut found);
        assert_eq!((found.matching, found.undecided), (vec![0], vec![1]));
    }
}

#[test]
fn a_filter_that_asks_for_too_much_is_undecided_alone_as_far_as_reading_again_is_bounded() {
    let modest = r#"{"data": {"a": 1}}"#;
    let greedy = filtered(&["t"], None, Some(r#"{"data": {"x": {"not": 1}}}"#));
    let subscriptions: Vec<_> = std::iter::once(greedy)
        .chain((0..500).map(|_| filtered(&["t"], None, Some(modest))))
        .collect();
    let matcher = Matcher::new(&subscriptions);
    let json = format!(r#"{{"x": [{}0], "a": 1}}"#, "0,".repeat(MAX_VALUES));
    let mut found = Found::default();
    matcher.find(&with_data(&json), &mut found);
    assert_eq!(found.undecided.first(), Some(&0));
    assert_eq!(found.matching.len(), MAX_REREAD_BYTES / json.len() - 1);
    assert_eq!(found.matching.len() + found.undecided.len(), 501);
}

#[test]
fn many_filters_cost_an_event_what_it_meets() {
    let filter = |number: usize| match number % 4 {
        0 => format!(r#"{{"data": {{"customer": {number}, "status": "paid"}}}}"#),
        1 => format!(r#"{{"data": {{"status": "paid", "region": "r{number}-*"}}}}"#),
        2 => format!(
            r#"{{"data": {{"status": "paid", "total": {{"between": [{number}, {number}.5]}}}}}}"#
        ),
        _ => format!(
            r#"{{"pattern": {{"data": {{"status": ["paid"], "customer": [{number}, "x{number}"]}}}}}}"#
        ),
    };
    let subscriptions: Vec<_> = (0..2_000)
        .map(|number| filtered(&["t"], None, Some(&filter(number))))
        .collect();
    let matcher = Matcher::new(&subscriptions);
    let event = with_data(
        r#"{"status": "paid", "customer": [4, "x7"], "region": "r9-a", "total": 1002.3}"#,
    );
    assert_eq!(matcher.matching(&event), [4, 7, 9, 1002]);
    let proposed = matcher.for_everybody.proposed(&event);
    assert!(proposed < 200, "{proposed} filters were asked");
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
        prop_assert_eq!(matching(&Matcher::new(&subscriptions), &event_type, tenant.as_deref()), asked);
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
            matcher.remove(index, &subscription.wanted);
        }
        prop_assert!(matcher.for_everybody.types.is_empty() && matcher.by_tenant.is_empty(), "something is left");
        let kept = || subscriptions.iter().enumerate().filter(|(index, _)| wanted[*index].2);
        for (index, subscription) in kept() {
            matcher.insert(index, &subscription.wanted);
        }
        let asked: Vec<_> = kept().filter(|(_, subscription)| {
            why_not(subscription, &event_type, tenant.as_deref()).is_none()
        }).map(|(index, _)| index).collect();
        prop_assert_eq!(matching(&matcher, &event_type, tenant.as_deref()), asked);
    }

    #[test]
    fn filters_decide_as_if_each_was_asked(
        wanted in proptest::collection::vec(
            (proptest::sample::select(&["t", "t*", "*t", "*", "u"][..]), 0..FILTERS.len(), any::<bool>()), 0..30),
        data in proptest::sample::select(DATA),
        subject in proptest::option::of("[ab]{1,2}"),
    ) {
        let event = Event { subject, ..with_data(data) };
        let subscriptions: Vec<_> = wanted.iter().map(|(glob, filter, _)| {
            filtered(&[*glob, "t"], None, Some(FILTERS[*filter]))
        }).collect();
        let mut matcher = Matcher::new(&subscriptions);
        for (index, (_, _, is_removed)) in wanted.iter().enumerate() {
            if *is_removed {
                matcher.remove(index, &subscriptions[index].wanted);
            }
        }
        let asked: Vec<_> = (0..subscriptions.len()).filter(|index| {
            !wanted[*index].2 && subscriptions[*index].wanted.why_not(&event).is_none()
        }).collect();
        prop_assert_eq!(matcher.matching(&event), asked);
        for (index, subscription) in subscriptions.iter().enumerate() {
            matcher.remove(index, &subscription.wanted);
        }
        prop_assert!(matcher.for_everybody.types.is_empty() && !matcher.asks_for_data());
    }
}

const FILTERS: [&str; 14] = [
    r#"{"data": {"n": 1}}"#,
    r#"{"data": {"n": 1.0, "s": "ab"}}"#,
    r#"{"data": {"n": [1, 2, "ab"]}}"#,
    r#"{"data": {"n": "> 1"}}"#,
    r#"{"data": {"n": {"between": [0.5, 10]}}}"#,
    r#"{"data": {"s": "a*"}}"#,
    r#"{"data": {"s": "*b"}}"#,
    r#"{"data": {"s": {"not": "ab"}}}"#,
    r#"{"data": {"s": {"exists": false}}}"#,
    r#"{"data": {"o.s": ["ab", null]}}"#,
    r#"{"any": [{"exact": {"subject": "a"}}, {"data": {"n": 2}}]}"#,
    r#"{"prefix": {"subject": "a"}}"#,
    r#"{"pattern": {"subject": ["b"], "data": {"n": [{"numeric": ["<", 2]}]}}}"#,
    r#"{"pattern": {"data": {"o": {"s": [{"prefix": "a"}]}, "s": [{"exists": false}]}}}"#,
];
const DATA: &[&str] = &[
    "{}",
    r#"{"n": 1}"#,
    r#"{"n": 2e0, "s": "ab"}"#,
    r#"{"n": [0.75, 1e1], "s": ["b", "ba"]}"#,
    r#"{"n": "ab", "s": null}"#,
    r#"{"o": {"s": "ab"}}"#,
    r#"{"o": [{"s": null}, {"s": "a"}], "n": 10.000000000000000000001}"#,
    "null",
    "[1]",
];
