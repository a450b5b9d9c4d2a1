//! The types of option values, and how they are read from JSON.

use serde_json::Value;

use super::interval::interval_micros;
use crate::error::Error;
use crate::subscription::members::Members;

/// A time span in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub i64);

/// A type that an option can have.
pub trait OptionValue: Sized {
    /// The type as SQL names it.
    const SQL: &'static str;
    /// Whether a subscription may omit the option.
    const IS_OPTIONAL: bool = false;

    /// Reads the value of this option.
    fn read(option: &'static str, value: &Value) -> Result<Self, Error>;

    /// Reads the value of this option from JSON.
    fn read_json(option: &'static str, json: &str) -> Result<Self, Error> {
        let value = serde_json::from_str(json).map_err(|error| Error::Option {
            option,
            fault: format!("The value cannot be read: {error}."),
            hint: format!("Write {option} as subscribe() takes it."),
        })?;
        Self::read(option, &value)
    }
}

/// JSON as it was given, with all digits of its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(pub String);

impl OptionValue for Json {
    const SQL: &'static str = "jsonb";

    fn read(_: &'static str, value: &Value) -> Result<Self, Error> {
        Ok(Json(value.to_string()))
    }

    fn read_json(_: &'static str, json: &str) -> Result<Self, Error> {
        Ok(Json(json.to_owned()))
    }
}

fn refused(option: &'static str, value: &Value, expected: &str) -> Error {
    Error::Option {
        option,
        fault: format!("The value is {value}, not {expected}."),
        hint: format!("Write {option} as subscribe() takes it."),
    }
}

macro_rules! scalars {
    ($($type:ty, $sql:literal, $expected:literal: $read:expr;)+) => {
        $(impl OptionValue for $type {
            const SQL: &'static str = $sql;

            fn read(option: &'static str, value: &Value) -> Result<Self, Error> {
                let read: fn(&Value) -> Option<Self> = $read;
                read(value).ok_or_else(|| refused(option, value, $expected))
            }
        })+
    };
}

scalars! {
    bool, "boolean", "true or false": Value::as_bool;
    i32, "integer", "an integer": |value| value.as_i64()?.try_into().ok();
    i64, "bigint", "an integer": Value::as_i64;
    f64, "real", "a number": |value| match value {
        // JSON has no such numbers, so PostgreSQL writes strings.
        Value::String(text) if ["NaN", "Infinity", "-Infinity"].contains(&text.as_str()) => text.parse().ok(),
        // The range of PostgreSQL's type real.
        value => value.as_f64().filter(|number| (*number as f32).is_normal() || *number == 0.0),
    };
    String, "text", "a text": |value| value.as_str().map(str::to_owned);
    Span, "interval", "an interval": |value| interval_micros(value.as_str()?).map(Span);
}

impl OptionValue for Value {
    const SQL: &'static str = "jsonb";

    fn read(_: &'static str, value: &Value) -> Result<Self, Error> {
        Ok(value.clone())
    }
}

impl OptionValue for Members {
    const SQL: &'static str = "jsonb";

    fn read(option: &'static str, value: &Value) -> Result<Self, Error> {
        let members = value.as_object().and_then(|members| {
            let pairs = members.iter();
            pairs
                .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
                .collect()
        });
        members.ok_or(Error::NotStrings { option })
    }
}

impl<T: Member> OptionValue for Vec<T> {
    const SQL: &'static str = T::LIST;

    fn read(option: &'static str, value: &Value) -> Result<Self, Error> {
        let members = value
            .as_array()
            .ok_or_else(|| refused(option, value, "a list"))?;
        members
            .iter()
            .map(|member| match member {
                Value::Null => Err(Error::NullMember { option }),
                Value::Array(_) => Err(Error::Dimensions { option }),
                member => T::read(option, member),
            })
            .collect()
    }
}

/// An element type of list options.
pub trait Member: OptionValue {
    /// The type of the list as SQL names it.
    const LIST: &'static str;
}

impl Member for String {
    const LIST: &'static str = "text[]";
}

impl Member for i32 {
    const LIST: &'static str = "integer[]";
}

impl Member for Span {
    const LIST: &'static str = "interval[]";
}

impl<T: OptionValue> OptionValue for Option<T> {
    const SQL: &'static str = T::SQL;
    const IS_OPTIONAL: bool = true;

    fn read(option: &'static str, value: &Value) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(None),
            value => T::read(option, value).map(Some),
        }
    }

    fn read_json(option: &'static str, json: &str) -> Result<Self, Error> {
        match json {
            "null" => Ok(None),
            json => T::read_json(option, json).map(Some),
        }
    }
}
