//! The dialect `sql`: an expression in CloudEvents SQL over the event's attributes.

use crate::error::Error;
use crate::filter::cesql::{Expression, Needed};
use crate::filter::rule::Rule;
use crate::filter::scalar::Scalar;
use crate::filter::site::Site;
use crate::filter::test::Test;
use crate::filter::value::Value;
use crate::filter::words;

const HINT: &str = r#"Write an expression, such as "type = 'order.paid' AND EXISTS subject"."#;

pub(super) fn rule(value: &Value<'_>, site: &Site<'_>) -> Result<Rule, Error> {
    let Value::String(text) = value else {
        return Err(site.refuse(&format!("is {}, not a string", value.kind()), HINT));
    };
    let expression = Expression::parse_filter(text)
        .map_err(|fault| site.refuse(&format!("cannot be parsed: {fault}"), HINT))?;
    let needs = expression.needs().into_iter();
    let needs = needs.map(|(name, needed)| (name.into(), test(needed)));
    Ok(Rule::Sql {
        needs: needs.collect(),
        expression: Box::new(expression),
        words: format!("sql: {}", words::json(value)).into(),
    })
}

fn test(needed: Needed) -> Test {
    match needed {
        Needed::OneOf(texts) => {
            let constants = texts.iter().map(|text| Scalar::String(text).into());
            Test::OneOf(constants.collect())
        }
        Needed::Prefix(prefix) => Test::Prefix(prefix.into()),
    }
}
