use crate::event::Event;
use crate::filter::testing::{event, fault, outcome};

#[test]
fn attributes_match_as_the_specification_says() {
    let push = Event {
        subject: Some("https://github.com/cloudevents/spec".into()),
        ..Event::new("1", "/hub", "com.github.push.created", 0)
    };
    for (filter, expected) in [
        (r#"{"exact": {"type": "com.github.push.created"}}"#, true),
        (r#"{"exact": {"type": "com.github.push"}}"#, false),
        (r#"{"exact": {"type": "COM.github.push.created"}}"#, false),
        (
            r#"{"exact": {"type": "com.github.push.created", "subject": "https://github.com/cloudevents/spec"}}"#,
            true,
        ),
        (
            r#"{"exact": {"type": "com.github.push.created", "subject": "x"}}"#,
            false,
        ),
        (
            r#"{"prefix": {"type": "com.github.", "subject": "https://github.com/cloudevents"}}"#,
            true,
        ),
        (r#"{"prefix": {"type": "github."}}"#, false),
        (
            r#"{"suffix": {"type": ".created", "subject": "/cloudevents/spec"}}"#,
            true,
        ),
        (
            r#"{"suffix": {"type": ".created", "subject": "/cloudevents"}}"#,
            false,
        ),
    ] {
        assert_eq!(outcome(filter, &push), Ok(expected), "{filter}");
    }
}

#[test]
fn every_attribute_is_compared_as_it_is_sent() {
    let event = Event {
        seq: 7,
        key: Some("customer-1".into()),
        dataschema: Some("https://example.com/1".into()),
        context: Some(
            r#"{"role":"app","actor":"ada","traceparent":"00-1","tracestate":""}"#.into(),
        ),
        uid: "01890a5d-ac96-774b-bcce-b302099a8057".into(),
        ..event("{}")
    };
    for (name, text) in [
        ("specversion", "1.0"),
        ("id", "u-1"),
        ("source", "/shop"),
        ("type", "order.paid"),
        ("subject", "42"),
        ("time", "2026-01-02T03:04:05Z"),
        ("datacontenttype", "application/json"),
        ("dataschema", "https://example.com/1"),
        ("partitionkey", "customer-1"),
        ("level", "3"),
        ("region", "eu"),
        ("urgent", "true"),
        ("role", "app"),
        ("actor", "ada"),
        ("traceparent", "00-1"),
        ("sequence", "0000000000000000007"),
        ("recordedtime", "2023-06-30T03:34:18.518Z"),
    ] {
        let filter = format!(r#"{{"exact": {{"{name}": "{text}"}}}}"#);
        assert_eq!(outcome(&filter, &event), Ok(true), "{name}");
    }
    for name in ["tracestate", "unknown", "tenant"] {
        let filter = format!(r#"{{"pattern": {{"{name}": [{{"exists": false}}]}}}}"#);
        assert_eq!(outcome(&filter, &event), Ok(true), "{name}");
    }
}

#[test]
fn the_events_own_extension_wins_over_the_sessions() {
    let event = Event {
        context: Some(r#"{"actor":"ada"}"#.into()),
        extensions: Some(r#"{"actor":"bob"}"#.into()),
        ..event("{}")
    };
    assert_eq!(outcome(r#"{"exact": {"actor": "bob"}}"#, &event), Ok(true));
}

#[test]
fn an_event_without_data_has_no_content_type() {
    let filter = r#"{"exact": {"datacontenttype": "application/json"}}"#;
    let without = Event {
        data: None,
        ..event("{}")
    };
    assert_eq!(outcome(filter, &without), Ok(false));
    // Its data are not loaded.
    assert_eq!(outcome(filter, &Event { size: 2, ..without }), Ok(true));
}

#[test]
fn names_and_texts_that_no_event_has_are_refused() {
    for (filter, detail) in [
        (
            r#"{"exact": []}"#,
            "filter.exact is an array, not an object.",
        ),
        (r#"{"prefix": {}}"#, "filter.prefix is an empty object."),
        (
            r#"{"exact": {"type": ""}}"#,
            "filter.exact.type is an empty string.",
        ),
        (
            r#"{"exact": {"level": 3}}"#,
            "filter.exact.level is a number, not a string.",
        ),
        (
            r#"{"exact": {"": "x"}}"#,
            "filter.exact. cannot be an attribute.",
        ),
        (
            r#"{"suffix": {"Type": "x"}}"#,
            "filter.suffix.Type cannot be an attribute.",
        ),
        (
            r#"{"exact": {"data": "x"}}"#,
            "filter.exact.data is not an attribute.",
        ),
        (
            r#"{"exact": {"abcdefghij0123456789x": "x"}}"#,
            "filter.exact.abcdefghij0123456789x cannot be an attribute.",
        ),
    ] {
        assert_eq!(fault(filter).0, detail, "{filter}");
    }
}
