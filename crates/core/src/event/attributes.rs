//! The rules for the attributes that CloudEvents defines, which `emit` applies before it writes an event.
//!
//! Part of capture (CloudEvents core 1.0.2, sections 3.1 and "Type System"). Values checked here are never checked
//! again: matching and formatting rely on that. These rules must not change a caller's value; if it needs repair, the
//! error has the repaired form as its hint.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::error::Error;
use crate::limits::{self, Limit};

/// All except the unreserved characters of RFC 3986.
const IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The attributes that a caller of `emit` gives as text.
///
/// ```
/// use herald_core::event::attributes::Attributes;
///
/// let attributes = Attributes { source: "/shop", r#type: "order.paid", ..Attributes::default() };
/// assert_eq!(attributes.validate(), Ok(()));
/// let error = Attributes { r#type: "", ..attributes }.validate().unwrap_err();
/// assert_eq!(error.message(), "invalid type");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes<'a> {
    /// A URI-reference, not empty.
    pub source: &'a str,
    /// Not empty.
    pub r#type: &'a str,
    /// The caller's own id, not empty.
    pub id: Option<&'a str>,
    /// Not empty.
    pub subject: Option<&'a str>,
    /// The ordering key, sent as `partitionkey`; not empty.
    pub key: Option<&'a str>,
    /// The tenant that owns the event; not empty.
    pub tenant: Option<&'a str>,
    /// An absolute URI.
    pub dataschema: Option<&'a str>,
}

impl Attributes<'_> {
    /// Checks all attributes; the error is the first fault.
    ///
    /// ```
    /// use herald_core::event::attributes::Attributes;
    ///
    /// let attributes = Attributes { source: "my shop", r#type: "order.paid", ..Attributes::default() };
    /// assert_eq!(attributes.validate().unwrap_err().detail().unwrap(), "A URI cannot contain ' '.");
    /// ```
    pub fn validate(&self) -> Result<(), Error> {
        check_text(limits::SOURCE, self.source)?;
        check_uri_reference("source", self.source)?;
        check_label(limits::TYPE, self.r#type)?;
        for (limit, value) in [
            (limits::ID, self.id),
            (limits::SUBJECT, self.subject),
            (limits::KEY, self.key),
        ] {
            if let Some(value) = value {
                check_text(limit, value)?;
            }
        }
        self.tenant.map_or(Ok(()), check_tenant)?;
        match self.dataschema {
            None => Ok(()),
            Some(uri) => {
                check_text(limits::DATASCHEMA, uri)?;
                check_uri_reference("dataschema", uri)?;
                if scheme_of(uri).is_some() {
                    return Ok(());
                }
                let hint = "Use an absolute URI such as https://example.com/schema/1.";
                Err(attribute(
                    "dataschema",
                    "It has no scheme, and a relative URI is not enough.",
                    hint,
                ))
            }
        }
    }
}

/// Returns the default source of a database's events: a path with its name, percent-encoded.
///
/// ```
/// use herald_core::event::attributes::source_of_database;
///
/// assert_eq!(source_of_database("shop_1".as_bytes()), "/shop_1");
/// assert_eq!(source_of_database("Übung 100%/a".as_bytes()), "/%C3%9Cbung%20100%25%2Fa");
/// ```
pub fn source_of_database(name: &[u8]) -> String {
    format!("/{}", percent_encode(name, IN_PATHS))
}

/// Returns whether a text may be a source; capture leaves out a setting that may not.
///
/// ```
/// use herald_core::event::attributes::is_source;
///
/// assert!(is_source("urn:shop") && !is_source("my shop"));
/// ```
pub fn is_source(text: &str) -> bool {
    check_text(limits::SOURCE, text).is_ok() && check_uri_reference("source", text).is_ok()
}

/// Returns whether a text is one of the three priorities.
///
/// ```
/// use herald_core::event::attributes::is_priority;
///
/// assert!(is_priority("high") && !is_priority("urgent"));
/// ```
pub fn is_priority(text: &str) -> bool {
    matches!(text, "low" | "normal" | "high")
}

