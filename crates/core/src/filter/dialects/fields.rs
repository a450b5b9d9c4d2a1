//! The dialect `pattern`: the shape of the event as it is sent, in the manner of Amazon EventBridge.
//!
//! ```json
//! {"pattern": {"type": ["order.paid"], "data": {"total": [{"numeric": [">=", 100]}], "$or": [{"eu": [true]},
//!              {"country": ["CH", "NO"]}]}}}
//! ```
//!
//! The members of the pattern are the attributes, and `data` is the event's data. Unlike in EventBridge, a dot in a
//! name is part of the name, and a name has one array of tests: an `$or` cannot add another.

use super::attributes::check_name;
use super::leaves::leaf;
use super::merge::independent;
use crate::error::Error;
use crate::filter::paths::Path;
use crate::filter::pattern::{Choice, Field, Fields, Node};
use crate::filter::rule::{Root, Rule};
use crate::filter::site::Site;
use crate::filter::value::{Members, Value};
use crate::filter::words;

const OR: &str = "$or";

pub(super) fn rules(value: &Value<'_>, site: &Site<'_>) -> Result<Vec<Rule>, Error> {
    rules_of(pattern_fields(value, site)?, site)
}

/// Compiles a pattern for objects of any shape.
pub(in crate::filter) fn pattern_fields(
    value: &Value<'_>,
    site: &Site<'_>,
) -> Result<Fields, Error> {
    let hint =
        r#"Write attributes and data, such as {"type": ["order.paid"], "data": {"total": [5]}}."#;
    match value {
        Value::Object(members) => fields(members, None, site),
        other => Err(site.refuse(&format!("is {}, not an object", other.kind()), hint)),
    }
}

/// Splits a pattern of events: an attribute or the data is never an array around its members, so that each part is
/// asked by itself.
fn rules_of(fields: Fields, site: &Site<'_>) -> Result<Vec<Rule>, Error> {
    let mut rules = Vec::new();
    for Field { name, node, words } in fields.fields {
        let root = match &*name {
            "data" => Root::Data,
            _ => {
                check_attribute(&name, &node, &site.member(&name))?;
                Root::Attribute(name)
            }
        };
        rules.push(Rule::Pattern { root, node, words });
    }
    for choice in fields.choices {
        let branches = choice.branches.into_iter();
        let branches = branches.map(|branch| Ok(Rule::all(rules_of(branch, site)?)));
        rules.push(Rule::any(branches.collect::<Result<_, Error>>()?));
    }
    Ok(rules)
}

fn check_attribute(name: &str, node: &Node, site: &Site<'_>) -> Result<(), Error> {
    check_name(name, site)?;
    match node {
        Node::Leaf(_) => Ok(()),
        Node::Fields(_) => Err(site.refuse(
            "is an object, which no attribute is",
            r#"Write data for the event's data: {"pattern": {"data": {...}}}."#,
        )),
    }
}

/// Compiles the members of an object at the end of a path, which is `None` for the event itself.
fn fields(members: &Members<'_>, path: Option<&Path>, site: &Site<'_>) -> Result<Fields, Error> {
    if members.is_empty() {
        return Err(site.refuse(
            "is an empty object",
            r#"Write [{"exists": true}] for any value."#,
        ));
    }
    let (mut compiled, mut choices) = (Vec::new(), Vec::new());
    for (name, value) in members.iter() {
        let site = site.member(name);
        if name == OR {
            choices.push(choice(value, path, &site)?);
            continue;
        }
        let path = path.map_or_else(Path::default, |path| path.to_member(name));
        site.check_path(&path)?;
        let node = match value {
            Value::Object(members) => Node::Fields(fields(members, Some(&path), &site)?),
            Value::Array(elements) => Node::Leaf(leaf(elements, &site)?),
            other => {
                return Err(site.refuse(
                    &format!("is {}, not an array or an object", other.kind()),
                    r#"Write its values into an array, such as ["paid"]."#,
                ));
            }
        };
        compiled.push(Field {
            name: name.into(),
            node,
            words: words::json(value),
        });
    }
    independent(compiled, choices, site)
}

fn choice(value: &Value<'_>, path: Option<&Path>, site: &Site<'_>) -> Result<Choice, Error> {
    let hint = r#"Write an array of at least two objects: [{"a": [1]}, {"b": [2]}]."#;
    let branches = match value {
        Value::Array(branches) if branches.len() >= 2 => branches,
        _ => return Err(site.refuse("is not an array of at least two objects", hint)),
    };
    let branch = |(index, value): (usize, &Value<'_>)| {
        let site = site.element(index);
        match value {
            Value::Object(members) => fields(members, path, &site.deeper()?),
            other => Err(site.refuse(&format!("is {}, not an object", other.kind()), hint)),
        }
    };
    let branches = branches.iter().enumerate().map(branch);
    Ok(Choice {
        branches: branches.collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests;
