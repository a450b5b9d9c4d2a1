//! Compiles filters: objects whose members are dialects, and the dialects that combine others.
//!
//! `all`, `any` and `not` are of the CloudEvents Subscriptions API (section 3.2.4). Each other dialect has a file.

use super::rule::Rule;
use super::site::Site;
use super::value::Value;
use super::words;
use crate::error::Error;

mod attributes;
mod data;
mod fields;
mod forms;
mod leaves;
mod merge;
mod sql;
mod strings;

pub(super) use fields::pattern_fields;

const DIALECTS: [&str; 9] = [
    "all", "any", "data", "exact", "not", "pattern", "prefix", "sql", "suffix",
];

/// Compiles a filter, or an array of filters that must all hold: an empty one always does.
pub(super) fn filters(value: &Value<'_>, site: &Site<'_>, hint: &str) -> Result<Rule, Error> {
    match value {
        Value::Array(filters) => Ok(Rule::all(each(filters, site, hint)?)),
        value => filter(value, site, hint),
    }
}

fn each(filters: &[Value<'_>], site: &Site<'_>, hint: &str) -> Result<Vec<Rule>, Error> {
    let filters = filters.iter().enumerate();
    filters
        .map(|(index, value)| filter(value, &site.element(index), hint))
        .collect()
}

/// Compiles an object, all of whose members must hold.
fn filter(value: &Value<'_>, site: &Site<'_>, hint: &str) -> Result<Rule, Error> {
    let members = site.members(value, hint)?;
    let site = site.deeper()?;
    let mut rules = Vec::new();
    for (name, value) in members.iter() {
        if !DIALECTS.contains(&name) {
            return Err(site.refuse_name("dialect", name, &DIALECTS));
        }
        rules.extend(dialect(name, value, &site.member(name))?);
    }
    Ok(Rule::all(rules))
}

fn dialect(name: &str, value: &Value<'_>, site: &Site<'_>) -> Result<Vec<Rule>, Error> {
    match name {
        "all" => list(value, site),
        "any" => Ok(vec![Rule::any(list(value, site)?)]),
        "not" => {
            let hint = r#"Write one filter: {"not": {"exact": {"type": "order.paid"}}}."#;
            Ok(vec![Rule::Not {
                rule: Box::new(filter(value, site, hint)?),
                words: format!("not: {}", words::json(value)).into(),
            }])
        }
        "data" => data::rules(value, site),
        "pattern" => fields::rules(value, site),
        "sql" => Ok(vec![sql::rule(value, site)?]),
        dialect => attributes::rules(dialect, value, site),
    }
}

fn list(value: &Value<'_>, site: &Site<'_>) -> Result<Vec<Rule>, Error> {
    let hint = r#"Write an array of filters: [{"exact": {"type": "order.paid"}}]."#;
    match value {
        Value::Array(filters) if filters.is_empty() => Err(site.refuse("is an empty array", hint)),
        Value::Array(filters) => each(filters, site, hint),
        other => Err(site.refuse(&format!("is {}, not an array", other.kind()), hint)),
    }
}
