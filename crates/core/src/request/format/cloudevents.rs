//! CloudEvents 1.0 over HTTP: structured, batched and binary mode.
//!
//! Structured mode is the default and on the hot path: it writes each member straight into one buffer, and must never
//! parse `data` or change a byte of it.

use std::fmt::Write;

use chrono::{DateTime, Datelike, Timelike, Utc};

use http::{HeaderName, HeaderValue};

use super::profile::Profile;
use crate::error::Error;
use crate::event::Event;
use crate::event::uid::recorded_micros;
use crate::json::{minify, push_string};
use crate::request::placeholders::encode_for_header;

/// The media type of [`structured`] bodies (CloudEvents HTTP binding 1.0, section 3.2), in lower case because the
/// JavaScript SDK of CloudEvents compares it case-sensitively.
pub const STRUCTURED_CONTENT_TYPE: &str = "application/cloudevents+json; charset=utf-8";

/// The media type of [`batched`] bodies.
pub const BATCHED_CONTENT_TYPE: &str = "application/cloudevents-batch+json; charset=utf-8";

/// Returns the event as one structured-mode CloudEvent (CloudEvents JSON format 1.0, section 3), minified.
///
/// The members are `specversion`, `id`, `source`, `type`, `subject`, `time`, `datacontenttype`, `dataschema`,
/// `partitionkey` (the event's key), `traceparent` and `tracestate` of the session, the extensions, and `data` last.
/// Members without a value are left out, and so is a `time` that RFC 3339 cannot express (before the year 0 or after
/// 9999, or infinite).
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::request::format::{Profile, structured};
///
/// let event = Event {
///     data: Some(r#"{"total":100}"#.into()),
///     ..Event::new("01890a5d-ac96-774b-bcce-b302099a8057", "/shop", "order.paid", 1_767_323_045_678_901)
/// };
/// assert_eq!(
///     String::from_utf8(structured(&event, Profile::Standard)).unwrap(),
///     r#"{"specversion":"1.0","id":"01890a5d-ac96-774b-bcce-b302099a8057","source":"/shop","type":"order.paid","#.to_owned()
///         + r#""time":"2026-01-02T03:04:05.678901Z","datacontenttype":"application/json","data":{"total":100}}"#
/// );
/// ```
pub fn structured(event: &Event, profile: Profile) -> Vec<u8> {
    let mut body = String::with_capacity(estimated_size(event));
    push_structured(&mut body, event, profile);
    body.into_bytes()
}

/// Returns the event as a batch of one (CloudEvents JSON format 1.0, section 4).
pub fn batched(event: &Event, profile: Profile) -> Vec<u8> {
    let mut body = String::with_capacity(estimated_size(event));
    body.push('[');
    push_structured(&mut body, event, profile);
    body.push(']');
    body.into_bytes()
}

