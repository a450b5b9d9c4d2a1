//! The matchers of Amazon EventBridge's manual, with events of our own.

use crate::filter::testing::matches;

mod refused;

/// Whether a list of matchers matches the data's member `a`.
fn holds(leaf: &str, data: &str) -> bool {
    let filter = format!(r#"{{"pattern": {{"data": {{"a": {leaf}}}}}}}"#);
    matches(&filter, data)
}

fn holds_for(leaf: &str, value: &str) -> bool {
    holds(leaf, &format!(r#"{{"a": {value}}}"#))
}

#[test]
fn values_match_exactly() {
    for (leaf, value, expected) in [
        (r#"["paid", "sent"]"#, r#""sent""#, true),
        (r#"["paid", "sent"]"#, r#""Sent""#, false),
        (r#"["paid", 5, true, null]"#, "5.0", true),
        (r#"["paid", 5, true, null]"#, "true", true),
        (r#"["paid", 5, true, null]"#, "null", true),
        (r#"["paid", 5, true, null]"#, "false", false),
        (r#"["5"]"#, "5", false),
        ("[300]", "3.0e2", true),
        (
            "[123456789012345678901234567890]",
            "123456789012345678901234567891",
            false,
        ),
        (r#"[""]"#, r#""""#, true),
        (r#"[""]"#, "null", false),
        (r#"["*"]"#, r#""x""#, false),
    ] {
        assert_eq!(holds_for(leaf, value), expected, "{leaf} {value}");
    }
}

#[test]
fn strings_match_by_their_parts() {
    for (leaf, value, expected) in [
        (
            r#"[{"prefix": "2026-01-"}]"#,
            r#""2026-01-02T03:04:05Z""#,
            true,
        ),
        (r#"[{"prefix": "us-"}]"#, r#""eu-1""#, false),
        (r#"[{"prefix": ""}]"#, r#""x""#, true),
        (r#"[{"prefix": ""}]"#, "5", false),
        (r#"[{"prefix": "1"}]"#, "12", false),
        (
            r#"[{"prefix": {"equals-ignore-case": "EventB"}}]"#,
            r#""eventBridge""#,
            true,
        ),
        (
            r#"[{"prefix": {"equals-ignore-case": "EventB"}}]"#,
            r#""event""#,
            false,
        ),
        (r#"[{"suffix": ".png"}]"#, r#""a.png""#, true),
        (r#"[{"suffix": ".png"}]"#, r#""a.PNG""#, false),
        (
            r#"[{"suffix": {"equals-ignore-case": ".PNG"}}]"#,
            r#""a.png""#,
            true,
        ),
        (r#"[{"equals-ignore-case": "alice"}]"#, r#""ALICE""#, true),
        (r#"[{"equals-ignore-case": "alice"}]"#, r#""ALICES""#, false),
        (r#"[{"equals-ignore-case": ""}]"#, r#""""#, true),
        (
            r#"[{"wildcard": "/users/*/doc.txt"}]"#,
            r#""/users/ada/dir/doc.txt""#,
            true,
        ),
        (
            r#"[{"wildcard": "/users/*/doc.txt"}]"#,
            r#""/users//doc.txt""#,
            true,
        ),
        (
            r#"[{"wildcard": "/users/*/doc.txt"}]"#,
            r#""/users/doc.txt""#,
            false,
        ),
        (
            r#"[{"wildcard": "*:*:*:bus/*"}]"#,
            r#""arn:aws:events:bus/1""#,
            true,
        ),
        (r#"[{"wildcard": "a\\*b\\\\c"}]"#, r#""a*b\\c""#, true),
        (r#"[{"wildcard": ""}]"#, r#""""#, true),
    ] {
        assert_eq!(holds_for(leaf, value), expected, "{leaf} {value}");
    }
}

#[test]
fn anything_but_passes_every_other_value_of_any_type() {
    for (leaf, value, expected) in [
        (r#"[{"anything-but": "draft"}]"#, r#""sent""#, true),
        (r#"[{"anything-but": "draft"}]"#, r#""draft""#, false),
        (r#"[{"anything-but": "draft"}]"#, "null", true),
        (r#"[{"anything-but": "draft"}]"#, "5", true),
        (r#"[{"anything-but": 5}]"#, "5.00", false),
        (r#"[{"anything-but": 0}]"#, "789", true),
        (r#"[{"anything-but": 5}]"#, r#""5""#, true),
        (
            r#"[{"anything-but": ["draft", "void"]}]"#,
            r#""void""#,
            false,
        ),
        (
            r#"[{"anything-but": ["draft", "void"]}]"#,
            r#""sent""#,
            true,
        ),
        (r#"[{"anything-but": [100, 200]}]"#, "200", false),
    ] {
        assert_eq!(holds_for(leaf, value), expected, "{leaf} {value}");
        assert!(!holds(leaf, "{}"), "{leaf} needs a value");
    }
}

#[test]
fn anything_but_negates_matchers_of_strings() {
    for (leaf, value, expected) in [
        (
            r#"[{"anything-but": {"prefix": "us-"}}]"#,
            r#""us-1""#,
            false,
        ),
        (r#"[{"anything-but": {"prefix": "us-"}}]"#, "12", true),
        (
            r#"[{"anything-but": {"prefix": ["us-", "eu-"]}}]"#,
            r#""eu-1""#,
            false,
        ),
        (
            r#"[{"anything-but": {"suffix": ".png"}}]"#,
            r#""a.jpg""#,
            true,
        ),
        (
            r#"[{"anything-but": {"suffix": [".png", ".jpg"]}}]"#,
            r#""a.jpg""#,
            false,
        ),
        (
            r#"[{"anything-but": {"equals-ignore-case": "draft"}}]"#,
            r#""DRAFT""#,
            false,
        ),
        (
            r#"[{"anything-but": {"equals-ignore-case": ["a", "b"]}}]"#,
            "null",
            true,
        ),
        (
            r#"[{"anything-but": {"wildcard": "*/lib/*"}}]"#,
            r#""/usr/lib/a""#,
            false,
        ),
        (
            r#"[{"anything-but": {"wildcard": ["*/lib/*", "*/bin/*"]}}]"#,
            r#""/usr/share/a""#,
            true,
        ),
        (r#"[{"anything-but": {"wildcard": ""}}]"#, r#""x""#, true),
    ] {
        assert_eq!(holds_for(leaf, value), expected, "{leaf} {value}");
        assert!(!holds(leaf, "{}"), "{leaf} needs a value");
    }
}

#[test]
fn numbers_match_by_their_range() {
    for (leaf, value, expected) in [
        (r#"[{"numeric": ["=", 301.8]}]"#, "3.018e2", true),
        (r#"[{"numeric": [">", 0, "<=", 5]}]"#, "0", false),
        (r#"[{"numeric": [">", 0, "<=", 5]}]"#, "5", true),
        (r#"[{"numeric": [">=", 0, "<", 5]}]"#, "0", true),
        (r#"[{"numeric": ["<", 10]}]"#, "-1e300", true),
        (r#"[{"numeric": ["<", 10]}]"#, r#""3""#, false),
        (
            r#"[{"numeric": [">", 123456789012345678901234567890]}]"#,
            "123456789012345678901234567891",
            true,
        ),
    ] {
        assert_eq!(holds_for(leaf, value), expected, "{leaf} {value}");
    }
}

#[test]
fn addresses_match_by_their_network() {
    for (leaf, value, expected) in [
        (r#"[{"cidr": "10.0.0.0/24"}]"#, r#""10.0.0.255""#, true),
        (r#"[{"cidr": "10.0.0.0/24"}]"#, r#""10.0.1.0""#, false),
        (r#"[{"cidr": "10.0.0.7/24"}]"#, r#""10.0.0.1""#, true),
        (r#"[{"cidr": "10.0.0.7/32"}]"#, r#""10.0.0.7""#, true),
        (r#"[{"cidr": "2001:db8::/32"}]"#, r#""2001:db8::1""#, true),
        (r#"[{"cidr": "2001:db8::/32"}]"#, "5", false),
    ] {
        assert_eq!(holds_for(leaf, value), expected, "{leaf} {value}");
    }
}

#[test]
fn only_values_that_are_neither_arrays_nor_objects_exist() {
    for (data, expected) in [
        (r#"{"a": 1}"#, true),
        (r#"{"a": null}"#, true),
        (r#"{"a": ""}"#, true),
        (r#"{"a": [1]}"#, true),
        (r#"{"a": [[{}], [1]]}"#, true),
        (r#"{"a": []}"#, false),
        (r#"{"a": [[]]}"#, false),
        (r#"{"a": {"b": 1}}"#, false),
        (r#"{"a": [{"b": 1}]}"#, false),
        (r#"{"b": 1}"#, false),
        ("null", false),
        ("5", false),
    ] {
        assert_eq!(holds(r#"[{"exists": true}]"#, data), expected, "{data}");
        assert_eq!(holds(r#"[{"exists": false}]"#, data), !expected, "{data}");
        assert!(
            holds(r#"[{"exists": false}, {"exists": true}]"#, data),
            "{data}"
        );
    }
    for (leaf, data, expected) in [
        (r#"[{"exists": false}, "x"]"#, "{}", true),
        (r#"[{"exists": false}, "x"]"#, r#"{"a": "x"}"#, true),
        (r#"[{"exists": false}, "x"]"#, r#"{"a": "y"}"#, false),
        (r#"[null]"#, r#"{"a": []}"#, false),
        (r#"[null]"#, "{}", false),
    ] {
        assert_eq!(holds(leaf, data), expected, "{leaf} {data}");
    }
}
