//! JSON text as ECMAScript writes it, for receivers that sign what they parsed and not what they got.
//!
//! Such a receiver computes its HMAC over `JSON.stringify(JSON.parse(body))`, so a body has to be a fixed point of
//! that, byte for byte. It sits between the body's format and its signature, and must never change a value in silence:
//! a number that a double would round is refused or becomes a string. Text goes to text, because strings may hold lone
//! surrogates, which no `char` can. It never panics and never takes quadratic time, whatever it is given.

use std::collections::HashMap;
use std::fmt::{self, Write};

/// How deep arrays and objects may be nested; it bounds the stack.
pub const MAX_DEPTH: usize = 128;

/// Up to so many members are compared with each other, which needs no memory.
const SMALL_OBJECT: usize = 16;

const SHOWN_NUMBER: usize = 40;
const SHOWN_KEY: usize = 40;
const SHOWN_PATH: usize = 200;

/// What to do with a number that a double cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LargeNumbers {
    /// There is no body, but a [`Fault`] that names the number.
    #[default]
    Refuse,
    /// It becomes a string of the same characters, which the receiver can read exactly.
    Strings,
}

/// Why there is no such text. Paths look like `data.items[3]["a key"]`, are cut when long, and are empty at the top.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A number is not the one that a receiver would read.
    Inexact {
        /// Its first characters.
        number: String,
        path: String,
    },
    /// Arrays and objects are nested in more than [`MAX_DEPTH`] levels.
    TooDeep { path: String },
    /// The text is not JSON (RFC 8259).
    NotJson {
        /// How many bytes before the fault could be read.
        after: usize,
        path: String,
    },
}

impl Fault {
    /// The same fault, seen from the array or object around it.
    fn within(mut self, step: &str) -> Self {
        let (Self::Inexact { path, .. } | Self::TooDeep { path } | Self::NotJson { path, .. }) =
            &mut self;
        let dot = match path.chars().next() {
            None | Some('[') => "",
            Some(_) => ".",
        };
        *path = shortened(&format!("{step}{dot}{path}"), SHOWN_PATH);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Inexact { path, .. } | Self::TooDeep { path } | Self::NotJson { path, .. }) =
            self;
        let place = match path.as_str() {
            "" => String::new(),
            path => format!(" at {path}"),
        };
        match self {
            Self::Inexact { number, .. } => {
                write!(f, "the number {number}{place} has no exact double")
            }
            Self::TooDeep { .. } => {
                write!(f, "the nesting{place} is deeper than {MAX_DEPTH} levels")
            }
            Self::NotJson { after, .. } => {
                write!(f, "the text{place} is not JSON after {after} bytes")
            }
        }
    }
}

impl std::error::Error for Fault {}

/// The JSON text as ECMAScript's `JSON.stringify(JSON.parse(json))` writes it.
///
/// There are no blanks. Strings are escaped no more than they must be. Members whose key is an array index come first,
/// in ascending order; of members with the same key the last one is kept, at the place of the first (ECMA-262,
/// QuoteJSONString and OrdinaryOwnPropertyKeys).
///
/// A number is written as Number::toString does. It is exact, and so never refused, if the shortest digits of its
/// double have its very value: 0.10 and 1e30 are exact, 9007199254740993 and 1e400 are not. `-0` becomes `0`. One that
/// is not exact is refused even where a later member of the same key would replace it.
///
/// ```
/// use herald_core::ecmascript::{LargeNumbers, canonical};
///
/// let json = r#"{"price": -74.0060, "2": "\u00e9\/", "1": 1E21}"#;
/// let body = canonical(json, LargeNumbers::Refuse).unwrap();
/// assert_eq!(body, r#"{"1":1e+21,"2":"é/","price":-74.006}"#);
///
/// let json = r#"{"data": {"id": 9007199254740993}}"#;
/// let fault = canonical(json, LargeNumbers::Refuse).unwrap_err();
/// assert_eq!(fault.to_string(), "the number 9007199254740993 at data.id has no exact double");
/// let body = canonical(json, LargeNumbers::Strings).unwrap();
/// assert_eq!(body, r#"{"data":{"id":"9007199254740993"}}"#);
/// ```
pub fn canonical(json: &str, large_numbers: LargeNumbers) -> Result<String, Fault> {
    let mut writer = Writer {
        rest: json,
        length: json.len(),
        depth: 0,
        large_numbers,
        written: String::with_capacity(json.len()),
    };
    writer.write_value()?;
    writer.skip_blanks();
    if !writer.rest.is_empty() {
        return Err(writer.not_json());
    }
    Ok(writer.written)
}

