//! A subscription's own headers.
//!
//! `subscribe` checks them, and [`request`](crate::request) adds them to each request. They must never replace headers
//! that pg_herald itself vouches for (signature, length, content type) or smuggle in a second request. Their values are
//! secrets: errors and `Debug` never show them.

use http::{HeaderName, HeaderValue};

use crate::error::Error;
use crate::event::Event;
use crate::request::placeholders::Pattern;
use crate::subscription::members::Members;

/// The maximum number of a subscription's headers.
pub const MAX_HEADERS: usize = 32;
/// The maximum size of all their names and values together, in bytes.
pub const MAX_HEADER_BYTES: usize = 8192;

const CONNECTION: &str = "It belongs to the connection, which pg_herald manages.";
const MEANING: &str = "It would change the meaning of the request.";

const RESERVED: [(&str, &str); 20] = [
    ("accept-encoding", "Responses are read uncompressed."),
    ("connection", CONNECTION),
    ("content-encoding", "The body is sent as it is."),
    ("content-length", "It follows from the body."),
    ("content-type", "It follows from the subscription's format."),
    ("expect", CONNECTION),
    ("host", "It follows from the url."),
    ("http2-settings", CONNECTION),
    ("keep-alive", CONNECTION),
    ("te", CONNECTION),
    ("trailer", CONNECTION),
    ("transfer-encoding", CONNECTION),
    ("upgrade", CONNECTION),
    ("x-http-method", MEANING),
    ("x-http-method-override", MEANING),
    ("x-method-override", MEANING),
    (
        "proxy-",
        "It is meant for a proxy, which only a superuser configures.",
    ),
    (
        "webhook-",
        "Names beginning with webhook- carry the signature.",
    ),
    (
        "ce-",
        "Names beginning with ce- carry the event's attributes.",
    ),
    (
        "cloudevents-",
        "Names beginning with cloudevents- carry the event's attributes.",
    ),
];

/// Checked headers, ready to be sent. `Debug` shows the names only.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    entries: Vec<(HeaderName, HeaderValue)>,
    /// The values to fill in for each event: their positions and patterns.
    patterns: Vec<(usize, Pattern)>,
}

impl Headers {
    /// Checks names and values as given to `subscribe`.
    ///
    /// ```
    /// use herald_core::subscription::headers::Headers;
    ///
    /// let headers = Headers::parse(&[("Authorization".into(), "Bearer 123".into())].into()).unwrap();
    /// assert!(headers.contains(&http::header::AUTHORIZATION));
    /// let error = Headers::parse(&[("Webhook-Id".into(), "1".into())].into()).unwrap_err();
    /// assert_eq!(error.detail().unwrap(), "Names beginning with webhook- carry the signature.");
    /// ```
    pub fn parse(pairs: &Members) -> Result<Headers, Error> {
        let mut headers = Headers::default();
        let mut bytes = 0;
        for (name, value) in pairs {
            let entry = parse_header(name, value)?;
            if headers.contains(&entry.0) {
                return Err(refused(
                    name,
                    "It is given more than once.",
                    "Give each header once; case does not matter.",
                ));
            }
            bytes += name.len() + value.len();
            let pattern = Pattern::parse(value);
            pattern
                .check()
                .map_err(|(fault, hint)| refused(name, &fault, &hint))?;
            if pattern.has_placeholders() {
                headers.patterns.push((headers.entries.len(), pattern));
            }
            headers.entries.push(entry);
            if headers.entries.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
                let fault = format!(
                    "This header makes {} headers with {bytes} bytes.",
                    headers.entries.len()
                );
                let hint = format!(
                    "Use at most {MAX_HEADERS} headers with {MAX_HEADER_BYTES} bytes of names and values."
                );
                return Err(refused(name, &fault, &hint));
            }
        }
        Ok(headers)
    }

    /// Returns whether a header has this name.
    ///
    /// ```
    /// use herald_core::subscription::headers::Headers;
    ///
    /// assert!(!Headers::default().contains(&http::header::USER_AGENT));
    /// ```
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.entries.iter().any(|(other, _)| other == name)
    }

    /// Returns the headers in the order of their names. The values are marked as sensitive.
    ///
    /// ```
    /// use herald_core::subscription::headers::Headers;
    ///
    /// let headers = Headers::parse(&[("x-key".into(), "1".into())].into()).unwrap();
    /// assert!(headers.iter().all(|(_, value)| value.is_sensitive()));
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.entries.iter()
    }

    /// Returns the headers of a request for an event, with [placeholders](crate::request::placeholders) filled in.
    ///
    /// ```
    /// use herald_core::{event::Event, subscription::headers::Headers};
    ///
    /// let headers = Headers::parse(&[("x-type".into(), "a {type}".into())].into()).unwrap();
    /// let filled = headers.for_event(&Event::new("1", "/", "order.paid", 0)).unwrap();
    /// assert_eq!(filled[0].1, "a order.paid");
    /// ```
    pub fn for_event(&self, event: &Event) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
        let mut headers = self.entries.clone();
        for (at, pattern) in &self.patterns {
            let Some((name, value)) = headers.get_mut(*at) else {
                continue;
            };
            let text = pattern.for_header(event, name.as_str())?;
            *value = HeaderValue::from_str(&text).map_err(|_| Error::Unsendable {
                fault: format!("its header {:?} cannot be sent", name.as_str()),
            })?;
            value.set_sensitive(true);
        }
        Ok(headers)
    }

    /// Returns the number of headers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no headers.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Parses a header's name. Refuses a name that is reserved for pg_herald or for the connection.
