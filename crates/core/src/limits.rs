//! The maximum size, in bytes, of each attribute of an event and each setting of its context.
//!
//! `emit` refuses longer values. Capture, which must not fail a statement, cuts values that only inform and hashes
//! those that tell events apart. Readers of the log rely on these limits, but still check them.

use crate::error::Error;
use sha2::{Digest, Sha256};

/// The limit of one attribute.
///
/// ```
/// use herald_core::limits::SUBJECT;
///
/// assert_eq!(SUBJECT.check(&"x".repeat(1_024)), Ok(()));
/// let error = SUBJECT.check(&"x".repeat(1_025)).unwrap_err();
/// assert_eq!(error.detail().unwrap(), "The subject has 1025 bytes, the limit is 1024.");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The attribute or setting.
    pub name: &'static str,
    /// The maximum size of a text, in bytes of UTF-8.
    pub bytes: usize,
}

const fn limit(name: &'static str, bytes: usize) -> Limit {
    Limit { name, bytes }
}

/// The CloudEvents `type`.
pub const TYPE: Limit = limit("type", 1_024);
/// The CloudEvents `source`. Together with the id, it must fit into an index.
pub const SOURCE: Limit = limit("source", 1_024);
/// The CloudEvents `id` that a caller gives.
pub const ID: Limit = limit("id", 1_024);
/// The CloudEvents `subject`.
pub const SUBJECT: Limit = limit("subject", 1_024);
/// The ordering key.
pub const KEY: Limit = limit("key", 1_024);
/// The tenant that owns the event.
pub const TENANT: Limit = limit("tenant", 255);
/// The CloudEvents `dataschema`.
pub const DATASCHEMA: Limit = limit("dataschema", 2_048);
/// All extension attributes, as the text of a JSON object.
pub const EXTENSIONS: Limit = limit("extensions", 8_192);
/// The setting `herald.traceparent`: a W3C trace context has 55 bytes.
pub const TRACEPARENT: Limit = limit("herald.traceparent", 255);
/// The setting `herald.tracestate`: the W3C asks all systems to pass on 512 characters.
pub const TRACESTATE: Limit = limit("herald.tracestate", 1_024);
/// The setting `herald.actor`.
pub const ACTOR: Limit = limit("herald.actor", 1_024);
/// The context stored with an event, as JSON: the settings above, a role and an application. Escaping may turn each
/// byte into six.
pub const CONTEXT: Limit = limit("context", 16_384);
/// The stored values of the rows in one captured event: 128 MB. As JSON they may take six times as much, and a value in
/// PostgreSQL at most a gigabyte. A subscription's body has at most 16 MB.
pub const ROWS: usize = 128 << 20;
/// The text of one expression of a watch.
pub const EXPRESSION: Limit = limit("expression", 16_384);
/// The name of a watch.
pub const WATCH_NAME: Limit = limit("name", 255);

// An index entry has at most a third of a page, less the headers: an id and its source must fit.
const _: () = assert!(ID.bytes + SOURCE.bytes <= 2_600);

/// The end of a text that was cut.
const ELLIPSIS: &str = "\u{2026}";

impl Limit {
    /// Returns whether the text is short enough.
    pub fn allows(&self, text: &str) -> bool {
        text.len() <= self.bytes
    }

    /// Refuses a text that is too long. The error does not repeat the text.
    pub fn check(&self, text: &str) -> Result<(), Error> {
        if self.allows(text) {
            return Ok(());
        }
        Err(Error::Attribute {
            name: self.name,
            fault: format!(
                "The {} has {} bytes, the limit is {}.",
                self.name,
                text.len(),
                self.bytes
            ),
            hint: format!("Shorten the {}, or put what it says into data.", self.name),
        })
    }

    /// Cuts a text that is too long to its beginning and an ellipsis; returns `None` if it is short enough.
    ///
    /// ```
    /// use herald_core::limits::SUBJECT;
    ///
    /// assert_eq!(SUBJECT.cut("42"), None);
    /// assert_eq!(SUBJECT.cut(&"ä".repeat(600)).unwrap(), "ä".repeat(510) + "…");
    /// ```
    pub fn cut(&self, text: &str) -> Option<String> {
        (!self.allows(text)).then(|| {
            let end = text.floor_char_boundary(self.bytes - ELLIPSIS.len());
            text[..end].to_owned() + ELLIPSIS
        })
    }

