//! Rules: what every dialect of filters compiles to.
//!
//! The tree is open, so that an index can look for the tests that must pass for a rule to hold.

use super::cesql::Expression;
use super::condition::Condition;
use super::paths::{Path, Paths};
use super::pattern::{Field, Fields, Node};
use super::read::Unreadable;
use super::scalar::Scalar;
use super::test::Test;
use super::value::Value;
use super::view::View;

/// A claim about an event. `words` name the claim in explanations, as the filter has it.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    All(Vec<Rule>),
    Any(Vec<Rule>),
    Not {
        rule: Box<Rule>,
        words: Box<str>,
    },
    /// The event has the attribute, and its text passes the test.
    Attribute {
        name: Box<str>,
        test: Test,
        words: Box<str>,
    },
    /// A condition for the values that a path into the data leads to.
    Data {
        path: Path,
        condition: Condition,
        words: Box<str>,
    },
    /// An attribute or the data matches a pattern.
    Pattern {
        root: Root,
        node: Node,
        words: Box<str>,
    },
    /// The value of an expression is true, without an error.
    Sql {
        expression: Box<Expression>,
        /// What attributes must be for that.
        needs: Vec<(Box<str>, Test)>,
        words: Box<str>,
    },
}

/// The part of an event that a pattern is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    Attribute(Box<str>),
    Data,
}

impl Rule {
    /// Combines rules, of which those that need no data are asked first.
    pub(super) fn all(mut rules: Vec<Rule>) -> Rule {
        match rules.len() {
            1 => rules.remove(0),
            _ => {
                rules.sort_by_key(Rule::asks_for_data);
                Rule::All(rules)
            }
        }
    }

    /// Combines rules, of which those that need no data are asked first.
    pub(super) fn any(mut rules: Vec<Rule>) -> Rule {
        rules.sort_by_key(Rule::asks_for_data);
        Rule::Any(rules)
    }

    /// Returns whether the claim is true of an event.
    pub fn holds(&self, view: &View<'_>) -> Result<bool, Unreadable> {
        match self {
            Rule::All(rules) => {
                for rule in rules {
                    if !rule.holds(view)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Rule::Any(rules) => {
                for rule in rules {
                    if rule.holds(view)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Rule::Not { rule, .. } => Ok(!rule.holds(view)?),
            Rule::Attribute { name, test, .. } => {
                let value = view.attribute(name);
                let text = value.as_ref().and_then(text_of);
                Ok(text.is_some_and(|text| test.passes(Scalar::String(text))))
            }
            Rule::Data {
                path, condition, ..
            } => {
                let values = values_at(path, view)?;
                let weight = values.iter().map(|value| value.weight()).sum();
                view.work(weight, condition.size())?;
                Ok(condition.holds(&values))
            }
            Rule::Sql { expression, .. } => {
                let evaluation = expression.evaluate(view);
                view.work(evaluation.work as u64, 1)?;
                Ok(evaluation.is_true())
            }
            Rule::Pattern { root, node, .. } => match root {
                Root::Attribute(name) => Ok(node.holds(view.attribute(name).as_ref())),
                Root::Data => {
                    let data = view.data()?;
                    view.work(data.map_or(0, Value::weight), node.size())?;
                    Ok(node.holds(data))
                }
            },
        }
    }

    /// Returns whether the rule may look at the event's data.
    pub fn asks_for_data(&self) -> bool {
        match self {
            Rule::All(rules) | Rule::Any(rules) => rules.iter().any(Rule::asks_for_data),
            Rule::Not { rule, .. } => rule.asks_for_data(),
            Rule::Attribute { .. } | Rule::Sql { .. } => false,
            Rule::Data { .. } => true,
            Rule::Pattern { root, .. } => *root == Root::Data,
        }
    }

    /// Returns the number of values that the rule compares with.
    pub(super) fn size(&self) -> usize {
        match self {
            Rule::All(rules) | Rule::Any(rules) => rules.iter().map(Rule::size).sum(),
            Rule::Not { rule, .. } => rule.size(),
            Rule::Attribute { test, .. } => test.size(),
            Rule::Data { condition, .. } => condition.size(),
            Rule::Pattern { node, .. } => node.size(),
            Rule::Sql { .. } => 1,
        }
    }

    /// Adds the paths into the data that the rule looks at.
    pub(super) fn add_paths(&self, paths: &mut Paths) {
        match self {
            Rule::All(rules) | Rule::Any(rules) => {
                for rule in rules {
                    rule.add_paths(paths);
                }
            }
            Rule::Not { rule, .. } => rule.add_paths(paths),
            Rule::Data { path, .. } => paths.insert(path),
            Rule::Pattern {
                root: Root::Data,
                node,
                ..
            } => add_paths_of_node(node, &Path::default(), paths),
            Rule::Attribute { .. } | Rule::Pattern { .. } | Rule::Sql { .. } => {}
        }
    }
}

/// Returns the values that a path leads to.
pub(super) fn values_at<'v, 'e>(
    path: &Path,
    view: &'v View<'e>,
) -> Result<Vec<&'v Value<'e>>, Unreadable> {
    let mut values = Vec::new();
    if let Some(data) = view.data()? {
        data.collect_at(path.members(), &mut values);
    }
    Ok(values)
}

/// Returns an attribute as text (CloudEvents 1.0, "Type System").
pub(super) fn text_of<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    match value {
        Value::String(text) => Some(&**text),
        Value::Number { text, .. } => Some(text),
        Value::Bool(true) => Some("true"),
        Value::Bool(false) => Some("false"),
        _ => None,
    }
}

fn add_paths_of_node(node: &Node, path: &Path, paths: &mut Paths) {
    match node {
        Node::Leaf(_) => paths.insert(path),
        Node::Fields(fields) => add_paths_of_fields(fields, path, paths),
    }
}

fn add_paths_of_fields(fields: &Fields, path: &Path, paths: &mut Paths) {
    for Field { name, node, .. } in &fields.fields {
        add_paths_of_node(node, &path.to_member(name), paths);
    }
    for choice in &fields.choices {
        for branch in &choice.branches {
            add_paths_of_fields(branch, path, paths);
        }
    }
}
