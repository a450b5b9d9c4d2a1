//! Reads the values from JSON text that somebody asks for, in one pass, and skips the rest.
//!
//! It reads an event's data, once for all filters, and filters themselves. Numbers stay text: a double would round
//! them. Levels and values are bounded, so that no data can exhaust the stack or the memory.

use std::borrow::Cow;
use std::fmt;

use serde::de::IgnoredAny;

use super::bounds::{MAX_DATA_BYTES, MAX_VALUES};
use super::number::Number;
use super::paths::Paths;
use super::value::{Members, Value};
use crate::depth::{MAX_LEVELS, TooDeep};
use crate::json::{end_of_string, is_blank};
use crate::signing::canonical::{Escaped, split_escape};

/// The reason why an event's data cannot be compared with a filter. It is not a refusal by the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unreadable {
    /// The event has data, which was not loaded.
    Missing,
    /// The data has more than [`MAX_DATA_BYTES`](super::bounds::MAX_DATA_BYTES).
    TooLarge,
    NotJson,
    /// Arrays and objects are nested in more than [`MAX_LEVELS`] levels.
    TooDeep,
    /// A filter asks for more than [`MAX_VALUES`] values.
    TooMany,
    /// Filters would take too long to compare it: [`MAX_WORK`](super::bounds::MAX_WORK).
    TooLong,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Missing => f.write_str("its data, which a filter needs, is missing"),
            Unreadable::TooLarge => write!(
                f,
                "its data has more than {MAX_DATA_BYTES} bytes, which no filter looks at"
            ),
            Unreadable::NotJson => f.write_str("its data, which a filter needs, is not JSON"),
            Unreadable::TooDeep => write!(f, "its data is {TooDeep}, which a filter cannot read"),
            Unreadable::TooMany => write!(
                f,
                "its data has more than {MAX_VALUES} values that a filter asks for"
            ),
            Unreadable::TooLong => f.write_str("its data would take filters too long to compare"),
        }
    }
}

impl std::error::Error for Unreadable {}

/// What to read from a value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted<'w> {
    Everything,
    Paths(&'w Paths),
}

impl Wanted<'_> {
    fn is_leaf_wanted(self) -> bool {
        match self {
            Wanted::Everything => true,
            Wanted::Paths(paths) => paths.is_end(),
        }
    }

    fn has_members(self) -> bool {
        match self {
            Wanted::Everything => true,
            Wanted::Paths(paths) => paths.has_members(),
        }
    }

    fn member(self, name: &str) -> Option<Self> {
        match self {
            Wanted::Everything => Some(self),
            Wanted::Paths(paths) => paths.member(name).map(Wanted::Paths),
        }
    }
}

/// Reads what is wanted of a JSON text; `None` if nothing of it is.
///
/// An array stands for its elements: what is wanted of it is wanted of each. An object that is at the end of a path
/// only shows that it exists.
pub(super) fn read<'a>(json: &'a str, wanted: Wanted<'_>) -> Result<Option<Value<'a>>, Unreadable> {
    // Checks the syntax of what is skipped below, without recursion.
    serde_json::from_str::<IgnoredAny>(json).map_err(|_| Unreadable::NotJson)?;
    let mut reader = Reader {
        json,
        at: 0,
        levels: 0,
        values: 0,
    };
    reader.value(wanted)
}

