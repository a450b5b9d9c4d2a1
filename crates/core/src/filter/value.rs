//! JSON values with their numbers as written, read from text that they borrow.

use std::borrow::Cow;

use super::number::Number;
use super::scalar::Scalar;

/// A JSON value. Of an event's data it holds only what filters ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    /// A number as it is written, and its value.
    Number {
        text: &'a str,
        value: Number<'a>,
    },
    String(Cow<'a, str>),
    Array(Vec<Value<'a>>),
    Object(Members<'a>),
}

impl<'a> Value<'a> {
    /// Returns the value for comparisons; `None` for an array and for an object.
    pub fn scalar(&self) -> Option<Scalar<'_>> {
        Some(match self {
            Value::Null => Scalar::Null,
            Value::Bool(is_true) => Scalar::Bool(*is_true),
            Value::Number { value, .. } => Scalar::Number(*value),
            Value::String(text) => Scalar::String(text),
            Value::Array(_) | Value::Object(_) => return None,
        })
    }

    /// Returns whether a scalar passes a test: the value itself, or of an array any element at any depth.
    pub fn any_scalar(&self, test: &mut dyn FnMut(Scalar<'_>) -> bool) -> bool {
        match self {
            Value::Array(elements) => elements.iter().any(|element| element.any_scalar(test)),
            value => value.scalar().is_some_and(test),
        }
    }

    /// Collects the values at the end of a path. An array on the path stands for all its elements; an array at its end
    /// is one value.
    pub fn collect_at<'v>(&'v self, path: &[Box<str>], found: &mut Vec<&'v Value<'a>>) {
        match (path, self) {
            ([], value) => found.push(value),
            (path, Value::Array(elements)) => {
                for element in elements {
                    element.collect_at(path, found);
                }
            }
            ([name, rest @ ..], Value::Object(members)) => {
                if let Some(value) = members.get(name) {
                    value.collect_at(rest, found);
                }
            }
            _ => {}
        }
    }

    /// Returns about how much work it is to compare the value, with all that is in it, once.
    pub fn weight(&self) -> u64 {
        match self {
            Value::String(text) => 1 + text.len() as u64 / 16,
            Value::Array(elements) => 1 + elements.iter().map(Value::weight).sum::<u64>(),
            Value::Object(members) => {
                1 + members.iter().map(|(_, value)| value.weight()).sum::<u64>()
            }
            _ => 1,
        }
    }

    /// Returns what kind of value it is, with an article.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number { .. } => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }
}

/// The members of an object, sorted by name. Of members with the same name the last counts, as in `jsonb`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'a> Members<'a> {
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let place = self.0.binary_search_by(|(other, _)| (**other).cmp(name));
        place
            .ok()
            .and_then(|place| self.0.get(place))
            .map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> From<Vec<(Cow<'a, str>, Value<'a>)>> for Members<'a> {
    fn from(mut members: Vec<(Cow<'a, str>, Value<'a>)>) -> Members<'a> {
        // The sort is stable, so that the last of equal names stays the last.
        members.sort_by(|(a, _), (b, _)| a.cmp(b));
        members.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        Members(members)
    }
}
