//! Documents made of options: their defaults, the merging of given options into stored ones, and the readable part.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::error::Error;
use crate::subscription::options::{Declared, Document, OPTIONS, is_readable, unknown_option};

/// Returns every option with its default; `null` for none.
///
/// ```
/// use herald_core::subscription::documents::defaults;
///
/// assert_eq!(defaults()["max_concurrency"].get(), "10");
/// ```
pub fn defaults() -> Document {
    let default = |option: &Declared| {
        let json = option.default_json().to_owned();
        let json = RawValue::from_string(json).expect("a declared default is JSON");
        (option.name.to_owned(), json)
    };
    OPTIONS.iter().map(default).collect()
}

/// Merges given options into a document. A null, or an empty object where its members are secrets, removes the option.
///
/// ```
/// use herald_core::subscription::documents::merged;
/// use herald_core::subscription::options::document;
///
/// let former = document(r#"{"timeout": "00:00:30", "max_age": "1 day"}"#).unwrap();
/// let given = document(r#"{"timeout": "00:00:05", "max_age": null}"#).unwrap();
/// let merged = merged(former, given).unwrap();
/// assert_eq!(serde_json::to_string(&merged).unwrap(), r#"{"timeout":"00:00:05"}"#);
/// ```
pub fn merged(former: Document, given: Document) -> Result<Document, Error> {
    let mut merged = former;
    for (name, value) in given {
        let option = find(&name).ok_or_else(|| unknown_option(&name))?;
        let is_empty = option.secret.is_some() && is_empty_object(&value);
        if value.get() != "null" && !is_empty {
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

fn is_empty_object(value: &RawValue) -> bool {
    let members: Result<BTreeMap<String, IgnoredAny>, _> = serde_json::from_str(value.get());
    members.is_ok_and(|members| members.is_empty())
}

/// Returns the part of a stored document that can be shown: values that fit their option, and the defaults of missing
/// options. A bad value that was stored by other means does not hide the others.
///
/// ```
/// use herald_core::subscription::documents::readable;
/// use herald_core::subscription::options::document;
///
/// let shown = readable(document(r#"{"timeout": "soon", "max_payload": 1}"#).unwrap());
/// assert_eq!((shown["max_payload"].get(), shown["max_concurrency"].get()), ("1", "10"));
/// assert!(!shown.contains_key("timeout"));
/// ```
pub fn readable(stored: Document) -> Document {
    let mut shown = defaults();
    for (name, value) in stored {
        if is_readable(&name, value.get()) {
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
