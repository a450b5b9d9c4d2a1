//! Runs one case of a collection of event patterns, such as those that Amazon EventBridge is tested with.

use super::bounds::MAX_FILTER_BYTES;
use super::dialects::pattern_fields;
use super::pattern::Node;
use super::read::{Wanted, read};
use super::site::Site;
use super::value::Value;
use crate::error::Error;

/// What a pattern is said to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Match,
    NoMatch,
    /// The pattern itself is refused.
    Refusal,
}

/// Compares a pattern and an event, both JSON objects of any shape, with what is expected. The error says what happened
/// instead.
///
/// ```
/// use herald_core::filter::conformance::{Expected, check_pattern};
///
/// let pattern = r#"{"detail": {"state": ["running"]}}"#;
/// assert_eq!(check_pattern(pattern, r#"{"detail": {"state": "running"}}"#, Expected::Match), Ok(()));
/// assert_eq!(check_pattern(pattern, r#"{"detail": {}}"#, Expected::NoMatch), Ok(()));
/// assert!(check_pattern(pattern, r#"{"detail": {}}"#, Expected::Match).is_err());
/// assert_eq!(check_pattern(r#"{"detail": "running"}"#, "{}", Expected::Refusal), Ok(()));
/// ```
pub fn check_pattern(pattern: &str, event: &str, expected: Expected) -> Result<(), String> {
    let event = read(event, Wanted::Everything).map_err(|fault| format!("the event: {fault}"))?;
    let outcome = compile(pattern).map(|node| node.holds(event.as_ref()));
    match (outcome, expected) {
        (Ok(true), Expected::Match)
        | (Ok(false), Expected::NoMatch)
        | (Err(_), Expected::Refusal) => Ok(()),
        (Ok(true), _) => Err("the pattern matches".into()),
        (Ok(false), _) => Err("the pattern does not match".into()),
        (Err(fault), _) => Err(format!("the pattern is refused: {fault}")),
    }
}

fn compile(pattern: &str) -> Result<Node, Error> {
    let top = Site::TOP;
    let site = top.member("pattern");
    let refuse = |fault| site.refuse(fault, "Write an object.");
    if pattern.len() > MAX_FILTER_BYTES {
        return Err(refuse("is too long"));
    }
    let value = read(pattern, Wanted::Everything).map_err(|_| refuse("is not JSON"))?;
    let fields = pattern_fields(&value.unwrap_or(Value::Null), &site)?;
    Ok(Node::Fields(fields))
}
