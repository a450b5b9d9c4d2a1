//! A filter after parsing.

use super::bounds::{MAX_FILTER_BYTES, MAX_TESTS};
use super::dialects;
use super::explain::Refusal;
use super::paths::Paths;
use super::read::{Unreadable, Wanted, read};
use super::rule::Rule;
use super::site::Site;
use super::view::View;
use crate::error::Error;

/// The option `filter` of a subscription: which of the events that have its types it wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    rule: Rule,
    paths: Paths,
}

impl Filter {
    /// Parses the text of a filter: an object whose members are dialects, or an array of such objects. All must hold.
    ///
    /// Takes the text, because numbers must keep all their digits.
    ///
    /// ```
    /// use herald_core::filter::Filter;
    ///
    /// assert!(Filter::parse(r#"[{"prefix": {"type": "order."}}, {"data": {"status": "paid"}}]"#).is_ok());
    /// let error = Filter::parse(r#"[{"data": {"total": {"gte": 100, "lessthan": 5}}}]"#).unwrap_err();
    /// assert_eq!(error.detail().unwrap(), r#"filter[0].data.total has no operator "lessthan"."#);
    /// ```
    pub fn parse(text: &str) -> Result<Filter, Error> {
        let site = Site::TOP;
        let example = r#"Write filter => '{"data": {"status": "paid"}}'."#;
        if text.len() > MAX_FILTER_BYTES {
            return Err(site.refuse(
                &format!("has {} bytes; allowed are {MAX_FILTER_BYTES}", text.len()),
                "Split the subscription into several.",
            ));
        }
        let value = match read(text, Wanted::Everything) {
            Ok(Some(value)) => value,
            Err(Unreadable::TooDeep) => {
                return Err(site.refuse("is nested too deep", "Use fewer levels."));
            }
            _ => return Err(site.refuse("is not JSON", example)),
        };
        let rule = dialects::filters(&value, &site, example)?;
        if rule.size() > MAX_TESTS {
            return Err(site.refuse(
                &format!(
                    "compares with {} values; allowed are {MAX_TESTS}",
                    rule.size()
                ),
                "Split the subscription into several.",
            ));
        }
        let mut paths = Paths::default();
        rule.add_paths(&mut paths);
        Ok(Filter { rule, paths })
    }

    /// Returns whether an event passes the filter. An error says that the data cannot be read, which is no refusal.
    pub fn matches(&self, view: &View<'_>) -> Result<bool, Unreadable> {
        self.rule.holds(view)
    }

    /// Returns why an event does not pass; `None` exactly if it passes.
    pub fn explain(&self, view: &View<'_>) -> Result<Option<Refusal>, Unreadable> {
        self.rule.explain(view)
    }

    /// Returns whether the filter may look at an event's data, which must be loaded then.
    pub fn asks_for_data(&self) -> bool {
        self.rule.asks_for_data()
    }

    /// Returns the paths into the data that the filter may look at.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    pub fn rule(&self) -> &Rule {
        &self.rule
    }
}
