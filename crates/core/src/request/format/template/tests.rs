//! Tests what templates make of an event, and which of them are refused.

use super::*;
use crate::depth::MAX_LEVELS;

fn render(source: &str, data: &str) -> Result<String, Error> {
    let event = Event {
        data: Some(data.into()),
        ..example()
    };
    Template::new(source, None)?.render(&event, 10_000)
}

#[test]
fn changes_are_old_and_new_values_by_column() {
    let source = "{{ changes }}";
    let update = r#"{"record":{"a":1,"b":2},"old_record":{"a":1,"b":3},"changed":["b"]}"#;
    assert_eq!(
        render(source, update).unwrap(),
        r#"{"b":{"old":3,"new":2}}"#
    );
    let insert = r#"{"record":{"a":1},"old_record":null}"#;
    assert_eq!(
        render(source, insert).unwrap(),
        r#"{"a":{"old":null,"new":1}}"#
    );
    assert_eq!(render(source, "[]").unwrap(), "{}");
}

#[test]
fn data_is_written_as_it_was_captured() {
    let data = r#"{"z":9.50,"b":12345678901234.123456789,"c":123456789012345678901234567890,"a":{"y": 1e30,"x":-7}}"#;
    for (source, expected) in [
        ("{{ data }}", data),
        ("{{ data | tojson }}", data),
        (
            r#"{{ {"b": data.z, "a": data.b, "c": data.a} }}"#,
            r#"{"b":9.50,"a":12345678901234.123456789,"c":{"y": 1e30,"x":-7}}"#,
        ),
        (
            "[{{ data.z }},{{ data.b }},{{ data.c }},{{ data.a.y }}]",
            "[9.50,12345678901234.123456789,123456789012345678901234567890,1e30]",
        ),
        ("{{ data.z | string }}", r#""9.50""#),
        (
            "{{ data.a | tojson(indent=1) }}",
            "{\n \"y\": 1e30,\n \"x\": -7\n}",
        ),
        ("{{ data | list }}", r#"["z","b","c","a"]"#),
        ("{{ changes }}", "{}"),
    ] {
        assert_eq!(render(source, data).unwrap(), expected, "{source}");
    }
    let text = HeaderValue::from_static("text/plain");
    let template = Template::new("{{ data.z }} {{ data.a }}", Some(text)).unwrap();
    let event = Event {
        data: Some(data.into()),
        ..example()
    };
    assert_eq!(
        template.render(&event, 1000).unwrap(),
        r#"9.50 {"y": 1e30,"x":-7}"#
    );
}

#[test]
fn numbers_are_computed_with_and_compared() {
    let data = r#"{"total":42.50,"count":3,"same":42.5,"name":"b"}"#;
    for (source, expected) in [
        ("{{ data.total > 40 and data.total < 42.6 }}", "true"),
        ("{{ data.total == data.same }}", "true"),
        ("{{ data.total == 42.5 }}", "true"),
        ("{{ data.total * 2 + data.count }}", "88.0"),
        ("{{ data.count == 3 }}", "true"),
        (r#"{{ data.name > "a" }}"#, "true"),
        // A number written in two ways is written in the shortest.
        ("{{ data.total }}", "42.5"),
        ("{{ data }}", data),
    ] {
        assert_eq!(render(source, data).unwrap(), expected, "{source}");
    }
}

#[test]
fn no_data_can_break_out_of_its_place() {
    let source = r#"{"a": {{ data.record.name }}, "b": {{ data.missing.too }} }"#;
    let data = r#"{"record":{"name":"x\",\"admin\":true,\"y\":\"</script>"}}"#;
    let body: serde_json::Value = serde_json::from_str(&render(source, data).unwrap()).unwrap();
    assert_eq!(body["a"], r#"x","admin":true,"y":"</script>"#);
    assert_eq!(body["b"], serde_json::Value::Null);
    assert_eq!(body.as_object().unwrap().len(), 2);
    let xml = HeaderValue::from_static("application/xml");
    let template = Template::new("<a>{{ subject }}</a>", Some(xml)).unwrap();
    let event = Event {
        subject: Some("</a><b>".into()),
        ..example()
    };
    assert_eq!(
        template.render(&event, 1000).unwrap(),
        "<a>&lt;&#x2f;a&gt;&lt;b&gt;</a>"
    );
}

#[test]
fn a_template_that_cannot_work_is_refused_at_once() {
    for (source, detail) in [
        (
            "{{ ",
            "Line 1: syntax error: unexpected end of input, expected expression.",
        ),
        (
            "\n{{ type | shout }}",
            "Line 2: unknown filter: filter shout is unknown.",
        ),
        (
            "{{ nobody() }}",
            "Neither an event nor a template has \"nobody\".",
        ),
        (
            "{{ subjekt }}",
            "Neither an event nor a template has \"subjekt\".",
        ),
        (
            &format!("{{{{ {}1 }}}}", "-".repeat(20_848)),
            "More than 128 operators and brackets of one tag hang on each other.",
        ),
    ] {
        let error = Template::new(source, None).unwrap_err();
        assert_eq!(error.detail().unwrap(), detail, "{source}");
    }
    let unquoted = Template::new(r#"{"a": "{{ type }}"}"#, None).unwrap_err();
    assert!(
        unquoted
            .hint()
            .unwrap()
            .starts_with("In JSON a value brings its own quotes")
    );
    assert!(Template::new(&" ".repeat(bounds::MAX_BYTES + 1), None).is_err());
}

#[test]
fn a_template_is_bounded_in_steps_and_bytes() {
    let endless = "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}1";
    let error = Template::new(endless, None).unwrap_err();
    assert!(error.detail().unwrap().contains("fuel"), "{error}");
    let long = Template::new("[{% for n in range(1000) %}{{ type }},{% endfor %}1]", None).unwrap();
    assert!(matches!(
        long.render(&example(), 500),
        Err(Error::TooLarge { limit: 500, .. })
    ));
}

/// Runs in a thread with as little stack as a send thread.
fn in_a_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    thread.spawn(run).unwrap().join().unwrap()
}

#[test]
fn the_deepest_data_in_the_deepest_template_is_written_with_little_stack() {
    let data = "[".repeat(MAX_LEVELS) + &"]".repeat(MAX_LEVELS);
    let assigned = "{% set data = [data] %}".repeat(bounds::MAX_ASSIGNED / 2);
    for output in [
        "{{ {}data{} }}",
        "{{ {}data{} | tojson }}",
        "{{ {}data{} | pprint }}",
        "{{ {}data{} == {}data{} }}",
    ] {
        let levels = bounds::MAX_OPERATORS / 4;
        let output =
            output
                .replacen("{}", &"[".repeat(levels), 1)
                .replacen("{}", &"]".repeat(levels), 1);
        let source = format!("{assigned}{}", output.replace("{}", ""));
        // A process parses it, with a larger stack.
        let text = HeaderValue::from_static("text/plain");
        let template = Template::new(&source, Some(text)).unwrap();
        let event = Event {
            data: Some(data.clone()),
            ..example()
        };
        let written = in_a_small_stack(move || template.render(&event, 1 << 20));
        assert!(written.is_ok(), "{output}: {written:?}");
    }
}

#[test]
fn data_that_is_too_deep_for_a_template_is_a_fault_of_the_event() {
    let source = r#"{"x": 1}"#;
    let nested = |levels| "[".repeat(levels) + &"]".repeat(levels);
    assert!(render(source, &nested(MAX_LEVELS)).is_ok());
    for levels in [MAX_LEVELS + 1, 1_000_000] {
        let error = render(source, &nested(levels)).unwrap_err();
        assert!(matches!(&error, Error::Unsendable { .. }), "{error}");
    }
}

#[test]
fn nothing_is_carried_from_one_turn_of_a_loop_to_the_next() {
    for source in [
        "{% set n = namespace(x=1) %}1",
        "{% macro m() %}{% endmacro %}1",
        "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}1",
        "{{ debug() }}",
    ] {
        assert!(Template::new(source, None).is_err(), "{source}");
    }
    let source = "{% set x = 1 %}{% for i in range(3) %}{% set x = [x] %}{{ x }}{% endfor %}";
    let text = HeaderValue::from_static("text/plain");
    let template = Template::new(source, Some(text)).unwrap();
    assert_eq!(template.render(&example(), 100).unwrap(), "[1][1][1]");
}

#[test]
fn a_template_sees_nothing_but_the_event() {
    for source in [
        "{% include '/etc/passwd' %}",
        "{% extends 'other' %}",
        "{{ namespace.__class__.__mro__() }}",
        "{{ env('HOME') }}",
    ] {
        assert!(render(source, "{}").is_err(), "{source}");
    }
}
