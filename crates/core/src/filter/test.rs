//! Tests of a single value.

use std::net::IpAddr;

use ipnet::IpNet;

use super::scalar::{Constant, Constants, Scalar};
use super::wildcard::Wildcard;

/// A test that a value passes or not. Values are never converted: a number passes no test for strings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// Any value.
    Exists,
    Equals(Constant),
    OneOf(Constants),
    Wildcard(Wildcard),
    Prefix(Box<str>),
    Suffix(Box<str>),
    IgnoreCase(IgnoreCase),
    Range(Range),
    /// The text of an IP address in a network.
    Cidr(IpNet),
    /// Passes values that the other test does not, of any type.
    Not(Box<Test>),
    All(Vec<Test>),
    Any(Vec<Test>),
}

impl Test {
    /// ```
    /// use herald_core::filter::{Scalar, Test};
    ///
    /// let test = Test::Not(Box::new(Test::Prefix("user-".into())));
    /// assert!(test.passes(Scalar::String("admin-1")));
    /// assert!(test.passes(Scalar::Null));
    /// assert!(!test.passes(Scalar::String("user-1")));
    /// ```
    pub fn passes(&self, scalar: Scalar<'_>) -> bool {
        match (self, scalar) {
            (Test::Exists, _) => true,
            (Test::Equals(constant), scalar) => constant.scalar() == scalar,
            (Test::OneOf(constants), scalar) => constants.contain(scalar),
            (Test::Range(range), scalar) => range.contains(scalar),
            (Test::Not(test), scalar) => !test.passes(scalar),
            (Test::All(tests), scalar) => tests.iter().all(|test| test.passes(scalar)),
            (Test::Any(tests), scalar) => tests.iter().any(|test| test.passes(scalar)),
            (Test::Wildcard(wildcard), Scalar::String(text)) => wildcard.matches(text),
            (Test::Prefix(prefix), Scalar::String(text)) => text.starts_with(&**prefix),
            (Test::Suffix(suffix), Scalar::String(text)) => text.ends_with(&**suffix),
            (Test::IgnoreCase(part), Scalar::String(text)) => part.is_in(text),
            (Test::Cidr(network), Scalar::String(text)) => text
                .parse::<IpAddr>()
                .is_ok_and(|address| network.contains(&address)),
            _ => false,
        }
    }

    /// Returns the number of values that the test compares with.
    pub(super) fn size(&self) -> usize {
        match self {
            Test::OneOf(constants) => constants.iter().count(),
            Test::Not(test) => test.size(),
            Test::All(tests) | Test::Any(tests) => tests.iter().map(Test::size).sum(),
            _ => 1,
        }
    }
}

/// A text, or its beginning or end, in any case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IgnoreCase {
    Whole(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
}

impl IgnoreCase {
    /// Compares character by character: two are the same if their upper cases are.
    fn is_in(&self, text: &str) -> bool {
        match self {
            IgnoreCase::Whole(whole) => folded(whole).eq(folded(text)),
            IgnoreCase::Prefix(prefix) => begins(folded(text), folded(prefix)),
            IgnoreCase::Suffix(suffix) => begins(folded(text).rev(), folded(suffix).rev()),
        }
    }
}

/// Some letters, such as the Greek sigma, have two lower cases, so that the upper case is taken first.
fn folded(text: &str) -> impl DoubleEndedIterator<Item = char> {
    text.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
}

fn begins(mut text: impl Iterator<Item = char>, mut beginning: impl Iterator<Item = char>) -> bool {
    beginning.all(|character| text.next() == Some(character))
}

/// A range of numbers, or of strings in the order of their code points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    pub low: Option<Bound>,
    pub high: Option<Bound>,
}

/// An end of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// A number or a string.
    pub limit: Constant,
    pub is_inclusive: bool,
}

