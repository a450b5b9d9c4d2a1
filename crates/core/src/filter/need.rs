//! What an event must have for a rule to hold: by this an index can choose the rules to ask.

use super::condition::Condition;
use super::paths::Path;
use super::pattern::{Fields, Leaf, Node};
use super::rule::{Root, Rule};
use super::test::Test;

/// Tests of which one must pass, or the rule does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need<'r> {
    pub place: Place,
    pub tests: &'r [Test],
}

/// The place of the value that must pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    /// An attribute with its JSON type.
    Attribute(Box<str>),
    /// An attribute as text, as the dialects `exact`, `prefix` and `suffix` see it.
    AttributeText(Box<str>),
    /// Any of the values that a path into the data leads to, or any of their elements.
    Data(Path),
}

impl Rule {
    /// Returns what must be true of every event for which the rule holds; it is not enough for the rule to hold.
    ///
    /// ```
    /// use herald_core::filter::{Filter, Place};
    ///
    /// let filter = r#"{"exact": {"type": "order.paid"}, "data": {"total": {"not": 0}, "id": 7}}"#;
    /// let filter = Filter::parse(filter).unwrap();
    /// let needs = filter.rule().needs();
    /// let places: Vec<_> = needs.iter().map(|need| &need.place).collect();
    /// assert!(matches!(places[..], [Place::AttributeText(_), Place::Data(_)]));
    /// ```
    pub fn needs(&self) -> Vec<Need<'_>> {
        let mut needs = Vec::new();
        self.add_needs(&mut needs);
        needs
    }

    fn add_needs<'r>(&'r self, needs: &mut Vec<Need<'r>>) {
        match self {
            Rule::All(rules) => {
                for rule in rules {
                    rule.add_needs(needs);
                }
            }
            Rule::Any(_) | Rule::Not { .. } => {}
            Rule::Sql { needs: own, .. } => needs.extend(own.iter().map(|(name, test)| Need {
                place: Place::AttributeText(name.clone()),
                tests: std::slice::from_ref(test),
            })),
            Rule::Attribute { name, test, .. } => needs.push(Need {
                place: Place::AttributeText(name.clone()),
                tests: std::slice::from_ref(test),
            }),
            Rule::Data {
                path, condition, ..
            } => add_needs_of_condition(condition, path, needs),
            Rule::Pattern {
                root: Root::Data,
                node,
                ..
            } => add_needs_of_node(node, &Path::default(), needs),
            Rule::Pattern {
                root: Root::Attribute(name),
                node,
                ..
            } => {
                if let Node::Leaf(Leaf {
                    tests,
                    accepts_absence: false,
                }) = node
                {
                    needs.push(Need {
                        place: Place::Attribute(name.clone()),
                        tests,
                    });
                }
            }
        }
    }
}

fn add_needs_of_condition<'r>(condition: &'r Condition, path: &Path, needs: &mut Vec<Need<'r>>) {
    match condition {
        Condition::Passes(test) => needs.push(Need {
            place: Place::Data(path.clone()),
            tests: std::slice::from_ref(test),
        }),
        Condition::All(conditions) => {
            for condition in conditions {
                add_needs_of_condition(condition, path, needs);
            }
        }
        Condition::Exists(_)
        | Condition::Contains { .. }
        | Condition::Not(_)
        | Condition::Any(_) => {}
    }
}

fn add_needs_of_node<'r>(node: &'r Node, path: &Path, needs: &mut Vec<Need<'r>>) {
    match node {
        Node::Leaf(leaf) if leaf.accepts_absence => {}
        Node::Leaf(leaf) => needs.push(Need {
            place: Place::Data(path.clone()),
            tests: &leaf.tests,
        }),
        Node::Fields(Fields { fields, .. }) => {
            for field in fields {
                add_needs_of_node(&field.node, &path.to_member(&field.name), needs);
            }
        }
    }
}
