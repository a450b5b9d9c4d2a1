//! An event as CloudEvents SQL sees it.

use super::cesql;
use super::value::Value;
use super::view::View;

impl cesql::Attributes for View<'_> {
    /// Integers of 32 bits and booleans keep their types; everything else is text.
    fn get(&self, name: &str) -> Option<cesql::Value<'_>> {
        Some(match self.attribute(name)? {
            Value::Bool(is_true) => is_true.into(),
            Value::Number { text, .. } => match text.parse::<i32>() {
                Ok(integer) => integer.into(),
                Err(_) => text.into(),
            },
            Value::String(text) => cesql::Value::String(text),
            _ => return None,
        })
    }
}
