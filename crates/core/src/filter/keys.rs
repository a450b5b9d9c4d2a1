//! Keys: what an index can look up of a test.

use super::scalar::{Constant, Scalar};
use super::test::{Bound, Range, Test};

/// A value that passes the test meets one of its keys.
#[derive(Debug, Clone, PartialEq)]
pub enum Key {
    Equal(Constant),
    Prefix(Box<str>),
    /// Numbers from the one to the other, and perhaps a little beyond.
    Range((f64, f64)),
    /// Any value.
    Any,
}

/// Returns the keys of a test.
pub fn keys_of(test: &Test) -> Vec<Key> {
    match test {
        Test::Equals(constant) => vec![Key::Equal(constant.clone())],
        Test::OneOf(constants) => constants.iter().cloned().map(Key::Equal).collect(),
        Test::Prefix(prefix) => vec![Key::Prefix(prefix.clone())],
        Test::Wildcard(wildcard) if !wildcard.head().is_empty() => {
            vec![Key::Prefix(wildcard.head().into())]
        }
        Test::Range(range) => vec![key_of_range(range)],
        Test::Any(tests) => tests.iter().flat_map(keys_of).collect(),
        Test::All(tests) => {
            let keys = tests.iter().map(keys_of);
            let most_selective = keys.min_by_key(|keys| keys.contains(&Key::Any));
            most_selective.unwrap_or_else(|| vec![Key::Any])
        }
        Test::Exists
        | Test::Wildcard(_)
        | Test::Suffix(_)
        | Test::IgnoreCase(_)
        | Test::Cidr(_)
        | Test::Not(_) => vec![Key::Any],
    }
}

fn key_of_range(range: &Range) -> Key {
    let about = |bound: &Option<Bound>, without: f64| match bound
        .as_ref()
        .map(|bound| bound.limit.scalar())
    {
        None => Some((without, without)),
        Some(Scalar::Number(number)) => Some(number.about()),
        Some(_) => None,
    };
    match (
        about(&range.low, f64::NEG_INFINITY),
        about(&range.high, f64::INFINITY),
    ) {
        (Some((low, _)), Some((_, high))) => Key::Range((low, high)),
        _ => Key::Any,
    }
}
