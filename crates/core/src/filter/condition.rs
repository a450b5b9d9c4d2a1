//! Conditions for the values at the end of a path into the data: what the dialect `data` compiles to.
//!
//! A path that leads through an array leads to many values, and an array at its end has many elements. A condition asks
//! whether any of them passes a test; only [`Condition::Not`] is about all of them.

use super::test::Test;
use super::value::Value;
use super::wildcard::Wildcard;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Whether the path leads to a value, which may be null, or an empty array or object.
    Exists(bool),
    /// Any value passes the test.
    Passes(Test),
    /// An element of an array passes a test, or a part of a string matches.
    Contains {
        element: Test,
        part: Option<Part>,
    },
    /// The path leads to a value, and the other condition does not hold.
    Not(Box<Condition>),
    All(Vec<Condition>),
    Any(Vec<Condition>),
}

/// A part of a string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    Text(Box<str>),
    Wildcard(Wildcard),
}

impl Part {
    fn occurs_in(&self, text: &str) -> bool {
        match self {
            Part::Text(part) => text.contains(&**part),
            Part::Wildcard(wildcard) => wildcard.occurs_in(text),
        }
    }
}

impl Condition {
    /// Returns whether the condition holds for the values that a path leads to. None of them means a missing path, for
    /// which only `Exists(false)` holds.
    pub fn holds(&self, values: &[&Value<'_>]) -> bool {
        match self {
            Condition::Exists(is_expected) => values.is_empty() != *is_expected,
            Condition::Passes(test) => values
                .iter()
                .any(|value| value.any_scalar(&mut |scalar| test.passes(scalar))),
            Condition::Contains { element, part } => values.iter().any(|value| match value {
                Value::Array(_) => value.any_scalar(&mut |scalar| element.passes(scalar)),
                Value::String(text) => part.as_ref().is_some_and(|part| part.occurs_in(text)),
                _ => false,
            }),
            Condition::Not(condition) => !values.is_empty() && !condition.holds(values),
            Condition::All(conditions) => {
                conditions.iter().all(|condition| condition.holds(values))
            }
            Condition::Any(conditions) => {
                conditions.iter().any(|condition| condition.holds(values))
            }
        }
    }
    /// Returns the number of values that the condition compares with.
    pub(super) fn size(&self) -> usize {
        match self {
            Condition::Exists(_) => 1,
            Condition::Passes(test) | Condition::Contains { element: test, .. } => test.size(),
            Condition::Not(condition) => condition.size(),
            Condition::All(conditions) | Condition::Any(conditions) => {
                conditions.iter().map(Condition::size).sum()
            }
        }
    }
}
