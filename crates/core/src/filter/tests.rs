use super::testing::{event, fault, matches, outcome, parse};
use super::*;
use crate::event::Event;

mod agreement;
mod bounds;
mod docs;
mod json;
mod naive;
mod written;

#[test]
fn all_members_and_all_filters_must_hold() {
    for (filter, expected) in [
        (
            r#"{"exact": {"type": "order.paid"}, "data": {"a": 1}}"#,
            true,
        ),
        (
            r#"{"exact": {"type": "order.paid"}, "data": {"a": 2}}"#,
            false,
        ),
        (
            r#"[{"exact": {"type": "order.paid"}}, {"data": {"a": 1}}]"#,
            true,
        ),
        (
            r#"[{"exact": {"type": "order.sent"}}, {"data": {"a": 1}}]"#,
            false,
        ),
        // "Absence of a filter or empty array implies a value of true."
        ("[]", true),
        (
            r#"{"all": [{"data": {"a": 1}}, {"prefix": {"type": "order."}}]}"#,
            true,
        ),
        (
            r#"{"all": [{"data": {"a": 1}}, {"prefix": {"type": "invoice."}}]}"#,
            false,
        ),
        (
            r#"{"any": [{"data": {"a": 2}}, {"prefix": {"type": "order."}}]}"#,
            true,
        ),
        (
            r#"{"any": [{"data": {"a": 2}}, {"prefix": {"type": "invoice."}}]}"#,
            false,
        ),
        (r#"{"not": {"data": {"a": 2}}}"#, true),
        (r#"{"not": {"data": {"a": 1}}}"#, false),
        (r#"{"not": {"not": {"any": [{"data": {"a": 1}}]}}}"#, true),
        // An attribute that is missing does not match, so that its negation holds.
        (r#"{"not": {"exact": {"dataschema": "x"}}}"#, true),
    ] {
        assert_eq!(matches(filter, r#"{"a": 1}"#), expected, "{filter}");
    }
}

#[test]
fn malformed_filters_are_refused_with_their_place() {
    for (filter, detail) in [
        ("", "filter is not JSON."),
        ("{", "filter is not JSON."),
        ("null", "filter is null, not an object."),
        (r#""type""#, "filter is a string, not an object."),
        ("{}", "filter is an empty object."),
        ("[{}]", "filter[0] is an empty object."),
        ("[[]]", "filter[0] is an array, not an object."),
        (r#"{"all": []}"#, "filter.all is an empty array."),
        (r#"{"any": {}}"#, "filter.any is an object, not an array."),
        (r#"{"not": []}"#, "filter.not is an array, not an object."),
        (r#"{"not": {}}"#, "filter.not is an empty object."),
        (
            r#"{"all": [{"any": [{"exact": {}}]}]}"#,
            "filter.all[0].any[0].exact is an empty object.",
        ),
    ] {
        assert_eq!(fault(filter).0, detail, "{filter}");
    }
}

#[test]
fn unknown_dialects_are_refused_with_the_nearest_known_one() {
    for (filter, detail, hint) in [
        (
            r#"{"exactly": {}}"#,
            r#"filter has no dialect "exactly"."#,
            r#"Perhaps you meant "exact"."#,
        ),
        (
            r#"{"not": {"patern": {}}}"#,
            r#"filter.not has no dialect "patern"."#,
            r#"Perhaps you meant "pattern"."#,
        ),
        (
            r#"{"regex": "TRUE"}"#,
            r#"filter has no dialect "regex"."#,
            r#"Use one of all, any, data, exact, not, pattern, prefix, sql, suffix."#,
        ),
    ] {
        assert_eq!(fault(filter), (detail.into(), hint.into()), "{filter}");
    }
}

#[test]
fn data_is_not_read_for_filters_of_attributes() {
    let broken = event("{");
    for (filter, expected) in [
        (r#"{"exact": {"type": "order.paid"}}"#, Ok(true)),
        (r#"{"pattern": {"type": ["order.paid"]}}"#, Ok(true)),
        (
            r#"{"exact": {"type": "order.sent"}, "data": {"a": 1}}"#,
            Ok(false),
        ),
        (
            r#"{"any": [{"data": {"a": 1}}, {"exact": {"type": "order.paid"}}]}"#,
            Ok(true),
        ),
        (
            r#"{"all": [{"data": {"a": 1}}, {"exact": {"type": "order.sent"}}]}"#,
            Ok(false),
        ),
        (r#"{"data": {"a": 1}}"#, Err(Unreadable::NotJson)),
        (r#"{"not": {"data": {"a": 1}}}"#, Err(Unreadable::NotJson)),
        (
            r#"{"pattern": {"data": {"a": [1]}}}"#,
            Err(Unreadable::NotJson),
        ),
    ] {
        assert_eq!(outcome(filter, &broken), expected, "{filter}");
    }
}

#[test]
fn a_filter_says_whether_it_asks_for_data() {
    for (filter, expected) in [
        ("[]", false),
        (r#"{"exact": {"type": "a"}}"#, false),
        (r#"{"pattern": {"type": ["a"]}}"#, false),
        (r#"{"pattern": {"type": ["a"], "data": {"a": [1]}}}"#, true),
        (
            r#"{"any": [{"exact": {"type": "a"}}, {"not": {"data": {"a": 1}}}]}"#,
            true,
        ),
    ] {
        let filter = parse(filter);
        assert_eq!(filter.asks_for_data(), expected);
        assert_eq!(filter.paths().is_empty(), !expected);
    }
}

#[test]
fn data_that_was_not_loaded_is_missing_and_an_event_without_data_has_none() {
    let filter = r#"{"data": {"a": {"exists": false}}}"#;
    let without = Event {
        data: None,
        ..event("{}")
    };
    assert_eq!(outcome(filter, &without), Ok(true));
    assert_eq!(outcome(r#"{"data": {"a": 1}}"#, &without), Ok(false));
    assert_eq!(
        outcome(
            r#"{"pattern": {"data": {"a": [{"exists": false}]}}}"#,
            &without
        ),
        Ok(true)
    );
    let not_loaded = Event { size: 2, ..without };
    assert_eq!(outcome(filter, &not_loaded), Err(Unreadable::Missing));
}

#[test]
fn data_is_read_once() {
    let filter = parse(r#"{"data": {"a": 1}}"#);
    let event = event(r#"{"a": 1}"#);
    let view = View::new(&event, filter.paths());
    let [first, second] = [(); 2].map(|()| view.data().unwrap().unwrap());
    assert!(std::ptr::eq(first, second));
}
