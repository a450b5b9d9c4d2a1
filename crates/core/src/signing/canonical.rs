//! Writes JSON as the language of a receiver does, for receivers that sign what they parsed, not what they got.
//!
//! Such a receiver computes its HMAC over `JSON.stringify(JSON.parse(body))` or `json.dumps(json.loads(body))`, so the
//! body must be a fixed point of that, byte for byte. This sits between the body's format and its signature, and must
//! never change a value silently: a number that a double would round is refused or becomes a string. It converts text
//! to text, because strings may hold lone surrogates, which no `char` can. It must never panic or take quadratic time,
//! for any input.

use std::collections::HashMap;
use std::fmt::Write;

use crate::depth::MAX_LEVELS;
use crate::error::shortened;

mod fault;
mod number;

pub use fault::Fault;
use number::Number;

/// Objects of at most this many members compare keys pairwise, which needs no memory.
const SMALL_OBJECT: usize = 16;

const SHOWN_NUMBER: usize = 40;
const SHOWN_KEY: usize = 40;

/// The writer of JSON whose text a body must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// `JSON.stringify(JSON.parse(body))`
    ///
    /// Members whose key is an array index come first, in ascending order (ECMA-262, QuoteJSONString and
    /// OrdinaryOwnPropertyKeys). A number is written as Number::toString does, and `-0` becomes `0`.
    #[default]
    EcmaScript,
    /// `json.dumps(json.loads(body), separators=(",", ":"))`
    ///
    /// Characters other than printable ASCII are escaped. An integer keeps its digits; any other number is written as
    /// `float.__repr__` does.
    Python,
}

/// The form of a body, and how to treat numbers that a double cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Canonical {
    pub form: Form,
    pub large_numbers: LargeNumbers,
}

/// How to treat a number that a double cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LargeNumbers {
    /// Refuses the body, with a [`Fault`] that names the number.
    #[default]
    Refuse,
    /// Writes a string of the same characters, which the receiver can read exactly.
    Strings,
}

/// Returns whether a double holds exactly this number.
pub(crate) fn is_exact(number: &str) -> bool {
    Number::split_from(number).is_some_and(|(number, _)| number.exact_double().is_some())
}

/// Splits a JSON number from the text after it.
pub(crate) fn split_number(text: &str) -> Option<(&str, &str)> {
    Number::split_from(text).map(|(number, rest)| (number.text, rest))
}

impl Canonical {
    /// Returns the JSON text in this form.
    ///
    /// The text has no blanks, and only the escapes that the form requires. Of members with the same key, the last is
    /// kept, at the place of the first.
    ///
    /// A number is exact, and so never refused, if the shortest digits of its double have the same value: 0.10 and 1e30
    /// are exact, 9007199254740993 and 1e400 are not. An inexact number is refused even if a later member of the same
    /// key would replace it.
    ///
    /// ```
    /// use herald_core::signing::canonical::{Canonical, Form, LargeNumbers};
    ///
    /// let ecmascript = Canonical::default();
    /// let json = r#"{"price": -74.0060, "2": "\u00e9\/", "1": 1E21}"#;
    /// assert_eq!(ecmascript.of(json).unwrap(), r#"{"1":1e+21,"2":"é/","price":-74.006}"#);
    /// let python = Canonical { form: Form::Python, ..ecmascript };
    /// assert_eq!(python.of(json).unwrap(), r#"{"price":-74.006,"2":"\u00e9/","1":1e+21}"#);
    ///
    /// let json = r#"{"data": {"id": 9007199254740993}}"#;
    /// let fault = ecmascript.of(json).unwrap_err();
    /// assert_eq!(fault.to_string(), "the number 9007199254740993 at data.id has no exact double");
    /// let strings = Canonical { large_numbers: LargeNumbers::Strings, ..ecmascript };
    /// assert_eq!(strings.of(json).unwrap(), r#"{"data":{"id":"9007199254740993"}}"#);
    /// ```
    pub fn of(self, json: &str) -> Result<String, Fault> {
        let mut writer = Writer {
            rest: json,
            length: json.len(),
            depth: 0,
            canonical: self,
            written: String::with_capacity(json.len()),
        };
        writer.write_value()?;
        writer.skip_blanks();
        if !writer.rest.is_empty() {
            return Err(writer.not_json());
        }
        Ok(writer.written)
    }
}

/// Reads `rest` and writes it at once, so that only the order of members is corrected afterwards.
struct Writer<'a> {
    rest: &'a str,
    length: usize,
    depth: usize,
    canonical: Canonical,
    written: String,
}

/// The place of a written member: its key from `start` to `colon`, its value from there to `end`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Member {
    start: usize,
    colon: usize,
    end: usize,
}

