//! Why a text is not an expression.

use std::fmt;

/// The first fault of a text that is not an expression: the ParseError of the specification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The position of the fault, in characters from 1. At the end, it is one more than the length.
    pub position: usize,
    /// What is wrong, as a lower-case phrase without a full stop. It may repeat a short part of the text.
    pub message: String,
}

impl Fault {
    /// Returns a fault at a byte of the text.
    pub(super) fn at(text: &str, byte: usize, message: impl Into<String>) -> Fault {
        let before = text.get(..byte).unwrap_or(text);
        Fault {
            position: before.chars().count() + 1,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at character {}", self.message, self.position)
    }
}

impl std::error::Error for Fault {}
