use crate::filter::testing::{fault, matches};

/// Whether a form matches the values of the path `a.b`.
fn holds(form: &str, data: &str) -> bool {
    matches(&format!(r#"{{"data": {{"a.b": {form}}}}}"#), data)
}

#[test]
fn the_example_of_the_manual_matches() {
    let filter = r#"{"data": {"status": "paid", "total": ">= 100", "species.family": ["Quercus", "Acer"],
        "user_id": "user-*", "deleted_at": null, "tags": {"contains": "vip"}}}"#;
    let data = r#"{"status": "paid", "total": 100.00, "species": {"family": "Acer"}, "user_id": "user-7",
        "deleted_at": null, "tags": ["new", "vip"]}"#;
    assert!(matches(filter, data));
    for (was, is) in [
        ("paid", "void"),
        ("100.00", "99.99"),
        ("Acer", "acer"),
        ("user-7", "admin-7"),
        (r#""deleted_at": null, "#, ""),
        (r#""vip""#, r#""v""#),
    ] {
        assert!(!matches(filter, &data.replace(was, is)), "{is}");
    }
}

#[test]
fn a_path_is_exact() {
    let filter = r#"{"data": {"status": "paid"}}"#;
    for (data, expected) in [
        (r#"{"status": "paid"}"#, true),
        (r#"{"record": {"status": "paid"}}"#, false),
        (r#"{"Status": "paid"}"#, false),
        (r#"{"status": {"status": "paid"}}"#, false),
        (r#"{"status": "void", "status": "paid"}"#, true),
        (r#"{"status": "paid", "status": "void"}"#, false),
        (r#""paid""#, false),
    ] {
        assert_eq!(matches(filter, data), expected, "{data}");
    }
    for (path, data) in [
        (r"a\\.b", r#"{"a.b": 1}"#),
        (r"a\\\\.b", r#"{"a\\": {"b": 1}}"#),
        (" a . b ", r#"{" a ": {" b ": 1}}"#),
        ("ü", r#"{"\u00fc": 1}"#),
    ] {
        assert!(
            matches(&format!(r#"{{"data": {{"{path}": 1}}}}"#), data),
            "{path}"
        );
    }
    assert!(!matches(r#"{"data": {"a.b": 1}}"#, r#"{"a.b": 1}"#));
}

#[test]
fn a_missing_path_matches_only_that_it_does_not_exist() {
    for data in [
        "{}",
        r#"{"a": 1}"#,
        r#"{"a": {}}"#,
        r#"{"a": []}"#,
        r#"{"a": [[], {}]}"#,
        "null",
        "[]",
        "7",
    ] {
        assert!(holds(r#"{"exists": false}"#, data), "{data}");
        for form in [
            "null",
            r#""*""#,
            r#""!= 5""#,
            r#"["!= 5", null]"#,
            r#"{"not": 5}"#,
            r#"{"not": {"exists": true}}"#,
            r#"{"not": {"not": 5}}"#,
            r#"{"exists": true}"#,
            r#"{"exists": false, "not": 5}"#,
            r#"{"contains": "x"}"#,
        ] {
            assert!(!holds(form, data), "{form} {data}");
        }
    }
}

#[test]
fn arrays_stand_for_their_elements() {
    for (form, data, expected) in [
        ("5", r#"{"a": [{"b": 4}, {"b": 5}]}"#, true),
        ("5", r#"{"a": [[{"b": [4, [5]]}]]}"#, true),
        ("5", r#"[{"a": {"b": 4}}, {"a": {"b": 5}}]"#, true),
        ("5", r#"{"a": [{"c": 5}, 5]}"#, false),
        (r#"[5, 6]"#, r#"{"a": {"b": [1, 6]}}"#, true),
        // None of the elements, and there is one.
        (r#"{"not": 5}"#, r#"{"a": [{"b": 4}, {"b": 5}]}"#, false),
        (r#"{"not": 5}"#, r#"{"a": [{"b": 4}, {"b": [6]}]}"#, true),
        (r#""!= 5""#, r#"{"a": [{"b": 4}, {"b": 5}]}"#, false),
        (r#"{"not": 5}"#, r#"{"a": {"b": []}}"#, true),
        (r#"{"exists": true}"#, r#"{"a": [{}, {"b": []}]}"#, true),
        // One element passes the whole range.
        (r#"{"gte": 5, "lt": 10}"#, r#"{"a": {"b": [3, 12]}}"#, false),
        (r#"{"gte": 5, "lt": 10}"#, r#"{"a": {"b": [3, 7]}}"#, true),
        (
            r#"{"prefix": "a", "suffix": "z"}"#,
            r#"{"a": {"b": ["ab", "yz"]}}"#,
            false,
        ),
        // Objects at the end of the path equal nothing.
        ("null", r#"{"a": {"b": [{}, {"c": null}]}}"#, false),
        (r#"{"not": null}"#, r#"{"a": {"b": [{}]}}"#, true),
    ] {
        assert_eq!(holds(form, data), expected, "{form} {data}");
    }
}

#[test]
fn malformed_paths_are_refused_with_their_place() {
    for (filter, detail) in [
        (r#"{"data": {}}"#, "filter.data is an empty object."),
        (
            r#"{"data": ["a"]}"#,
            "filter.data is an array, not an object.",
        ),
        (
            r#"{"data": {"a..b": 1}}"#,
            "filter.data.a..b is not a path.",
        ),
        (r#"{"data": {"": 1}}"#, "filter.data. is not a path."),
    ] {
        assert_eq!(fault(filter).0, detail, "{filter}");
    }
}