impl<'a> Writer<'a> {
    fn write_value(&mut self) -> Result<(), Fault> {
        self.skip_blanks();
        match self.rest.bytes().next() {
            Some(b'{') => self.write_object(),
            Some(b'[') => self.write_array(),
            Some(b'"') => self.write_string(),
            Some(b'-' | b'0'..=b'9') => self.write_number(),
            _ => self.write_word(),
        }
    }

    fn write_object(&mut self) -> Result<(), Fault> {
        self.open('{')?;
        let mut members = Vec::new();
        while self.has_another('}', members.is_empty())? {
            let start = self.written.len();
            self.write_string()?;
            let colon = self.written.len();
            self.skip_blanks();
            self.expect(':')?;
            self.written.push(':');
            if let Err(fault) = self.write_value() {
                let key = self.written.get(start..colon).unwrap_or_default();
                return Err(fault.within(&step_to(key)));
            }
            let end = self.written.len();
            members.push(Member { start, colon, end });
        }
        self.put_in_order(&members);
        self.close('}');
        Ok(())
    }

    fn write_array(&mut self) -> Result<(), Fault> {
        self.open('[')?;
        let mut index = 0;
        while self.has_another(']', index == 0)? {
            self.write_value()
                .map_err(|fault| fault.within(&format!("[{index}]")))?;
            index += 1;
        }
        self.close(']');
        Ok(())
    }

    fn write_string(&mut self) -> Result<(), Fault> {
        self.expect('"')?;
        self.written.push('"');
        loop {
            let (plain, rest) = self
                .rest
                .bytes()
                .position(|byte| byte < b' ' || byte == b'"' || byte == b'\\')
                .and_then(|end| self.rest.split_at_checked(end))
                .ok_or_else(|| self.not_json())?;
            self.push_plain(plain);
            self.rest = rest;
            if let Some(rest) = rest.strip_prefix('\\') {
                let (escaped, rest) = split_escape(rest).ok_or_else(|| self.not_json())?;
                self.rest = rest;
                self.push_escaped(escaped);
            } else {
                self.expect('"')?;
                self.written.push('"');
                return Ok(());
            }
        }
    }

    fn write_number(&mut self) -> Result<(), Fault> {
        let (number, rest) = Number::split_from(self.rest).ok_or_else(|| self.not_json())?;
        self.rest = rest;
        if self.canonical.form == Form::Python && number.is_integer() {
            let is_zero = number.text == "-0";
            self.written
                .push_str(if is_zero { "0" } else { number.text });
            return Ok(());
        }
        let is_negative = number.text.starts_with('-');
        match (number.exact_double(), self.canonical.large_numbers) {
            (Some(double), _) => match self.canonical.form {
                Form::EcmaScript => double.push_to(&mut self.written),
                Form::Python => double.push_float_to(&mut self.written, is_negative),
            },
            (None, LargeNumbers::Strings) => {
                self.written.push('"');
                self.written.push_str(number.text);
                self.written.push('"');
            }
            (None, LargeNumbers::Refuse) => {
                return Err(Fault::Inexact {
                    number: shortened(number.text, SHOWN_NUMBER),
                    path: String::new(),
                });
            }
        }
        Ok(())
    }

