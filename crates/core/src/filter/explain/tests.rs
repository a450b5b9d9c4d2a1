use crate::event::Event;
use crate::filter::bounds::MAX_SHOWN;
use crate::filter::testing::{event, refusal};

fn check(filter: &str, data: &str, expected: Option<(&str, &str)>) {
    let expected = expected.map(|(rule, saw)| (rule.to_owned(), saw.to_owned()));
    assert_eq!(refusal(filter, &event(data)), expected, "{filter} {data}");
}

#[test]
fn the_first_rule_that_decides_is_named_with_what_it_saw() {
    let filter =
        r#"{"exact": {"type": "order.paid"}, "data": {"status": "paid", "total": ">= 100"}}"#;
    check(filter, r#"{"status": "paid", "total": 100}"#, None);
    for (filter, data, rule, saw) in [
        (
            filter,
            r#"{"status": "paid", "total": 42}"#,
            r#"data.total: ">= 100""#,
            "42",
        ),
        (
            filter,
            r#"{"status": "void"}"#,
            r#"data.status: "paid""#,
            r#""void""#,
        ),
        (
            filter,
            r#"{"status": "paid"}"#,
            r#"data.total: ">= 100""#,
            "missing",
        ),
        (
            r#"{"exact": {"type": "order.sent"}}"#,
            "{}",
            r#"exact.type: "order.sent""#,
            r#""order.paid""#,
        ),
        (
            r#"{"prefix": {"dataschema": "x"}}"#,
            "{}",
            r#"prefix.dataschema: "x""#,
            "missing",
        ),
        (
            r#"{"data": {"a": {"gte": 1, "not": 5}}}"#,
            r#"{"a": 5}"#,
            r#"data.a: {"gte":1,"not":5}"#,
            "5",
        ),
        (
            r#"{"data": {"a.b": 1}}"#,
            r#"{"a": [{"b": 2}, {"b": [3, {"c": 1}]}]}"#,
            "data.a.b: 1",
            "2, [3,{…}]",
        ),
        (
            r#"{"data": {"a\\.b": null}}"#,
            r#"{"a.b": {}}"#,
            r"data.a\.b: null",
            "{…}",
        ),
    ] {
        check(filter, data, Some((rule, saw)));
    }
}

#[test]
fn filters_that_combine_others_name_the_first_that_decides() {
    for (filter, data, rule, saw) in [
        (
            r#"{"not": {"exact": {"type": "order.paid"}}}"#,
            "{}",
            r#"not: {"exact":{"type":"order.paid"}}"#,
            r#""order.paid""#,
        ),
        (
            r#"{"not": {"data": {"a": 1}}}"#,
            r#"{"a": 1.0}"#,
            r#"not: {"data":{"a":1}}"#,
            "1.0",
        ),
        (
            r#"{"not": {"all": [{"data": {"a": 1}}, {"exact": {"id": "u-1"}}]}}"#,
            r#"{"a": 1}"#,
            r#"not: {"all":[{"data":{"a":1}},{"exact":{"id":"u-1"}}]}"#,
            "a match",
        ),
        (
            r#"{"any": [{"data": {"a": 1}}, {"data": {"b": 2}}]}"#,
            r#"{"b": 1}"#,
            "none of 2 holds, the first: data.a: 1",
            "missing",
        ),
    ] {
        check(filter, data, Some((rule, saw)));
    }
}

#[test]
fn a_pattern_names_the_part_that_does_not_match() {
    for (pattern, data, rule, saw) in [
        (
            r#"{"type": ["a"]}"#,
            "{}",
            r#"pattern.type: ["a"]"#,
            r#""order.paid""#,
        ),
        (r#"{"level": ["3"]}"#, "{}", r#"pattern.level: ["3"]"#, "3"),
        (r#"{"data": [5]}"#, "[6]", "pattern.data: [5]", "[6]"),
        (
            r#"{"data": {"a": {"b": [1], "c": [2]}}}"#,
            r#"{"a": {"b": 1}}"#,
            "pattern.data.a.c: [2]",
            "missing",
        ),
        (
            r#"{"data": {"a": {"b": [1]}}}"#,
            "{}",
            "pattern.data.a.b: [1]",
            "missing",
        ),
        (
            r#"{"data": {"a": {"b": [1]}}}"#,
            r#"{"a": [{"b": 2}]}"#,
            "pattern.data.a.b: [1]",
            "2",
        ),
        (
            r#"{"data": {"a": {"b": [1], "c": [2]}}}"#,
            r#"{"a": [{"b": 1}, {"c": 2}]}"#,
            r#"pattern.data.a: {"b":[1],"c":[2]}"#,
            "[{…},{…}]",
        ),
        (
            r#"{"data": {"a": {"b": [1]}}}"#,
            r#"{"a": 7}"#,
            "pattern.data.a.b: [1]",
            "missing",
        ),
        (
            r#"{"data": {"$or": [{"a": [1]}, {"b": [2]}]}}"#,
            r#"{"a": 2}"#,
            "none of 2 holds, the first: pattern.data.a: [1]",
            "2",
        ),
        (
            r#"{"$or": [{"type": ["a"]}, {"id": ["b"]}]}"#,
            "{}",
            r#"none of 2 holds, the first: pattern.type: ["a"]"#,
            r#""order.paid""#,
        ),
    ] {
        check(
            &format!(r#"{{"pattern": {pattern}}}"#),
            data,
            Some((rule, saw)),
        );
    }
}

#[test]
fn long_rules_and_values_are_cut() {
    let long = "ü".repeat(500);
    let filter = format!(r#"{{"data": {{"a": "{long}"}}}}"#);
    for data in [
        format!(r#"{{"a": "x{long}"}}"#),
        format!(r#"{{"a": [{}]}}"#, vec!["1"; 5_000].join(",")),
        format!(r#"{{"a": {}}}"#, "1".repeat(5_000)),
        format!(r#"{{"a": "{}"}}"#, "\\n".repeat(5_000)),
    ] {
        let (rule, saw) = refusal(&filter, &event(&data)).unwrap();
        for text in [rule, saw] {
            assert_eq!(text.chars().count(), MAX_SHOWN + 1);
            assert!(text.ends_with('…'));
        }
    }
}

#[test]
fn no_data_is_missing_data() {
    let event = Event {
        data: None,
        ..event("{}")
    };
    for (filter, rule) in [
        (r#"{"data": {"a": 1}}"#, "data.a: 1"),
        (
            r#"{"pattern": {"data": {"a": [1]}}}"#,
            "pattern.data.a: [1]",
        ),
    ] {
        assert_eq!(
            refusal(filter, &event),
            Some((rule.into(), "missing".into()))
        );
    }
}
