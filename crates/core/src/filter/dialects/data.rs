//! The dialect `data`: paths into the event's data, and what their values must be, as people write it.
//!
//! ```json
//! {"data": {"status": "paid", "total": ">= 100", "species.family": ["Quercus", "Acer"], "user_id": "user-*",
//!           "deleted_at": null, "tags": {"contains": "vip"}}}
//! ```
//!
//! All members must hold; each value is a [form](super::forms). A path is exact: `status` is not `record.status`. A dot
//! stands between members, and `\.` is a dot in a name.
//!
//! A path leads through arrays to each of their elements, and an array at its end stands for each of its elements: any
//! must pass. Only `not` and `!=` want that none does. A missing path matches `{"exists": false}` and nothing else.

use super::forms::form;
use crate::error::Error;
use crate::filter::paths::Path;
use crate::filter::rule::Rule;
use crate::filter::site::Site;
use crate::filter::value::Value;
use crate::filter::words;

const HINT: &str = r#"Write paths and values, such as {"status": "paid", "customer.id": 7}."#;

pub(super) fn rules(value: &Value<'_>, site: &Site<'_>) -> Result<Vec<Rule>, Error> {
    let members = site.members(value, HINT)?;
    let rule = |(name, value): (&str, &Value<'_>)| {
        let site = &site.member(name);
        let path = Path::parse(name).ok_or_else(|| {
            site.refuse(
                "is not a path",
                r"Write names with dots between them; \. is a dot in a name, \\ a backslash.",
            )
        })?;
        site.check_path(&path)?;
        Ok(Rule::Data {
            words: format!("data.{path}: {}", words::json(value)).into(),
            condition: form(value, site)?,
            path,
        })
    };
    members.iter().map(rule).collect()
}

#[cfg(test)]
mod tests;
