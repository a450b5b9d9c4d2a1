//! The structure of patterns: objects, arrays and `$or`.

use crate::filter::bounds::MAX_TESTS;
use crate::filter::conformance::{Expected, check_pattern};
use crate::filter::testing::{fault, matches, parse};

fn check(pattern: &str, event: &str, is_expected: bool) {
    let expected = match is_expected {
        true => Expected::Match,
        false => Expected::NoMatch,
    };
    let outcome = check_pattern(pattern, event, expected);
    assert_eq!(outcome, Ok(()), "{pattern} {event}");
}

#[test]
fn a_pattern_has_the_shape_of_the_event_as_it_is_sent() {
    for (pattern, expected) in [
        (
            r#"{"type": ["order.paid"], "source": ["/shop"], "specversion": ["1.0"]}"#,
            true,
        ),
        (
            r#"{"type": ["order.paid", "order.sent"], "data": {"total": [{"numeric": [">", 5]}]}}"#,
            true,
        ),
        (r#"{"type": ["order.paid"], "data": {"total": [5]}}"#, false),
        (r#"{"time": [{"prefix": "2026-01-02"}]}"#, true),
        // Extensions keep their JSON type.
        (
            r#"{"level": [3], "urgent": [true], "region": ["eu"]}"#,
            true,
        ),
        (r#"{"level": ["3"]}"#, false),
        (r#"{"subject": [{"exists": false}]}"#, false),
        (r#"{"dataschema": [{"exists": false}]}"#, true),
        (r#"{"data": {"a": {"b": [1]}}}"#, true),
        (r#"{"data": {"a.b": [1]}}"#, false),
        (r#"{"data": [{"exists": true}]}"#, false),
        (
            r#"{"$or": [{"type": ["order.sent"]}, {"data": {"total": [7]}}]}"#,
            true,
        ),
        (
            r#"{"$or": [{"type": ["order.sent"]}, {"data": {"total": [8]}}]}"#,
            false,
        ),
    ] {
        let filter = format!(r#"{{"pattern": {pattern}}}"#);
        let data = r#"{"total": 7.0, "a": {"b": 1}}"#;
        assert_eq!(matches(&filter, data), expected, "{pattern}");
    }
    for (data, expected) in [
        ("5", true),
        ("[4, 5]", true),
        ("{}", false),
        ("null", false),
    ] {
        assert_eq!(
            matches(r#"{"pattern": {"data": [5]}}"#, data),
            expected,
            "{data}"
        );
    }
}

#[test]
fn other_parts_of_an_event_are_refused() {
    for (pattern, detail) in [
        ("[]", "filter.pattern is an array, not an object."),
        ("{}", "filter.pattern is an empty object."),
        (r#"{"data": {}}"#, "filter.pattern.data is an empty object."),
        (
            r#"{"detail-type": ["x"]}"#,
            "filter.pattern.detail-type cannot be an attribute.",
        ),
        (
            r#"{"detail": {"state": ["x"]}}"#,
            "filter.pattern.detail is an object, which no attribute is.",
        ),
        (
            r#"{"type": "x"}"#,
            "filter.pattern.type is a string, not an array or an object.",
        ),
        (
            r#"{"$or": {}}"#,
            "filter.pattern.$or is not an array of at least two objects.",
        ),
        (
            r#"{"$or": [{"type": ["a"]}]}"#,
            "filter.pattern.$or is not an array of at least two objects.",
        ),
        (
            r#"{"$or": [{"type": ["a"]}, 5]}"#,
            "filter.pattern.$or[1] is a number, not an object.",
        ),
        (
            r#"{"type": ["a"], "$or": [{"type": ["b"]}, {"id": ["c"]}]}"#,
            "filter.pattern.type is tested both beside an $or and in it.",
        ),
        (
            r#"{"data": {"x": [1], "$or": [{"x": {"y": [2]}}, {"z": [3]}]}}"#,
            "filter.pattern.data.x is tested both beside an $or and in it.",
        ),
    ] {
        let filter = format!(r#"{{"pattern": {pattern}}}"#);
        assert_eq!(fault(&filter).0, detail, "{pattern}");
    }
}

#[test]
fn all_fields_and_any_branch_must_match() {
    let pattern = r#"{"source": ["metrics"], "$or": [{"name": ["cpu", "disk"]},
        {"kind": ["net"], "space": ["a"], "$or": [{"id": [1]}, {"place": [2]}]}, {"scope": ["all"]}]}"#;
    for (event, expected) in [
        (r#"{"source": "metrics", "name": "disk"}"#, true),
        (r#"{"source": "other", "name": "disk"}"#, false),
        (
            r#"{"source": "metrics", "kind": "net", "space": "a", "place": 2}"#,
            true,
        ),
        (
            r#"{"source": "metrics", "kind": "net", "space": "a", "place": 1}"#,
            false,
        ),
        (r#"{"source": "metrics", "kind": "net", "id": 1}"#, false),
        (r#"{"source": "metrics", "scope": "all"}"#, true),
        (r#"{"source": "metrics"}"#, false),
    ] {
        check(pattern, event, expected);
    }
}

#[test]
fn tests_below_an_array_are_about_one_element() {
    let staff = r#"{"staff": [{"first": "Ada", "last": "Byron"}, {"first": "Mary", "last": "Somerville"}]}"#;
    let nested = r#"{"staff": [[{"first": "Ada", "last": "Byron"}], [{"first": "Mary", "last": "Somerville"}]]}"#;
    for event in [staff, nested] {
        check(r#"{"staff": {"first": ["Ada"]}}"#, event, true);
        check(
            r#"{"staff": {"first": ["Ada"], "last": ["Byron"]}}"#,
            event,
            true,
        );
        check(
            r#"{"staff": {"first": ["Ada"], "last": ["Somerville"]}}"#,
            event,
            false,
        );
        check(
            r#"{"staff": {"first": ["Ada"], "$or": [{"last": ["X"]}, {"last": ["Byron"]}]}}"#,
            event,
            true,
        );
        check(
            r#"{"staff": {"first": ["Ada"], "$or": [{"last": ["X"]}, {"last": ["Somerville"]}]}}"#,
            event,
            false,
        );
    }
    let songs = r#"{"songs": [
        {"name": "Writer", "by": [{"first": "John", "last": "L"}, {"first": "Paul", "last": "M"}]},
        {"name": "Black", "by": [{"first": "Mick", "last": "J"}, {"first": "Keith", "last": "R"}]}]}"#;
    check(
        r#"{"songs": {"name": ["Writer"], "by": {"first": ["Paul"], "last": ["M"]}}}"#,
        songs,
        true,
    );
    check(
        r#"{"songs": {"name": ["Writer"], "by": {"first": ["Mick"]}}}"#,
        songs,
        false,
    );
    check(
        r#"{"songs": {"by": {"first": ["Mick"], "last": ["M"]}}}"#,
        songs,
        false,
    );
}

#[test]
fn an_or_beside_an_object_is_about_the_same_element() {
    let pattern = r#"{"a": {"x": [1]}, "$or": [{"a": {"y": [2]}}, {"b": [3]}]}"#;
    check(pattern, r#"{"a": [{"x": 1, "y": 2}]}"#, true);
    check(pattern, r#"{"a": [{"x": 1}, {"y": 2}]}"#, false);
    check(pattern, r#"{"a": [{"x": 1}], "b": 3}"#, true);
    let pattern =
        r#"{"$or": [{"a": {"x": [1]}}, {"b": [3]}], "c": {"$or": [{"d": [1]}, {"e": [2]}]}}"#;
    check(pattern, r#"{"b": 3, "c": [{"f": 1}, {"e": 2}]}"#, true);
}

#[test]
fn absence_is_about_the_element_that_other_tests_chose() {
    for (pattern, event, expected) in [
        (
            r#"{"a": {"x": [1], "y": [{"exists": false}]}}"#,
            r#"{"a": [{"x": 1}, {"y": 2}]}"#,
            true,
        ),
        (
            r#"{"a": {"x": [1], "y": [{"exists": false}]}}"#,
            r#"{"a": [{"x": 1, "y": 2}, {}]}"#,
            false,
        ),
        // Without another test, no element may have it.
        (
            r#"{"a": {"y": [{"exists": false}]}}"#,
            r#"{"a": [{"x": 1}, {"y": 2}]}"#,
            false,
        ),
        (
            r#"{"a": {"y": [{"exists": false}]}}"#,
            r#"{"a": [{"x": 1}, {"x": 2}]}"#,
            true,
        ),
        (r#"{"a": {"y": [{"exists": false}]}}"#, r#"{"a": []}"#, true),
        (r#"{"a": {"y": [{"exists": false}]}}"#, r#"{"a": 5}"#, true),
        (r#"{"a": {"y": [{"exists": false}]}}"#, "{}", true),
        (
            r#"{"a": {"y": [{"exists": false}, {"anything-but": ["r"]}]}}"#,
            r#"{"a": {"n": 7}}"#,
            true,
        ),
        (
            r#"{"a": {"$or": [{"x": [{"exists": false}]}, {"y": [{"exists": false}]}]}}"#,
            r#"{"a": [{"x": 1}, {"y": 1}]}"#,
            false,
        ),
        (
            r#"{"a": {"b": [{"exists": true}]}}"#,
            r#"{"a": {"b": {"c": 1}}}"#,
            false,
        ),
        (r#"{"a": {"b": [1]}}"#, r#"{"a": "{\"b\":1}"}"#, false),
    ] {
        check(pattern, event, expected);
    }
}

#[test]
fn an_or_that_is_multiplied_out_is_bounded() {
    // Both name "a" and "b", and the first repeats the second's tests for each of its branches.
    let or = |name: &str, branches: usize| {
        let branches: Vec<String> = (0..branches)
            .map(|branch| format!(r#"{{"a": {{"{name}{branch}": [1]}}}}"#))
            .collect();
        format!(r#"{{"$or": [{}]}}"#, branches.join(","))
    };
    let pattern = |branches| {
        let (x, y) = (or("x", branches), or("y", 20));
        // An object has one $or, so that the second is in a branch.
        format!(r#"{{"pattern": {{"data": {{"$or": [{x}, {{"z": [1]}}], "a": {y}}}}}}}"#)
    };
    // Each branch of x is joined with the 20 of y.
    let largest = (MAX_TESTS - 21) / 21;
    parse(&pattern(largest));
    let (detail, _) = fault(&pattern(largest + 1));
    assert_eq!(
        detail,
        "filter.pattern.data has $or that multiply to more than 1000 values."
    );
}
