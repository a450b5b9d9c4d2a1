//! Each bound allows its value and refuses the next.

use super::super::bounds::*;
use super::super::compiled::Filter;
use super::super::read::Unreadable;
use super::super::testing::{event, fault, matches, outcome, parse};
use super::super::view::View;
use crate::depth::MAX_LEVELS;
use crate::event::Event;

#[test]
fn the_text_of_a_filter_is_bounded() {
    let filter = |bytes: usize| {
        let filter = r#"{"exact":{"type":"a"}}"#;
        format!("{filter}{}", " ".repeat(bytes - filter.len()))
    };
    assert!(Filter::parse(&filter(MAX_FILTER_BYTES)).is_ok());
    assert_eq!(
        fault(&filter(MAX_FILTER_BYTES + 1)).0,
        "filter has 65537 bytes; allowed are 65536."
    );
}

#[test]
fn the_nesting_of_filters_is_bounded() {
    let nested = |open: &str, levels: usize, inner: &str, close: &str| {
        format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
    };
    let (exact, data) = (r#"{"exact":{"type":"a"}}"#, r#"{"data":{"a":"#);
    for (open, inner, close, less) in [
        (r#"{"not":"#, exact, "}", 1),
        (r#"{"all":["#, exact, "]}", 1),
        (r#"{"not":"#, r#"{"data":{"a":{"not":1}}}"#, "}", 2),
    ] {
        assert!(Filter::parse(&nested(open, MAX_FILTER_LEVELS - less, inner, close)).is_ok());
        let (detail, _) = fault(&nested(open, MAX_FILTER_LEVELS - less + 1, inner, close));
        assert!(
            detail.ends_with("nested in more than 16 levels of filters."),
            "{detail}"
        );
    }
    let nots = |levels| format!("{data}{}}}}}", nested(r#"{"not":"#, levels, "1", "}"));
    assert!(Filter::parse(&nots(MAX_FILTER_LEVELS - 1)).is_ok());
    assert!(Filter::parse(&nots(MAX_FILTER_LEVELS)).is_err());
    let ors = |levels| {
        let ors = nested(r#"{"$or":[{"b":[1]},"#, levels, r#"{"a":[1]}"#, "]}");
        format!(r#"{{"pattern":{ors}}}"#)
    };
    // Names that occur in several of them would multiply.
    let distinct = |levels: usize| {
        let open: String = (0..levels)
            .map(|level| format!(r#"{{"$or":[{{"b{level}":[1]}},"#))
            .collect();
        format!(r#"{{"pattern":{open}{{"a":[1]}}{}}}"#, "]}".repeat(levels))
    };
    assert!(Filter::parse(&distinct(MAX_FILTER_LEVELS - 1)).is_ok());
    assert!(Filter::parse(&distinct(MAX_FILTER_LEVELS)).is_err());
    assert!(Filter::parse(&ors(1)).is_ok());
    let brackets = "[".repeat(MAX_LEVELS + 1) + &"]".repeat(MAX_LEVELS + 1);
    assert_eq!(fault(&brackets).0, "filter is nested too deep.");
}

#[test]
fn the_number_of_tests_is_bounded() {
    let numbers = |count: usize| {
        let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        numbers.join(",")
    };
    let data = |count| format!(r#"{{"data":{{"a":[{}]}}}}"#, numbers(count));
    let pattern = |count| format!(r#"{{"pattern":{{"data":[{}]}}}}"#, numbers(count));
    let but = |count| {
        let numbers = numbers(count);
        format!(r#"{{"pattern":{{"data":[{{"anything-but":[{numbers}]}}]}}}}"#)
    };
    let exact = |count| {
        let members: Vec<String> = (0..count).map(|name| format!(r#""a{name}":"x""#)).collect();
        format!(r#"{{"exact":{{{}}}}}"#, members.join(","))
    };
    let filters: [&dyn Fn(usize) -> String; 4] = [&data, &pattern, &but, &exact];
    for filter in filters {
        assert!(Filter::parse(&filter(MAX_TESTS)).is_ok());
        assert_eq!(
            fault(&filter(MAX_TESTS + 1)).0,
            "filter compares with 1001 values; allowed are 1000."
        );
    }
}

#[test]
fn strings_are_bounded() {
    let text = |bytes| "x".repeat(bytes);
    for filter in [
        r#"{"exact":{"type":"TEXT"}}"#,
        r#"{"data":{"a":"TEXT"}}"#,
        r#"{"data":{"a":["TEXT"]}}"#,
        r#"{"data":{"a":{"equals":"TEXT"}}}"#,
        r#"{"data":{"a":{"prefix":"TEXT"}}}"#,
        r#"{"data":{"a":{"contains":"TEXT"}}}"#,
        r#"{"data":{"a":{"between":["","TEXT"]}}}"#,
        r#"{"pattern":{"data":["TEXT"]}}"#,
        r#"{"pattern":{"data":[{"wildcard":"TEXT"}]}}"#,
        r#"{"pattern":{"data":[{"suffix":{"equals-ignore-case":"TEXT"}}]}}"#,
        r#"{"pattern":{"data":[{"anything-but":["TEXT"]}]}}"#,
    ] {
        let with = |bytes| filter.replace("TEXT", &text(bytes));
        assert!(Filter::parse(&with(MAX_STRING_BYTES)).is_ok(), "{filter}");
        let (detail, _) = fault(&with(MAX_STRING_BYTES + 1));
        assert!(
            detail.ends_with(" has 1025 bytes; allowed are 1024."),
            "{detail}"
        );
    }
}

#[test]
fn paths_are_bounded_in_members_and_bytes() {
    let data = |path: &str| format!(r#"{{"data":{{"{path}":1}}}}"#);
    let pattern = |path: &str| {
        let members: Vec<&str> = path.split('.').collect();
        let open: String = members
            .iter()
            .map(|name| format!(r#"{{"{name}":"#))
            .collect();
        format!(
            r#"{{"pattern":{{"data":{open}[1]{}}}}}"#,
            "}".repeat(members.len())
        )
    };
    let members = |count: usize| vec!["a"; count].join(".");
    let filters: [&dyn Fn(&str) -> String; 2] = [&data, &pattern];
    for filter in filters {
        assert!(Filter::parse(&filter(&members(MAX_PATH_MEMBERS))).is_ok());
        let (detail, _) = fault(&filter(&members(MAX_PATH_MEMBERS + 1)));
        assert!(
            detail.ends_with(" leads through more than 32 members."),
            "{detail}"
        );
        assert!(Filter::parse(&filter(&"x".repeat(MAX_PATH_BYTES))).is_ok());
        let (detail, _) = fault(&filter(&"x".repeat(MAX_PATH_BYTES + 1)));
        assert!(
            detail.ends_with(" has names of more than 1024 bytes."),
            "{detail}"
        );
    }
}

#[test]
fn stars_are_bounded_in_both_dialects() {
    for filter in [
        r#"{"data":{"a":"STARS"}}"#,
        r#"{"data":{"a":{"contains":"STARS"}}}"#,
        r#"{"pattern":{"data":[{"wildcard":"STARS"}]}}"#,
    ] {
        let with = |stars| filter.replace("STARS", &"*a".repeat(stars));
        assert!(Filter::parse(&with(MAX_STARS)).is_ok());
        let (detail, _) = fault(&with(MAX_STARS + 1));
        assert!(detail.ends_with(" has more than 10 stars."), "{detail}");
    }
}

#[test]
fn data_of_128_levels_can_be_read() {
    let filter = r#"{"data": {"a": 1}}"#;
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        [
            format!(r#"{{"x": {open}{close}, "a": 1}}"#),
            format!(r#"{{"a": {open}1{close}}}"#),
        ]
    };
    for data in nested(MAX_LEVELS) {
        assert!(matches(filter, &data));
    }
    for data in nested(MAX_LEVELS + 1) {
        assert_eq!(outcome(filter, &event(&data)), Err(Unreadable::TooDeep));
    }
}

#[test]
fn the_number_of_values_that_are_read_is_bounded() {
    let filter = r#"{"data": {"a": 1}}"#;
    // The array and the object count too.
    let data = |count| {
        format!(
            r#"{{"x": [{}0], "a": [{}1]}}"#,
            "0,".repeat(MAX_VALUES),
            "0,".repeat(count - 1)
        )
    };
    assert!(matches(filter, &data(MAX_VALUES - 2)));
    let more = event(&data(MAX_VALUES - 1));
    assert_eq!(outcome(filter, &more), Err(Unreadable::TooMany));
}

#[test]
fn data_may_have_the_limit_and_no_byte_more() {
    let filter = r#"{"data": {"a": 1}}"#;
    for (size, expected) in [
        (MAX_DATA_BYTES, Ok(true)),
        (MAX_DATA_BYTES + 1, Err(Unreadable::TooLarge)),
    ] {
        let event = Event {
            size,
            ..event(r#"{"a": 1}"#)
        };
        assert_eq!(outcome(filter, &event), expected);
    }
}

#[test]
fn what_filters_compare_of_an_event_is_bounded() {
    let ranges = |count: usize| {
        let range = |number| format!(r#"{{"gt": {number}, "lt": 0}}"#);
        let all: Vec<_> = (0..count).map(range).collect();
        format!(r#"{{"data": {{"a": [{}]}}}}"#, all.join(","))
    };
    let data = format!(r#"{{"a": [{}0]}}"#, "0,".repeat(MAX_VALUES - 10));
    let most = usize::try_from(MAX_WORK).unwrap() / MAX_VALUES;
    assert!(!matches(&ranges(most / 2), &data));
    let outcome = outcome(&ranges(most + 1), &event(&data));
    assert_eq!(outcome, Err(Unreadable::TooLong));
}

#[test]
fn what_expressions_do_for_an_event_is_bounded() {
    let like = r#"{"sql": "subject LIKE '%a%a%a%a%a%a%a%ab'"}"#;
    let filter = parse(&format!(r#"{{"any": [{}]}}"#, vec![like; 900].join(",")));
    let event = Event {
        subject: Some("a".repeat(1_000)),
        ..Event::new("1", "/shop", "order.paid", 0)
    };
    let view = View::new(&event, filter.paths());
    let mut outcomes = (0..50).map(|_| filter.matches(&view));
    assert_eq!(outcomes.next(), Some(Ok(false)));
    assert_eq!(outcomes.last(), Some(Err(Unreadable::TooLong)));
}

#[test]
fn hostile_stars_are_matched_quickly() {
    let filter = format!(r#"{{"data": {{"a": "{}b"}}}}"#, "*a".repeat(MAX_STARS));
    let data = format!(r#"{{"a": "{}"}}"#, "a".repeat(2_000_000));
    assert!(!matches(&filter, &data));
}
