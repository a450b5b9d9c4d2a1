//! The dialects `exact`, `prefix` and `suffix`: texts of the event's attributes (CloudEvents Subscriptions API, section
//! 3.2.4).
//!
//! Each is an object of attributes and non-empty strings, all of which must match, with regard to case. An attribute
//! that the event lacks does not match.

use crate::error::Error;
use crate::event::extensions::MAX_EXTENSION_NAME;
use crate::filter::rule::Rule;
use crate::filter::scalar::Constant;
use crate::filter::site::Site;
use crate::filter::test::Test;
use crate::filter::value::Value;
use crate::filter::words;

const HINT: &str = r#"Write attributes and texts, such as {"type": "order.paid"}."#;

pub(super) fn rules(dialect: &str, value: &Value<'_>, site: &Site<'_>) -> Result<Vec<Rule>, Error> {
    let members = site.members(value, HINT)?;
    let rule = |(name, value): (&str, &Value<'_>)| {
        let site = &site.member(name);
        check_name(name, site)?;
        let text: Box<str> = match site.text(value, HINT)? {
            "" => return Err(site.refuse("is an empty string", "Leave it out.")),
            text => text.into(),
        };
        Ok(Rule::Attribute {
            name: name.into(),
            words: format!("{dialect}.{name}: {}", words::json(value)).into(),
            test: match dialect {
                "prefix" => Test::Prefix(text),
                "suffix" => Test::Suffix(text),
                _ => Test::Equals(Constant::String(text)),
            },
        })
    };
    members.iter().map(rule).collect()
}

/// Refuses a name that no attribute of an event can have.
pub(super) fn check_name(name: &str, site: &Site<'_>) -> Result<(), Error> {
    if ["data", "data_base64"].contains(&name) {
        return Err(site.refuse(
            "is not an attribute",
            r#"Use the dialect data, such as {"data": {"status": "paid"}}."#,
        ));
    }
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if (1..=MAX_EXTENSION_NAME).contains(&name.len()) && name.bytes().all(is_allowed) {
        return Ok(());
    }
    Err(site.refuse(
        "cannot be an attribute",
        "Use a name of 1 to 20 of the characters a-z and 0-9, such as type.",
    ))
}

#[cfg(test)]
mod tests;
