//! The data of an event for a template, which writes it exactly as it was captured.
//!
//! A template computes with doubles, and a double forgets how it was written: 42.50 becomes 42.5. So the text is kept
//! too: a list or an object knows the part of the JSON that it was read from ([`Captured`]), and the digits of a number
//! are found by its value ([`Digits`]).

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr};
use minijinja::{State, Value};

use crate::depth;
use crate::error::Error;
use crate::json::{end_of_string, is_blank};
use crate::signing::canonical::{is_exact, split_number};

/// The variable that holds the [`Digits`]. No template can name it.
pub(super) const DIGITS: &str = " digits";

/// Data after reading.
#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) value: Value,
    pub(super) digits: Digits,
}

impl Data {
    /// Reads JSON in one pass. Checks the depth first, because each level takes stack.
    pub(super) fn read(json: &str) -> Result<Data, Error> {
        depth::check(json.as_bytes()).map_err(|fault| Error::Unsendable {
            fault: format!("its data is {fault}, which a template cannot read"),
        })?;
        let json_of_all: Arc<str> = json.into();
        let mut reader = Reader {
            rest: json,
            digits: Digits {
                json: Arc::clone(&json_of_all),
                places: HashMap::new(),
            },
            json: json_of_all,
        };
        let value = reader.value().filter(|_| reader.peek().is_none());
        match value {
            Some(value) => Ok(Data {
                value,
                digits: reader.digits,
            }),
            None => Err(Error::Unsendable {
                fault: format!("its data cannot be read after {} bytes", reader.at()),
            }),
        }
    }
}

/// How the numbers of the data were written: the place of each, by the bits of its double. A number written in two ways
/// has no place.
#[derive(Debug)]
pub(super) struct Digits {
    json: Arc<str>,
    places: HashMap<u64, Option<Range<usize>>>,
}

impl Default for Digits {
    fn default() -> Self {
        Self {
            json: "".into(),
            places: HashMap::new(),
        }
    }
}

impl Object for Digits {}

impl Digits {
    /// Returns how a number of the data was written, found by its value.
    pub(super) fn of(state: &State, value: &Value) -> Option<String> {
        let digits = state.lookup(DIGITS)?;
        digits.downcast_object_ref::<Digits>()?.written(value)
    }

    fn written(&self, number: &Value) -> Option<String> {
        if !number.is_number() || number.is_integer() {
            return None;
        }
        let double = f64::try_from(number.clone()).ok()?;
        let place = self.places.get(&double.to_bits())?.clone()?;
        self.json.get(place).map(str::to_owned)
    }

    fn keep(&mut self, double: f64, place: Range<usize>) {
        let json = &self.json;
        let kept = self
            .places
            .entry(double.to_bits())
            .or_insert_with(|| Some(place.clone()));
        let is_other = |former: &Range<usize>| json.get(former.clone()) != json.get(place);
        if kept.as_ref().is_some_and(is_other) {
            *kept = None;
        }
    }
}

/// A list or an object of the data, with the text it was read from.
pub(super) struct Captured {
    json: Arc<str>,
    place: Range<usize>,
    members: DynObject,
}

impl Captured {
    pub(super) fn text(&self) -> &str {
        self.json.get(self.place.clone()).unwrap_or_default()
    }
}

impl fmt::Debug for Captured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Behaves as its members do, but is written as its text.
impl Object for Captured {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.members.repr()
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.members.get_value(key)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.members.get_value_by_str(key)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.members.enumerate()
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        self.members.enumerator_len()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

struct Reader<'a> {
    rest: &'a str,
    json: Arc<str>,
    digits: Digits,
}

impl<'a> Reader<'a> {
    /// Reads the next value; `None` if the text is not JSON.
    fn value(&mut self) -> Option<Value> {
        match self.peek()? {
            b'{' => {
                let begin = self.at();
                let mut members = Vec::new();
                self.take("{")?;
                while self.has_another(b'}', members.is_empty())? {
                    let name = self.string()?;
                    self.take(":")?;
                    members.push((name, self.value()?));
                }
                self.captured(begin, &Value::from_pairs(members))
            }
            b'[' => {
                let begin = self.at();
                let mut members = Vec::new();
                self.take("[")?;
                while self.has_another(b']', members.is_empty())? {
                    members.push(self.value()?);
                }
                self.captured(begin, &Value::from(members))
            }
            b'"' => self.string().map(Value::from),
            b't' => self.take("true").map(|()| Value::from(true)),
            b'f' => self.take("false").map(|()| Value::from(false)),
            b'n' => self.take("null").map(|()| Value::from(())),
            _ => self.number(),
        }
    }

    fn captured(&self, begin: usize, members: &Value) -> Option<Value> {
        Some(Value::from_object(Captured {
            json: Arc::clone(&self.json),
            place: begin..self.at(),
            members: members.as_object()?.clone(),
        }))
    }