fn push_structured(body: &mut String, event: &Event, profile: Profile) {
    let data = event.data.as_ref().filter(|_| profile.has_data());
    body.push_str(r#"{"specversion":"1.0","id":"#);
    push_string(body, &event.id);
    push_member(body, "source", &event.source);
    push_member(body, "type", &event.r#type);
    if let Some(subject) = &event.subject {
        push_member(body, "subject", subject);
    }
    if let Some(time) = utc(event.time_micros) {
        body.push_str(r#","time":""#);
        push_time(body, time);
        body.push('"');
    }
    if data.is_some() {
        body.push_str(r#","datacontenttype":"application/json""#);
    }
    if let Some(dataschema) = &event.dataschema {
        push_member(body, "dataschema", dataschema);
    }
    if let Some(key) = &event.key {
        push_member(body, "partitionkey", key);
    }
    for (name, value) in session_attributes(event, profile) {
        push_member(body, name, &value);
    }
    if let Some(extensions) = &event.extensions {
        push_members_of(body, extensions);
    }
    if let Some(data) = data {
        body.push_str(r#","data":"#);
        body.push_str(data);
    }
    body.push('}');
}

/// Returns the attributes as headers for binary mode (CloudEvents HTTP binding 1.0, section 3.1.3). The body is the
/// data.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::request::format::{Profile, binary_headers};
///
/// let event = Event { subject: Some("Euro € 😀".into()), ..Event::new("1", "/shop", "order.paid", 0) };
/// let headers = binary_headers(&event, Profile::Standard).unwrap();
/// let subject = headers.iter().find(|(name, _)| name == "ce-subject").unwrap();
/// assert_eq!(subject.1, "Euro%20%E2%82%AC%20%F0%9F%98%80");
/// ```
pub fn binary_headers(
    event: &Event,
    profile: Profile,
) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let mut headers = vec![(
        HeaderName::from_static("ce-specversion"),
        HeaderValue::from_static("1.0"),
    )];
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(format!("ce-{name}").as_bytes());
        let value = HeaderValue::from_str(&encode_for_header(value));
        match (name, value) {
            (Ok(name), Ok(value)) => {
                headers.push((name, value));
                Ok(())
            }
            _ => Err(Error::Unsendable {
                fault: "an attribute of it cannot stand in a header".into(),
            }),
        }
    };
    add("id", &event.id)?;
    add("source", &event.source)?;
    add("type", &event.r#type)?;
    if let Some(subject) = &event.subject {
        add("subject", subject)?;
    }
    if let Some(time) = time_text(event.time_micros) {
        add("time", &time)?;
    }
    if let Some(dataschema) = &event.dataschema {
        add("dataschema", dataschema)?;
    }
    if let Some(key) = &event.key {
        add("partitionkey", key)?;
    }
    for (name, value) in session_attributes(event, profile) {
        add(name, &value)?;
    }
    for (name, value) in event.given_extensions() {
        add(&name, &value)?;
    }
    Ok(headers)
}

/// Returns the extension attributes that say where an event comes from, except those that the event itself has.
fn session_attributes(event: &Event, profile: Profile) -> Vec<(&'static str, String)> {
    let mut attributes = Vec::new();
    let is_given = |name: &str| {
        let given = event.extensions.as_deref().unwrap_or_default();
        // Minified or not, a member's name is followed by a colon, and strings contain no unescaped quotes.
        let quoted = format!("\"{name}\"");
        given
            .match_indices(&quoted)
            .any(|(at, _)| given[at + quoted.len()..].trim_start().starts_with(':'))
    };
    let mut add = |name, value: String| {
        if !value.is_empty() && !is_given(name) {
            attributes.push((name, value));
        }
    };
    let is_detailed = profile == Profile::Detailed;
    let has = |name: &str| {
        let context = event.context.as_deref();
        context.is_some_and(|json| is_detailed || json.contains(name))
    };
    if has("\"trace") {
        let context = event.context();
        add(
            "traceparent",
            context.traceparent.unwrap_or_default().into_owned(),
        );
        add(
            "tracestate",
            context.tracestate.unwrap_or_default().into_owned(),
        );
        if is_detailed {
            add("actor", context.actor.unwrap_or_default().into_owned());
            add("role", context.role.unwrap_or_default().into_owned());
        }
    }
    if is_detailed {
        if event.seq > 0 {
            // Padded to the widest number, so that numbers sort as text.
            add("sequence", format!("{:019}", event.seq));
        }
        add(
            "recordedtime",
            recorded_time(&event.uid).unwrap_or_default(),
        );
    }
    attributes
}

/// Returns the extension attributes that a request can add to those of the event itself.
pub(crate) fn added_attributes(event: &Event) -> Vec<(&'static str, String)> {
    session_attributes(event, Profile::Detailed)
}

/// Returns the attribute `time` as it is sent.
pub(crate) fn sent_time(event: &Event) -> Option<String> {
    time_text(event.time_micros)
}

/// Returns when the event was written: a version 7 UUID begins with that time.
fn recorded_time(uid: &str) -> Option<String> {
    time_text(recorded_micros(uid)?)
}

/// Estimates the size, including member names and a few escapes, so that most bodies are allocated once.
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

/// Returns a time if RFC 3339 can express it.
fn utc(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).filter(|time| (0..=9999).contains(&time.year()))
}

/// Appends a time by RFC 3339 in UTC, with 0, 3 or 6 digits of the fraction as needed.
fn push_time(text: &mut String, time: DateTime<Utc>) {
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    write!(
        text,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    )
    .and_then(|()| match time.timestamp_subsec_micros() {
        0 => Ok(()),
        fraction if fraction % 1000 == 0 => write!(text, ".{:03}", fraction / 1000),
        fraction => write!(text, ".{fraction:06}"),
    })
    .expect("writing into memory cannot fail");
    text.push('Z');
}

pub(super) fn time_text(micros: i64) -> Option<String> {
    let mut text = String::with_capacity(27);
    push_time(&mut text, utc(micros)?);
    Some(text)
}

/// Copies the members of a JSON object, without its braces and the blanks that `jsonb` puts between tokens.
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
        String::from_utf8(structured(event, Profile::Standard)).unwrap()
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

    fn traced() -> Event {
        let context = r#"{"role":"app","application":"psql","traceparent":"00-1-2-01","tracestate":"a=1","actor":"Ada"}"#;
        Event {
            seq: 42,
            context: Some(context.into()),
            data: Some("{}".into()),
            ..Event::new(
                "01890a5d-ac96-774b-bcce-b302099a8057",
                "/shop",
                "order.paid",
                0,
            )
        }
    }

    #[test]
    fn the_profile_decides_how_much_is_told() {
        let body = |profile| String::from_utf8(structured(&traced(), profile)).unwrap();
        let head = r#"{"specversion":"1.0","id":"01890a5d-ac96-774b-bcce-b302099a8057","source":"/shop","type":"order.paid","time":"1970-01-01T00:00:00Z""#;
        let trace = r#","traceparent":"00-1-2-01","tracestate":"a=1""#;
        let json = r#","datacontenttype":"application/json""#;
        assert_eq!(body(Profile::Minimal), format!("{head}{trace}}}"));
        assert_eq!(
            body(Profile::Standard),
            format!(r#"{head}{json}{trace},"data":{{}}}}"#)
        );
        let details = r#","actor":"Ada","role":"app","sequence":"0000000000000000042","recordedtime":"2023-06-30T03:34:18.518Z""#;
        assert_eq!(
            body(Profile::Detailed),
            format!(r#"{head}{json}{trace}{details},"data":{{}}}}"#)
        );
    }

    #[test]
    fn an_attribute_that_the_event_was_given_is_not_written_twice() {
        let given = Event {
            extensions: Some(r#"{"note": "\"actor\":", "traceparent" : "mine"}"#.into()),
            ..traced()
        };
        let body = String::from_utf8(structured(&given, Profile::Detailed)).unwrap();
        assert_eq!(body.matches("\"traceparent\"").count(), 1);
        let value: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            (&value["traceparent"], &value["actor"]),
            (&"mine".into(), &"Ada".into())
        );
        let headers = binary_headers(&given, Profile::Detailed).unwrap();
        let traces = headers.iter().filter(|(name, _)| name == "ce-traceparent");
        assert_eq!(traces.map(|(_, value)| value).collect::<Vec<_>>(), ["mine"]);
    }

    #[test]
    fn binary_headers_carry_every_attribute_as_text() {
        let event = Event {
            subject: Some("a \"b\" 50%\r\n".into()),
            key: Some("42".into()),
            dataschema: Some("https://example.com/s".into()),
            extensions: Some(r#"{"flag":true,"level":-3,"region":"eu"}"#.into()),
            ..event()
        };
        let headers = binary_headers(&event, Profile::Standard).unwrap();
        let all: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            all,
            [
                "ce-specversion: 1.0",
                "ce-id: uid",
                "ce-source: /shop",
                "ce-type: order.paid",
                "ce-subject: a%20%22b%22%2050%25%0D%0A",
                "ce-time: 2026-01-02T03:04:05.678901Z",
                "ce-dataschema: https://example.com/s",
                "ce-partitionkey: 42",
                "ce-flag: true",
                "ce-level: -3",
                "ce-region: eu",
            ]
        );
    }

    #[test]
    fn a_batch_is_an_array_of_the_structured_event() {
        let structured = text(&event());
        let batch = batched(&event(), Profile::Standard);
        assert_eq!(String::from_utf8(batch).unwrap(), format!("[{structured}]"));
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
            let value: serde_json::Value = serde_json::from_slice(&structured(&event, Profile::Standard)).unwrap();
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
