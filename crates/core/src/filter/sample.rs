//! Reads an event in the structured mode of CloudEvents (JSON Event Format 1.0), as people write it to try a filter.

use std::collections::BTreeMap;

use chrono::DateTime;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::event::Event;

/// The maximum size of the text, in bytes: that of the data that a filter looks at, and as much again.
const MAX_BYTES: usize = 33_554_432;

/// Parses an event. Attributes may be missing; `specversion` and `datacontenttype` are ignored.
///
/// ```
/// use herald_core::filter::sample::parse_structured;
///
/// let event = parse_structured(r#"{"type": "order.paid", "region": "eu", "data": {"total": 1.50}}"#).unwrap();
/// assert_eq!(event.r#type, "order.paid");
/// assert_eq!(event.extensions.as_deref(), Some(r#"{"region":"eu"}"#));
/// assert_eq!(event.data.as_deref(), Some(r#"{"total": 1.50}"#));
/// assert!(parse_structured(r#"{"time": "yesterday"}"#).is_err());
/// ```
pub fn parse_structured(json: &str) -> Result<Event, Error> {
    if json.len() > MAX_BYTES {
        return Err(refused(format!(
            "It has {} bytes; allowed are {MAX_BYTES}.",
            json.len()
        )));
    }
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_str(json)
        .map_err(|error| refused(format!("It is not a JSON object: {error}.")))?;
    let data = members
        .remove("data")
        .map(|data| data.get().to_owned())
        .filter(|data| data != "null");
    let mut text = |name: &str| match members.remove(name) {
        None => Ok(None),
        Some(value) => serde_json::from_str::<Option<String>>(value.get())
            .map_err(|_| refused(format!("Its {name} is not a string."))),
    };
    let (id, time) = (text("id")?.unwrap_or_default(), text("time")?);
    let time = time.map(|time| {
        let read = DateTime::parse_from_rfc3339(&time);
        read.map_err(|_| {
            refused(format!(
                "Its time is {time:?}, which is not as in RFC 3339."
            ))
        })
    });
    let time = time.transpose()?.map_or(0, |time| time.timestamp_micros());
    let event = Event {
        subject: text("subject")?,
        dataschema: text("dataschema")?,
        key: text("partitionkey")?,
        ..Event::new(
            &id,
            &text("source")?.unwrap_or_default(),
            &text("type")?.unwrap_or_default(),
            time,
        )
    };
    for ignored in ["specversion", "datacontenttype"] {
        members.remove(ignored);
    }
    let extensions = (!members.is_empty())
        .then(|| serde_json::to_string(&members).expect("texts and JSON are JSON"));
    Ok(Event {
        extensions,
        size: data
            .as_ref()
            .map_or(0, |data| i32::try_from(data.len()).unwrap_or(i32::MAX)),
        data,
        ..event
    })
}

fn refused(fault: String) -> Error {
    Error::Option {
        option: "event",
        fault,
        hint: r#"Write event => '{"type": "order.paid", "data": {"total": 100}}'."#.into(),
    }
}