    fn write_word(&mut self) -> Result<(), Fault> {
        for word in ["true", "false", "null"] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                self.written.push_str(word);
                return Ok(());
            }
        }
        Err(self.not_json())
    }

    fn open(&mut self, bracket: char) -> Result<(), Fault> {
        self.expect(bracket)?;
        if self.depth == MAX_LEVELS {
            return Err(Fault::TooDeep {
                path: String::new(),
            });
        }
        self.depth += 1;
        self.written.push(bracket);
        Ok(())
    }

    fn close(&mut self, bracket: char) {
        self.depth -= 1;
        self.written.push(bracket);
    }

    /// Returns whether a member or an element follows; if so, writes the comma before it.
    fn has_another(&mut self, end: char, is_first: bool) -> Result<bool, Fault> {
        self.skip_blanks();
        if let Some(rest) = self.rest.strip_prefix(end) {
            self.rest = rest;
            return Ok(false);
        }
        if !is_first {
            self.expect(',')?;
            self.written.push(',');
            self.skip_blanks();
        }
        Ok(true)
    }

    fn expect(&mut self, token: char) -> Result<(), Fault> {
        self.rest = self
            .rest
            .strip_prefix(token)
            .ok_or_else(|| self.not_json())?;
        Ok(())
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\n', '\r', '\t']);
    }

    fn not_json(&self) -> Fault {
        Fault::NotJson {
            after: self.length - self.rest.len(),
            path: String::new(),
        }
    }

    fn push_escaped(&mut self, escaped: Escaped) {
        let short = match escaped {
            Escaped::Character('"') => "\\\"",
            Escaped::Character('\\') => "\\\\",
            Escaped::Character('\u{8}') => "\\b",
            Escaped::Character('\t') => "\\t",
            Escaped::Character('\n') => "\\n",
            Escaped::Character('\u{c}') => "\\f",
            Escaped::Character('\r') => "\\r",
            Escaped::Character(character) if character >= ' ' => {
                return self.push_plain(character.encode_utf8(&mut [0; 4]));
            }
            Escaped::Character(control) => return self.push_unit(u32::from(control)),
            Escaped::LoneSurrogate(unit) => return self.push_unit(u32::from(unit)),
        };
        self.written.push_str(short);
    }

    /// Writes text without quotes, backslashes and control characters.
    fn push_plain(&mut self, text: &str) {
        if self.canonical.form == Form::EcmaScript {
            return self.written.push_str(text);
        }
        for character in text.chars() {
            if matches!(character, ' '..='~') {
                self.written.push(character);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                self.push_unit(u32::from(*unit));
            }
        }
    }

    fn push_unit(&mut self, unit: u32) {
        // Writing to a String cannot fail.
        let _ = write!(self.written, "\\u{unit:04x}");
    }

    /// Rewrites the members of an object, unless their order and keys are already right.
    fn put_in_order(&mut self, members: &[Member]) {
        let Some(first) = members.first() else {
            return;
        };
        let text = |from, to| self.written.get(from..to).unwrap_or_default();
        let key = |member: &Member| text(member.start, member.colon);
        let mut places = HashMap::new();
        let mut kept: Vec<Member> = Vec::with_capacity(members.len());
        for member in members {
            let next = kept.len();
            let place = if members.len() > SMALL_OBJECT {
                *places.entry(key(member)).or_insert(next)
            } else {
                let mut earlier = kept.iter();
                earlier
                    .position(|other| key(other) == key(member))
                    .unwrap_or(next)
            };
            match kept.get_mut(place) {
                Some(earlier) => *earlier = *member,
                None => kept.push(*member),
            }
        }
        if self.canonical.form == Form::EcmaScript {
            kept.sort_by_key(|member| array_index(key(member)).unwrap_or(u32::MAX));
        }
        if kept == members {
            return;
        }
        let kept: Vec<&str> = kept
            .iter()
            .map(|member| text(member.start, member.end))
            .collect();
        let kept = kept.join(",");
        self.written.truncate(first.start);
        self.written.push_str(&kept);
    }
}

pub(crate) enum Escaped {
    Character(char),
    LoneSurrogate(u16),
}

/// Returns the character that a backslash before `text` stands for, and the text after it.
pub(crate) fn split_escape(text: &str) -> Option<(Escaped, &str)> {
    let mut characters = text.chars();
    let character = match characters.next()? {
        same @ ('"' | '\\' | '/') => same,
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return split_units(characters.as_str()),
        _ => return None,
    };
    Some((Escaped::Character(character), characters.as_str()))
}

/// Reads one `\u` escape, or the two of a surrogate pair.
fn split_units(text: &str) -> Option<(Escaped, &str)> {
    let (unit, rest) = split_unit(text)?;
    if let Some(character) = char::from_u32(u32::from(unit)) {
        return Some((Escaped::Character(character), rest));
    }
    let pair = rest
        .strip_prefix("\\u")
        .and_then(split_unit)
        .and_then(|(low, rest)| {
            let character = char::decode_utf16([unit, low]).next()?.ok()?;
            Some((Escaped::Character(character), rest))
        });
    Some(pair.unwrap_or((Escaped::LoneSurrogate(unit), rest)))
}

fn split_unit(text: &str) -> Option<(u16, &str)> {
    let (hex, rest) = text.split_at_checked(4)?;
    // from_str_radix would accept a sign.
    if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some((u16::from_str_radix(hex, 16).ok()?, rest))
}

/// Returns the place of a key, given with its quotes, among those that come first (ECMA-262, "array index").
fn array_index(key: &str) -> Option<u32> {
    let key = unquoted(key);
    let is_canonical = key == "0" || !key.starts_with(['0', '+']);
    key.parse()
        .ok()
        .filter(|index| is_canonical && *index < u32::MAX)
}

/// Returns the step in a path to the value of a key, given with its quotes.
fn step_to(key: &str) -> String {
    let name = shortened(unquoted(key), SHOWN_KEY);
    let is_plain = unquoted(key)
        .chars()
        .all(|character| character.is_alphanumeric() || character == '_')
        && !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if is_plain {
        name
    } else {
        format!("[\"{name}\"]")
    }
}

fn unquoted(key: &str) -> &str {
    let key = key.strip_prefix('"').unwrap_or(key);
    key.strip_suffix('"').unwrap_or(key)
}

#[cfg(test)]
mod tests;