/// Reads `rest` and writes what it read at once, so that only the order of members is ever corrected.
struct Writer<'a> {
    rest: &'a str,
    length: usize,
    depth: usize,
    large_numbers: LargeNumbers,
    written: String,
}

/// Where a member was written: its key from `start` to `colon`, its value from there to `end`.
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
            self.written.push_str(plain);
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
        match (number.exact_double(), self.large_numbers) {
            (Some(double), _) => double.push_to(&mut self.written),
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
        if self.depth == MAX_DEPTH {
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

    /// Whether a member or an element follows; if so, the comma before it is written.
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
                return self.written.push(character);
            }
            Escaped::Character(control) => return self.push_unit(u32::from(control)),
            Escaped::LoneSurrogate(unit) => return self.push_unit(u32::from(unit)),
        };
        self.written.push_str(short);
    }

    fn push_unit(&mut self, unit: u32) {
        // Writing to a String does not fail.
        let _ = write!(self.written, "\\u{unit:04x}");
    }

    /// Writes the members of an object anew, unless they stand as they should.
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
        kept.sort_by_key(|member| array_index(key(member)).unwrap_or(u32::MAX));
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

enum Escaped {
    Character(char),
    LoneSurrogate(u16),
}

/// What a backslash before `text` stands for, and what comes after it.
fn split_escape(text: &str) -> Option<(Escaped, &str)> {
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

/// The character of one `\u` escape, or of the two of a surrogate pair.
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
    // from_str_radix would take a sign.
    if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some((u16::from_str_radix(hex, 16).ok()?, rest))
}

/// A number of JSON in its parts.
struct Number<'a> {
    text: &'a str,
    whole: &'a str,
    fraction: &'a str,
    exponent: &'a str,
}

impl<'a> Number<'a> {
    fn split_from(text: &'a str) -> Option<(Self, &'a str)> {
        let (whole, mut rest) = split_digits(text.strip_prefix('-').unwrap_or(text))?;
        if whole.len() > 1 && whole.starts_with('0') {
            return None;
        }
        let (mut fraction, mut exponent) = ("", "");
        if let Some(after) = rest.strip_prefix('.') {
            (fraction, rest) = split_digits(after)?;
        }
        if let Some(after) = rest.strip_prefix(['e', 'E']) {
            (_, rest) = split_digits(after.strip_prefix(['+', '-']).unwrap_or(after))?;
            (exponent, rest) = after.split_at_checked(after.len() - rest.len())?;
        }
        let (text, rest) = text.split_at_checked(text.len() - rest.len())?;
        let number = Number {
            text,
            whole,
            fraction,
            exponent,
        };
        Some((number, rest))
    }

    /// The shortest digits of its double, if they are its value.
    ///
    /// They are compared as digits, so that this does not depend on how well the double was found: digits of the same
    /// value lead to the same double.
    fn exact_double(&self) -> Option<Decimal> {
        let value = self.decimal()?;
        // In this range no two numbers of so few digits have the same double (C's DBL_DIG), so that none is shorter.
        if value.digits.len() <= 15 && (-300..=300).contains(&value.point) {
            return Some(value);
        }
        shortest(self.text.parse().ok()?).filter(|shortest| *shortest == value)
    }