/// Replaces characters that no CloudEvents string may contain; returns `None` if the text has none.
///
/// ```
/// use herald_core::event::attributes::replace_forbidden;
///
/// assert_eq!(replace_forbidden("a\tb").unwrap(), "a\u{fffd}b");
/// assert_eq!(replace_forbidden("a b"), None);
/// ```
pub fn replace_forbidden(text: &str) -> Option<String> {
    text.contains(is_forbidden)
        .then(|| text.replace(is_forbidden, "\u{fffd}"))
}

/// Checks the tenant of an event or of a subscription, which are compared as written.
///
/// ```
/// use herald_core::event::attributes::check_tenant;
///
/// assert_eq!(check_tenant("acme corp"), Ok(()));
/// assert_eq!(check_tenant("acme ").unwrap_err().hint().unwrap(), "Write 'acme'.");
/// ```
pub fn check_tenant(tenant: &str) -> Result<(), Error> {
    check_label(limits::TENANT, tenant)
}

/// Checks a text that is compared with another user's: white space at its ends would be invisible, and match nothing.
fn check_label(limit: Limit, value: &str) -> Result<(), Error> {
    check_text(limit, value)?;
    let trimmed = value.trim();
    if trimmed == value {
        return Ok(());
    }
    let hint = match trimmed {
        "" => format!("Give a {} that can be seen.", limit.name),
        trimmed => format!("Write '{trimmed}'."),
    };
    Err(attribute(
        limit.name,
        "It begins or ends with white space.",
        &hint,
    ))
}

fn check_text(limit: Limit, value: &str) -> Result<(), Error> {
    let name = limit.name;
    limit.check(value)?;
    if value.is_empty() {
        let hint = match name {
            "source" | "type" => format!("Give a {name}."),
            _ => "Leave it out (null) instead.".into(),
        };
        return Err(attribute(name, "It is empty.", &hint));
    }
    match value.chars().find(|character| is_forbidden(*character)) {
        Some(character) => Err(attribute(
            name,
            &forbidden_fault(character),
            "Remove the character.",
        )),
        None => Ok(()),
    }
}

/// Returns whether this is a control character or a noncharacter, which no CloudEvents string may contain.
pub(crate) fn is_forbidden(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

pub(crate) fn forbidden_fault(character: char) -> String {
    format!(
        "It contains U+{:04X}, which CloudEvents forbids.",
        u32::from(character)
    )
}

/// Checks the characters and the shape of RFC 3986, section 4.1, as far as these exclude anything.
fn check_uri_reference(name: &'static str, value: &str) -> Result<(), Error> {
    let encode = "Percent-encode it: a blank as %20, a non-ASCII character as its UTF-8 bytes.";
    let is_allowed = |character: char| {
        character.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(character)
    };
    if let Some(character) = value.chars().find(|character| !is_allowed(*character)) {
        return Err(attribute(
            name,
            &format!("A URI cannot contain {character:?}."),
            encode,
        ));
    }
    let is_encoded =
        |rest: &str| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit());
    if !value.split('%').skip(1).all(is_encoded) {
        return Err(attribute(
            name,
            "A % is not followed by two hexadecimal digits.",
            "Write a literal % as %25.",
        ));
    }
    if value.matches('#').count() > 1 {
        return Err(attribute(
            name,
            "It contains more than one #.",
            "Write a literal # as %23.",
        ));
    }
    let first_segment = value.split(['/', '?', '#']).next().unwrap_or("");
    if first_segment.contains(':') && scheme_of(value).is_none() {
        let hint = format!("Write /{value} for a path, or begin with a scheme such as urn:.");
        return Err(attribute(
            name,
            "What stands before the first colon is not a URI scheme.",
            &hint,
        ));
    }
    Ok(())
}

fn scheme_of(uri: &str) -> Option<&str> {
    let (scheme, _) = uri.split_once(':')?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some(scheme)
}

