use proptest::prelude::*;

use super::*;
use crate::filter::paths::Path;

fn wanted(paths: &[&str]) -> Paths {
    let mut wanted = Paths::default();
    for path in paths {
        wanted.insert(&Path::parse(path).unwrap());
    }
    wanted
}

fn read_paths<'a>(json: &'a str, paths: &[&str]) -> Option<Value<'a>> {
    read(json, Wanted::Paths(&wanted(paths))).unwrap()
}

fn whole(json: &str) -> Value<'_> {
    read(json, Wanted::Everything).unwrap().unwrap()
}

#[test]
fn only_what_is_wanted_is_kept() {
    let json = r#" {"a" : {"b":[1, {"c":2}], "d":{"e":3}}, "x":[{"y":"\\\"]}"}], "z":null} "#;
    for (paths, kept) in [
        (&["a.b"][..], r#"{"a":{"b":[1,{}]}}"#),
        (&["a.b", "a.b.c"], r#"{"a":{"b":[1,{"c":2}]}}"#),
        (&["a.b.c"], r#"{"a":{"b":[{"c":2}]}}"#),
        (&["a.d"], r#"{"a":{"d":{}}}"#),
        (&["z"], r#"{"z":null}"#),
        (&["z.a", "b"], r#"{"z":{}}"#),
        (&["x.y"], r#"{"x":[{"y":"\\\"]}"}]}"#),
    ] {
        assert_eq!(read_paths(json, paths), Some(whole(kept)), "{paths:?}");
    }
}

#[test]
fn the_last_of_equal_names_counts_however_they_are_written() {
    let json = r#"{"a": 1, "b": 2, "\u0061": 3, "a": {"c": 4}}"#;
    assert_eq!(whole(json), whole(r#"{"b": 2, "a": {"c": 4}}"#));
    assert_eq!(
        read_paths(r#"{"a": {"c": 1}, "a": 5}"#, &["a.c"]),
        Some(whole(r#"{"a": {}}"#))
    );
}

#[test]
fn numbers_keep_their_text() {
    for number in ["-0.10", "1E+2", "123456789012345678901234567890"] {
        assert!(matches!(whole(number), Value::Number { text, .. } if text == number));
    }
}

#[test]
fn half_a_surrogate_pair_is_replaced() {
    let text = |json| match whole(json) {
        Value::String(text) => text.into_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(text(r#""\ud83d\ude00 \ud83d \/""#), "😀 \u{fffd} /");
}

#[test]
fn text_that_is_not_json_is_unreadable_even_where_it_is_skipped() {
    for json in [
        "",
        "{",
        r#"{"a":1"#,
        r#"{"b":tru,"a":1}"#,
        r#"{"a":1}}"#,
        r#"{"a":1} 2"#,
        "01",
        "[1,]",
        r#"{"b":"\x"}"#,
    ] {
        let wanted = wanted(&["a"]);
        assert_eq!(
            read(json, Wanted::Paths(&wanted)),
            Err(Unreadable::NotJson),
            "{json}"
        );
    }
}

proptest! {
    #[test]
    fn any_text_is_read_as_serde_json_reads_it(json in r#"([\[\]{},:"]|\\u00|\\|a|1|-|\.|e| |true|null){0,12}"#) {
        let is_json = serde_json::from_str::<IgnoredAny>(&json).is_ok();
        prop_assert_eq!(read(&json, Wanted::Everything).is_ok(), is_json);
    }

    #[test]
    fn strings_are_read_as_serde_json_reads_them(text in ".*", is_pretty: bool) {
        let value = serde_json::json!({&text: [{"x": &text}, &text]});
        let json = match is_pretty {
            true => serde_json::to_string_pretty(&value).unwrap(),
            false => value.to_string(),
        };
        let string = || Value::String(Cow::Borrowed(&text));
        let inner = Value::Object(vec![(Cow::Borrowed("x"), string())].into());
        let outer = Value::Array(vec![inner, string()]);
        prop_assert_eq!(whole(&json), Value::Object(vec![(Cow::Borrowed(text.as_str()), outer)].into()));
    }
}
