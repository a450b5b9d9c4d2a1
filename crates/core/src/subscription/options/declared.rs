//! The declaration of an option.

use serde_json::Value;

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
            fn set(&mut self, option: &str, json: &str) -> Result<(), Error> {
                match option {
                    $(stringify!($name) => {
                        self.$name = <$type as OptionValue>::read_json(stringify!($name), json)?;
                    })+
                    unknown => return Err(unknown_option(unknown)),
                }
                Ok(())
            }
        }

        /// Returns whether the option accepts this value; `false` for an unknown option.
        pub(crate) fn is_readable(option: &str, json: &str) -> bool {
            match option {
                $(stringify!($name) => <$type as OptionValue>::read_json(stringify!($name), json).is_ok(),)+
                _ => false,
            }
        }
    };
    (@secret) => { None };
    (@secret $secret:expr) => { Some($secret) };
}

pub(super) use options;

impl Declared {
    /// Returns the default in JSON. An empty text declares an option that must be given, hence null.
    pub(crate) fn default_json(&self) -> &'static str {
        match self.default {
            r#""""# => "null",
            json => json,
        }
    }

    /// Returns the default for people.
    pub(crate) fn shown_default(&self) -> String {
        if !self.default_words.is_empty() {
            return self.default_words.trim().to_owned();
        }
        match serde_json::from_str(self.default_json()).expect("a declared default is JSON") {
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