    /// Nothing if the exponent is beyond all measure.
    fn decimal(&self) -> Option<Decimal> {
        let all = [self.whole, self.fraction].concat();
        let digits = all.trim_start_matches('0');
        if digits.is_empty() {
            return Some(Decimal {
                is_negative: false,
                digits: "0".into(),
                point: 1,
            });
        }
        let exponent = match self.exponent {
            "" => 0,
            exponent => exponent.parse().ok()?,
        };
        let leading_zeros = i64::try_from(all.len() - digits.len()).ok()?;
        let point = i64::try_from(self.whole.len()).ok()? - leading_zeros;
        Some(Decimal {
            is_negative: self.text.starts_with('-'),
            digits: digits.trim_end_matches('0').into(),
            point: point.checked_add(exponent)?,
        })
    }
}

/// The shortest digits that lead to the double: of several the nearest, and of two that are as near the even ones
/// (ECMA-262, Number::toString, note 2). Rust finds how many there are, but of two it takes the larger.
fn shortest(double: f64) -> Option<Decimal> {
    let read = |text: &str| Number::split_from(text)?.0.decimal();
    // Infinity has no digits.
    let shortest = read(&format!("{double:e}"))?;
    let places = shortest.digits.len() - 1;
    let nearest = format!("{double:.places$e}");
    // They lead elsewhere where the doubles below are closer to each other than those above.
    if nearest.parse() == Ok(double) {
        read(&nearest)
    } else {
        Some(shortest)
    }
}

fn split_digits(text: &str) -> Option<(&str, &str)> {
    let count = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at_checked(count).filter(|_| count > 0)
}

/// The value 0.`digits` * 10^`point`, in one way only: the digits neither begin nor end with a zero, and zero itself is
/// 0.0 * 10^1.
#[derive(PartialEq, Eq)]
struct Decimal {
    is_negative: bool,
    digits: String,
    point: i64,
}

impl Decimal {
    /// Appends it as Number::toString with radix 10 does (ECMA-262, where `point` is n).
    fn push_to(&self, json: &mut String) {
        if self.is_negative {
            json.push('-');
        }
        let digits = &self.digits;
        let distance = usize::try_from(self.point.unsigned_abs()).unwrap_or(usize::MAX);
        // Writing to a String does not fail.
        let _ = match self.point {
            1..=21 => match digits.split_at_checked(distance) {
                Some((whole, fraction)) if !fraction.is_empty() => {
                    write!(json, "{whole}.{fraction}")
                }
                _ => write!(json, "{digits:0<distance$}"),
            },
            -5..=0 => {
                let places = distance + digits.len();
                write!(json, "0.{digits:0>places$}")
            }
            point => {
                let (first, others) = digits.split_at_checked(1).unwrap_or((digits, ""));
                let dot = if others.is_empty() { "" } else { "." };
                write!(json, "{first}{dot}{others}e{:+}", point - 1)
            }
        };
    }
}

/// The place of a key, with its quotes, among those that come first (ECMA-262, "array index").
fn array_index(key: &str) -> Option<u32> {
    let key = unquoted(key);
    let is_canonical = key == "0" || !key.starts_with(['0', '+']);
    key.parse()
        .ok()
        .filter(|index| is_canonical && *index < u32::MAX)
}

/// How a path goes on to the value of a key, which has its quotes.
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

fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const LARGEST_EXACT: i64 = 1 << 53;

    fn written(json: &str) -> String {
        canonical(json, LargeNumbers::Refuse).unwrap_or_else(|fault| panic!("{json}: {fault}"))
    }

    fn refusal(json: &str) -> String {
        canonical(json, LargeNumbers::Refuse)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn exact_numbers_are_written_as_ecmascript_does() {
        for (number, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00e7", "0"),
            ("0e99999999999999999999", "0"),
            ("7", "7"),
            ("-74.0060", "-74.006"),
            ("1.50", "1.5"),
            ("0.1", "0.1"),
            ("123e5", "12300000"),
            ("12300000e-5", "123"),
            ("0.000001", "0.000001"),
            ("0.00000123", "0.00000123"),
            ("1e-7", "1e-7"),
            ("0.000000123", "1.23e-7"),
            ("9007199254740991", "9007199254740991"),
            ("9007199254740992", "9007199254740992"),
            ("100000000000000000000", "100000000000000000000"),
            ("123456789012345680000", "123456789012345680000"),
            ("1e21", "1e+21"),
            ("1E+30", "1e+30"),
            ("1000000000000000000000000000000", "1e+30"),
            ("-1.25e+0000000000000000000000100", "-1.25e+100"),
            ("5e-324", "5e-324"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            // Halfway between two: the even one.
            ("709629733850041.2", "709629733850041.2"),
            ("102467633574081.12", "102467633574081.12"),
            ("2.9802322387695312e-8", "2.9802322387695312e-8"),
            // Powers of two: nearer digits lead to the double below.
            ("5.684341886080802e-14", "5.684341886080802e-14"),
            ("5.684341886080801e-14", "5.684341886080801e-14"),
            ("6189700196426902e11", "6.189700196426902e+26"),
        ] {
            for large_numbers in [LargeNumbers::Refuse, LargeNumbers::Strings] {
                let written = canonical(number, large_numbers);
                assert_eq!(written.as_deref(), Ok(expected), "{number}");
            }
        }
    }

    #[test]
    fn inexact_numbers_are_refused_or_become_strings() {
        for number in [
            "9007199254740993",
            "-9223372036854775808",
            "0.1000000000000000055511151231257827",
            "12345678901234567.89",
            "1e400",
            "-1e400",
            "1e-400",
            "4.94e-324",
            "1.7976931348623158e308",
            "709629733850041.3",
            "1e99999999999999999999",
            "1e-99999999999999999999",
            "1e9223372036854775807",
            "10E-9223372036854775808",
        ] {
            let fault = Fault::Inexact {
                number: number.into(),
                path: String::new(),
            };
            assert_eq!(canonical(number, LargeNumbers::Refuse), Err(fault));
            let written = canonical(number, LargeNumbers::Strings);
            assert_eq!(written, Ok(format!("\"{number}\"")));
        }
    }

    #[test]
    fn strings_are_escaped_only_where_they_must_be() {
        for (string, expected) in [
            (r#""\b\t\n\f\r\"\\""#, r#""\b\t\n\f\r\"\\""#),
            (
                r#""\u0008\u0009\u000a\u000C\u000D\u0022\u005c""#,
                r#""\b\t\n\f\r\"\\""#,
            ),
            (r#""\u0000\u001F\u007f""#, "\"\\u0000\\u001f\u{7f}\""),
            (r#""\/ \u002f""#, r#""/ /""#),
            (r#""\u2028 \u00e9 é""#, "\"\u{2028} é é\""),
            (r#""\uD83D\uDE00 \udbff\udfff""#, "\"😀 \u{10ffff}\""),
        ] {
            assert_eq!(written(string), expected, "{string}");
        }
    }

    #[test]
    fn lone_surrogates_stay_escaped() {
        for (string, expected) in [
            (r#""\uD800""#, r#""\ud800""#),
            (r#""\uDFFF x""#, r#""\udfff x""#),
            (r#""\uDE00\uD83D""#, r#""\ude00\ud83d""#),
            (r#""\uD83D\uD83D\uDE00""#, r#""\ud83d😀""#),
            (r#""\uD83D\u0041""#, r#""\ud83dA""#),
            (r#""\uD83D\n""#, r#""\ud83d\n""#),
        ] {
            assert_eq!(written(string), expected, "{string}");
        }
    }

    #[test]
    fn the_last_of_equal_keys_is_kept_at_the_place_of_the_first() {
        for (object, expected) in [
            (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":3,"b":2}"#),
            (r#"{"a":1,"\u0061":2}"#, r#"{"a":2}"#),
            (r#"{"\uD800":1,"x":2,"\ud800":3}"#, r#"{"\ud800":3,"x":2}"#),
            (
                r#"{"__proto__":1,"__proto__":{"x":[]}}"#,
                r#"{"__proto__":{"x":[]}}"#,
            ),
            (r#"{"a":{"b":1,"b":2},"a":3}"#, r#"{"a":3}"#),
            (r#"{"":1,"":2}"#, r#"{"":2}"#),
        ] {
            assert_eq!(written(object), expected, "{object}");
        }
    }

    #[test]
    fn equal_keys_are_found_in_large_objects_as_in_small_ones() {
        for size in [1, SMALL_OBJECT / 2, SMALL_OBJECT, 5000] {
            let members = |values: std::ops::Range<usize>| {
                let members = values.map(|value| format!("\"k{}\":{value}", value % size));
                members.collect::<Vec<_>>().join(",")
            };
            let twice = format!("{{{}}}", members(0..2 * size));
            assert_eq!(written(&twice), format!("{{{}}}", members(size..2 * size)));
        }
    }

    #[test]
    fn array_indexes_come_first_in_ascending_order() {
        assert_eq!(
            written(r#"{"b":0,"10":1,"9":2,"a":3,"0":4,"\u0031":5,"9":6}"#),
            r#"{"0":4,"1":5,"9":6,"10":1,"b":0,"a":3}"#
        );
        assert_eq!(
            written(r#"{"01":0,"+1":1,"-1":2,"1.0":3,"":4,"4294967295":5,"4294967294":6}"#),
            r#"{"4294967294":6,"01":0,"+1":1,"-1":2,"1.0":3,"":4,"4294967295":5}"#
        );
    }

    #[test]
    fn there_are_no_blanks_between_tokens() {
        assert_eq!(
            written("\t{ \"a b\" :\n[ 1 , true,false , null,\r[ ] , { } ] , \"c\" : {} } \n"),
            r#"{"a b":[1,true,false,null,[],{}],"c":{}}"#
        );
    }

    #[test]
    fn a_fault_names_the_number_and_its_path() {
        for (json, fault) in [
            (
                r#"{"x":1,"data":{"items":[0,1,{"id":1e999}]}}"#,
                "the number 1e999 at data.items[2].id has no exact double",
            ),
            (
                r#"[[0],{"a \"":{"0":{"\u00e9_1":1e999}}}]"#,
                r#"the number 1e999 at [1]["a \""]["0"].é_1 has no exact double"#,
            ),
            (
                r#"{"":1e999}"#,
                r#"the number 1e999 at [""] has no exact double"#,
            ),
            ("1e999", "the number 1e999 has no exact double"),
        ] {
            assert_eq!(refusal(json), fault);
        }
    }

    #[test]
    fn a_fault_stays_short() {
        let key = "é".repeat(1000);
        let number = "9".repeat(1000);
        let json = format!("{{\"{key}\":{number}}}");
        let (key, number) = ("é".repeat(40), "9".repeat(40));
        assert_eq!(
            refusal(&json),
            format!("the number {number}… at {key}… has no exact double")
        );
        let deep = "{\"abc\":".repeat(100) + "1e999";
        let path = "abc.".repeat(50);
        assert_eq!(
            refusal(&deep),
            format!("the number 1e999 at {path}… has no exact double")
        );
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert_eq!(written(&nested(MAX_DEPTH)), nested(MAX_DEPTH));
        assert!(refusal(&nested(MAX_DEPTH + 1)).ends_with(" is deeper than 128 levels"));
        assert!(refusal(&"{\"a\":[".repeat(1_000_000)).starts_with("the nesting at a[0].a[0]"));
        let wide = format!("[{}0]", "{\"a\":[]},".repeat(2 * MAX_DEPTH));
        assert_eq!(written(&wide), wide);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        let texts = [
            "| |nul|truefalse|True|NaN|Infinity|1 2|1 // one|\u{feff}1|\u{a0}1",
            "-|-Infinity|+1|.5|1.|-.5|01|-01|1e|1e+|1.e5|0x1",
            "[|]|[1|[1,|[1,]|[,1]|[1 2]|[1}",
            r#"{|}|{,}|{"a"|{"a":|{"a":1|{"a":1]|{"a":1,}|{a:1}|{1:1}|{"a" 1}|{"a":1 "b":2}"#,
            r#""|"a|"a"b|'a'|"\"|"\x"|"\u12"|"\u+123"|"\u12é"|"\ud800\u""#,
            "\"\n\"|\"\u{0}\"",
        ];
        for json in texts.iter().flat_map(|texts| texts.split('|')) {
            let fault = canonical(json, LargeNumbers::Strings);
            assert!(
                matches!(fault, Err(Fault::NotJson { .. })),
                "{json}: {fault:?}"
            );
            assert!(serde_json::from_str::<Value>(json).is_err(), "{json}");
        }
        let fault = refusal(r#"{"a": [1, tru]}"#);
        assert_eq!(fault, "the text at a[1] is not JSON after 10 bytes");
    }

    /// JSON with all that makes a difference: blanks, needless escapes, equal keys, surrogates.
    fn any_json() -> impl Strategy<Value = String> {
        let number = "-?(0|[1-9][0-9]{0,24})([.][0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
        let string = r#""([ab0-9/é😀]|\\["\\/bfnrt]|\\u([dD][89a-fA-F]|00)[0-9a-fA-F]{2}){0,4}""#;
        let leaf = prop_oneof![number, string, "true|false|null"];
        leaf.prop_recursive(6, 64, 40, move |inner| {
            let member =
                (string, inner.clone()).prop_map(|(key, value)| format!("{key} : {value}"));
            prop_oneof![
                vec(inner, 0..4).prop_map(|elements| format!("[ {}]", elements.join("\n,"))),
                vec(member, 0..40).prop_map(|members| format!("{{{} }}", members.join(", "))),
            ]
        })
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (-LARGEST_EXACT..=LARGEST_EXACT).prop_map(Value::from),
            (-1e300..1e300).prop_map(|number: f64| Value::from(number)),
            ".*".prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..6).prop_map(Value::from),
                btree_map("[0-9]{1,2}|.*", inner, 0..6).prop_map(|members| json!(members)),
            ]
        })
    }

    /// Every other one of the second kind is halfway between its shortest digits.
    fn any_double() -> impl Strategy<Value = f64> {
        prop_oneof![
            proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL,
            (1_u64 << 52..1 << 53).prop_map(|number| number as f64 / 8.0),
        ]
    }

    /// Whole numbers lose their ".0", and serde_json reads digits not quite to the last.
    fn is_same(one: &Value, other: &Value) -> bool {
        match (one, other) {
            (Value::Number(one), Value::Number(other)) => {
                let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
                (one - other).abs() <= one.abs() * 4.0 * f64::EPSILON
            }
            (Value::Array(one), Value::Array(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|(one, other)| is_same(one, other))
            }
            (Value::Object(one), Value::Object(other)) => {
                let is_in_other =
                    |(key, value)| other.get(key).is_some_and(|other| is_same(value, other));
                one.len() == other.len() && one.iter().all(is_in_other)
            }
            _ => one == other,
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_written_the_same_again(json in any_json()) {
            let once = canonical(&json, LargeNumbers::Strings).unwrap();
            prop_assert_eq!(written(&once), once);
        }

        #[test]
        fn writing_changes_no_value(value in any_value()) {
            let written = written(&serde_json::to_string_pretty(&value).unwrap());
            let read: Value = serde_json::from_str(&written).unwrap();
            prop_assert!(is_same(&value, &read), "{value} became {read}");
        }

        #[test]
        fn every_double_is_exact_in_its_shortest_digits(number in any_double()) {
            let shortest = serde_json::to_string(&number).unwrap();
            let written = written(&shortest);
            prop_assert_eq!(written.parse::<f64>().unwrap(), number, "{} of {}", written, shortest);
        }

        #[test]
        fn only_json_is_taken(text in r#"[\[\]{}:,"\\u0-9.eE+ntruefalsd -]{0,12}"#) {
            let is_json = serde_json::from_str::<Box<serde_json::value::RawValue>>(&text).is_ok();
            prop_assert_eq!(canonical(&text, LargeNumbers::Strings).is_ok(), is_json);
        }
    }
}
