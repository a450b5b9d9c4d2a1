//! Formats: an event becomes the bytes of a request's body.
//!
//! It sits between match and send, once per event and format, and is on the hot path.
//! It writes each member straight into one buffer and must never parse `data`, nor change a byte of it.

use std::fmt::Write;

use chrono::{DateTime, Datelike, Timelike};

use crate::event::Event;
use crate::json::{minify, push_string};

/// The media type of [`structured`] bodies (CloudEvents HTTP binding 1.0, section 3.2).
/// In lower case: the JavaScript SDK of CloudEvents compares it letter by letter.
pub const STRUCTURED_CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The event as one structured-mode CloudEvent (CloudEvents JSON format 1.0, section 3), minified.
///
/// The members come as `specversion`, `id`, `source`, `type`, `subject`, `time`, `datacontenttype`, `dataschema`,
/// `partitionkey` (the event's key), the extensions, and `data` last. Members without a value are left out,
/// and so is a `time` that RFC 3339 cannot express (before the year 0 or after 9999, or infinite).
///
/// ```
/// use herald_core::{event::Event, format::structured};
///
/// let event = Event {
///     data: Some(r#"{"total":100}"#.into()),
///     ..Event::new("01890a5d-ac96-774b-bcce-b302099a8057", "/shop", "order.paid", 1_767_323_045_678_901)
/// };
/// assert_eq!(
///     String::from_utf8(structured(&event)).unwrap(),
///     r#"{"specversion":"1.0","id":"01890a5d-ac96-774b-bcce-b302099a8057","source":"/shop","type":"order.paid","#.to_owned()
///         + r#""time":"2026-01-02T03:04:05.678901Z","datacontenttype":"application/json","data":{"total":100}}"#
/// );
/// ```
pub fn structured(event: &Event) -> Vec<u8> {
    let mut body = String::with_capacity(estimated_size(event));
    body.push_str(r#"{"specversion":"1.0","id":"#);
    push_string(&mut body, &event.id);
    push_member(&mut body, "source", &event.source);
    push_member(&mut body, "type", &event.r#type);
    if let Some(subject) = &event.subject {
        push_member(&mut body, "subject", subject);
    }
    push_time(&mut body, event.time_micros);
    if event.data.is_some() {
        body.push_str(r#","datacontenttype":"application/json""#);
    }
    if let Some(dataschema) = &event.dataschema {
        push_member(&mut body, "dataschema", dataschema);
    }
    if let Some(key) = &event.key {
        push_member(&mut body, "partitionkey", key);
    }
    if let Some(extensions) = &event.extensions {
        push_members_of(&mut body, extensions);
    }
    if let Some(data) = &event.data {
        body.push_str(r#","data":"#);
        body.push_str(data);
    }
    body.push('}');
    body.into_bytes()
}

/// Enough for the member names and a few escapes, so that most bodies are allocated once.
fn estimated_size(event: &Event) -> usize {
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    224 + event.id.len()
        + event.source.len()
        + event.r#type.len()
        + length(&event.subject)
        + length(&event.dataschema)
        + length(&event.key)
        + length(&event.extensions)
        + length(&event.data)
}

fn push_member(body: &mut String, name: &str, value: &str) {
    body.push_str(",\"");
    body.push_str(name);
    body.push_str("\":");
    push_string(body, value);
}

/// RFC 3339 in UTC, with as many digits as the fraction needs out of 0, 3 and 6.
fn push_time(body: &mut String, micros: i64) {
    let Some(time) =
        DateTime::from_timestamp_micros(micros).filter(|time| (0..=9999).contains(&time.year()))
    else {
        return;
    };
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    write!(
        body,
        r#","time":"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"#
    )
    .and_then(|()| match time.timestamp_subsec_micros() {
        0 => Ok(()),
        fraction if fraction % 1000 == 0 => write!(body, ".{:03}", fraction / 1000),
        fraction => write!(body, ".{fraction:06}"),
    })
    .expect("writing into memory cannot fail");
    body.push_str("Z\"");
}

/// Copies the members of a JSON object, without its braces and the blanks that `jsonb` puts between its tokens.
fn push_members_of(body: &mut String, object: &str) {
    let object = minify(object);
    let members = object
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
        .unwrap_or("");
    if !members.is_empty() {
        body.push(',');
        body.push_str(members);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> Event {
        Event::new("uid", "/shop", "order.paid", 1_767_323_045_678_901)
    }

    fn text(event: &Event) -> String {
        String::from_utf8(structured(event)).unwrap()
    }

    #[test]
    fn members_come_in_the_documented_order() {
        let event = Event {
            id: "a-1".into(),
            subject: Some("42".into()),
            key: Some("42".into()),
            dataschema: Some("https://example.com/schema".into()),
            extensions: Some(r#"{"a": 1, "b": "x \" y"}"#.into()),
            data: Some(r#"{"id":42}"#.into()),
            ..event()
        };
        assert_eq!(
            text(&event),
            concat!(
                r#"{"specversion":"1.0","id":"a-1","source":"/shop","type":"order.paid","subject":"42","#,
                r#""time":"2026-01-02T03:04:05.678901Z","datacontenttype":"application/json","#,
                r#""dataschema":"https://example.com/schema","partitionkey":"42","a":1,"b":"x \" y","data":{"id":42}}"#,
            )
        );
    }

    #[test]
    fn an_event_without_data_has_neither_data_nor_a_content_type() {
        assert!(!text(&event()).contains("data"));
    }

    #[test]
    fn data_is_copied_byte_for_byte() {
        for data in [
            r#"{"b":1.50,"a":"\u00e9é","a":2}"#,
            "10000000000000000000000",
            "null",
            r#"" ""#,
        ] {
            let data = data.to_owned();
            let end = format!(r#","data":{data}}}"#);
            assert!(
                text(&Event {
                    data: Some(data),
                    ..event()
                })
                .ends_with(&end)
            );
        }
    }

    #[test]
    fn empty_extensions_add_nothing() {
        for empty in ["{}", " { } "] {
            assert_eq!(
                text(&Event {
                    extensions: Some(empty.into()),
                    ..event()
                }),
                text(&event())
            );
        }
    }

    #[test]
    fn time_has_only_the_digits_that_it_needs() {
        let cases = [
            (1_767_323_045_000_000, Some("2026-01-02T03:04:05Z")),
            (1_767_323_045_670_000, Some("2026-01-02T03:04:05.670Z")),
            (1_767_323_045_000_001, Some("2026-01-02T03:04:05.000001Z")),
            (-1, Some("1969-12-31T23:59:59.999999Z")),
            (253_402_300_799_999_999, Some("9999-12-31T23:59:59.999999Z")),
            (253_402_300_800_000_000, None),
            (i64::MAX, None),
            (i64::MIN, None),
        ];
        for (time_micros, expected) in cases {
            let value: serde_json::Value = serde_json::from_str(&text(&Event {
                time_micros,
                ..event()
            }))
            .unwrap();
            assert_eq!(
                value.get("time").and_then(|time| time.as_str()),
                expected,
                "{time_micros}"
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_the_strings_are_the_body_parses_back(
            id in ".*", source in ".*", r#type in ".*", subject in proptest::option::of(".*"), key in proptest::option::of(".*"),
            extension in ".*", payload in ".*", time_micros: i64,
        ) {
            let extensions = serde_json::to_string_pretty(&serde_json::json!({ "a": extension, "b": 1 })).unwrap();
            let data = serde_json::json!({ "payload": payload });
            let event = Event {
                id, subject, key, extensions: Some(extensions), data: Some(data.to_string()),
                ..Event::new("uid", &source, &r#type, time_micros)
            };
            let value: serde_json::Value = serde_json::from_slice(&structured(&event)).unwrap();
            prop_assert_eq!(value["id"].as_str().unwrap(), &event.id);
            prop_assert_eq!(value["source"].as_str().unwrap(), &source);
            prop_assert_eq!(value["type"].as_str().unwrap(), &r#type);
            prop_assert_eq!(value.get("subject").and_then(|v| v.as_str()), event.subject.as_deref());
            prop_assert_eq!(value.get("partitionkey").and_then(|v| v.as_str()), event.key.as_deref());
            prop_assert_eq!(value["a"].as_str().unwrap(), &extension);
            prop_assert_eq!(&value["data"], &data);
        }
    }
}
