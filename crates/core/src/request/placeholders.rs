//! Text with placeholders: `{tenant}`, `{type}`, `{id}` and the like stand for an event's attributes.
//!
//! A subscription's `url` and the values of its `headers` may contain them, and each request fills them in. Values from
//! an event are percent-encoded, so that no event can end a path, begin a header, or point anywhere else.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::Error;
use crate::event::Event;
use crate::suggest;

/// All except the unreserved characters of RFC 3986.
const IN_URLS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The characters that the HTTP binding of CloudEvents 1.0 encodes in a header (section 3.1.3.2).
const IN_HEADERS: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%').add(0x7f);

/// The attributes that an event may have besides extensions.
const KNOWN: [&str; 11] = [
    "id",
    "type",
    "source",
    "subject",
    "tenant",
    "key",
    "partitionkey",
    "actor",
    "role",
    "traceparent",
    "tracestate",
];

/// The maximum number of bytes that an event adds to a header's value.
pub const MAX_FILLED_BYTES: usize = 12_288;

/// A text split at its placeholders.
#[derive(Clone, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Attribute(String),
}

impl Pattern {
    /// Splits a text at its placeholders. Braces around anything but a name stand for themselves.
    ///
    /// ```
    /// use herald_core::request::placeholders::Pattern;
    ///
    /// assert!(Pattern::parse("/hooks/{tenant}").has_placeholders());
    /// assert!(!Pattern::parse(r#"{"a": 1}"#).has_placeholders());
    /// ```
    pub fn parse(text: &str) -> Pattern {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            literal.push_str(before);
            match name_at(from) {
                Some(name) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Text(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Attribute(name.to_owned()));
                    rest = &from[name.len() + 2..];
                }
                None => {
                    literal.push('{');
                    rest = &from[1..];
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal));
        }
        Pattern { pieces }
    }

    pub fn has_placeholders(&self) -> bool {
        self.names().next().is_some()
    }

    /// Refuses a placeholder that no event can fill: a near miss of an attribute's name, or a text in braces that looks
    /// like a name but cannot be one. The error is the fault and a hint.
    ///
    /// ```
    /// use herald_core::request::placeholders::Pattern;
    ///
    /// for text in ["/{tenant}/{region}", "{}", "{1, 2}", r#"{"a": 1}"#] {
    ///     assert_eq!(Pattern::parse(text).check(), Ok(()));
    /// }
    /// let (fault, hint) = Pattern::parse("/{tennant}").check().unwrap_err();
    /// assert_eq!(fault, "An event has no {tennant}.");
    /// assert_eq!(hint, "Perhaps you meant {tenant}.");
    /// assert!(Pattern::parse("/{event_id}").check().is_err());
    /// ```
    pub fn check(&self) -> Result<(), (String, String)> {
        let texts = self.pieces().filter_map(Result::err);
        let near = self.names().filter(|name| !KNOWN.contains(name));
        let unknown = texts.flat_map(unusable_names).chain(near);
        for name in unknown {
            let is_usable = self.names().any(|used| used == name);
            let nearest = suggest::nearest(name, KNOWN);
            let hint = match nearest {
                Some(nearest) => format!("Perhaps you meant {{{nearest}}}."),
                None if is_usable => continue,
                None => "An attribute has a name of 1 to 20 lower-case letters and digits.".into(),
            };
            return Err((format!("An event has no {{{name}}}."), hint));
        }
        Ok(())
    }

    /// Returns the names of the placeholders.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Attribute(name) => Some(name.as_str()),
            Piece::Text(_) => None,
        })
    }

    /// Returns the parts in order: a placeholder's name as `Ok`, text as `Err`.
    pub fn pieces(&self) -> impl Iterator<Item = Result<&str, &str>> {
        self.pieces.iter().map(|piece| match piece {
            Piece::Attribute(name) => Ok(name.as_str()),
            Piece::Text(text) => Err(text.as_str()),
        })
    }

    /// Returns the text with each placeholder replaced by the result of `value` for its name.
    pub fn fill<E>(&self, mut value: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(literal) => text.push_str(literal),
                Piece::Attribute(name) => text.push_str(&value(name)?),
            }
        }
        Ok(text)
    }

    /// Returns the value of a header for an event; errors name the header `place`.
    ///
    /// ```
    /// use herald_core::{event::Event, request::placeholders::Pattern};
    ///
    /// let event = Event { tenant: Some("Müller\r\n".into()), ..Event::new("1", "/", "order.paid", 0) };
    /// let value = Pattern::parse("{type} of {tenant}").for_header(&event, "x-about").unwrap();
    /// assert_eq!(value, "order.paid of M%C3%BCller%0D%0A");
    /// ```
    pub fn for_header(&self, event: &Event, place: &str) -> Result<String, Error> {
        let mut left = MAX_FILLED_BYTES;
        self.fill(|name| {
            let value = encode_for_header(&attribute(event, name, place)?).into_owned();
            left = left
                .checked_sub(value.len())
                .ok_or_else(|| Error::Unsendable {
                    fault: format!(
                        "it would add more than {MAX_FILLED_BYTES} bytes to the header {place:?}"
                    ),
                })?;
            Ok(value)
        })
    }

    /// Returns the part of a URL for an event. Refuses a value of dots only, which would climb out of its path.
    ///
    /// ```
    /// use herald_core::{event::Event, request::placeholders::Pattern};
    ///
    /// let pattern = Pattern::parse("/of/{tenant}?type={type}");
    /// let of = |tenant: &str| Event { tenant: Some(tenant.into()), ..Event::new("1", "/", "order.paid", 0) };
    /// assert_eq!(pattern.for_url(&of("a/../b?c")).unwrap(), "/of/a%2F..%2Fb%3Fc?type=order.paid");
    /// assert!(pattern.for_url(&of("..")).is_err());
    /// ```
    pub fn for_url(&self, event: &Event) -> Result<String, Error> {
        self.fill(|name| {
            let value = attribute(event, name, "url")?;
            if value.bytes().all(|byte| byte == b'.') {
                return Err(Error::Unsendable {
                    fault: format!("its {name} cannot stand in the url: it is {value:?}"),
                });
            }
            Ok(utf8_percent_encode(&value, IN_URLS).to_string())
        })
    }
}