    /// Reads a number. If no double can hold it, it becomes a text written without quotes, to keep it out of
    /// computations.
    fn number(&mut self) -> Option<Value> {
        let begin = self.at();
        let (text, rest) = split_number(self.rest)?;
        self.rest = rest;
        if let Ok(integer) = text.parse::<i128>()
            && integer.to_string() == text
        {
            return Some(Value::from(integer));
        }
        Some(match text.parse::<f64>() {
            Ok(double) if is_exact(text) => {
                self.digits.keep(double, begin..self.at());
                Value::from(double)
            }
            _ => Value::from_safe_string(text.to_owned()),
        })
    }

    fn string(&mut self) -> Option<String> {
        self.peek().filter(|byte| *byte == b'"')?;
        let end = end_of_string(self.rest.as_bytes(), 0);
        let (text, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        serde_json::from_str(text).ok()
    }

    /// Returns whether a member follows, not the end.
    fn has_another(&mut self, end: u8, is_first: bool) -> Option<bool> {
        if self.peek()? == end {
            self.rest = self.rest.get(1..)?;
            return Some(false);
        }
        if !is_first {
            self.take(",")?;
        }
        Some(true)
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.peek()?;
        self.rest = self.rest.strip_prefix(token)?;
        Some(())
    }

    /// Returns the first byte of the next token.
    fn peek(&mut self) -> Option<u8> {
        self.rest = self
            .rest
            .trim_start_matches(|first: char| u8::try_from(first).is_ok_and(is_blank));
        self.rest.bytes().next()
    }

    /// Returns the number of bytes read.
    fn at(&self) -> usize {
        self.json.len() - self.rest.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::depth::MAX_LEVELS;

    fn nested(levels: usize) -> String {
        "[".repeat(levels) + &"]".repeat(levels)
    }

    #[test]
    fn data_is_read_to_the_last_level_that_is_allowed() {
        assert!(Data::read(&nested(MAX_LEVELS)).is_ok());
        assert_eq!(
            Data::read(&nested(MAX_LEVELS + 1)).unwrap_err().message(),
            "the event cannot be sent: its data is nested in more than 128 levels, which a template cannot read"
        );
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in [
            "",
            "[",
            "[1",
            "[1,",
            "{\"a\"",
            "{\"a\":",
            "{1:2}",
            "tru",
            "1 2",
            "[1]]",
            "\"a",
            "\"\\ud800\"",
            "01",
            "-",
        ] {
            assert!(Data::read(text).is_err(), "{text}");
        }
    }

    /// Generates nested JSON text with these fractions.
    fn json(fractions: &'static str) -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("true".to_owned()),
            Just("false".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            fractions,
            ".{0,8}".prop_map(|text| serde_json::json!(text).to_string()),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5)
                    .prop_map(|members| format!("[ {} ]", members.join(" , "))),
                proptest::collection::vec(("[a-c\\\\\"]{0,2}", inner), 0..5).prop_map(|members| {
                    let members = members
                        .iter()
                        .map(|(name, value)| format!("{} :\n{value}", serde_json::json!(name)));
                    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
                }),
            ]
        })
    }

    /// Rebuilds a value from its members, so that a template writes each by itself.
    fn rebuilt(value: &Value) -> Value {
        let members = |value: &Value| value.try_iter().unwrap().collect::<Vec<_>>();
        match value.as_object().map(DynObject::repr) {
            Some(ObjectRepr::Map) => Value::from_pairs(
                members(value)
                    .into_iter()
                    .map(|name| (name.clone(), rebuilt(&value.get_item(&name).unwrap()))),
            ),
            Some(ObjectRepr::Seq) => {
                Value::from(members(value).iter().map(rebuilt).collect::<Vec<_>>())
            }
            _ => value.clone(),
        }
    }

    proptest! {
        #[test]
        fn data_is_written_as_it_was_captured(json in json("-?[1-9][0-9]{0,20}\\.[0-9]{1,20}")) {
            let data = Data::read(&json).unwrap();
            let written = |number: &Value| data.digits.written(number);
            let whole = super::super::json::to_json(&written, &data.value, &super::super::json::Layout::Compact);
            prop_assert_eq!(whole.unwrap(), json.trim());
        }

        // serde_json is inexact for more digits.
        #[test]
        fn data_is_read_as_any_reader_of_json_does(json in json("-?[1-9][0-9]{0,8}\\.[0-9]{1,6}")) {
            let expected: serde_json::Value = serde_json::from_str(&json).unwrap();
            let data = Data::read(&json).unwrap();
            let written = super::super::json::to_json(&|_| None, &rebuilt(&data.value), &super::super::json::Layout::Compact);
            let written: serde_json::Value = serde_json::from_str(&written.unwrap()).unwrap();
            prop_assert_eq!(written, expected);
        }
    }
}
