//! Strings in which `*` stands for any characters.
//!
//! Matching never costs more than the product of both lengths, because users write both.

use super::bounds::MAX_STARS;

/// A string with stars, at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wildcard {
    /// The text before the first star.
    head: Box<str>,
    /// The texts between the stars.
    between: Vec<Box<str>>,
    /// The text after the last star.
    tail: Box<str>,
}

/// What a string with stars and escapes says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starred {
    /// No star: the text itself, without its escapes.
    Literal(Box<str>),
    Wildcard(Wildcard),
}

/// The reason why a string with stars is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformed {
    /// A backslash that stands neither before a star nor before a backslash.
    Escape,
    TooManyStars,
}

impl Wildcard {
    /// Reads a string, in which `\*` is a star and `\\` a backslash.
    pub fn parse(text: &str) -> Result<Starred, Malformed> {
        let mut pieces = vec![String::new()];
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            match character {
                '*' => pieces.push(String::new()),
                '\\' => {
                    let escaped = characters.next().filter(|next| ['*', '\\'].contains(next));
                    push(&mut pieces, escaped.ok_or(Malformed::Escape)?);
                }
                other => push(&mut pieces, other),
            }
        }
        if pieces.len() > MAX_STARS + 1 {
            return Err(Malformed::TooManyStars);
        }
        let mut pieces = pieces.into_iter().map(String::into_boxed_str);
        let head = pieces.next().unwrap_or_default();
        Ok(match pieces.next_back() {
            None => Starred::Literal(head),
            Some(tail) => Starred::Wildcard(Wildcard {
                head,
                between: pieces.collect(),
                tail,
            }),
        })
    }

    /// Returns whether the whole text matches.
    pub fn matches(&self, text: &str) -> bool {
        let Some(rest) = text
            .strip_prefix(&*self.head)
            .and_then(|rest| rest.strip_suffix(&*self.tail))
        else {
            return false;
        };
        // The first place for each piece leaves the most room for the next pieces.
        self.between
            .iter()
            .try_fold(rest, |rest, piece| {
                rest.split_once(&**piece).map(|(_, rest)| rest)
            })
            .is_some()
    }

    /// Returns whether a part of the text matches.
    pub fn occurs_in(&self, text: &str) -> bool {
        let pieces = std::iter::once(&self.head)
            .chain(&self.between)
            .chain(std::iter::once(&self.tail));
        let mut pieces = pieces;
        pieces
            .try_fold(text, |rest, piece| {
                rest.split_once(&**piece).map(|(_, rest)| rest)
            })
            .is_some()
    }

    /// Returns the prefix that all matching texts share.
    pub fn head(&self) -> &str {
        &self.head
    }

    /// Returns whether two stars stand side by side.
    pub fn has_double_star(&self) -> bool {
        self.between.iter().any(|piece| piece.is_empty())
    }
}

fn push(pieces: &mut [String], character: char) {
    if let Some(piece) = pieces.last_mut() {
        piece.push(character);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(text: &str, value: &str) -> bool {
        match Wildcard::parse(text).unwrap() {
            Starred::Literal(literal) => *literal == *value,
            Starred::Wildcard(wildcard) => wildcard.matches(value),
        }
    }

    /// The definition: a star is nothing, or takes a byte and goes on.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) if reference(rest, text) => true,
            ([b'*', ..], [_, text @ ..]) => reference(pattern, text),
            ([b'\\', a, rest @ ..], [b, text @ ..]) | ([a, rest @ ..], [b, text @ ..]) => {
                a == b && reference(rest, text)
            }
            _ => false,
        }
    }

    #[test]
    fn stars_stand_for_any_characters_and_escaped_stars_for_themselves() {
        for (text, value, expected) in [
            ("*", "", true),
            ("user-*", "user-", true),
            ("user-*", "User-1", false),
            ("*/lib/*", "/usr/lib/a", true),
            ("ab*bc", "abc", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXcYb", false),
            (r"\*", "*", true),
            (r"\*", "a", false),
            (r"a\\*", r"a\b", true),
            ("a**b", "ab", true),
            ("ü*", "üx", true),
        ] {
            assert_eq!(matches(text, value), expected, "{text} {value}");
        }
    }

    #[test]
    fn a_lone_backslash_is_refused() {
        for text in [r"\", r"a\b", r"C:\dir"] {
            assert_eq!(Wildcard::parse(text), Err(Malformed::Escape), "{text}");
        }
    }

    #[test]
    fn ten_stars_are_allowed() {
        assert!(Wildcard::parse(&"a*".repeat(MAX_STARS)).is_ok());
        assert_eq!(
            Wildcard::parse(&"a*".repeat(MAX_STARS + 1)),
            Err(Malformed::TooManyStars)
        );
    }

    proptest! {
        #[test]
        fn wildcards_agree_with_the_definition(text in r"([ab*]|\\\*|\\\\){0,7}", value in r"[ab*\\]{0,9}") {
            prop_assert_eq!(matches(&text, &value), reference(text.as_bytes(), value.as_bytes()));
        }

        #[test]
        fn a_part_matches_where_the_whole_does_between_stars(text in "[ab*]{0,6}", value in "[ab]{0,9}") {
            if let Starred::Wildcard(wildcard) = Wildcard::parse(&text).unwrap() {
                let within = format!("*{text}*");
                prop_assert_eq!(wildcard.occurs_in(&value), reference(within.as_bytes(), value.as_bytes()));
            }
        }
    }
}
