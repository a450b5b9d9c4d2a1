//! The values that are compared: null, booleans, numbers and strings.

use super::number::{Decimal, Number};

/// A value of an event. Values of different types are never equal; strings are in the order of their code points.
///
/// ```
/// use herald_core::filter::{Number, Scalar};
///
/// let number = |text| Scalar::Number(Number::parse(text).unwrap());
/// assert_eq!(number("1.0"), number("1"));
/// assert_ne!(number("1"), Scalar::String("1"));
/// assert!(Scalar::String("Z") < Scalar::String("a"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    String(&'a str),
}

/// A value of a filter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Constant {
    Null,
    Bool(bool),
    Number(Decimal),
    String(Box<str>),
}

impl Constant {
    pub fn scalar(&self) -> Scalar<'_> {
        match self {
            Constant::Null => Scalar::Null,
            Constant::Bool(is_true) => Scalar::Bool(*is_true),
            Constant::Number(decimal) => Scalar::Number(decimal.number()),
            Constant::String(text) => Scalar::String(text),
        }
    }
}

impl From<Scalar<'_>> for Constant {
    fn from(scalar: Scalar<'_>) -> Constant {
        match scalar {
            Scalar::Null => Constant::Null,
            Scalar::Bool(is_true) => Constant::Bool(is_true),
            Scalar::Number(number) => Constant::Number(number.into()),
            Scalar::String(text) => Constant::String(text.into()),
        }
    }
}

/// A set of values, sorted so that one of many is found in few steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constants(Vec<Constant>);

impl Constants {
    /// ```
    /// use herald_core::filter::{Constants, Scalar};
    ///
    /// let states: Constants = ["paid", "sent"].map(|text| Scalar::String(text).into()).into_iter().collect();
    /// assert!(states.contain(Scalar::String("sent")));
    /// assert!(!states.contain(Scalar::Null));
    /// ```
    pub fn contain(&self, scalar: Scalar<'_>) -> bool {
        let order = |constant: &Constant| constant.scalar().cmp(&scalar);
        self.0.binary_search_by(order).is_ok()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Constant> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Constant> for Constants {
    fn from_iter<I: IntoIterator<Item = Constant>>(constants: I) -> Constants {
        let mut constants: Vec<Constant> = constants.into_iter().collect();
        constants.sort_by(|a, b| a.scalar().cmp(&b.scalar()));
        Constants(constants)
    }
}