    /// Hashes a text that is too long: equal texts stay equal, and different ones different. Returns `None` if it is
    /// short enough.
    ///
    /// ```
    /// use herald_core::limits::KEY;
    ///
    /// assert_eq!(KEY.hash("42"), None);
    /// assert!(KEY.hash(&"x".repeat(1_025)).unwrap().starts_with("sha256:c6d8e990"));
    /// ```
    pub fn hash(&self, text: &str) -> Option<String> {
        (!self.allows(text)).then(|| {
            let digest = Sha256::digest(text.as_bytes());
            let digits = digest.iter().map(|byte| format!("{byte:02x}"));
            "sha256:".to_owned() + &digits.collect::<String>()
        })
    }

    /// Returns the beginning of a text that was written in spite of the limit. The result is still longer than allowed,
    /// so that it equals no checked text.
    ///
    /// ```
    /// use herald_core::limits::TENANT;
    ///
    /// let read = TENANT.marked(&"x".repeat(255));
    /// assert!(read.starts_with("xxx") && !TENANT.allows(&read));
    /// ```
    pub fn marked(&self, beginning: &str) -> String {
        let end = beginning.floor_char_boundary(self.bytes);
        let mut marked = beginning[..end].to_owned();
        while self.allows(&marked) {
            marked.push_str(ELLIPSIS);
        }
        marked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Limit; 14] = [
        TYPE,
        SOURCE,
        ID,
        SUBJECT,
        KEY,
        TENANT,
        DATASCHEMA,
        EXTENSIONS,
        TRACEPARENT,
        TRACESTATE,
        ACTOR,
        CONTEXT,
        EXPRESSION,
        WATCH_NAME,
    ];

    #[test]
    fn a_text_may_have_the_limit_and_no_byte_more() {
        for limit in ALL {
            let longest = "x".repeat(limit.bytes);
            assert_eq!(limit.check(&longest), Ok(()), "{limit:?}");
            assert_eq!((limit.cut(&longest), limit.hash(&longest)), (None, None));
            let longer = longest + "x";
            assert!(limit.check(&longer).is_err(), "{limit:?}");
            assert!(limit.cut(&longer).is_some() && limit.hash(&longer).is_some());
        }
    }

    #[test]
    fn what_was_cut_or_hashed_is_short_enough() {
        for limit in ALL {
            for long in ["x".repeat(limit.bytes + 1), "\u{1f600}".repeat(limit.bytes)] {
                assert!(limit.allows(&limit.cut(&long).unwrap()), "{limit:?}");
                assert!(limit.allows(&limit.hash(&long).unwrap()), "{limit:?}");
                assert!(!limit.allows(&limit.marked(&long)), "{limit:?}");
            }
        }
    }

    #[test]
    fn texts_that_differ_at_their_end_have_different_hashes() {
        let long = "x".repeat(2_000);
        assert_eq!(KEY.hash(&long), KEY.hash(&long));
        assert_ne!(KEY.hash(&long), KEY.hash(&(long.clone() + "y")));
    }

    #[test]
    fn an_error_does_not_repeat_the_text() {
        let error = KEY.check(&"secret".repeat(1_000)).unwrap_err();
        for text in [Some(error.message()), error.detail(), error.hint()] {
            assert!(!text.unwrap().contains("secret"));
        }
    }

    #[test]
    fn the_longest_context_fits_though_all_of_it_is_escaped() {
        let values = [63, 63, TRACEPARENT.bytes, TRACESTATE.bytes, ACTOR.bytes];
        let names = r#"{"role":"","application":"","traceparent":"","tracestate":"","actor":""}"#;
        let escaped: usize = values.iter().map(|bytes| bytes * r"\u0001".len()).sum();
        assert!(escaped + names.len() <= CONTEXT.bytes);
    }
}
