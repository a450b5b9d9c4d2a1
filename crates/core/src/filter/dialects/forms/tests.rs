use crate::filter::testing::{fault, matches};

/// Whether a form matches the values of the path `a.b`.
fn holds(form: &str, data: &str) -> bool {
    matches(&format!(r#"{{"data": {{"a.b": {form}}}}}"#), data)
}

/// Whether a form matches a value.
fn holds_for(form: &str, value: &str) -> bool {
    holds(form, &format!(r#"{{"a": {{"b": {value}}}}}"#))
}

#[test]
fn plain_values_match_their_own_type_only() {
    for (form, value, expected) in [
        (r#""paid""#, r#""paid""#, true),
        (r#""paid""#, r#""Paid""#, false),
        (r#""1""#, "1", false),
        ("1", r#""1""#, false),
        ("1", "1.0", true),
        ("0.1", "1e-1", true),
        ("9007199254740993", "9007199254740992", false),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890.0",
            true,
        ),
        ("true", "true", true),
        ("true", "false", false),
        ("true", r#""true""#, false),
        ("null", "null", true),
        ("null", "0", false),
        ("null", r#""""#, false),
        ("null", "{}", false),
        (r#""""#, r#""""#, true),
    ] {
        assert_eq!(holds_for(form, value), expected, "{form} {value}");
    }
}

#[test]
fn strings_have_stars_and_comparisons() {
    for (form, value, expected) in [
        (r#""user-*""#, r#""user-""#, true),
        (r#""user-*""#, "7", false),
        (r#""*""#, r#""""#, true),
        (r#""*""#, "null", false),
        (r#""\\*""#, r#""*""#, true),
        (r#""\\*""#, r#""x""#, false),
        (r#""C:\\\\*""#, r#""C:\\dir""#, true),
        (r#"">= 100""#, "100", true),
        (r#"">=100""#, "99.999999999999999999999999999999", false),
        (r#"">  9007199254740992 ""#, "9007199254740993", true),
        (r#""> 9007199254740992""#, "9007199254740992", false),
        (r#""<1e999999999""#, "1e999999998", true),
        (r#""<-5""#, "-5.1", true),
        (r#""<= 5""#, r#""3""#, false),
        (r#"">= 100""#, "null", false),
        (r#""!= 5""#, "5.0", false),
        (r#""!= 5""#, "6", true),
        (r#""!= 5""#, r#""5""#, true),
        (r#""!= 5""#, "null", true),
        (r#"" >= 100""#, r#"" >= 100""#, true),
        (r#""= 100""#, r#""= 100""#, true),
        (r#""! 5""#, r#""! 5""#, true),
    ] {
        assert_eq!(holds_for(form, value), expected, "{form} {value}");
    }
}

#[test]
fn a_list_is_any_of_its_forms() {
    for (form, value, expected) in [
        (r#"["a", "b"]"#, r#""b""#, true),
        (r#"["a", "b"]"#, r#""c""#, false),
        (r#"[1, "1", null, true]"#, "null", true),
        (r#"[1, "1", null, true]"#, "false", false),
        (r#"["user-*", "< 10"]"#, "7", true),
        (r#"["user-*", "< 10"]"#, r#""user-1""#, true),
        (r#"["user-*", "< 10"]"#, "10", false),
        (r#"[null, {"between": [1, 2]}]"#, "1.5", true),
        (r#"["!= 5", 5]"#, "5", true),
    ] {
        assert_eq!(holds_for(form, value), expected, "{form} {value}");
    }
    assert!(holds(r#"[null, {"exists": false}]"#, "{}"));
}

#[test]
fn operators_must_all_hold() {
    for (form, value, expected) in [
        (r#"{"equals": ">= 5"}"#, r#"">= 5""#, true),
        (r#"{"equals": "user-*"}"#, r#""user-1""#, false),
        (r#"{"equals": null}"#, "null", true),
        (r#"{"not": "paid"}"#, r#""void""#, true),
        (r#"{"not": "paid"}"#, r#""paid""#, false),
        (r#"{"not": ["a*", null]}"#, "null", false),
        (r#"{"not": {"not": 5}}"#, "5", true),
        (r#"{"not": {"exists": false}}"#, "null", true),
        (r#"{"prefix": "user-"}"#, r#""user-1""#, true),
        (r#"{"prefix": "*"}"#, r#""user-1""#, false),
        (r#"{"suffix": ".png"}"#, r#""a.png""#, true),
        (r#"{"suffix": ".png"}"#, r#""a.PNG""#, false),
        (r#"{"gt": 5}"#, "5", false),
        (r#"{"gte": 5}"#, "5", true),
        (r#"{"lt": 5}"#, "4.9", true),
        (r#"{"lte": 5}"#, "5.0001", false),
        (r#"{"gte": 5, "lt": 10}"#, "10", false),
        (r#"{"gte": 5, "lt": 10, "not": 7}"#, "7", false),
        (r#"{"gte": 5, "lt": 10, "not": 7}"#, "8", true),
        (r#"{"between": [1, 10]}"#, "10", true),
        (r#"{"between": [1, 10]}"#, "1e1", true),
        (r#"{"between": [1, 10]}"#, "0.99", false),
        (
            r#"{"gte": "2026-01-01"}"#,
            r#""2026-01-01T00:00:00Z""#,
            true,
        ),
        (r#"{"gte": "2026-01-01"}"#, "2027", false),
        (r#"{"between": ["a", "b"]}"#, r#""ä""#, false),
        (r#"{"between": ["a", "b"]}"#, r#""az""#, true),
        (r#"{"exists": true}"#, "null", true),
        (r#"{"exists": true}"#, "{}", true),
        (r#"{"exists": true}"#, "[]", true),
        (r#"{"exists": false}"#, "null", false),
        (r#"{"exists": true, "prefix": "a"}"#, r#""ab""#, true),
    ] {
        assert_eq!(holds_for(form, value), expected, "{form} {value}");
    }
}

#[test]
fn contains_looks_for_an_element_or_for_a_part_of_a_string() {
    for (form, value, expected) in [
        (r#"{"contains": "vip"}"#, r#"["new", "vip"]"#, true),
        (r#"{"contains": "vip"}"#, r#"["new", "vip-2"]"#, false),
        (r#"{"contains": "vip*"}"#, r#"["new", "vip-2"]"#, true),
        (r#"{"contains": "vip"}"#, r#"[["vip"]]"#, true),
        (r#"{"contains": "vip"}"#, r#""a vip too""#, true),
        (r#"{"contains": "v*p"}"#, r#""a viiip too""#, true),
        (r#"{"contains": "v*x"}"#, r#""a vip too""#, false),
        (r#"{"contains": "\\*"}"#, r#""a*b""#, true),
        (r#"{"contains": "vip"}"#, "[]", false),
        (r#"{"contains": 5}"#, "[4, 5.0]", true),
        (r#"{"contains": 5}"#, "5", false),
        (r#"{"contains": 5}"#, r#""15""#, false),
        (r#"{"contains": "> 5"}"#, "[4, 6]", true),
        (r#"{"contains": "!= 5"}"#, "[5, 6]", true),
        (r#"{"contains": "!= 5"}"#, "[5]", false),
        (r#"{"contains": null}"#, "[null]", true),
        (r#"{"contains": "vip"}"#, r#"{"vip": 1}"#, false),
        (r#"{"contains": "a", "not": "b"}"#, r#"["a"]"#, true),
        (r#"{"contains": "a", "not": "b"}"#, r#"["a", "b"]"#, false),
    ] {
        assert_eq!(holds_for(form, value), expected, "{form} {value}");
    }
}

/// Checks the fault of each form of the path `a.b`, without the place in front.
fn check_refusals(refusals: &[(&str, &str)]) {
    for (form, expected) in refusals {
        let filter = format!(r#"{{"data": {{"a.b": {form}}}}}"#);
        assert_eq!(fault(&filter).0, format!("filter.data.a.b{expected}"));
    }
}

#[test]
fn malformed_strings_and_lists_are_refused_with_their_place() {
    check_refusals(&[
        ("[]", " is an empty list."),
        ("[[1]]", "[0] is a list in a list."),
        (r#""> ""#, " begins with >, and no number follows."),
        (r#""<= 1_000""#, " begins with <=, and no number follows."),
        (r#""!=paid""#, " begins with !=, and no number follows."),
        (r#"["> x"]"#, "[0] begins with >, and no number follows."),
        (
            r#""C:\\dir""#,
            r" has a backslash before another character than * and \.",
        ),
    ]);
}

#[test]
fn malformed_operators_are_refused_with_their_place() {
    check_refusals(&[
        ("{}", " is an empty object."),
        (
            r#"{"gte": null}"#,
            ".gte is null, not a number or a string.",
        ),
        (r#"{"between": 5}"#, ".between is a number, not a list."),
        (r#"{"between": [1]}"#, ".between does not have two limits."),
        (
            r#"{"between": [1, "2"]}"#,
            ".between has limits of different types.",
        ),
        (
            r#"{"between": [2, 1]}"#,
            ".between has a lower limit above the higher one.",
        ),
        (r#"{"exists": 1}"#, ".exists is a number, not a boolean."),
        (r#"{"prefix": ""}"#, ".prefix is an empty string."),
        (r#"{"prefix": 5}"#, ".prefix is a number, not a string."),
        (r#"{"contains": ""}"#, ".contains is an empty string."),
        (
            r#"{"contains": ["a"]}"#,
            ".contains is an array, which cannot be compared.",
        ),
        (
            r#"{"equals": {"c": 1}}"#,
            ".equals is an object, which cannot be compared.",
        ),
        (r#"{"not": []}"#, ".not is an empty list."),
    ]);
}

#[test]
fn unknown_operators_are_refused_with_the_nearest_known_one() {
    for (operator, hint) in [
        ("exist", r#"Perhaps you meant "exists"."#),
        ("EQUALS", r#"Perhaps you meant "equals"."#),
        (
            "$regex",
            "Use one of between, contains, equals, exists, gt, gte, lt, lte, not, prefix, suffix.",
        ),
    ] {
        let filter = format!(r#"{{"data": {{"a": {{"{operator}": 1}}}}}}"#);
        let detail = format!("filter.data.a has no operator {operator:?}.");
        assert_eq!(fault(&filter), (detail, hint.into()));
    }
    let (_, hint) = fault(r#"{"data": {"a": "> x"}}"#);
    assert!(hint.contains(r#"{"equals": "..."}"#));
}