impl std::fmt::Debug for Pattern {
    /// Shows only the names, because a url or a header is often a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Encodes a text as CloudEvents does for headers.
///
/// ```
/// use herald_core::request::placeholders::encode_for_header;
///
/// assert_eq!(encode_for_header("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
/// ```
pub fn encode_for_header(text: &str) -> Cow<'_, str> {
    utf8_percent_encode(text, IN_HEADERS).into()
}

/// Returns the name in braces at the beginning of a text.
fn name_at(text: &str) -> Option<&str> {
    let name = text.strip_prefix('{')?.split_once('}')?.0;
    let is_name = (1..=20).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    is_name.then_some(name)
}

/// Returns each text in braces that looks like a name but cannot be one.
fn unusable_names(text: &str) -> impl Iterator<Item = &str> {
    let is_name_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    text.split('{')
        .skip(1)
        .filter_map(|from| Some(from.split_once('}')?.0))
        .filter(move |name| {
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.bytes().all(is_name_byte)
        })
}

/// Returns the event's attribute of this name. Refuses an empty one: a hole in a path or a header changes its meaning.
fn attribute<'a>(event: &'a Event, name: &str, place: &str) -> Result<Cow<'a, str>, Error> {
    let value = match name {
        "id" => Some(Cow::Borrowed(event.id.as_str())),
        "type" => Some(event.r#type.as_str().into()),
        "source" => Some(event.source.as_str().into()),
        "subject" => event.subject.as_deref().map(Cow::Borrowed),
        "tenant" => event.tenant.as_deref().map(Cow::Borrowed),
        "key" | "partitionkey" => event.key.as_deref().map(Cow::Borrowed),
        extension => event.extension(extension).map(Cow::Owned),
    };
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Error::Unsendable {
            fault: format!(
                "the {place} of its subscription needs {{{name}}}, which the event lacks"
            ),
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(subject: &str) -> Event {
        Event {
            subject: Some(subject.into()),
            extensions: Some(r#"{"region":"eu west","level":3}"#.into()),
            ..Event::new("uid", "/shop", "order.paid", 0)
        }
    }

    #[test]
    fn names_and_extensions_are_filled_in() {
        let pattern = Pattern::parse("/{type}/{subject}/{region}/{level}/{id}");
        assert_eq!(
            pattern.for_url(&event("42")).unwrap(),
            "/order.paid/42/eu%20west/3/uid"
        );
    }

    #[test]
    fn braces_around_anything_else_are_text() {
        for text in [
            "{}",
            "{A}",
            "{a b}",
            "{",
            "}",
            "{{type}",
            "{type",
            r#"{"a":1}"#,
        ] {
            let pattern = Pattern::parse(text);
            let filled = pattern
                .fill(|name| Ok::<_, ()>(format!("<{name}>")))
                .unwrap();
            assert_eq!(filled, text.replace("{type}", "<type>"), "{text}");
        }
    }

    #[test]
    fn a_header_does_not_grow_without_end() {
        let pattern = Pattern::parse("{subject}{subject}");
        let half = MAX_FILLED_BYTES / 2;
        let filled = pattern
            .for_header(&event(&"x".repeat(half)), "x-a")
            .unwrap();
        assert_eq!(filled.len(), MAX_FILLED_BYTES);
        assert!(
            pattern
                .for_header(&event(&"x".repeat(half + 1)), "x-a")
                .is_err()
        );
    }

    #[test]
    fn a_value_of_nothing_but_dots_is_refused_in_a_url() {
        for dots in [".", "..", "..."] {
            let error = Pattern::parse("/a/{subject}")
                .for_url(&event(dots))
                .unwrap_err();
            assert!(
                error.message().contains("cannot stand in the url"),
                "{error}"
            );
        }
    }

    #[test]
    fn missing_attributes_are_refused() {
        for name in ["tenant", "key", "partitionkey", "nothing"] {
            let pattern = Pattern::parse(&format!("/{{{name}}}"));
            let error = pattern.for_url(&event("")).unwrap_err();
            assert_eq!(
                error.message(),
                format!(
                    "the event cannot be sent: the url of its subscription needs {{{name}}}, which the event lacks"
                )
            );
        }
        assert!(
            Pattern::parse("{subject}")
                .for_header(&event(""), "x")
                .is_err()
        );
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_place(subject in ".+") {
            prop_assume!(!subject.bytes().all(|byte| byte == b'.'));
            let path = Pattern::parse("/a/{subject}/b").for_url(&event(&subject)).unwrap();
            let url = url::Url::parse(&format!("https://example.com{path}")).unwrap();
            prop_assert_eq!(url.path_segments().unwrap().count(), 3);
            prop_assert_eq!((url.query(), url.fragment()), (None, None));
            let value = Pattern::parse("{subject}").for_header(&event(&subject), "x").unwrap();
            prop_assert!(http::HeaderValue::from_str(&value).is_ok());
            prop_assert!(value.is_ascii());
        }
    }
}