fn attribute(name: &'static str, fault: &str, hint: &str) -> Error {
    Error::Attribute {
        name,
        fault: fault.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Attributes<'static> {
        Attributes {
            source: "/shop",
            r#type: "order.paid",
            ..Attributes::default()
        }
    }

    /// Validates attributes that are valid apart from this change.
    fn check<'a>(change: impl FnOnce(&mut Attributes<'a>)) -> Result<(), Error> {
        let mut attributes: Attributes<'a> = valid();
        change(&mut attributes);
        attributes.validate()
    }

    fn is_valid_source(source: &str) -> bool {
        check(|it| it.source = source).is_ok()
    }

    #[test]
    fn a_source_is_a_uri_reference() {
        let good = "/shop shop urn:uuid:6e8bc430 https://example.com/a?b=c#d mailto:a@b.c //host/x ?q a/b:c /a:b /m%C3%BCnchen";
        for source in good.split(' ') {
            assert!(is_valid_source(source), "{source}");
        }
        for source in [
            "", "a b", "münchen", "a%2", "a%zz", "%", "a#b#c", "1a:b", ":a", "a\\b", "a\"b", "<a>",
            "a\nb", "a^b",
        ] {
            assert!(!is_valid_source(source), "{source}");
        }
    }

    #[test]
    fn every_attribute_has_a_limit() {
        let long = "x".repeat(1_025);
        let uri = "https://example.com/".to_owned() + &"x".repeat(2_048);
        let faults = [
            ("source", check(|it| it.source = &long)),
            ("type", check(|it| it.r#type = &long)),
            ("id", check(|it| it.id = Some(&long))),
            ("subject", check(|it| it.subject = Some(&long))),
            ("key", check(|it| it.key = Some(&long))),
            ("tenant", check(|it| it.tenant = Some(&long[..256]))),
            ("dataschema", check(|it| it.dataschema = Some(&uri))),
        ];
        for (name, checked) in faults {
            assert_eq!(checked.unwrap_err().message(), format!("invalid {name}"));
        }
        let longest = Some(&long[..1_024]);
        let attributes = Attributes {
            source: &long[..1_024],
            r#type: &long[..1_024],
            id: longest,
            subject: longest,
            key: longest,
            tenant: Some(&long[..255]),
            dataschema: Some(&uri[..2_048]),
        };
        assert_eq!(attributes.validate(), Ok(()));
    }

    #[test]
    fn a_dataschema_is_an_absolute_uri() {
        for uri in ["https://example.com/schema", "urn:example:1"] {
            assert!(check(|it| it.dataschema = Some(uri)).is_ok(), "{uri}");
        }
        for uri in ["/schema", "schema", "", "https://example.com/a b"] {
            assert!(check(|it| it.dataschema = Some(uri)).is_err(), "{uri}");
        }
    }

    #[test]
    fn types_and_tenants_have_no_white_space_at_their_ends() {
        for (odd, hint) in [
            ("acme ", "Write 'acme'."),
            ("\u{a0}acme", "Write 'acme'."),
            (" ", "can be seen"),
        ] {
            let as_type = check(|it| it.r#type = odd);
            let as_tenant = check(|it| it.tenant = Some(odd));
            for error in [as_type.unwrap_err(), as_tenant.unwrap_err()] {
                assert!(error.hint().unwrap().contains(hint), "{odd:?}: {error:?}");
            }
        }
        let inside = Attributes {
            r#type: "order paid",
            tenant: Some("acme corp"),
            subject: Some(" 1 "),
            ..valid()
        };
        assert_eq!(inside.validate(), Ok(()));
    }

    #[test]
    fn no_attribute_may_be_empty_or_contain_forbidden_characters() {
        for bad in [
            "",
            "a\0",
            "a\n",
            "a\u{7f}",
            "a\u{85}",
            "a\u{9f}",
            "a\u{fdd0}",
            "a\u{fffe}",
            "a\u{1ffff}",
            "a\u{10fffe}",
        ] {
            assert!(check(|it| it.r#type = bad).is_err(), "{bad:?}");
            assert!(check(|it| it.id = Some(bad)).is_err(), "{bad:?}");
            assert!(check(|it| it.subject = Some(bad)).is_err(), "{bad:?}");
            assert!(check(|it| it.key = Some(bad)).is_err(), "{bad:?}");
        }
        let good = Some("ä €\u{1f600}\u{fffd}\u{a0}");
        let checked = check(|it| (it.id, it.subject, it.key) = (good, good, good));
        assert_eq!(checked, Ok(()));
    }
}