impl Range {
    /// Returns the values on one side of a limit: `<`, `<=`, `>` or `>=`.
    pub(super) fn beside(limit: Scalar<'_>, sign: &str) -> Option<Range> {
        let bound = |is_inclusive| {
            Some(Bound {
                limit: limit.into(),
                is_inclusive,
            })
        };
        let (low, high) = match sign {
            "<" => (None, bound(false)),
            "<=" => (None, bound(true)),
            ">" => (bound(false), None),
            ">=" => (bound(true), None),
            _ => return None,
        };
        Some(Range { low, high })
    }

    fn contains(&self, scalar: Scalar<'_>) -> bool {
        let bounds = [&self.low, &self.high].into_iter().flatten();
        let mut kinds = bounds.map(|bound| std::mem::discriminant(&bound.limit.scalar()));
        kinds.all(|kind| kind == std::mem::discriminant(&scalar))
            && self
                .low
                .as_ref()
                .is_none_or(|low| match low.limit.scalar() {
                    limit if low.is_inclusive => scalar >= limit,
                    limit => scalar > limit,
                })
            && self
                .high
                .as_ref()
                .is_none_or(|high| match high.limit.scalar() {
                    limit if high.is_inclusive => scalar <= limit,
                    limit => scalar < limit,
                })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::number::Number;

    fn passes(test: IgnoreCase, text: &str) -> bool {
        Test::IgnoreCase(test).passes(Scalar::String(text))
    }

    #[test]
    fn case_is_ignored_in_every_script() {
        for (a, b, expected) in [
            ("alice", "ALICE", true),
            ("ÉTÉ", "été", true),
            ("ΣΊΣΥΦΟΣ", "σίσυφος", true),
            ("straße", "STRASSE", true),
            ("alice", "alicé", false),
            ("alice", "alices", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(passes(IgnoreCase::Whole(a.into()), b), expected, "{a} {b}");
        }
        assert!(passes(IgnoreCase::Prefix("EventB".into()), "eventbridge"));
        assert!(!passes(IgnoreCase::Prefix("eventb".into()), "event"));
        assert!(passes(IgnoreCase::Suffix(".PNG".into()), "image.png"));
        assert!(!passes(IgnoreCase::Suffix(".PNG".into()), "png"));
    }

    #[test]
    fn only_addresses_are_in_a_network() {
        let test = |network: &str| Test::Cidr(network.parse().unwrap());
        for (network, text, expected) in [
            ("10.0.0.0/24", "10.0.0.255", true),
            ("10.0.0.0/24", "10.0.1.0", false),
            ("10.0.0.0/24", "010.0.0.1", false),
            ("10.0.0.0/24", "localhost", false),
            ("10.0.0.0/24", "::ffff:10.0.0.1", false),
            ("2001:db8::/32", "2001:db8:0::1", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("0.0.0.0/0", "::1", false),
        ] {
            assert_eq!(
                test(network).passes(Scalar::String(text)),
                expected,
                "{network} {text}"
            );
        }
    }

    #[test]
    fn a_range_has_values_of_its_own_type_only() {
        let number = |text| Scalar::Number(Number::parse(text).unwrap());
        let bound = |limit: Scalar<'_>, is_inclusive| {
            Some(Bound {
                limit: limit.into(),
                is_inclusive,
            })
        };
        let test = Test::Range(Range {
            low: bound(number("0"), false),
            high: bound(number("5"), true),
        });
        for (scalar, expected) in [
            (number("0"), false),
            (number("0.001"), true),
            (number("5.0"), true),
            (number("5.0001"), false),
            (Scalar::String("3"), false),
            (Scalar::Bool(true), false),
            (Scalar::Null, false),
        ] {
            assert_eq!(test.passes(scalar), expected, "{scalar:?}");
        }
        let test = Test::Range(Range {
            low: bound(Scalar::String("2026-01-02"), true),
            high: None,
        });
        for (scalar, expected) in [
            (Scalar::String("2026-01-02"), true),
            (Scalar::String("2026-01-01T23:59:59Z"), false),
            (Scalar::String("2027"), true),
            (number("2027"), false),
        ] {
            assert_eq!(test.passes(scalar), expected, "{scalar:?}");
        }
    }
}