pub(crate) fn parse_name(name: &str) -> Result<HeaderName, Error> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
        refused(
            name,
            "A name is made of letters, digits and !#$%&'*+-.^_`|~.",
            "Give the name alone, without a colon or blanks.",
        )
    })?;
    if let Some((_, reason)) = RESERVED
        .iter()
        .find(|(reserved, _)| is_reserved_by(parsed.as_str(), reserved))
    {
        return Err(refused(name, reason, "Leave it out."));
    }
    Ok(parsed)
}

fn parse_header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let parsed = parse_name(name)?;
    // Receivers drop blanks around a value, so they are always a mistake.
    if value.trim_matches([' ', '\t']) != value {
        return Err(refused(
            name,
            "Its value begins or ends with a blank.",
            "Remove the blank.",
        ));
    }
    let ascii = Some(value).filter(|value| value.is_ascii());
    let value = ascii.and_then(|value| HeaderValue::from_str(value).ok());
    let mut value = value.ok_or_else(|| {
        refused(
            name,
            "Its value contains a line end, another control character, or characters beyond ASCII.",
            "Encode the value, for instance as base64.",
        )
    })?;
    value.set_sensitive(true);
    Ok((parsed, value))
}

fn is_reserved_by(name: &str, reserved: &str) -> bool {
    if reserved.ends_with('-') {
        name.starts_with(reserved)
    } else {
        name == reserved
    }
}

fn refused(name: &str, fault: &str, hint: &str) -> Error {
    Error::Header {
        name: name.into(),
        fault: fault.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, value: &str) -> Result<Headers, Error> {
        Headers::parse(&[(name.into(), value.into())].into())
    }

    #[test]
    fn reserved_names_are_refused_in_any_case() {
        let names = "Host content-length Content-Type CONTENT-ENCODING transfer-encoding connection te trailer upgrade expect \
            keep-alive accept-encoding proxy-authorization Proxy-Connection webhook-id Webhook-Signature webhook-anything ce-id \
            X-HTTP-Method-Override";
        for name in names.split_whitespace() {
            assert!(parse(name, "x").is_err(), "{name}");
        }
        for name in [
            "Authorization",
            "X-Api-Key",
            "user-agent",
            "cookie",
            "cell",
            "hosting",
            "test",
        ] {
            assert!(parse(name, "x").is_ok(), "{name}");
        }
    }

    #[test]
    fn nothing_can_be_smuggled_into_a_name_or_a_value() {
        for name in [
            "",
            "a b",
            "a:",
            ":authority",
            "a\r\nhost",
            "a\0",
            "ä",
            "a\n",
        ] {
            assert!(parse(name, "x").is_err(), "{name:?}");
        }
        for value in [
            "a\r\nhost: b",
            "a\n",
            "\ra",
            "a\0b",
            "ä",
            "a\u{7f}",
            " a",
            "a\t",
        ] {
            assert!(parse("x-test", value).is_err(), "{value:?}");
        }
        assert!(parse("x-test", "").is_ok());
    }

    #[test]
    fn a_name_given_twice_is_refused() {
        let pairs = [("X-Test".into(), "1".into()), ("x-test".into(), "2".into())];
        assert!(Headers::parse(&pairs.into()).is_err());
    }

    #[test]
    fn number_and_size_are_limited() {
        let pairs = |count: usize, size: usize| {
            (0..count)
                .map(|n| (format!("x-{n:06}"), "v".repeat(size - 8)))
                .collect::<Members>()
        };
        assert!(Headers::parse(&pairs(32, 256)).is_ok());
        assert!(Headers::parse(&pairs(33, 16)).is_err());
        assert!(Headers::parse(&pairs(32, 257)).is_err());
    }

    #[test]
    fn no_value_is_ever_shown() {
        let headers = parse("authorization", "Bearer hunter2").unwrap();
        assert!(!format!("{headers:?}").contains("hunter2"));
        let error = parse("authorization", "Bearer hunter2\n").unwrap_err();
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("hunter2"));
    }
}
