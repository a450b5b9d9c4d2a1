//! Makes the parts of a pattern independent of each other, so that each can be asked by itself.
//!
//! `{"a": {"x": [1]}, "$or": [{"a": {"y": [2]}}, {"b": [3]}]}` asks twice for `a`, and if that is an array, one element
//! must have both `x` and `y`. So the `$or` is multiplied out: `a` with `x` and `y`, or `a` with `x` beside `b`.

use std::collections::HashSet;

use crate::error::{Error, shortened};
use crate::filter::bounds::{MAX_SHOWN, MAX_TESTS};
use crate::filter::pattern::{Choice, Field, Fields, Node};
use crate::filter::site::Site;

/// Combines fields and choices. If a name occurs in two of them, all are multiplied out into one choice.
pub(super) fn independent(
    fields: Vec<Field>,
    choices: Vec<Choice>,
    site: &Site<'_>,
) -> Result<Fields, Error> {
    if !share_names(&fields, &choices) {
        return Ok(Fields::new(fields, choices));
    }
    let mut products = vec![Fields::new(fields, Vec::new())];
    for choice in &choices {
        let mut next: Vec<Fields> = Vec::new();
        let mut size = 0;
        for product in &products {
            for branch in &choice.branches {
                let product = merged(product, branch, site)?;
                size += product.size();
                if size > MAX_TESTS {
                    return Err(site.refuse(
                        &format!("has $or that multiply to more than {MAX_TESTS} values"),
                        "Move each $or into the object that it is about.",
                    ));
                }
                next.push(product);
            }
        }
        products = next;
    }
    let choice = Choice { branches: products };
    Ok(Fields::new(Vec::new(), vec![choice]))
}

/// Returns the fields that match where both do, with the same element of each array.
fn merged(a: &Fields, b: &Fields, site: &Site<'_>) -> Result<Fields, Error> {
    let mut fields = a.fields.clone();
    for field in &b.fields {
        match fields.iter_mut().find(|other| other.name == field.name) {
            None => fields.push(field.clone()),
            Some(other) => match (&other.node, &field.node) {
                (Node::Fields(own), Node::Fields(others)) => {
                    let words = format!("{} and {}", other.words, field.words);
                    other.node = Node::Fields(merged(own, others, &site.member(&field.name))?);
                    other.words = shortened(&words, MAX_SHOWN).into();
                }
                _ => {
                    return Err(site.member(&field.name).refuse(
                        "is tested both beside an $or and in it",
                        "Write all tests of a member into one array.",
                    ));
                }
            },
        }
    }
    let choices = a.choices.iter().chain(&b.choices).cloned().collect();
    independent(fields, choices, site)
}

fn share_names(fields: &[Field], choices: &[Choice]) -> bool {
    let mut taken = HashSet::new();
    taken.extend(fields.iter().map(|field| &*field.name));
    choices.iter().any(|choice| {
        let mut names = HashSet::new();
        for branch in &choice.branches {
            add_names(branch, &mut names);
        }
        let is_taken = !taken.is_disjoint(&names);
        taken.extend(names);
        is_taken
    })
}

fn add_names<'f>(fields: &'f Fields, names: &mut HashSet<&'f str>) {
    names.extend(fields.fields.iter().map(|field| &*field.name));
    for branch in fields.choices.iter().flat_map(|choice| &choice.branches) {
        add_names(branch, names);
    }
}