/// Reads text that is known to be JSON.
struct Reader<'a> {
    json: &'a str,
    at: usize,
    levels: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, wanted: Wanted<'_>) -> Result<Option<Value<'a>>, Unreadable> {
        let value = match self.peek() {
            Some(b'{') if wanted.has_members() => self.object(wanted)?,
            Some(b'[') => self.array(wanted)?,
            _ if !wanted.is_leaf_wanted() => {
                self.skip()?;
                return Ok(None);
            }
            Some(b'{') => {
                self.skip()?;
                Value::Object(Members::default())
            }
            Some(b'"') => Value::String(self.string()?),
            _ => match self.skip()? {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                text => Value::Number {
                    text,
                    value: Number::parse(text).ok_or(Unreadable::NotJson)?,
                },
            },
        };
        self.count()?;
        Ok(Some(value))
    }

    fn count(&mut self) -> Result<(), Unreadable> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Unreadable::TooMany);
        }
        Ok(())
    }

    fn object(&mut self, wanted: Wanted<'_>) -> Result<Value<'a>, Unreadable> {
        self.open()?;
        let mut members = Vec::new();
        while self.has_another(b'}') {
            let name = self.string()?;
            self.take(b':');
            match wanted.member(&name) {
                None => drop(self.skip()?),
                Some(wanted) => {
                    let value = match self.value(wanted)? {
                        Some(value) => value,
                        // It hides an earlier member of the same name.
                        None => {
                            self.count()?;
                            Value::Object(Members::default())
                        }
                    };
                    members.push((name, value));
                }
            }
        }
        self.levels -= 1;
        Ok(Value::Object(members.into()))
    }

    fn array(&mut self, wanted: Wanted<'_>) -> Result<Value<'a>, Unreadable> {
        self.open()?;
        let mut elements = Vec::new();
        while self.has_another(b']') {
            elements.extend(self.value(wanted)?);
        }
        self.levels -= 1;
        Ok(Value::Array(elements))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, Unreadable> {
        let quoted = self.skip()?;
        let text = quoted
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .ok_or(Unreadable::NotJson)?;
        if text.contains('\\') {
            unescaped(text).map(Cow::Owned).ok_or(Unreadable::NotJson)
        } else {
            Ok(Cow::Borrowed(text))
        }
    }

    /// Skips a value and returns its text.
    fn skip(&mut self) -> Result<&'a str, Unreadable> {
        self.peek();
        let (start, levels) = (self.at, self.levels);
        loop {
            match self.peek() {
                None => break,
                Some(b'"') => self.at = end_of_string(self.json.as_bytes(), self.at),
                Some(b'{' | b'[') => self.open()?,
                Some(b'}' | b']') if self.levels > levels => {
                    self.levels -= 1;
                    self.at += 1;
                }
                Some(b',' | b':') if self.levels > levels => self.at += 1,
                Some(b'}' | b']' | b',' | b':') => break,
                Some(_) => self.at += self.length_of_word(),
            }
            if self.levels == levels {
                break;
            }
        }
        self.json.get(start..self.at).ok_or(Unreadable::NotJson)
    }

    /// Returns the length of a number, `true`, `false` or `null`.
    fn length_of_word(&self) -> usize {
        let rest = self.json.as_bytes().iter().skip(self.at);
        rest.take_while(|byte| !is_blank(**byte) && !b",]}:".contains(byte))
            .count()
    }

    fn open(&mut self) -> Result<(), Unreadable> {
        if self.levels == MAX_LEVELS {
            return Err(Unreadable::TooDeep);
        }
        self.levels += 1;
        self.at += 1;
        Ok(())
    }

    /// Returns whether another member or element follows; moves to it, or behind the end.
    fn has_another(&mut self, end: u8) -> bool {
        self.take(b',');
        let has_another = self.peek().is_some_and(|byte| byte != end);
        if !has_another {
            self.at += 1;
        }
        has_another
    }

    fn take(&mut self, token: u8) {
        if self.peek() == Some(token) {
            self.at += 1;
        }
    }

    /// Moves to the next token and returns its first byte.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.json.as_bytes().get(self.at)?;
            if !is_blank(byte) {
                return Some(byte);
            }
            self.at += 1;
        }
    }
}

/// Resolves escapes. Half of a surrogate pair, which no text can hold, becomes U+FFFD.
fn unescaped(text: &str) -> Option<String> {
    let mut unescaped = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('\\') {
        unescaped.push_str(plain);
        let (escaped, after) = split_escape(after)?;
        unescaped.push(match escaped {
            Escaped::Character(character) => character,
            Escaped::LoneSurrogate(_) => char::REPLACEMENT_CHARACTER,
        });
        rest = after;
    }
    unescaped.push_str(rest);
    Some(unescaped)
}

#[cfg(test)]
mod tests;
