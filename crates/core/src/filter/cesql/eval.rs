//! Evaluates the tree of an expression (CESQL, sections 3.2 to 3.7).
//!
//! The first error ends the evaluation, as the specification recommends for filters (sections 1.2 and 4.1). Beside it
//! stands the zero value of the expression's type, except directly after a function that gives another one.

use super::ast::{Node, Step};
use super::attributes::Attributes;
use super::budget::Budget;
use super::call;
use super::error::{EvaluationError, Failure};
use super::operator::Operator;
use super::value::{Type, Value};

/// The attributes that every event has (CloudEvents 1.0.2, section 3.1).
const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];

pub(super) struct Evaluator<'a, A> {
    attributes: &'a A,
    pub budget: Budget,
}

impl<'a, A: Attributes> Evaluator<'a, A> {
    pub fn new(attributes: &'a A) -> Self {
        Evaluator {
            attributes,
            budget: Budget::new(),
        }
    }

    pub fn evaluate(&mut self, node: &'a Node) -> Result<Value<'a>, Failure<'a>> {
        self.budget.count_part();
        Ok(match node {
            Node::Literal(value) => value.borrowed(),
            Node::Attribute(name) => {
                let value = self.attributes.get(name);
                value.ok_or(EvaluationError::MissingAttribute { name })?
            }
            Node::Exists(name) => {
                let exists = REQUIRED.contains(&name.as_str());
                (exists || self.attributes.get(name).is_some()).into()
            }
            Node::Not(operand) => (!self.operand(operand)?.into_boolean()?).into(),
            Node::Negate(operand) => {
                let negative = self.operand(operand)?.into_integer()?.checked_neg();
                negative.ok_or(EvaluationError::OutOfRange)?.into()
            }
            Node::Call {
                function,
                arguments,
            } => {
                let arguments: Result<_, _> =
                    arguments.iter().map(|node| self.operand(node)).collect();
                call::apply(*function, arguments?, &mut self.budget)?
            }
            Node::MissingCall { name, arguments } => Err(EvaluationError::MissingFunction {
                name,
                arguments: arguments.len(),
            })?,
            Node::Chain { first, steps } => {
                let mut value = self.operand(first)?;
                for step in steps {
                    value = self.take(step, value)?;
                }
                value
            }
        })
    }

    /// Evaluates a part of another node: a value beside an error is given up.
    fn operand(&mut self, node: &'a Node) -> Result<Value<'a>, EvaluationError<'a>> {
        self.evaluate(node).map_err(|failure| failure.error)
    }

    fn take(&mut self, step: &'a Step, left: Value<'a>) -> Result<Value<'a>, EvaluationError<'a>> {
        Ok(match step {
            Step::Binary(operator, right) => self.binary(*operator, left, right)?,
            Step::Like {
                pattern,
                is_negated,
            } => {
                let is_like = pattern.matches(&left.into_text(), &mut self.budget)?;
                (is_like != *is_negated).into()
            }
            Step::In {
                members,
                is_negated,
            } => (self.is_in(&left, members)? != *is_negated).into(),
        })
    }

    /// Returns whether a value is among members, up to the first that equals it.
    fn is_in(
        &mut self,
        value: &Value<'a>,
        members: &'a [Node],
    ) -> Result<bool, EvaluationError<'a>> {
        for member in members {
            if self.operand(member)?.cast(Type::of(value))? == *value {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn binary(
        &mut self,
        operator: Operator,
        left: Value<'a>,
        right: &'a Node,
    ) -> Result<Value<'a>, EvaluationError<'a>> {
        Ok(match operator {
            Operator::And => (left.into_boolean()? && self.operand(right)?.into_boolean()?).into(),
            Operator::Or => (left.into_boolean()? || self.operand(right)?.into_boolean()?).into(),
            Operator::Xor => {
                let right = self.operand(right)?;
                (left.into_boolean()? != right.into_boolean()?).into()
            }
            Operator::Equal | Operator::NotEqual => {
                let right = self.operand(right)?;
                let is_equal = left.cast(Type::of(&right))? == right;
                (is_equal == (operator == Operator::Equal)).into()
            }
            _ => {
                let right = self.operand(right)?;
                of_integers(operator, left.into_integer()?, right.into_integer()?)?
            }
        })
    }
}

/// Applies an operator that is defined for integers only.
fn of_integers(
    operator: Operator,
    left: i32,
    right: i32,
) -> Result<Value<'static>, EvaluationError<'static>> {
    let result = match operator {
        Operator::Less => return Ok((left < right).into()),
        Operator::LessOrEqual => return Ok((left <= right).into()),
        Operator::Greater => return Ok((left > right).into()),
        Operator::GreaterOrEqual => return Ok((left >= right).into()),
        Operator::Divide | Operator::Remainder if right == 0 => {
            return Err(EvaluationError::DivisionByZero);
        }
        Operator::Add => left.checked_add(right),
        Operator::Subtract => left.checked_sub(right),
        Operator::Multiply => left.checked_mul(right),
        Operator::Divide => left.checked_div(right),
        // The remainder of the least integer and -1 is 0, though their quotient is out of range.
        Operator::Remainder => Some(left.wrapping_rem(right)),
        // These take other types too, and do not come here.
        Operator::And | Operator::Or | Operator::Xor | Operator::Equal | Operator::NotEqual => None,
    };
    result
        .map(Value::Integer)
        .ok_or(EvaluationError::OutOfRange)
}

#[cfg(test)]
mod tests;
