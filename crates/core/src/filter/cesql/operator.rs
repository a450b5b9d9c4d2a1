//! The binary operators, and how tightly everything binds (CESQL, sections 3.4.2 and 3.6).

use super::value::Type;

/// An operator between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    And,
    Or,
    Xor,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// How tightly an operator binds, the loosest first. Operators of the same precedence are applied from left to right.
///
/// Unlike in SQL, AND binds no tighter than OR, and NOT tighter than everything else: `NOT a = b` is `(NOT a) = b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Precedence {
    /// Around all operators
    Outside,
    Logic,
    Comparison,
    Sum,
    Product,
    /// LIKE and IN
    Test,
    /// NOT and the minus before an operand
    Unary,
}

impl Operator {
    pub fn symbol(self) -> &'static str {
        match self {
            Operator::And => "AND",
            Operator::Or => "OR",
            Operator::Xor => "XOR",
            Operator::Equal => "=",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Remainder => "%",
        }
    }

    pub fn precedence(self) -> Precedence {
        match self {
            Operator::And | Operator::Or | Operator::Xor => Precedence::Logic,
            Operator::Equal
            | Operator::NotEqual
            | Operator::Less
            | Operator::LessOrEqual
            | Operator::Greater
            | Operator::GreaterOrEqual => Precedence::Comparison,
            Operator::Add | Operator::Subtract => Precedence::Sum,
            Operator::Multiply | Operator::Divide | Operator::Remainder => Precedence::Product,
        }
    }

    /// Returns the type of the result.
    pub fn gives(self) -> Type {
        match self.precedence() {
            Precedence::Sum | Precedence::Product => Type::Integer,
            _ => Type::Boolean,
        }
    }
}
