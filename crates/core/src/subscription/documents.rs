//! Documents made of options: their defaults, the merging of given options into stored ones, and the readable part.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::subscription::options::{Declared, OPTIONS, is_readable, unknown_option};

/// Returns every option with its default; `null` for none.
///
/// ```
/// use herald_core::subscription::documents::defaults;
///
/// assert_eq!(defaults()["max_concurrency"], 10);
/// ```
pub fn defaults() -> Map<String, Value> {
    OPTIONS
        .iter()
        .map(|option| (option.name.to_owned(), option.default_value()))
        .collect()
}

/// Merges given options into a document. A null, or an empty object where its members are secrets, removes the option.
///
/// ```
/// use herald_core::subscription::documents::merged;
/// use serde_json::json;
///
/// let document = |value: serde_json::Value| value.as_object().unwrap().clone();
/// let former = document(json!({"timeout": "00:00:30", "max_age": "1 day"}));
/// let given = document(json!({"timeout": "00:00:05", "max_age": null}));
/// assert_eq!(merged(former, given).unwrap(), document(json!({"timeout": "00:00:05"})));
/// ```
pub fn merged(
    former: Map<String, Value>,
    given: Map<String, Value>,
) -> Result<Map<String, Value>, Error> {
    let mut merged = former;
    for (name, value) in given {
        let option = find(&name).ok_or_else(|| unknown_option(&name))?;
        let is_empty = option.secret.is_some() && value.as_object().is_some_and(Map::is_empty);
        if !value.is_null() && !is_empty {
            merged.insert(name, value);
        } else if option.is_optional {
            merged.remove(&name);
        } else {
            return Err(Error::NullOption {
                option: option.name,
            });
        }
    }
    Ok(merged)
}

/// Returns the part of a stored document that can be shown: values that fit their option, and the defaults of missing
/// options. A bad value that was stored by other means does not hide the others.
///
/// ```
/// use herald_core::subscription::documents::readable;
/// use serde_json::json;
///
/// let stored = json!({"timeout": "soon", "max_payload": 1});
/// let shown = readable(stored.as_object().unwrap().clone());
/// assert_eq!((&shown["max_payload"], &shown["max_concurrency"]), (&json!(1), &json!(10)));
/// assert!(!shown.contains_key("timeout"));
/// ```
pub fn readable(stored: Map<String, Value>) -> Map<String, Value> {
    let mut shown = defaults();
    for (name, value) in stored {
        if is_readable(&name, &value) {
            shown.insert(name, value);
        } else {
            shown.remove(&name);
        }
    }
    shown
}

fn find(name: &str) -> Option<&'static Declared> {
    OPTIONS.iter().find(|option| option.name == name)
}
