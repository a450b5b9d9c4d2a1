//! Malformed leaves are refused with their place.

use crate::filter::testing::fault;

/// Checks the fault of each leaf, without the place in front.
fn check_refusals(refusals: &[(&str, &str)]) {
    for (leaf, expected) in refusals {
        let filter = format!(r#"{{"pattern": {{"data": {{"a": {leaf}}}}}}}"#);
        assert_eq!(fault(&filter).0, format!("filter.pattern.data.a{expected}"));
    }
}

#[test]
fn a_leaf_is_a_list_of_values_and_matchers() {
    check_refusals(&[
        ("[]", " is an empty array."),
        (r#""x""#, " is a string, not an array or an object."),
        ("[[1]]", "[0] is an array."),
        ("[{}]", "[0] does not have one member."),
        (
            r#"[{"prefix": "a", "suffix": "b"}]"#,
            "[0] does not have one member.",
        ),
        (r#"[1, {"exist": true}]"#, r#"[1] has no matcher "exist"."#),
        (r#"[{"Prefix": "a"}]"#, r#"[0] has no matcher "Prefix"."#),
        (r#"[{"exists": "true"}]"#, "[0].exists is not a boolean."),
    ]);
}

#[test]
fn matchers_of_strings_take_strings() {
    check_refusals(&[
        (
            r#"[{"prefix": 5}]"#,
            "[0].prefix is a number, not a string.",
        ),
        (
            r#"[{"prefix": {"wildcard": "a"}}]"#,
            "[0].prefix has another member than equals-ignore-case.",
        ),
        (
            r#"[{"equals-ignore-case": ["a"]}]"#,
            "[0].equals-ignore-case is an array, not a string.",
        ),
        (
            r#"[{"wildcard": "a**b"}]"#,
            "[0].wildcard has two stars side by side.",
        ),
        (
            r#"[{"wildcard": "a\\b"}]"#,
            r"[0].wildcard has a backslash before another character than * and \.",
        ),
        (r#"[{"cidr": "10.0.0.0"}]"#, "[0].cidr is not a network."),
        (r#"[{"cidr": "10.0.0.0/33"}]"#, "[0].cidr is not a network."),
    ]);
}

#[test]
fn ranges_have_a_lower_limit_before_a_higher_one() {
    check_refusals(&[
        (r#"[{"numeric": 5}]"#, "[0].numeric is not an array."),
        (
            r#"[{"numeric": []}]"#,
            "[0].numeric does not have a lower limit before a higher one.",
        ),
        (
            r#"[{"numeric": [">", 0, "<"]}]"#,
            "[0].numeric does not have a sign and a number in turn.",
        ),
        (
            r#"[{"numeric": [">", "0"]}]"#,
            "[0].numeric does not have a sign and a number in turn.",
        ),
        (
            r#"[{"numeric": [">", 0, ">", 0]}]"#,
            "[0].numeric does not have a lower limit before a higher one.",
        ),
        (
            r#"[{"numeric": ["<", 5, ">", 0]}]"#,
            "[0].numeric does not have a lower limit before a higher one.",
        ),
        (
            r#"[{"numeric": [">", 5, "<", 5]}]"#,
            "[0].numeric has a lower limit that is not below the higher one.",
        ),
        (
            r#"[{"numeric": ["!=", 5]}]"#,
            "[0].numeric has another sign than =, <, <=, > and >=.",
        ),
    ]);
}

#[test]
fn only_strings_and_numbers_can_be_excluded() {
    check_refusals(&[
        (
            r#"[{"anything-but": null}]"#,
            "[0].anything-but is null, which it cannot exclude.",
        ),
        (
            r#"[{"anything-but": ["a", 1]}]"#,
            "[0].anything-but is not a list of strings or of numbers.",
        ),
        (
            r#"[{"anything-but": []}]"#,
            "[0].anything-but is not a list of strings or of numbers.",
        ),
        (
            r#"[{"anything-but": {"numeric": ["=", 1]}}]"#,
            r#"[0].anything-but has no matcher "numeric"."#,
        ),
        (
            r#"[{"anything-but": {"prefix": ""}}]"#,
            "[0].anything-but.prefix is empty, which excludes every string.",
        ),
        (
            r#"[{"anything-but": {"prefix": ["a", 1]}}]"#,
            "[0].anything-but.prefix[1] is a number, not a string.",
        ),
        (
            r#"[{"anything-but": {"prefix": {"equals-ignore-case": "a"}}}]"#,
            "[0].anything-but.prefix is an object, not a string.",
        ),
        (
            r#"[{"anything-but": {"suffix": []}}]"#,
            "[0].anything-but.suffix is an empty array.",
        ),
    ]);
}
