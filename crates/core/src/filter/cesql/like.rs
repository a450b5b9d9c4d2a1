//! The patterns of LIKE (CESQL, section 3.4.3).

use super::budget::Budget;
use super::error::EvaluationError;

/// A pattern, which must match a whole string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    /// `%`: any number of characters.
    Any,
    /// `_`: one character.
    One,
    Character(char),
}

impl Pattern {
    /// Reads a pattern. A backslash takes the meaning from a `%` or `_` behind it, and elsewhere stands for itself.
    pub fn new(text: String) -> Pattern {
        let mut items = Vec::new();
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let item = match character {
                '%' => Item::Any,
                '_' => Item::One,
                '\\' => characters
                    .next_if(|escaped| matches!(escaped, '%' | '_'))
                    .map_or(Item::Character('\\'), Item::Character),
                other => Item::Character(other),
            };
            if (item, items.last()) != (Item::Any, Some(&Item::Any)) {
                items.push(item);
            }
        }
        Pattern { text, items }
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the characters with which every text begins that it matches.
    pub fn head(&self) -> String {
        let characters = self.items.iter().map_while(|item| match item {
            Item::Character(character) => Some(character),
            Item::Any | Item::One => None,
        });
        characters.collect()
    }

    /// Returns whether the pattern matches the whole text, in time proportional to the product of their lengths at
    /// most.
    ///
    /// Only the last `%` is ever tried again, with one more character: what an earlier one could take instead, the last
    /// one can take too.
    pub fn matches(
        &self,
        text: &str,
        budget: &mut Budget,
    ) -> Result<bool, EvaluationError<'static>> {
        let (mut at, mut rest) = (0, text.chars());
        let mut last_any = None;
        loop {
            budget.compare()?;
            let mut behind = rest.clone();
            match (self.items.get(at), behind.next()) {
                (Some(Item::Any), _) => {
                    at += 1;
                    last_any = Some((at, rest.clone()));
                    continue;
                }
                (Some(item), Some(character)) if item.accepts(character) => {
                    at += 1;
                    rest = behind;
                    continue;
                }
                (None, None) => return Ok(true),
                (Some(_), None) => return Ok(false),
                (_, Some(_)) => {}
            }
            let Some((after_any, from)) = &mut last_any else {
                return Ok(false);
            };
            from.next();
            (at, rest) = (*after_any, from.clone());
        }
    }
}

impl Item {
    fn accepts(self, character: char) -> bool {
        match self {
            Item::Any => false,
            Item::One => true,
            Item::Character(expected) => expected == character,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::budget::MAX_COMPARED;
    use super::*;

    fn matches(text: &str, pattern: &str) -> bool {
        Pattern::new(pattern.into())
            .matches(text, &mut Budget::new())
            .unwrap()
    }

    #[test]
    fn wildcards_stand_for_characters_and_escaped_ones_for_themselves() {
        for (text, pattern, expected) in [
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("a", "", false),
            ("abc", "a%%c", true),
            ("abc", "%b%", true),
            ("abc", "_%_%_", true),
            ("ab", "_%_%_", false),
            ("abab", "%ab", true),
            ("aXb%", r"a_b\%", true),
            ("aXbc", r"a_b\%", false),
            ("a_b", r"a\_b", true),
            ("a+b", r"a\_b", false),
            (r"a\b", r"a\b", true),
            (r"a\%", r"a\\%", true),
            (r"a\x", r"a\\%", false),
            (r"a\", r"a\", true),
            ("é😀", "__", true),
            ("é😀", "_", false),
            ("ABC", "abc", false),
            ("a\nb", "a%b", true),
            (".*", "..", false),
        ] {
            assert_eq!(
                matches(text, pattern),
                expected,
                "{text:?} LIKE {pattern:?}"
            );
        }
    }

    #[test]
    fn a_pattern_that_backtracks_is_given_up() {
        let pattern = Pattern::new("%a".repeat(20) + &"_a".repeat(500) + "b%");
        let budget = &mut Budget::new();
        assert_eq!(pattern.matches(&"a".repeat(2_000), budget), Ok(false));
        let error = pattern.matches(&"a".repeat(20_000), budget).unwrap_err();
        let limit = MAX_COMPARED;
        assert_eq!(error, EvaluationError::TooLong { limit });
    }

    /// The definition, which takes exponential time.
    fn is_like(text: &[char], pattern: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', pattern @ ..] => (0..=text.len()).any(|taken| is_like(&text[taken..], pattern)),
            ['\\', escaped @ ('%' | '_'), pattern @ ..] => {
                text.first() == Some(escaped) && is_like(&text[1..], pattern)
            }
            ['_', pattern @ ..] => !text.is_empty() && is_like(&text[1..], pattern),
            [same, pattern @ ..] => text.first() == Some(same) && is_like(&text[1..], pattern),
        }
    }

    proptest! {
        #[test]
        fn patterns_match_by_their_definition(text in r"[ab%_\\é]{0,8}", pattern in r"[ab%_\\é]{0,8}") {
            let [text_chars, pattern_chars] = [&text, &pattern].map(|text| text.chars().collect::<Vec<_>>());
            prop_assert_eq!(matches(&text, &pattern), is_like(&text_chars, &pattern_chars));
        }
    }
}
