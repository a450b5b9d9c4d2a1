//! Casts between the types, which operators and functions apply to their operands (CESQL, section 3.7).

use std::borrow::Cow;

use super::error::EvaluationError;
use super::value::{Type, Value};

impl<'a> Value<'a> {
    /// Returns the value in another type, by the rules of the functions STRING, INT and BOOL.
    ///
    /// ```
    /// use herald_core::filter::cesql::{Type, Value};
    ///
    /// assert_eq!(Value::from("+007").cast(Type::Integer), Ok(Value::Integer(7)));
    /// assert_eq!(Value::from("TRUE").cast(Type::Boolean), Ok(Value::Boolean(true)));
    /// assert_eq!(Value::from(true).cast(Type::String), Ok(Value::from("true")));
    /// let error = Value::from("seven").cast(Type::Integer).unwrap_err();
    /// assert_eq!(error.to_string(), r#""seven" is not an integer"#);
    /// ```
    pub fn cast(self, to: Type) -> Result<Value<'a>, EvaluationError<'a>> {
        match to {
            Type::String => Ok(Value::String(self.into_text())),
            Type::Integer => self.into_integer().map(Value::Integer),
            Type::Boolean => self.into_boolean().map(Value::Boolean),
        }
    }

    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Value::String(text) => text,
            Value::Integer(integer) => integer.to_string().into(),
            Value::Boolean(true) => "true".into(),
            Value::Boolean(false) => "false".into(),
        }
    }

    pub(super) fn into_integer(self) -> Result<i32, EvaluationError<'a>> {
        match self {
            // from_str takes what the specification allows: a sign, digits with leading zeros, and nothing else.
            Value::String(ref text) => text.parse().map_err(|_| EvaluationError::Cast {
                value: self,
                to: Type::Integer,
            }),
            Value::Integer(integer) => Ok(integer),
            Value::Boolean(boolean) => Ok(boolean.into()),
        }
    }

    pub(super) fn into_boolean(self) -> Result<bool, EvaluationError<'a>> {
        match self {
            Value::String(ref text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::String(ref text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Value::String(_) => Err(EvaluationError::Cast {
                value: self,
                to: Type::Boolean,
            }),
            Value::Integer(integer) => Ok(integer != 0),
            Value::Boolean(boolean) => Ok(boolean),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: &str = "-2147483648";
    const MAX: &str = "2147483647";

    #[test]
    fn each_type_is_cast_to_each_other() {
        let (yes, no) = (Value::Boolean(true), Value::Boolean(false));
        for (value, to, expected) in [
            (Value::Integer(i32::MIN), Type::String, Value::from(MIN)),
            (Value::Integer(0), Type::String, Value::from("0")),
            (Value::Integer(0), Type::Boolean, no.clone()),
            (Value::Integer(-50), Type::Boolean, yes.clone()),
            (Value::from(MAX), Type::Integer, Value::Integer(i32::MAX)),
            (Value::from("-0"), Type::Integer, Value::Integer(0)),
            (Value::from("fAlSe"), Type::Boolean, no.clone()),
            (yes.clone(), Type::Integer, Value::Integer(1)),
            (no.clone(), Type::Integer, Value::Integer(0)),
            (no.clone(), Type::String, Value::from("false")),
            (yes.clone(), Type::Boolean, yes),
            (Value::from(" a"), Type::String, Value::from(" a")),
        ] {
            assert_eq!(value.clone().cast(to), Ok(expected), "{value:?} to {to}");
        }
    }

    #[test]
    fn a_string_that_is_no_integer_or_boolean_is_refused() {
        let integers = [
            "",
            "+",
            "--1",
            "1.0",
            " 1",
            "1 ",
            "0x1",
            "２",
            "2147483648",
            "true",
        ];
        for text in integers {
            assert!(Value::from(text).cast(Type::Integer).is_err(), "{text}");
        }
        for text in ["", "1", "yes", " true", "truе"] {
            let error = Value::from(text).cast(Type::Boolean).unwrap_err();
            let value = Value::from(text);
            assert_eq!(
                error,
                EvaluationError::Cast {
                    value,
                    to: Type::Boolean
                }
            );
        }
    }
}
