//! Type globs, which select the event types that a subscription wants.
//!
//! Part of matching. Only [`Glob::matches`] defines what a glob means; the [`matcher`](crate::subscription::matcher) just
//! finds quickly which globs to ask. Matching must never cost more than the glob's length times the type's length,
//! because users write both.

use crate::error::Error;
use crate::event::attributes::is_forbidden;

/// The prefix of the types of pg_herald's own operational events.
pub const OPERATIONAL_PREFIX: &str = "herald.";

/// Returns whether a type belongs to an operational event, such as `herald.subscription.disabled`.
///
/// ```
/// use herald_core::subscription::globs::is_operational;
///
/// assert!(is_operational("herald.subscription.disabled"));
/// assert!(!is_operational("heraldry.sold"));
/// ```
pub fn is_operational(event_type: &str) -> bool {
    event_type.starts_with(OPERATIONAL_PREFIX)
}

/// The maximum number of members of `types`.
pub const MAX_GLOBS: usize = 1000;
/// The maximum size of each member, in bytes.
pub const MAX_GLOB_BYTES: usize = 1024;
/// The maximum size of all members together, in bytes.
pub const MAX_GLOBS_BYTES: usize = 65_536;

/// One member of `types`: text in which `*` matches any characters, including none and dots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    /// The pieces between the stars; a glob without a star is one piece.
    pieces: Vec<String>,
}

impl Glob {
    /// Parses a glob. It must not be empty or contain a character that CloudEvents forbids in a type.
    ///
    /// ```
    /// use herald_core::subscription::globs::Glob;
    ///
    /// let glob = Glob::parse("shop.*.paid").unwrap();
    /// assert!(glob.matches("shop.eu.order.paid"));
    /// assert!(!glob.matches("shop.paid"));
    /// assert!(!glob.matches("Shop.order.paid"));
    /// ```
    pub fn parse(text: &str) -> Result<Glob, Error> {
        let refused = |fault: &str, hint| {
            Err(Error::TypeGlob {
                glob: text.into(),
                fault: fault.into(),
                hint,
            })
        };
        if text.is_empty() {
            return refused("It is empty.", "Use '*' to receive every event.");
        }
        if text.len() > MAX_GLOB_BYTES {
            return Err(too_many(format!(
                "A member of it has {} bytes; allowed are {MAX_GLOB_BYTES}.",
                text.len()
            )));
        }
        if text.contains(is_forbidden) {
            return refused(
                "It contains a character that no type has.",
                "Give each glob as its own member of the array: types => '{order.*,invoice.paid}'.",
            );
        }
        Ok(Glob {
            pieces: text.split('*').map(str::to_owned).collect(),
        })
    }

    /// Returns whether events of this type are wanted.
    ///
    /// Operational types match only globs that begin with `herald.` themselves: a subscription to everything does not
    /// mean those.
    ///
    /// ```
    /// use herald_core::subscription::globs::Glob;
    ///
    /// assert!(!Glob::parse("*").unwrap().matches("herald.subscription.disabled"));
    /// assert!(Glob::parse("herald.*").unwrap().matches("herald.subscription.disabled"));
    /// ```
    pub fn matches(&self, event_type: &str) -> bool {
        if is_operational(event_type) && !self.head().starts_with(OPERATIONAL_PREFIX) {
            return false;
        }
        let Some(tail) = self.tail() else {
            return event_type == self.head();
        };
        let Some(rest) = event_type
            .strip_prefix(self.head())
            .and_then(|rest| rest.strip_suffix(tail))
        else {
            return false;
        };
        // The first place for each piece leaves the most room for the next pieces.
        let between = &self.pieces[1..self.pieces.len() - 1];
        between
            .iter()
            .try_fold(rest, |rest, piece| {
                rest.split_once(piece.as_str()).map(|(_, rest)| rest)
            })
            .is_some()
    }

    /// Returns the prefix of all matching types: the text before the first star.
    pub(crate) fn head(&self) -> &str {
        &self.pieces[0]
    }

    /// Returns the suffix of all matching types: the text after the last star, or `None` for a glob without a star.
    pub(crate) fn tail(&self) -> Option<&str> {
        self.pieces[1..].last().map(String::as_str)
    }
}

/// The option `types`: an event is wanted if any of the globs matches its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeGlobs {
    globs: Vec<Glob>,
}

