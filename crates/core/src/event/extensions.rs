//! The rules for CloudEvents extension attributes, which `emit` applies before it writes an event.
//!
//! Part of capture, beside [`attributes`](crate::event::attributes) (CloudEvents core 1.0.2, section 3.1 and "Type
//! System"). Formatting copies checked extensions into the body unread, so a name that the body already has must not pass.

use chrono::DateTime;
use serde_json::{Map, Value};

use crate::error::Error;
use crate::event::attributes::{forbidden_fault, is_forbidden};
use crate::limits;

/// The maximum length of an extension attribute's name, in characters.
pub const MAX_EXTENSION_NAME: usize = 20;

const CORE_NAMES: [&str; 10] = [
    "id",
    "source",
    "specversion",
    "type",
    "datacontenttype",
    "dataschema",
    "subject",
    "time",
    "data",
    "data_base64",
];

/// Checks the option `extensions` and returns it as [`Event::extensions`](crate::event::Event::extensions): minified,
/// or `None` for an empty object.
///
/// Names are 1 to 20 of `a-z0-9`, except the specification's own; `partitionkey` is given as `key`. Values are strings,
/// booleans or integers of 32 bits.
///
/// ```
/// use herald_core::event::extensions::check_extensions;
///
/// assert_eq!(check_extensions(r#"{"severity": 3}"#).unwrap().unwrap(), r#"{"severity":3}"#);
/// let error = check_extensions(r#"{"traceParent": "00"}"#).unwrap_err();
/// assert_eq!(error.hint().unwrap(), r#"Use "traceparent"."#);
/// ```
pub fn check_extensions(json: &str) -> Result<Option<String>, Error> {
    limits::EXTENSIONS.check(json)?;
    let object: Map<String, Value> = serde_json::from_str(json).map_err(|_| Error::Attribute {
        name: "extensions",
        fault: "It is not a JSON object.".into(),
        hint: r#"Use an object such as {"severity": 3}."#.into(),
    })?;
    for (name, value) in &object {
        check_extension_name(name)?;
        check_extension_value(name, value)?;
    }
    Ok((!object.is_empty()).then(|| Value::Object(object).to_string()))
}

fn check_extension_name(name: &str) -> Result<(), Error> {
    if CORE_NAMES.contains(&name) {
        let hint = match name {
            "data" | "data_base64" => "Pass it as the argument data.".to_owned(),
            "time" => "Pass it as the argument occurred_at.".to_owned(),
            "id" | "source" | "type" | "subject" | "dataschema" => {
                format!("Pass it as the argument {name}.")
            }
            _ => "Leave it out.".to_owned(),
        };
        return Err(extension(
            name,
            "CloudEvents itself defines this name.",
            &hint,
        ));
    }
    if name == "partitionkey" {
        return Err(extension(
            name,
            "It is made from the event's key.",
            "Pass it as the argument key.",
        ));
    }
    let is_allowed = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    if (1..=MAX_EXTENSION_NAME).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    let mut better: String = name
        .to_ascii_lowercase()
        .chars()
        .filter(|character| is_allowed(*character))
        .collect();
    better.truncate(MAX_EXTENSION_NAME);
    let hint = match better.as_str() {
        "" => "Use a name such as \"severity\".".to_owned(),
        better => format!("Use {better:?}."),
    };
    Err(extension(
        name,
        "A name consists of 1 to 20 of the characters a-z and 0-9.",
        &hint,
    ))
}

fn check_extension_value(name: &str, value: &Value) -> Result<(), Error> {
    match value {
        Value::String(text)
            if name == "expirytime" && DateTime::parse_from_rfc3339(text).is_ok() =>
        {
            Ok(())
        }
        _ if name == "expirytime" => Err(extension(
            name,
            "CloudEvents defines it as a time.",
            "Use a time such as \"2026-12-31T23:59:59Z\".",
        )),
        Value::Bool(_) => Ok(()),
        Value::String(text) => match text.chars().find(|character| is_forbidden(*character)) {
            Some(character) => Err(extension(
                name,
                &forbidden_fault(character),
                "Remove the character.",
            )),
            None => Ok(()),
        },
        Value::Number(number)
            if number
                .as_i64()
                .is_some_and(|number| i32::try_from(number).is_ok()) =>
        {
            Ok(())
        }
        Value::Number(number) => Err(extension(
            name,
            "Its value is not an integer of 32 bits.",
            &format!("Write it as a string: \"{number}\"."),
        )),
        Value::Null => Err(extension(name, "Its value is null.", "Leave it out.")),
        Value::Array(_) | Value::Object(_) => Err(extension(
            name,
            "Its value is not a string, a boolean or an integer.",
            "Put it into data.",
        )),
    }
}

fn extension(name: &str, fault: &str, hint: &str) -> Error {
    Error::Extension {
        name: name.into(),
        fault: fault.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_names_follow_the_specification() {
        for name in ["a", "traceparent", "1", "abcdefghij0123456789"] {
            assert!(
                check_extensions(&format!(r#"{{"{name}":1}}"#)).is_ok(),
                "{name}"
            );
        }
        let bad = [
            "",
            "A",
            "a_b",
            "a-b",
            "ä",
            "abcdefghij01234567890",
            "partitionkey",
        ];
        for name in CORE_NAMES.iter().chain(&bad) {
            assert!(
                check_extensions(&format!(r#"{{"{name}":1}}"#)).is_err(),
                "{name}"
            );
        }
    }

    #[test]
    fn extension_values_are_strings_booleans_or_32_bit_integers() {
        for value in ["\"\"", "\"ä\"", "true", "0", "-2147483648", "2147483647"] {
            assert!(
                check_extensions(&format!(r#"{{"a":{value}}}"#)).is_ok(),
                "{value}"
            );
        }
        for value in [
            "null",
            "1.5",
            "1.0",
            "1e3",
            "2147483648",
            "-2147483649",
            "1e400",
            "[]",
            "{}",
            "\"\\u0000\"",
            "\"\\n\"",
        ] {
            assert!(
                check_extensions(&format!(r#"{{"a":{value}}}"#)).is_err(),
                "{value}"
            );
        }
    }

    #[test]
    fn all_extensions_together_have_a_limit() {
        let of = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        assert_eq!(check_extensions(&of(8_192)), Ok(Some(of(8_192))));
        assert!(check_extensions(&of(8_193)).is_err());
    }

    #[test]
    fn extensions_must_be_an_object_and_an_empty_one_is_none() {
        for json in ["[]", "1", "null", "\"a\"", "", "{"] {
            assert!(check_extensions(json).is_err(), "{json}");
        }
        assert_eq!(check_extensions(" {} "), Ok(None));
    }
}
