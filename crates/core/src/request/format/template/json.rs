//! Writes JSON for a template: captured data as it was captured, other values as compact JSON.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::data::Captured;
use crate::json::push_string;
use crate::signing::canonical::split_number;

/// Where to put blanks and line feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `[1,2]`
    Compact,
    /// `[1, 2]`
    Spaced,
    /// A line for each member, indented by this number of blanks per level.
    Lines(usize),
}

/// Writes a value as JSON; `digits` returns how a number was captured. Recurses as deep as values are: see `bounds`.
pub(super) fn to_json(
    digits: &dyn Fn(&Value) -> Option<String>,
    value: &Value,
    layout: &Layout,
) -> Result<String, Error> {
    let mut writer = Writer {
        json: String::new(),
        digits,
        layout: *layout,
        level: 0,
    };
    writer.value(value)?;
    Ok(writer.json)
}

struct Writer<'a> {
    json: String,
    digits: &'a dyn Fn(&Value) -> Option<String>,
    layout: Layout,
    level: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        let is_in_lines = matches!(self.layout, Layout::Lines(_));
        if let Some(captured) = value.downcast_object_ref::<Captured>()
            && !is_in_lines
        {
            self.json.push_str(captured.text());
            return Ok(());
        }
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => self.json.push_str("null"),
            ValueKind::Bool => self.json.push_str(text_of(value.is_true())),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.string(value),
            ValueKind::Bytes => {
                let bytes = value.as_bytes().unwrap_or_default().iter();
                self.members(['[', ']'], bytes.copied().map(Value::from), Self::value)?;
            }
            ValueKind::Seq | ValueKind::Iterable => {
                self.members(['[', ']'], value.try_iter()?, Self::value)?;
            }
            ValueKind::Map => {
                self.members(['{', '}'], value.try_iter()?, |writer, name| {
                    writer.name(name)?;
                    writer.value(&value.get_item(name)?)
                })?;
            }
            _ => {
                return Err(Error::new(
                    ErrorKind::BadSerialization,
                    format!("{} cannot be written as JSON", value.kind()),
                ));
            }
        }
        Ok(())
    }

    fn number(&mut self, value: &Value) {
        if let Some(digits) = (self.digits)(value) {
            self.json.push_str(&digits);
            return;
        }
        if value.is_integer() {
            self.json.push_str(&value.to_string());
            return;
        }
        let double = f64::try_from(value.clone()).ok();
        let number = double.and_then(serde_json::Number::from_f64);
        // JSON has no number for infinity and NaN.
        let text = number.map_or("null".to_owned(), |number| number.to_string());
        self.json.push_str(&text);
    }

    /// Writes a string. A number that no double can hold is a text without quotes.
    fn string(&mut self, value: &Value) {
        let text = value.as_str().unwrap_or_default();
        let is_number =
            value.is_safe() && split_number(text).is_some_and(|(_, rest)| rest.is_empty());
        if is_number {
            self.json.push_str(text);
        } else {
            push_string(&mut self.json, text);
        }
    }

    fn name(&mut self, name: &Value) -> Result<(), Error> {
        match name.kind() {
            ValueKind::String | ValueKind::Number | ValueKind::Bool => {
                match name.kind() {
                    ValueKind::Bool => push_string(&mut self.json, text_of(name.is_true())),
                    _ => push_string(&mut self.json, &name.to_string()),
                }
                self.json.push(':');
                if self.layout != Layout::Compact {
                    self.json.push(' ');
                }
                Ok(())
            }
            kind => Err(Error::new(
                ErrorKind::BadSerialization,
                format!("{kind} cannot be a name in JSON"),
            )),
        }
    }

    fn members(
        &mut self,
        brackets: [char; 2],
        members: impl Iterator<Item = Value>,
        write: impl Fn(&mut Self, &Value) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut is_empty = true;
        self.json.push(brackets[0]);
        self.level += 1;
        for member in members {
            if !is_empty {
                self.json.push(',');
                if self.layout == Layout::Spaced {
                    self.json.push(' ');
                }
            }
            is_empty = false;
            self.begin_line();
            write(self, &member)?;
        }
        self.level -= 1;
        if !is_empty {
            self.begin_line();
        }
        self.json.push(brackets[1]);
        Ok(())
    }

    fn begin_line(&mut self) {
        if let Layout::Lines(blanks) = self.layout {
            self.json.push('\n');
            let indent = std::iter::repeat_n(' ', blanks * self.level);
            self.json.extend(indent);
        }
    }
}

fn text_of(truth: bool) -> &'static str {
    if truth { "true" } else { "false" }
}
