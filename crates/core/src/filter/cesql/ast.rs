//! An expression as a tree, in the form that its evaluation walks.

use std::collections::BTreeSet;

use super::function::Function;
use super::like::Pattern;
use super::operator::{Operator, Precedence};
use super::value::{Type, Value};

/// A part of an expression with a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Literal(Value<'static>),
    Attribute(String),
    Exists(String),
    Not(Box<Node>),
    Negate(Box<Node>),
    Call {
        function: Function,
        arguments: Vec<Node>,
    },
    /// A call of a function that does not exist, or not with this number of arguments.
    MissingCall {
        name: String,
        arguments: Vec<Node>,
    },
    /// Steps that are applied one after the other, each to the result of the one before.
    ///
    /// So a chain of thousands of operands is flat: only parentheses and the like nest. Its first node is no chain.
    Chain {
        first: Box<Node>,
        steps: Vec<Step>,
    },
}

/// What follows an operand.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Binary(Operator, Node),
    Like {
        pattern: Pattern,
        is_negated: bool,
    },
    In {
        members: Vec<Node>,
        is_negated: bool,
    },
}

impl Node {
    /// Returns a node with steps applied to it.
    pub fn followed_by(self, mut further: Vec<Step>) -> Node {
        match self {
            Node::Chain { first, mut steps } => {
                steps.append(&mut further);
                Node::Chain { first, steps }
            }
            node if further.is_empty() => node,
            node => Node::Chain {
                first: Box::new(node),
                steps: further,
            },
        }
    }

    pub fn call(name: String, arguments: Vec<Node>) -> Node {
        match Function::find(&name, arguments.len()) {
            Some(function) => Node::Call {
                function,
                arguments,
            },
            None => Node::MissingCall { name, arguments },
        }
    }

    /// Returns the type of the value, or `None` if the event decides.
    pub fn gives(&self) -> Option<Type> {
        match self {
            Node::Literal(value) => Some(Type::of(value)),
            Node::Attribute(_) => None,
            Node::Exists(_) | Node::Not(_) | Node::MissingCall { .. } => Some(Type::Boolean),
            Node::Negate(_) => Some(Type::Integer),
            Node::Call { function, .. } => Some(function.gives()),
            Node::Chain { first, steps } => match steps.last() {
                Some(step) => Some(step.gives()),
                None => first.gives(),
            },
        }
    }

    /// Adds the names of all attributes, those after EXISTS among them.
    pub fn add_attributes<'n>(&'n self, names: &mut BTreeSet<&'n str>) {
        match self {
            Node::Literal(_) => {}
            Node::Attribute(name) | Node::Exists(name) => drop(names.insert(name)),
            Node::Not(operand) | Node::Negate(operand) => operand.add_attributes(names),
            Node::Call { arguments, .. } | Node::MissingCall { arguments, .. } => {
                for argument in arguments {
                    argument.add_attributes(names);
                }
            }
            Node::Chain { first, steps } => {
                first.add_attributes(names);
                for node in steps.iter().flat_map(Step::nodes) {
                    node.add_attributes(names);
                }
            }
        }
    }
}

impl Step {
    pub fn precedence(&self) -> Precedence {
        match self {
            Step::Binary(operator, _) => operator.precedence(),
            Step::Like { .. } | Step::In { .. } => Precedence::Test,
        }
    }

    /// Returns the type of the result.
    pub fn gives(&self) -> Type {
        match self {
            Step::Binary(operator, _) => operator.gives(),
            Step::Like { .. } | Step::In { .. } => Type::Boolean,
        }
    }

    fn nodes(&self) -> &[Node] {
        match self {
            Step::Binary(_, operand) => std::slice::from_ref(operand),
            Step::Like { .. } => &[],
            Step::In { members, .. } => members,
        }
    }
}
