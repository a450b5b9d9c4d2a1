//! Values as words for people: JSON, cut when it is long.

use super::bounds::MAX_SHOWN;
use super::value::Value;
use crate::error::shortened;
use crate::json::push_string;

/// A text of more bytes has more characters than are shown.
const ENOUGH_BYTES: usize = 4 * (MAX_SHOWN + 1);

/// Returns the JSON of a part of a filter.
pub(super) fn json(value: &Value<'_>) -> Box<str> {
    let mut text = String::new();
    push(&mut text, value, Objects::Whole);
    shortened(&text, MAX_SHOWN).into()
}

/// Returns the values that a rule saw, or that there are none. Of objects, the data that was read may lack members.
pub(super) fn seen(values: &[&Value<'_>]) -> String {
    let mut text = String::new();
    for (place, value) in values.iter().enumerate() {
        if text.len() > ENOUGH_BYTES {
            break;
        }
        text.push_str(if place == 0 { "" } else { ", " });
        push(&mut text, value, Objects::Hidden);
    }
    match text.as_str() {
        "" => "missing".into(),
        text => shortened(text, MAX_SHOWN),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Objects {
    Whole,
    Hidden,
}

fn push(text: &mut String, value: &Value<'_>, objects: Objects) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number { text: number, .. } => text.push_str(cut(number)),
        Value::String(string) => push_string(text, cut(string)),
        Value::Array(elements) => {
            text.push('[');
            for (place, element) in elements.iter().enumerate() {
                if text.len() > ENOUGH_BYTES {
                    return;
                }
                text.push_str(if place == 0 { "" } else { "," });
                push(text, element, objects);
            }
            text.push(']');
        }
        Value::Object(_) if objects == Objects::Hidden => text.push_str("{…}"),
        Value::Object(members) => {
            text.push('{');
            for (place, (name, member)) in members.iter().enumerate() {
                if text.len() > ENOUGH_BYTES {
                    return;
                }
                text.push_str(if place == 0 { "" } else { "," });
                push_string(text, cut(name));
                text.push(':');
                push(text, member, objects);
            }
            text.push('}');
        }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(ENOUGH_BYTES))
        .unwrap_or(text)
}
