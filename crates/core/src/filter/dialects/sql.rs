//! The dialect `sql`: an expression in CloudEvents SQL over the event's attributes.

use crate::error::Error;
use crate::filter::cesql::Expression;
use crate::filter::rule::Rule;
use crate::filter::site::Site;
use crate::filter::value::Value;
use crate::filter::words;

const HINT: &str = r#"Write an expression, such as "type = 'order.paid' AND EXISTS subject"."#;

pub(super) fn rule(value: &Value<'_>, site: &Site<'_>) -> Result<Rule, Error> {
    let Value::String(text) = value else {
        return Err(site.refuse(&format!("is {}, not a string", value.kind()), HINT));
    };
    let expression = Expression::parse_filter(text)
        .map_err(|fault| site.refuse(&format!("cannot be parsed: {fault}"), HINT))?;
    Ok(Rule::Sql {
        expression: Box::new(expression),
        words: format!("sql: {}", words::json(value)).into(),
    })
}
