//! The leaves of a pattern: lists of values and of matchers.
//!
//! A matcher is an object with one member, as in Amazon EventBridge: `exists`, `prefix`, `suffix`, `wildcard`,
//! `equals-ignore-case`, `numeric`, `cidr` and `anything-but`. Numbers have no limits here. `anything-but` passes every
//! value that it does not name, of any type; no matcher but `exists` passes a missing value.

use ipnet::IpNet;

use super::strings::starred;
use crate::error::Error;
use crate::filter::pattern::Leaf;
use crate::filter::scalar::{Constant, Scalar};
use crate::filter::site::Site;
use crate::filter::test::{IgnoreCase, Range, Test};
use crate::filter::value::{Members, Value};
use crate::filter::wildcard::Starred;

const MATCHERS: [&str; 8] = [
    "anything-but",
    "cidr",
    "equals-ignore-case",
    "exists",
    "numeric",
    "prefix",
    "suffix",
    "wildcard",
];
/// The matchers that `anything-but` may negate.
const NEGATED: [&str; 4] = ["equals-ignore-case", "prefix", "suffix", "wildcard"];
const STRING: &str = "Write a string.";

pub(super) fn leaf(elements: &[Value<'_>], site: &Site<'_>) -> Result<Leaf, Error> {
    if elements.is_empty() {
        return Err(site.refuse(
            "is an empty array",
            r#"Write values, such as ["paid", "sent"]."#,
        ));
    }
    let mut constants = Vec::new();
    let mut leaf = Leaf {
        tests: Vec::new(),
        accepts_absence: false,
    };
    for (index, element) in elements.iter().enumerate() {
        let site = site.element(index);
        match element {
            Value::Object(members) => match matcher(members, &site)? {
                Some(test) => leaf.tests.push(test),
                None => leaf.accepts_absence = true,
            },
            value => constants.push(constant(value, &site)?),
        }
    }
    if !constants.is_empty() {
        let test = Test::OneOf(constants.into_iter().collect());
        leaf.tests.insert(0, test);
    }
    Ok(leaf)
}

/// Compiles an object with one member; `None` is `exists: false`.
fn matcher(members: &Members<'_>, site: &Site<'_>) -> Result<Option<Test>, Error> {
    let (name, value) = only_member(members, site)?;
    let inner = site.member(name);
    Ok(Some(match (name, value) {
        ("exists", Value::Bool(true)) => Test::Exists,
        ("exists", Value::Bool(false)) => return Ok(None),
        ("exists", _) => return Err(inner.refuse("is not a boolean", "Write true or false.")),
        ("prefix" | "suffix", Value::Object(members)) => affix_in_any_case(name, members, &inner)?,
        ("prefix" | "suffix" | "equals-ignore-case" | "wildcard", value) => {
            text_matcher(name, value, &inner)?
        }
        ("cidr", value) => cidr(value, &inner)?,
        ("numeric", value) => numeric(value, &inner)?,
        ("anything-but", value) => Test::Not(Box::new(negated(value, &inner)?)),
        _ => return Err(site.refuse_name("matcher", name, &MATCHERS)),
    }))
}

fn only_member<'v, 'a>(
    members: &'v Members<'a>,
    site: &Site<'_>,
) -> Result<(&'v str, &'v Value<'a>), Error> {
    let mut members = members.iter();
    match (members.next(), members.next()) {
        (Some(member), None) => Ok(member),
        _ => Err(site.refuse(
            "does not have one member",
            r#"Write a matcher, such as {"prefix": "order."}; several go into the array."#,
        )),
    }
}

fn affix_in_any_case(name: &str, members: &Members<'_>, site: &Site<'_>) -> Result<Test, Error> {
    let ("equals-ignore-case", value) = only_member(members, site)? else {
        return Err(site.refuse(
            "has another member than equals-ignore-case",
            r#"Write a string, or {"equals-ignore-case": "..."}."#,
        ));
    };
    let text = site.text(value, STRING)?.into();
    Ok(Test::IgnoreCase(match name {
        "prefix" => IgnoreCase::Prefix(text),
        _ => IgnoreCase::Suffix(text),
    }))
}

/// Compiles a matcher that takes a string.
fn text_matcher(name: &str, value: &Value<'_>, site: &Site<'_>) -> Result<Test, Error> {
    let text = site.text(value, STRING)?;
    Ok(match name {
        "prefix" => Test::Prefix(text.into()),
        "suffix" => Test::Suffix(text.into()),
        "equals-ignore-case" => Test::IgnoreCase(IgnoreCase::Whole(text.into())),
        _ => match starred(text, site)? {
            Starred::Literal(text) => Test::Equals(Constant::String(text)),
            Starred::Wildcard(wildcard) if wildcard.has_double_star() => {
                return Err(site.refuse("has two stars side by side", "Write one star."));
            }
            Starred::Wildcard(wildcard) => Test::Wildcard(wildcard),
        },
    })
}

fn cidr(value: &Value<'_>, site: &Site<'_>) -> Result<Test, Error> {
    let hint = r#"Write an address and the length of its prefix, such as "10.0.0.0/24"."#;
    match site.text(value, hint)?.parse::<IpNet>() {
        Ok(network) => Ok(Test::Cidr(network)),
        Err(_) => Err(site.refuse("is not a network", hint)),
    }
}

/// Compiles `["=", 5]`, one limit, or a lower limit and a higher one.
fn numeric(value: &Value<'_>, site: &Site<'_>) -> Result<Test, Error> {
    let refuse = |fault| {
        site.refuse(
            fault,
            r#"Write ["=", 5], ["<", 10], or a lower and a higher limit: [">", 0, "<=", 5]."#,
        )
    };
    let Value::Array(terms) = value else {
        return Err(refuse("is not an array"));
    };
    let mut limits = Vec::new();
    for pair in terms.chunks(2) {
        match pair {
            [Value::String(sign), number @ Value::Number { .. }] => {
                let limit = number.scalar().ok_or_else(|| refuse("is not a number"))?;
                limits.push((sign.as_ref(), limit));
            }
            _ => return Err(refuse("does not have a sign and a number in turn")),
        }
    }
    match limits[..] {
        [("=", limit)] => Ok(Test::Equals(limit.into())),
        [(sign, limit)] => Range::beside(limit, sign)
            .map(Test::Range)
            .ok_or_else(|| refuse("has another sign than =, <, <=, > and >=")),
        [(">" | ">=", low), ("<" | "<=", high)] if low >= high => {
            Err(refuse("has a lower limit that is not below the higher one"))
        }
        [(from @ (">" | ">="), low), (to @ ("<" | "<="), high)] => {
            let [low, high] = [(low, from), (high, to)]
                .map(|(limit, sign)| Range::beside(limit, sign).expect("the sign is one of four"));
            Ok(Test::Range(Range {
                low: low.low,
                ..high
            }))
        }
        _ => Err(refuse("does not have a lower limit before a higher one")),
    }
}

/// Compiles what `anything-but` excludes: strings, numbers, or a matcher of strings.
fn negated(value: &Value<'_>, site: &Site<'_>) -> Result<Test, Error> {
    match value {
        Value::String(_) | Value::Number { .. } => Ok(Test::Equals(constant(value, site)?)),
        Value::Array(elements) => {
            let are_strings = elements
                .iter()
                .all(|element| matches!(element, Value::String(_)));
            let are_numbers = elements
                .iter()
                .all(|element| matches!(element, Value::Number { .. }));
            if elements.is_empty() || !are_strings && !are_numbers {
                return Err(site.refuse(
                    "is not a list of strings or of numbers",
                    r#"Write values of one type, such as ["draft", "void"]."#,
                ));
            }
            let elements = elements.iter().enumerate();
            let constants =
                elements.map(|(index, element)| constant(element, &site.element(index)));
            Ok(Test::OneOf(constants.collect::<Result<_, _>>()?))
        }
        Value::Object(members) => negated_matcher(members, site),
        other => Err(site.refuse(
            &format!("is {}, which it cannot exclude", other.kind()),
            r#"Write strings, numbers, or a matcher such as {"prefix": "test-"}."#,
        )),
    }
}

fn negated_matcher(members: &Members<'_>, site: &Site<'_>) -> Result<Test, Error> {
    let (name, value) = only_member(members, site)?;
    if !NEGATED.contains(&name) {
        return Err(site.refuse_name("matcher", name, &NEGATED));
    }
    let site = site.member(name);
    let matcher = |value: &Value<'_>, site: &Site<'_>| match text_matcher(name, value, site)? {
        Test::Prefix(text) | Test::Suffix(text) if text.is_empty() => {
            Err(site.refuse("is empty, which excludes every string", "Write a text."))
        }
        test => Ok(test),
    };
    match value {
        Value::Array(elements) if elements.is_empty() => {
            Err(site.refuse("is an empty array", r#"Write strings, such as ["a", "b"]."#))
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            let tests = elements.map(|(index, element)| matcher(element, &site.element(index)));
            Ok(Test::Any(tests.collect::<Result<_, _>>()?))
        }
        value => matcher(value, &site),
    }
}

fn constant(value: &Value<'_>, site: &Site<'_>) -> Result<Constant, Error> {
    if let Value::String(_) = value {
        return Ok(Scalar::String(site.text(value, STRING)?).into());
    }
    value.scalar().map(Constant::from).ok_or_else(|| {
        site.refuse(
            &format!("is {}", value.kind()),
            "Write values and matchers into one array.",
        )
    })
}

#[cfg(test)]
mod tests;
