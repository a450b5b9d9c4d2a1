//! Formats: write an event as the bytes of a request's body.
//!
//! This sits between match and send, once per attempt. Each format is a function of the event alone, so that every
//! attempt sends the same bytes.

use http::HeaderValue;

use crate::error::Error;
use crate::event::Event;
use crate::json::push_string;

mod cloudevents;
mod profile;
mod template;

pub use cloudevents::{
    BATCHED_CONTENT_TYPE, STRUCTURED_CONTENT_TYPE, batched, binary_headers, structured,
};
pub(crate) use cloudevents::{added_attributes, sent_time};
pub use profile::Profile;
pub use template::Template;

pub(crate) const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// How to write an event into a request.
#[derive(Debug, Clone, Default)]
pub enum Format {
    /// A CloudEvent in JSON.
    #[default]
    Structured,
    /// The data as the body, the attributes in headers `ce-*`.
    Binary,
    /// An array of CloudEvents in JSON.
    Batched,
    /// `{"type", "timestamp", "data"}`, as Standard Webhooks recommends.
    Envelope,
    /// The data alone.
    Data,
    /// The data alone; a JSON string is sent as its text.
    Raw,
    /// The output of a template.
    Template(Template),
}

impl Format {
    /// Returns the body for an event, of at most `limit` bytes if the format's output is unbounded.
    pub fn body(&self, event: &Event, profile: Profile, limit: usize) -> Result<Vec<u8>, Error> {
        Ok(match self {
            Format::Structured => structured(event, profile),
            Format::Batched => batched(event, profile),
            Format::Envelope => envelope(event, profile),
            Format::Binary if !profile.has_data() => Vec::new(),
            Format::Binary => event.data.clone().unwrap_or_default().into_bytes(),
            Format::Data => event
                .data
                .clone()
                .unwrap_or_else(|| "null".into())
                .into_bytes(),
            Format::Raw => raw(event).into_bytes(),
            Format::Template(template) => template.render(event, limit)?.into_bytes(),
        })
    }

    /// Returns the media type of the body unless the subscription sets another; none if the body is missing.
    pub fn content_type(&self, event: &Event, profile: Profile) -> Option<HeaderValue> {
        let fixed = HeaderValue::from_static;
        match self {
            Format::Structured => Some(fixed(STRUCTURED_CONTENT_TYPE)),
            Format::Batched => Some(fixed(BATCHED_CONTENT_TYPE)),
            Format::Binary => (profile.has_data() && event.data.is_some()).then(|| fixed(JSON)),
            Format::Envelope | Format::Data => Some(fixed(JSON)),
            Format::Raw => Some(fixed(TEXT)),
            Format::Template(template) => Some(template.content_type().clone()),
        }
    }

    /// Returns whether the format can leave out parts of an event.
    pub fn has_profiles(&self) -> bool {
        matches!(
            self,
            Format::Structured | Format::Binary | Format::Batched | Format::Envelope
        )
    }

    /// Returns whether the body is JSON for every event.
    pub fn is_json(&self) -> bool {
        match self {
            Format::Raw | Format::Binary => false,
            Format::Template(template) => template.is_json(),
            _ => true,
        }
    }
}

/// Returns the body that Standard Webhooks recommends: `type`, `timestamp` and `data`.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::request::format::{Profile, envelope};
///
/// let event = Event { data: Some("[1]".into()), ..Event::new("1", "/shop", "order.paid", 1_767_323_045_000_000) };
/// assert_eq!(
///     String::from_utf8(envelope(&event, Profile::Standard)).unwrap(),
///     r#"{"type":"order.paid","timestamp":"2026-01-02T03:04:05Z","data":[1]}"#
/// );
/// ```
pub fn envelope(event: &Event, profile: Profile) -> Vec<u8> {
    let data = event.data.as_deref().filter(|_| profile.has_data());
    let mut body = String::with_capacity(96 + data.map_or(4, str::len));
    body.push_str(r#"{"type":"#);
    push_string(&mut body, &event.r#type);
    if let Some(time) = cloudevents::time_text(event.time_micros) {
        body.push_str(r#","timestamp":""#);
        body.push_str(&time);
        body.push('"');
    }
    body.push_str(r#","data":"#);
    body.push_str(data.unwrap_or("null"));
    body.push('}');
    body.into_bytes()
}

/// Returns the data; a string without its quotes and escapes.
fn raw(event: &Event) -> String {
    let data = event.data.as_deref().unwrap_or_default();
    serde_json::from_str(data).unwrap_or_else(|_| data.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(format: &Format, data: Option<&str>, profile: Profile) -> String {
        let event = Event {
            data: data.map(str::to_owned),
            ..Event::new("1", "/shop", "order.paid", 0)
        };
        String::from_utf8(format.body(&event, profile, 1000).unwrap()).unwrap()
    }

    #[test]
    fn data_goes_alone_and_unchanged() {
        let data = r#"{"b":1.50,"a":"\u00e9"}"#;
        for format in [Format::Data, Format::Binary, Format::Raw] {
            assert_eq!(body(&format, Some(data), Profile::Standard), data);
        }
        assert_eq!(body(&Format::Data, None, Profile::Standard), "null");
        assert_eq!(body(&Format::Binary, None, Profile::Standard), "");
    }

    #[test]
    fn a_string_goes_raw_as_its_text() {
        assert_eq!(
            body(&Format::Raw, Some(r#""a \"b\"\nc""#), Profile::Standard),
            "a \"b\"\nc"
        );
    }

    #[test]
    fn without_its_data_an_event_is_small_in_every_format_that_has_profiles() {
        for format in [
            Format::Structured,
            Format::Batched,
            Format::Envelope,
            Format::Binary,
        ] {
            assert!(format.has_profiles());
            let body = body(&format, Some(r#""secret""#), Profile::Minimal);
            assert!(!body.contains("secret"), "{body}");
        }
    }

    #[test]
    fn a_body_without_data_has_no_type_in_binary_mode() {
        let event = Event::new("1", "/", "a.b", 0);
        assert_eq!(Format::Binary.content_type(&event, Profile::Standard), None);
    }
}
