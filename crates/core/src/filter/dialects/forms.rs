//! What a value may be, in the dialect `data`.
//!
//! * Null, a boolean or a number: this value.
//! * A string: this string, in which `*` stands for any characters (`\*` is a star, `\\` a backslash).
//! * A string that begins with `<`, `<=`, `>`, `>=` or `!=`: the values on this side of the number that must follow.
//!   `!= 5` is short for `{"not": 5}`.
//! * A list: any of these, or of the objects below.
//! * An object of operators, all of which must hold.
//!
//! One value, or one element of an array, must pass `equals`, `prefix`, `suffix`, `gt`, `gte`, `lt`, `lte` and
//! `between` together. They take strings as they are, without stars; ranges of strings are in the order of code points.
//!
//! The other operators are about the whole path. `{"exists": true}` holds if it leads to a value, `{"not": ...}` if it
//! does and the form does not match, and `contains` if an element of an array matches, or a part of a string.

use super::strings::{Said, said};
use crate::error::Error;
use crate::filter::condition::{Condition, Part};
use crate::filter::scalar::{Constant, Scalar};
use crate::filter::site::Site;
use crate::filter::test::{Range, Test};
use crate::filter::value::{Members, Value};

const OPERATORS: [&str; 11] = [
    "between", "contains", "equals", "exists", "gt", "gte", "lt", "lte", "not", "prefix", "suffix",
];
const STRING: &str = "Write a string that is not empty.";

/// Compiles what the values at the end of a path must be.
pub(super) fn form(value: &Value<'_>, site: &Site<'_>) -> Result<Condition, Error> {
    match value {
        Value::Array(elements) => list(elements, site),
        Value::Object(members) => operators(members, site),
        Value::String(_) => string(value, site),
        scalar => Ok(Condition::Passes(Test::Equals(constant(scalar, site)?))),
    }
}

fn string(value: &Value<'_>, site: &Site<'_>) -> Result<Condition, Error> {
    let passes = Condition::Passes;
    Ok(match said(site.text(value, STRING)?, site)? {
        Said::Text(text) => passes(Test::Equals(Constant::String(text))),
        Said::Wildcard(wildcard) => passes(Test::Wildcard(wildcard)),
        Said::Range(range) => passes(Test::Range(range)),
        Said::Differs(constant) => Condition::Not(Box::new(passes(Test::Equals(constant)))),
    })
}

