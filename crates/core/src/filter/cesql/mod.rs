//! CESQL, the CloudEvents SQL Expression Language, version 1.0: the dialect `sql` of filters.
//!
//! A subscription's expression is parsed once, and evaluated for each event that matching offers. `lexer` splits the
//! text, `parser` makes the tree of `ast`, and `eval` walks the tree with the `function`s and casts of the language;
//! `print` writes the tree as text. Users write expressions and events decide their values, so text, nesting, memory
//! and time are bounded, and nothing may panic or fail: each evaluation gives a value, and at most one error.
//!
//! Unlike in SQL, AND, OR and XOR have the same precedence, and NOT binds tighter than any comparison. Where the
//! specification leaves a choice: the first error ends an evaluation; a calculation whose result has more than 32 bits
//! is a MathError; IN evaluates its members up to the first that equals the operand; names are read in any case; and a
//! sign belongs to the digits immediately behind it only where an operand is expected.

use std::collections::BTreeSet;
use std::fmt;

mod ast;
mod attributes;
mod budget;
mod call;
mod cast;
mod error;
mod eval;
mod fault;
mod function;
mod lexer;
mod like;
mod need;
mod operator;
mod parser;
mod print;
mod value;

use self::ast::Node;
pub use self::attributes::Attributes;
pub use self::budget::{MAX_BUILT_BYTES, MAX_COMPARED};
pub use self::error::{ErrorKind, EvaluationError};
use self::eval::Evaluator;
pub use self::fault::Fault;
pub use self::need::Needed;
use self::parser::MissingFunctions;
pub use self::parser::{MAX_NESTING, MAX_TEXT_BYTES};
pub use self::value::{Type, Value};

/// An expression, ready to be evaluated. It is displayed as text that means the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    root: Node,
}

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation<'a> {
    /// The value of the expression. Beside an error, the one that the specification demands.
    pub value: Value<'a>,
    /// The first error. It ended the evaluation.
    pub error: Option<EvaluationError<'a>>,
    /// About how many comparisons of short values would have taken as long.
    pub work: usize,
}

impl Expression {
    /// Parses any expression. A call of a function that does not exist is an error of its evaluation.
    ///
    /// ```
    /// use herald_core::filter::cesql::Expression;
    ///
    /// let expression = Expression::parse("4 * (2 + level)").unwrap();
    /// assert_eq!(expression.to_string(), "4 * (2 + level)");
    /// let fault = Expression::parse("type = 'order' AND").unwrap_err();
    /// assert_eq!(fault.to_string(), r#"expected an operand after "AND" at character 19"#);
    /// ```
    pub fn parse(text: &str) -> Result<Expression, Fault> {
        let root = parser::parse(text, MissingFunctions::Accept)?;
        Ok(Expression { root })
    }

    /// Parses an expression that is to decide about events. Refuses more than [`parse`](Self::parse): functions that do
    /// not exist, and an expression that is never a boolean.
    ///
    /// ```
    /// use herald_core::filter::cesql::Expression;
    ///
    /// assert!(Expression::parse_filter("subject LIKE 'order/%' AND INT(level) > 3").is_ok());
    /// let fault = Expression::parse_filter("LEFT(subject) = 'a'").unwrap_err();
    /// assert_eq!(fault.to_string(), "LEFT takes 2 arguments, not 1 at character 1");
    /// let fault = Expression::parse_filter("LENGTH(subject)").unwrap_err();
    /// assert_eq!(fault.message, "a filter must give a boolean, not an integer");
    /// ```
    pub fn parse_filter(text: &str) -> Result<Expression, Fault> {
        let root = parser::parse(text, MissingFunctions::Refuse)?;
        if let Some(other @ (Type::String | Type::Integer)) = root.gives() {
            let wrong = format!("a filter must give a boolean, not {other}");
            return Err(Fault::at(text, 0, wrong));
        }
        Ok(Expression { root })
    }

    /// Evaluates the expression for an event.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use herald_core::filter::cesql::{ErrorKind, Expression, Value};
    ///
    /// let event = BTreeMap::from([("level".to_owned(), Value::from("3"))]);
    /// let expression = Expression::parse("level * 2").unwrap();
    /// assert_eq!(expression.evaluate(&event).value, Value::Integer(6));
    ///
    /// let expression = Expression::parse("level / missing").unwrap();
    /// let evaluation = expression.evaluate(&event);
    /// assert_eq!(evaluation.value, Value::Integer(0));
    /// assert_eq!(evaluation.error.unwrap().kind(), ErrorKind::MissingAttribute);
    /// ```
    pub fn evaluate<'a>(&'a self, attributes: &'a impl Attributes) -> Evaluation<'a> {
        let mut evaluator = Evaluator::new(attributes);
        let result = evaluator.evaluate(&self.root);
        let work = evaluator.budget.work();
        match result {
            Ok(value) => Evaluation {
                value,
                error: None,
                work,
            },
            Err(failure) => Evaluation {
                work,
                // The specification assumes a boolean where the event decides.
                value: failure
                    .value
                    .unwrap_or_else(|| self.root.gives().unwrap_or(Type::Boolean).zero()),
                error: Some(failure.error),
            },
        }
    }

    /// Returns whether an event passes: the value is TRUE, without an error.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    ///
    /// use herald_core::filter::cesql::{Expression, Value};
    ///
    /// let event = BTreeMap::from([("type".to_owned(), Value::from("order.paid"))]);
    /// let passes = |filter| Expression::parse(filter).unwrap().is_true(&event);
    /// assert!(passes("type IN ('order.paid', 'order.sent')"));
    /// assert!(!passes("type = 'order.paid' AND level != 3"));
    /// assert!(!passes("1"));
    /// ```
    pub fn is_true(&self, attributes: &impl Attributes) -> bool {
        self.evaluate(attributes).is_true()
    }

    /// Returns the names of the attributes that the expression may ask for.
    ///
    /// ```
    /// use herald_core::filter::cesql::Expression;
    ///
    /// let expression = Expression::parse("Type = 'a' OR EXISTS subject AND type != id").unwrap();
    /// assert!(expression.attributes().into_iter().eq(["id", "subject", "type"]));
    /// ```
    pub fn attributes(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.root.add_attributes(&mut names);
        names
    }

    /// Returns what attributes must be for the expression to be true. It is not enough for that.
    ///
    /// ```
    /// use herald_core::filter::cesql::{Expression, Needed};
    ///
    /// let expression = Expression::parse("type LIKE 'order.%' AND subject = '7' AND level > 3").unwrap();
    /// let needs = expression.needs();
    /// assert_eq!(needs[0], ("type", Needed::Prefix("order.".into())));
    /// assert_eq!(needs[1], ("subject", Needed::OneOf(vec!["7".into()])));
    /// assert_eq!(needs.len(), 2);
    /// ```
    pub fn needs(&self) -> Vec<(&str, Needed)> {
        need::needs_of(&self.root)
    }
}

impl Evaluation<'_> {
    /// Returns whether the value is TRUE, without an error.
    pub fn is_true(&self) -> bool {
        self.value == Value::Boolean(true) && self.error.is_none()
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

#[cfg(test)]
mod tests;
