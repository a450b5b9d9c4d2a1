//! Why a filter refuses an event, for people.

use super::bounds::MAX_SHOWN;
use super::cesql::{self, Expression};
use super::paths::Path;
use super::pattern::{Field, Fields, Node};
use super::read::Unreadable;
use super::rule::{Root, Rule, values_at};
use super::value::{Members, Value};
use super::view::View;
use super::words::seen;
use crate::error::shortened;

/// The first rule that decides against an event, and the values that it decided by.
///
/// ```
/// use herald_core::event::Event;
/// use herald_core::filter::{Filter, View};
///
/// let filter = Filter::parse(r#"{"data": {"total": ">= 100"}}"#).unwrap();
/// let event = Event { data: Some(r#"{"total": 42}"#.into()), ..Event::new("1", "/shop", "order.paid", 0) };
/// let refusal = filter.explain(&View::new(&event, filter.paths())).unwrap().unwrap();
/// assert_eq!(refusal.rule, r#"data.total: ">= 100""#);
/// assert_eq!(refusal.saw, "42");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule as the filter has it.
    pub rule: String,
    /// The values as JSON, or `missing`; at most [`MAX_SHOWN`] characters.
    pub saw: String,
}

impl Refusal {
    fn new(rule: &str, values: &[&Value<'_>]) -> Refusal {
        Refusal {
            rule: shortened(rule, MAX_SHOWN),
            saw: seen(values),
        }
    }

    /// Says that the rule is the first of several, none of which holds.
    fn first_of(self, count: usize) -> Refusal {
        Refusal {
            rule: shortened(
                &format!("none of {count} holds, the first: {}", self.rule),
                MAX_SHOWN,
            ),
            ..self
        }
    }
}

impl Rule {
    /// Returns why the rule does not hold; `None` if it holds.
    pub(super) fn explain(&self, view: &View<'_>) -> Result<Option<Refusal>, Unreadable> {
        match self {
            Rule::All(rules) => {
                for rule in rules {
                    if let Some(refusal) = rule.explain(view)? {
                        return Ok(Some(refusal));
                    }
                }
                Ok(None)
            }
            Rule::Any(rules) => {
                let mut first = None;
                for rule in rules {
                    let Some(refusal) = rule.explain(view)? else {
                        return Ok(None);
                    };
                    first.get_or_insert(refusal);
                }
                Ok(first.map(|refusal| refusal.first_of(rules.len())))
            }
            rule if rule.holds(view)? => Ok(None),
            Rule::Not { rule, words } => rule.explain_match(view, words).map(Some),
            Rule::Attribute { name, words, .. } => {
                let value = view.attribute(name);
                Ok(Some(Refusal::new(words, &Vec::from_iter(&value))))
            }
            Rule::Data { path, words, .. } => {
                Ok(Some(Refusal::new(words, &values_at(path, view)?)))
            }
            Rule::Sql {
                expression, words, ..
            } => Ok(Some(Refusal {
                rule: words.to_string(),
                saw: shortened(&result_of(expression, view), MAX_SHOWN),
            })),
            Rule::Pattern { root, node, words } => {
                let (attribute, place);
                let value = match root {
                    Root::Attribute(name) => {
                        place = Path::default().to_member(name);
                        attribute = view.attribute(name);
                        attribute.as_ref()
                    }
                    Root::Data => {
                        place = Path::default().to_member("data");
                        view.data()?
                    }
                };
                Ok(Some(explain_node(node, value, &place, words)))
            }
        }
    }

    /// Explains a match that should not be.
    fn explain_match(&self, view: &View<'_>, words: &str) -> Result<Refusal, Unreadable> {
        Ok(match self {
            Rule::Attribute { name, .. } => {
                let value = view.attribute(name);
                Refusal::new(words, &Vec::from_iter(&value))
            }
            Rule::Data { path, .. } => Refusal::new(words, &values_at(path, view)?),
            _ => Refusal {
                rule: words.into(),
                saw: "a match".into(),
            },
        })
    }
}

/// Returns the value of an expression that does not hold, or its error.
fn result_of(expression: &Expression, view: &View<'_>) -> String {
    let evaluation = expression.evaluate(view);
    match evaluation.error {
        Some(error) => error.to_string(),
        None => match evaluation.value {
            cesql::Value::String(text) => format!("{text:?}"),
            cesql::Value::Integer(integer) => integer.to_string(),
            cesql::Value::Boolean(is_true) => is_true.to_string(),
        },
    }
}

/// Looks for the part of a pattern that a value does not match.
fn explain_node(node: &Node, value: Option<&Value<'_>>, place: &Path, words: &str) -> Refusal {
    let part = match (node, value) {
        (Node::Fields(fields), None) => explain_fields(fields, &Members::default(), place),
        (Node::Fields(fields), Some(Value::Object(members))) => {
            explain_fields(fields, members, place)
        }
        (Node::Fields(_), Some(Value::Array(elements))) if elements.len() == 1 => {
            Some(explain_node(node, elements.first(), place, words))
        }
        _ => None,
    };
    part.unwrap_or_else(|| {
        Refusal::new(&format!("pattern.{place}: {words}"), &Vec::from_iter(value))
    })
}

fn explain_fields(fields: &Fields, members: &Members<'_>, place: &Path) -> Option<Refusal> {
    for Field { name, node, words } in &fields.fields {
        let value = members.get(name);
        if !node.holds(value) {
            return Some(explain_node(node, value, &place.to_member(name), words));
        }
    }
    let failed = fields
        .choices
        .iter()
        .find(|choice| !choice.holds(members))?;
    let first = explain_fields(failed.branches.first()?, members, place)?;
    Some(first.first_of(failed.branches.len()))
}

#[cfg(test)]
mod tests;
