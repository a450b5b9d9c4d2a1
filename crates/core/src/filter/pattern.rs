//! Patterns: trees that an event must contain, in the manner of Amazon EventBridge.
//!
//! A pattern has the shape of an event. Its leaves are lists of tests, of which any must pass. An array in the event
//! stands for its elements, of which any must match; all tests below an array are about the same element. Only values
//! that are neither arrays nor objects exist for a test.
//!
//! `exists: false` holds if no value is found below those elements that the other tests chose. If there are no other
//! tests, it holds if no element has a value.

use super::test::Test;
use super::value::{Members, Value};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    Leaf(Leaf),
    Fields(Fields),
}

/// Tests of a value, of which any must pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    pub tests: Vec<Test>,
    /// `exists: false` is among the tests.
    pub accepts_absence: bool,
}

/// Members of an object, all of which must match. No name occurs both in `fields` and in `choices`, or in two choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    pub fields: Vec<Field>,
    pub choices: Vec<Choice>,
    /// Whether an event may match without any of these members.
    may_be_absent: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub name: Box<str>,
    pub node: Node,
    /// The JSON of the node, for explanations.
    pub words: Box<str>,
}

/// An `$or`: any of the branches must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub branches: Vec<Fields>,
}

impl Node {
    /// Returns whether a value matches; `None` is a missing one.
    pub fn holds(&self, value: Option<&Value<'_>>) -> bool {
        self.is_found_in(value) || self.is_absent_from(&value.into_iter().collect::<Vec<_>>())
    }

    /// Returns whether the node matches and finds a value: not all of it is `exists: false`.
    fn is_found_in(&self, value: Option<&Value<'_>>) -> bool {
        match (self, value) {
            (_, None) => false,
            (Node::Leaf(leaf), Some(value)) => {
                value.any_scalar(&mut |scalar| leaf.tests.iter().any(|test| test.passes(scalar)))
            }
            (Node::Fields(_), Some(Value::Array(elements))) => {
                let mut elements = elements.iter();
                elements.any(|element| self.is_found_in(Some(element)))
            }
            (Node::Fields(fields), Some(Value::Object(members))) => fields.are_found_in(members),
            (Node::Fields(_), Some(_)) => false,
        }
    }

    /// Returns whether the node matches because it asks for nothing but absence, and none of the values has anything.
    fn is_absent_from(&self, values: &[&Value<'_>]) -> bool {
        match self {
            Node::Leaf(leaf) => {
                leaf.accepts_absence && !values.iter().any(|value| value.any_scalar(&mut |_| true))
            }
            Node::Fields(fields) => {
                fields.may_be_absent && {
                    let mut objects = Vec::new();
                    for value in values {
                        collect_objects(value, &mut objects);
                    }
                    fields.are_absent_from(&objects)
                }
            }
        }
    }

    /// Returns the number of values that the pattern compares with.
    pub(super) fn size(&self) -> usize {
        match self {
            Node::Leaf(leaf) => {
                let tests = leaf.tests.iter().map(Test::size);
                tests.sum::<usize>() + usize::from(leaf.accepts_absence)
            }
            Node::Fields(fields) => fields.size(),
        }
    }

    fn may_be_absent(&self) -> bool {
        match self {
            Node::Leaf(leaf) => leaf.accepts_absence,
            Node::Fields(fields) => fields.may_be_absent,
        }
    }
}

impl Fields {
    pub fn new(fields: Vec<Field>, choices: Vec<Choice>) -> Fields {
        let may_be_absent = fields.iter().all(|field| field.node.may_be_absent())
            && choices.iter().all(|choice| {
                let mut branches = choice.branches.iter();
                branches.any(|branch| branch.may_be_absent)
            });
        Fields {
            fields,
            choices,
            may_be_absent,
        }
    }

    /// Returns the number of values that the pattern compares with.
    pub(super) fn size(&self) -> usize {
        let fields = self.fields.iter().map(|field| field.node.size());
        let branches = self.choices.iter().flat_map(|choice| &choice.branches);
        fields.chain(branches.map(Fields::size)).sum()
    }

    /// Returns whether an object matches, by what it has or by what it lacks.
    pub fn hold(&self, members: &Members<'_>) -> bool {
        self.are_found_in(members) || self.are_absent_from(&[members])
    }

    fn are_found_in(&self, members: &Members<'_>) -> bool {
        let mut is_found = false;
        for field in &self.fields {
            let value = members.get(&field.name);
            if field.node.is_found_in(value) {
                is_found = true;
            } else if !field
                .node
                .is_absent_from(&value.into_iter().collect::<Vec<_>>())
            {
                return false;
            }
        }
        for choice in &self.choices {
            if choice
                .branches
                .iter()
                .any(|branch| branch.are_found_in(members))
            {
                is_found = true;
            } else if !choice.are_absent_from(&[members]) {
                return false;
            }
        }
        is_found
    }

    fn are_absent_from(&self, objects: &[&Members<'_>]) -> bool {
        self.may_be_absent
            && self.fields.iter().all(|field| {
                let values = objects
                    .iter()
                    .filter_map(|members| members.get(&field.name));
                field.node.is_absent_from(&values.collect::<Vec<_>>())
            })
            && self
                .choices
                .iter()
                .all(|choice| choice.are_absent_from(objects))
    }
}

impl Choice {
    pub fn holds(&self, members: &Members<'_>) -> bool {
        self.branches.iter().any(|branch| branch.hold(members))
    }

    fn are_absent_from(&self, objects: &[&Members<'_>]) -> bool {
        let mut branches = self.branches.iter();
        branches.any(|branch| branch.are_absent_from(objects))
    }
}

/// Collects the objects that a value stands for: itself, or those among an array's elements at any depth.
fn collect_objects<'v, 'a>(value: &'v Value<'a>, objects: &mut Vec<&'v Members<'a>>) {
    match value {
        Value::Object(members) => objects.push(members),
        Value::Array(elements) => {
            for element in elements {
                collect_objects(element, objects);
            }
        }
        _ => {}
    }
}
