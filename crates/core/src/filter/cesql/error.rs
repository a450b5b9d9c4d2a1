//! What can go wrong in an evaluation (CESQL, section 3.3).

use std::fmt;

use super::value::{Type, Value};
use crate::error::shortened;

const SHOWN_VALUE: usize = 40;

/// The types of errors in the specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The text is not an expression. A [`Fault`](super::Fault) says why, and nothing is evaluated.
    Parse,
    Math,
    Cast,
    MissingAttribute,
    MissingFunction,
    FunctionEvaluation,
    Generic,
}

/// The first error of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EvaluationError<'a> {
    /// A division or a remainder by zero.
    DivisionByZero,
    /// The result of a calculation has more than 32 bits.
    OutOfRange,
    /// An operator or a function needs a type that the value cannot be cast to.
    Cast { value: Value<'a>, to: Type },
    /// The event lacks an attribute.
    MissingAttribute { name: &'a str },
    /// No function has this name and takes this many arguments.
    MissingFunction { name: &'a str, arguments: usize },
    /// A function does not work with an argument.
    Argument {
        function: &'static str,
        fault: &'static str,
    },
    /// Functions build longer strings than allowed.
    TooLarge { limit: usize },
    /// LIKE compares more characters than allowed.
    TooLong { limit: usize },
}

/// An error, and the value that a function gives beside it; `None` for the zero value of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure<'a> {
    pub value: Option<Value<'a>>,
    pub error: EvaluationError<'a>,
}

impl ErrorKind {
    /// Returns the name in the specification's conformance tests.
    pub fn name(self) -> &'static str {
        match self {
            ErrorKind::Parse => "parse",
            ErrorKind::Math => "math",
            ErrorKind::Cast => "cast",
            ErrorKind::MissingAttribute => "missingAttribute",
            ErrorKind::MissingFunction => "missingFunction",
            ErrorKind::FunctionEvaluation => "functionEvaluation",
            ErrorKind::Generic => "generic",
        }
    }
}

impl<'a> EvaluationError<'a> {
    pub fn kind(&self) -> ErrorKind {
        match self {
            EvaluationError::DivisionByZero | EvaluationError::OutOfRange => ErrorKind::Math,
            EvaluationError::Cast { .. } => ErrorKind::Cast,
            EvaluationError::MissingAttribute { .. } => ErrorKind::MissingAttribute,
            EvaluationError::MissingFunction { .. } => ErrorKind::MissingFunction,
            EvaluationError::Argument { .. } | EvaluationError::TooLarge { .. } => {
                ErrorKind::FunctionEvaluation
            }
            EvaluationError::TooLong { .. } => ErrorKind::Generic,
        }
    }

    pub(super) fn beside(self, value: Value<'a>) -> Failure<'a> {
        Failure {
            value: Some(value),
            error: self,
        }
    }
}

impl<'a> From<EvaluationError<'a>> for Failure<'a> {
    fn from(error: EvaluationError<'a>) -> Self {
        Failure { value: None, error }
    }
}

impl fmt::Display for EvaluationError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvaluationError::DivisionByZero => f.write_str("division by zero"),
            EvaluationError::OutOfRange => f.write_str("integer out of range"),
            EvaluationError::Cast { value, to } => match value {
                Value::String(text) => write!(f, "{:?} is not {to}", shortened(text, SHOWN_VALUE)),
                Value::Integer(integer) => write!(f, "{integer} is not {to}"),
                Value::Boolean(boolean) => write!(f, "{boolean} is not {to}"),
            },
            EvaluationError::MissingAttribute { name } => {
                write!(f, "the event has no attribute {name:?}")
            }
            EvaluationError::MissingFunction { name, arguments } => {
                let plural = if *arguments == 1 { "" } else { "s" };
                write!(f, "no function {name} takes {arguments} argument{plural}")
            }
            EvaluationError::Argument { function, fault } => write!(f, "{function}: {fault}"),
            EvaluationError::TooLarge { limit } => {
                write!(f, "functions build more than {limit} bytes")
            }
            EvaluationError::TooLong { limit } => {
                write!(f, "LIKE compares more than {limit} characters")
            }
        }
    }
}

impl std::error::Error for EvaluationError<'_> {}