/// Compiles a list of forms, of which any must match. Plain values are looked up together.
fn list(elements: &[Value<'_>], site: &Site<'_>) -> Result<Condition, Error> {
    if elements.is_empty() {
        return Err(site.refuse(
            "is an empty list",
            r#"Write values, such as ["paid", "sent"]."#,
        ));
    }
    let (mut constants, mut tests, mut conditions) = (Vec::new(), Vec::new(), Vec::new());
    for (index, element) in elements.iter().enumerate() {
        let site = site.element(index);
        if let Value::Array(_) = element {
            return Err(site.refuse("is a list in a list", "Write all values into one list."));
        }
        match form(element, &site)? {
            Condition::Passes(Test::Equals(constant)) => constants.push(constant),
            Condition::Passes(test) => tests.push(test),
            condition => conditions.push(condition),
        }
    }
    if !constants.is_empty() {
        tests.insert(0, Test::OneOf(constants.into_iter().collect()));
    }
    if !tests.is_empty() {
        let test = single_or(tests, Test::Any);
        conditions.insert(0, Condition::Passes(test));
    }
    Ok(single_or(conditions, Condition::Any))
}

fn operators(members: &Members<'_>, site: &Site<'_>) -> Result<Condition, Error> {
    let hint = r#"Write operators, such as {"gte": 100, "lt": 200}."#;
    if members.is_empty() {
        return Err(site.refuse("is an empty object", hint));
    }
    let (mut tests, mut conditions) = (Vec::new(), Vec::new());
    for (operator, value) in members.iter() {
        if !OPERATORS.contains(&operator) {
            return Err(site.refuse_name("operator", operator, &OPERATORS));
        }
        let site = site.member(operator);
        match operator {
            "exists" => conditions.push(exists(value, &site)?),
            "not" => {
                let condition = form(value, &site.deeper()?)?;
                conditions.push(Condition::Not(Box::new(condition)));
            }
            "contains" => conditions.push(contains(value, &site)?),
            operator => tests.push(test(operator, value, &site)?),
        }
    }
    if !tests.is_empty() {
        conditions.push(Condition::Passes(single_or(tests, Test::All)));
    }
    Ok(single_or(conditions, Condition::All))
}

/// Compiles an operator that tests a single value.
fn test(operator: &str, value: &Value<'_>, site: &Site<'_>) -> Result<Test, Error> {
    let affix = || match site.text(value, STRING)? {
        "" => Err(site.refuse("is an empty string", STRING)),
        text => Ok::<Box<str>, Error>(text.into()),
    };
    let range = |sign| -> Result<Test, Error> {
        let limit = limit(value, site)?;
        let range = Range::beside(limit.scalar(), sign).expect("the sign is one of four");
        Ok(Test::Range(range))
    };
    match operator {
        "prefix" => Ok(Test::Prefix(affix()?)),
        "suffix" => Ok(Test::Suffix(affix()?)),
        "gt" => range(">"),
        "gte" => range(">="),
        "lt" => range("<"),
        "lte" => range("<="),
        "between" => between(value, site),
        _ => constant(value, site).map(Test::Equals),
    }
}

fn between(value: &Value<'_>, site: &Site<'_>) -> Result<Test, Error> {
    let hint = r#"Write the lower and the higher limit, such as {"between": [1, 10]}."#;
    let Value::Array(limits) = value else {
        return Err(site.refuse(&format!("is {}, not a list", value.kind()), hint));
    };
    let [low, high] = limits.as_slice() else {
        return Err(site.refuse("does not have two limits", hint));
    };
    let low = limit(low, &site.element(0))?;
    let high = limit(high, &site.element(1))?;
    if std::mem::discriminant(&low) != std::mem::discriminant(&high) {
        return Err(site.refuse("has limits of different types", hint));
    }
    if low.scalar() > high.scalar() {
        return Err(site.refuse("has a lower limit above the higher one", hint));
    }
    let [low, high] = [(low, ">="), (high, "<=")]
        .map(|(limit, sign)| Range::beside(limit.scalar(), sign).expect("the sign is one of four"));
    Ok(Test::Range(Range {
        low: low.low,
        ..high
    }))
}

/// Returns the limit of a range.
fn limit(value: &Value<'_>, site: &Site<'_>) -> Result<Constant, Error> {
    match value {
        Value::Number { .. } | Value::String(_) => constant(value, site),
        other => Err(site.refuse(
            &format!("is {}, not a number or a string", other.kind()),
            "Write a number, or a string for the order of code points.",
        )),
    }
}

fn exists(value: &Value<'_>, site: &Site<'_>) -> Result<Condition, Error> {
    match value {
        Value::Bool(is_expected) => Ok(Condition::Exists(*is_expected)),
        other => Err(site.refuse(
            &format!("is {}, not a boolean", other.kind()),
            "Write true or false.",
        )),
    }
}

fn contains(value: &Value<'_>, site: &Site<'_>) -> Result<Condition, Error> {
    let (element, part) = match value {
        Value::String(_) => match said(site.text(value, STRING)?, site)? {
            Said::Text(text) if text.is_empty() => {
                return Err(site.refuse("is an empty string", STRING));
            }
            Said::Text(text) => (
                Test::Equals(Constant::String(text.clone())),
                Some(Part::Text(text)),
            ),
            Said::Wildcard(wildcard) => (
                Test::Wildcard(wildcard.clone()),
                Some(Part::Wildcard(wildcard)),
            ),
            Said::Range(range) => (Test::Range(range), None),
            Said::Differs(constant) => (Test::Not(Box::new(Test::Equals(constant))), None),
        },
        value => (Test::Equals(constant(value, site)?), None),
    };
    Ok(Condition::Contains { element, part })
}

/// Returns null, a boolean, a number or a string as it is.
fn constant(value: &Value<'_>, site: &Site<'_>) -> Result<Constant, Error> {
    if let Value::String(_) = value {
        return Ok(Scalar::String(site.text(value, STRING)?).into());
    }
    value.scalar().map(Constant::from).ok_or_else(|| {
        site.refuse(
            &format!("is {}, which cannot be compared", value.kind()),
            "Write one string, number or boolean, or null; give each member its own path.",
        )
    })
}

fn single_or<T>(mut parts: Vec<T>, several: impl FnOnce(Vec<T>) -> T) -> T {
    match parts.len() {
        1 => parts.remove(0),
        _ => several(parts),
    }
}

#[cfg(test)]
mod tests;
