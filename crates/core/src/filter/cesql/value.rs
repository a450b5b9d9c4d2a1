//! Values and their types (CESQL, section 3.1).

use std::borrow::Cow;
use std::fmt;

/// The value of an attribute, or of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// Also a URI, a timestamp, or any other attribute that is neither an integer nor a boolean.
    String(Cow<'a, str>),
    Integer(i32),
    Boolean(bool),
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    String,
    Integer,
    Boolean,
}

impl Value<'_> {
    /// Returns the same value, with a borrowed string.
    pub fn borrowed(&self) -> Value<'_> {
        match self {
            Value::String(text) => Value::String(Cow::Borrowed(text)),
            Value::Integer(integer) => Value::Integer(*integer),
            Value::Boolean(boolean) => Value::Boolean(*boolean),
        }
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::String(Cow::Borrowed(text))
    }
}

impl From<i32> for Value<'_> {
    fn from(integer: i32) -> Self {
        Value::Integer(integer)
    }
}

impl From<bool> for Value<'_> {
    fn from(boolean: bool) -> Self {
        Value::Boolean(boolean)
    }
}

impl Type {
    pub fn of(value: &Value) -> Type {
        match value {
            Value::String(_) => Type::String,
            Value::Integer(_) => Type::Integer,
            Value::Boolean(_) => Type::Boolean,
        }
    }

    /// Returns the value that stands beside an error.
    pub fn zero(self) -> Value<'static> {
        match self {
            Type::String => Value::from(""),
            Type::Integer => Value::Integer(0),
            Type::Boolean => Value::Boolean(false),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::String => "a string",
            Type::Integer => "an integer",
            Type::Boolean => "a boolean",
        })
    }
}
