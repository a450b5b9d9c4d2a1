//! The declaration of an option, and documents made of options.

use serde_json::{Map, Value};

use super::OPTIONS;
use crate::error::Error;
use crate::suggest::nearest;

/// An option of a subscription, or another argument of `subscribe`.
#[derive(Debug, Clone, Copy)]
pub struct Declared {
    pub name: &'static str,
    /// The type as SQL names it.
    pub sql_type: &'static str,
    /// Whether a subscription may omit the option.
    pub is_optional: bool,
    /// The default in JSON; `null` for none.
    pub default: &'static str,
    /// The default in words, if JSON does not tell it.
    pub default_words: &'static str,
    /// The allowed values, in words.
    pub limits: &'static str,
    /// The meaning.
    pub about: &'static str,
    /// Selects the secret members of an object, if it has any.
    pub secret: Option<fn(&str) -> bool>,
}

/// Declares the options of a subscription in order: each with its meaning, name, type, default as JSON (and perhaps in
/// words), limits in words, and secret members. Makes the struct that holds them beside its other fields, and the table
/// of all options.
macro_rules! options {
    (
        $(#[$attribute:meta])*
        pub struct $struct:ident { $($(#[doc = $doc:literal])+ pub $field:ident: $field_type:ty = $value:expr,)+ }
        $(
            $(#[doc = $about:literal])*
            $name:ident: $type:ty = $default:literal $(as $words:literal)?, $limits:expr $(, secret $secret:expr)?;
        )+
    ) => {
        $(#[$attribute])*
        pub struct $struct {
            $($(#[doc = $doc])+ pub $field: $field_type,)+
            $($(#[doc = $about])* pub $name: $type,)+
        }

        /// The options of a subscription, in order.
        pub const OPTIONS: &[Declared] = &[$(Declared {
            name: stringify!($name),
            sql_type: <$type as OptionValue>::SQL,
            is_optional: <$type as OptionValue>::IS_OPTIONAL,
            default: $default,
            default_words: concat!("" $(, $words)?),
            limits: $limits,
            about: concat!($($about),*),
            secret: options!(@secret $($secret)?),
        }),+];

        impl $struct {
            fn with_defaults() -> Self {
                Self {
                    $($field: $value,)+
                    $($name: read_default(stringify!($name), $default),)+
                }
            }

            /// Sets one option.
            fn set(&mut self, option: &str, value: &Value) -> Result<(), Error> {
                match option {
                    $(stringify!($name) => {
                        self.$name = <$type as OptionValue>::read(stringify!($name), value)?;
                    })+
                    unknown => return Err(declared::unknown(unknown)),
                }
                Ok(())
            }
        }

        /// Returns whether the option accepts this value; `false` for an unknown option.
        pub(super) fn is_readable(option: &str, value: &Value) -> bool {
            match option {
                $(stringify!($name) => <$type as OptionValue>::read(stringify!($name), value).is_ok(),)+
                _ => false,
            }
        }
    };
    (@secret) => { None };
    (@secret $secret:expr) => { Some($secret) };
}

pub(super) use options;

/// Shown in place of a stored value.
pub const HIDDEN: &str = "***";

impl Declared {
    /// Returns the default. An empty text declares an option that must be given, hence null.
    fn default_value(&self) -> Value {
        match self.default {
            r#""""# => Value::Null,
            json => serde_json::from_str(json).expect("a declared default is JSON"),
        }
    }
}

fn find(name: &str) -> Option<&'static Declared> {
    OPTIONS.iter().find(|option| option.name == name)
}

/// Returns every option with its default; `null` for none.
///
/// ```
/// use herald_core::options::defaults;
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
/// use herald_core::options::merged;
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
        let option = find(&name).ok_or_else(|| unknown(&name))?;
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

pub(super) fn unknown(name: &str) -> Error {
    Error::UnknownOption {
        name: name.to_owned(),
        nearest: nearest(name, OPTIONS.iter().map(|option| option.name)),
    }
}

/// Returns the part of a stored document that can be shown: values that fit their option, and the defaults of missing
/// options. A bad value that was stored by other means does not hide the others.
///
/// ```
/// use herald_core::options::readable;
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
        if super::is_readable(&name, &value) {
            shown.insert(name, value);
        } else {
            shown.remove(&name);
        }
    }
    shown
}

/// Returns the signature of `subscribe`, in lines of at most 120 characters.
pub fn signature() -> String {
    let (open, indent) = ("herald.subscribe(", " ".repeat("herald.subscribe(".len()));
    let mut signature = format!("```\n{open}");
    let mut width = open.len();
    for (position, argument) in super::arguments().enumerate() {
        let text = format!("{} {}", argument.name, argument.sql_type);
        if position > 0 && width + text.len() + 3 > 120 {
            signature.push_str(&format!(",\n{indent}{text}"));
            width = indent.len() + text.len();
        } else {
            let comma = if position > 0 { ", " } else { "" };
            signature.push_str(&format!("{comma}{text}"));
            width += comma.len() + text.len();
        }
    }
    signature + ")\n    → (name text, secret text, created boolean)\n```\n"
}

/// Returns the rows of the reference as Markdown: default, limits and meaning of each argument of `subscribe`.
pub fn reference() -> String {
    let mut rows =
        String::from("| argument | default | limits | meaning |\n| --- | --- | --- | --- |\n");
    for argument in super::arguments() {
        let cells = [
            format!("`{}`", argument.name),
            argument.shown_default(),
            argument.limits.to_owned(),
            argument.about.trim().to_owned(),
        ];
        for cell in cells {
            rows.push_str("| ");
            rows.push_str(&cell);
            rows.push_str(if cell.is_empty() { "" } else { " " });
        }
        rows.push_str("|\n");
    }
    rows
}

impl Declared {
    fn shown_default(&self) -> String {
        if !self.default_words.is_empty() {
            return self.default_words.trim().to_owned();
        }
        match self.default_value() {
            Value::Null => "none".into(),
            Value::String(text) => format!("`{text}`"),
            Value::Array(members) => {
                let members = members.iter().filter_map(Value::as_str);
                format!("`{{{}}}`", members.collect::<Vec<_>>().join(","))
            }
            value => value.to_string(),
        }
    }
}
