//! Writes a tree as text again, with the parentheses that it needs. Parsing the text gives the same tree.

use std::fmt::{self, Write};

use super::ast::{Node, Step};
use super::operator::Precedence;
use super::value::Value;

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Literal(Value::String(text)) => write_string(f, text),
            Node::Literal(Value::Integer(integer)) => write!(f, "{integer}"),
            Node::Literal(Value::Boolean(true)) => f.write_str("TRUE"),
            Node::Literal(Value::Boolean(false)) => f.write_str("FALSE"),
            Node::Attribute(name) => f.write_str(name),
            Node::Exists(name) => write!(f, "EXISTS {name}"),
            Node::Not(operand) => {
                f.write_str("NOT ")?;
                write_operand(f, operand, Precedence::Unary)
            }
            Node::Negate(operand) => {
                // With the blank, the minus does not belong to an integer.
                f.write_str("- ")?;
                write_operand(f, operand, Precedence::Unary)
            }
            Node::Call {
                function,
                arguments,
            } => write_call(f, function.name(), arguments),
            Node::MissingCall { name, arguments } => write_call(f, name, arguments),
            Node::Chain { first, steps } => write_chain(f, first, steps),
        }
    }
}

/// Writes the parts of a chain, and parentheses around the beginning wherever a step binds tighter than it.
fn write_chain(f: &mut fmt::Formatter<'_>, first: &Node, steps: &[Step]) -> fmt::Result {
    let mut opened = 0;
    let mut closed_before = vec![false; steps.len()];
    let mut loosest = Precedence::Unary;
    for (step, is_closed) in steps.iter().zip(&mut closed_before) {
        if step.precedence() > loosest {
            opened += 1;
            *is_closed = true;
        }
        loosest = step.precedence();
    }
    f.write_str(&"(".repeat(opened))?;
    write_operand(f, first, Precedence::Unary)?;
    for (step, is_closed) in steps.iter().zip(closed_before) {
        f.write_str(if is_closed { ")" } else { "" })?;
        write_step(f, step)?;
    }
    Ok(())
}

fn write_step(f: &mut fmt::Formatter<'_>, step: &Step) -> fmt::Result {
    let not = |is_negated: &bool| if *is_negated { " NOT" } else { "" };
    match step {
        Step::Binary(operator, right) => {
            write!(f, " {} ", operator.symbol())?;
            write_operand(f, right, operator.precedence())
        }
        Step::Like {
            pattern,
            is_negated,
        } => {
            write!(f, "{} LIKE ", not(is_negated))?;
            write_string(f, pattern.as_str())
        }
        Step::In {
            members,
            is_negated,
        } => {
            write!(f, "{} IN ", not(is_negated))?;
            write_list(f, members)
        }
    }
}

/// Writes a node, in parentheses unless all of it binds tighter than `outside`.
fn write_operand(f: &mut fmt::Formatter<'_>, node: &Node, outside: Precedence) -> fmt::Result {
    let is_looser = match node {
        Node::Chain { steps, .. } => steps.iter().any(|step| step.precedence() <= outside),
        _ => false,
    };
    if is_looser {
        write!(f, "({node})")
    } else {
        write!(f, "{node}")
    }
}

fn write_call(f: &mut fmt::Formatter<'_>, name: &str, arguments: &[Node]) -> fmt::Result {
    f.write_str(name)?;
    write_list(f, arguments)
}

fn write_list(f: &mut fmt::Formatter<'_>, nodes: &[Node]) -> fmt::Result {
    f.write_char('(')?;
    for (place, node) in nodes.iter().enumerate() {
        f.write_str(if place == 0 { "" } else { ", " })?;
        write!(f, "{node}")?;
    }
    f.write_char(')')
}

/// Writes a string in the quotes that can hold it: a backslash takes away the meaning of the quote behind it, and
/// cannot be escaped itself.
fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let quote = if can_hold('\'', text) { '\'' } else { '"' };
    f.write_char(quote)?;
    for character in text.chars() {
        if character == quote {
            f.write_char('\\')?;
        }
        f.write_char(character)?;
    }
    f.write_char(quote)
}

fn can_hold(quote: char, text: &str) -> bool {
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == '\\' && characters.next().is_none_or(|behind| behind == quote) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests;