impl TypeGlobs {
    /// Parses the members of `types`, at least one.
    ///
    /// ```
    /// use herald_core::subscription::globs::TypeGlobs;
    ///
    /// let types = TypeGlobs::parse(&["order.*".into(), "invoice.paid".into()]).unwrap();
    /// assert!(types.matches("invoice.paid"));
    /// assert!(!types.matches("invoice.paid.late"));
    /// ```
    pub fn parse(texts: &[String]) -> Result<TypeGlobs, Error> {
        if texts.is_empty() {
            return Err(Error::NoTypes);
        }
        if texts.len() > MAX_GLOBS {
            return Err(too_many(format!(
                "It has {} members; allowed are {MAX_GLOBS}.",
                texts.len()
            )));
        }
        let bytes: usize = texts.iter().map(String::len).sum();
        if bytes > MAX_GLOBS_BYTES {
            return Err(too_many(format!(
                "It has {bytes} bytes; allowed are {MAX_GLOBS_BYTES}."
            )));
        }
        Ok(TypeGlobs {
            globs: texts
                .iter()
                .map(|text| Glob::parse(text))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Matches every event, including operational ones, to hold them for a subscription whose types cannot be read.
    ///
    /// ```
    /// use herald_core::subscription::globs::TypeGlobs;
    ///
    /// let types = TypeGlobs::everything();
    /// assert!(types.matches("order.paid") && types.matches("herald.subscription.disabled"));
    /// ```
    pub fn everything() -> TypeGlobs {
        let globs = ["*", "herald.*"].map(|text| Glob {
            pieces: text.split('*').map(str::to_owned).collect(),
        });
        TypeGlobs {
            globs: globs.into(),
        }
    }

    /// Returns whether events of this type are wanted.
    ///
    /// ```
    /// use herald_core::subscription::globs::TypeGlobs;
    ///
    /// assert!(TypeGlobs::parse(&["*".into()]).unwrap().matches("order.paid"));
    /// ```
    pub fn matches(&self, event_type: &str) -> bool {
        self.globs.iter().any(|glob| glob.matches(event_type))
    }

    /// Iterates over the globs in the order given.
    ///
    /// ```
    /// use herald_core::subscription::globs::TypeGlobs;
    ///
    /// let types = TypeGlobs::parse(&["order.*".into()]).unwrap();
    /// assert_eq!(types.iter().next().unwrap().to_string(), "order.*");
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = &Glob> {
        self.globs.iter()
    }
}

fn too_many(fault: String) -> Error {
    Error::Option {
        option: "types",
        fault,
        hint: "Use globs: order.* stands for order.paid, order.sent and all others that begin so."
            .into(),
    }
}

/// Shows the text as given.
impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.pieces.join("*"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::parse(text).unwrap()
    }

    /// The definition, tried place by place: slow, and too simple to be wrong.
    fn reference(glob: &[u8], text: &[u8]) -> bool {
        match glob.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|taken| reference(rest, &text[taken..])),
            Some((byte, rest)) => text.first() == Some(byte) && reference(rest, &text[1..]),
        }
    }

    #[test]
    fn globs_mean_what_the_documentation_says() {
        let cases = [
            ("*", "", true),
            ("*", "a.b.c", true),
            ("a.*", "a.b.c", true),
            ("a.*", "a.", true),
            ("a.*", "a", false),
            ("*.c", "a.b.c", true),
            ("*.c", "a.b.cc", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("ab*bc", "abc", false),
            ("a**b", "ab", true),
            ("a.b", "a.b", true),
            ("a.b", "A.b", false),
            ("a?b", "a.b", false),
            ("*ü*", "aüb", true),
        ];
        for (text, event_type, expected) in cases {
            assert_eq!(
                glob(text).matches(event_type),
                expected,
                "{text} {event_type}"
            );
        }
    }

    #[test]
    fn operational_types_are_matched_only_by_globs_that_name_them() {
        for text in ["*", "herald*", "h*", "*.disabled", "*herald.*"] {
            assert!(
                !glob(text).matches("herald.subscription.disabled"),
                "{text}"
            );
        }
        for text in [
            "herald.*",
            "herald.subscription.disabled",
            "herald.sub*",
            "herald.*.disabled",
        ] {
            assert!(glob(text).matches("herald.subscription.disabled"), "{text}");
        }
        assert!(glob("*").matches("heraldry.sold"));
    }

    #[test]
    fn empty_and_unmatchable_globs_are_refused() {
        for text in ["", "a\n", "a\0", "a\u{fffe}"] {
            assert!(Glob::parse(text).is_err(), "{text:?}");
        }
        // Types can contain the names of tables.
        assert!(glob("public.Order Items.*").matches("public.Order Items.inserted"));
        assert_eq!(TypeGlobs::parse(&[]), Err(Error::NoTypes));
        assert!(TypeGlobs::parse(&["*".into(), "".into()]).is_err());
    }

    #[test]
    fn types_are_bounded_in_members_and_bytes() {
        let types = |members: usize, bytes: usize| {
            TypeGlobs::parse(&vec!["x".repeat(bytes); members]).map(drop)
        };
        assert_eq!(types(MAX_GLOBS, 1), Ok(()));
        assert_eq!(types(1, MAX_GLOB_BYTES), Ok(()));
        assert_eq!(types(MAX_GLOBS_BYTES / 1024, 1024), Ok(()));
        for (members, bytes, detail) in [
            (MAX_GLOBS + 1, 1, "It has 1001 members; allowed are 1000."),
            (
                1,
                MAX_GLOB_BYTES + 1,
                "A member of it has 1025 bytes; allowed are 1024.",
            ),
            (
                MAX_GLOBS_BYTES / 1024 + 1,
                1024,
                "It has 66560 bytes; allowed are 65536.",
            ),
        ] {
            assert_eq!(types(members, bytes).unwrap_err().detail().unwrap(), detail);
        }
    }

    proptest! {
        #[test]
        fn globs_agree_with_the_definition(text in "[ab.*]{1,8}", event_type in "[ab.]{0,10}") {
            prop_assert_eq!(glob(&text).matches(&event_type), reference(text.as_bytes(), event_type.as_bytes()));
        }

        #[test]
        fn a_glob_is_shown_as_it_was_given(text in "[a-z.*]{1,20}") {
            prop_assert_eq!(glob(&text).to_string(), text);
        }
    }
}
