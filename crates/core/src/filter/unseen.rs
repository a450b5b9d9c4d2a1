//! Paths of a filter that lead nowhere in recent events: most likely slips.
//!
//! It is for people who write a filter, beside matching, and decides nothing.

use std::collections::BTreeSet;

use super::bounds::MAX_PATH_BYTES;
use super::compiled::Filter;
use super::paths::{Path, Paths};
use super::pattern::{Fields, Node};
use super::read::{Unreadable, Wanted, read};
use super::rule::{Root, Rule};
use super::value::Value;
use crate::suggest;

/// At most this many paths are remembered, to suggest one of them.
const MAX_SUGGESTED: usize = 1_000;

/// The paths that a filter expects and that no event had so far.
///
/// ```
/// use herald_core::filter::{Filter, Unseen};
///
/// let filter = Filter::parse(r#"{"data": {"status": "paid", "changed": {"exists": false}}}"#).unwrap();
/// let mut unseen = Unseen::of(&filter);
/// unseen.look_at(r#"{"operation": "insert", "record": {"status": "paid"}}"#);
/// let paths: Vec<_> = unseen.paths().map(ToString::to_string).collect();
/// assert_eq!(paths, ["status"]);
/// assert_eq!(unseen.nearest(&unseen.paths().next().unwrap().clone()), Some("record.status"));
/// ```
#[derive(Debug, Clone)]
pub struct Unseen {
    missing: Vec<Path>,
    /// All paths of the filter, for data with too many others.
    wanted: Paths,
    seen: BTreeSet<String>,
}

impl Unseen {
    /// Starts with every path at which the filter expects a value.
    pub fn of(filter: &Filter) -> Unseen {
        let mut missing = Vec::new();
        add_expected(filter.rule(), &mut missing);
        missing.sort_unstable_by_key(ToString::to_string);
        missing.dedup();
        Unseen {
            missing,
            wanted: filter.paths().clone(),
            seen: BTreeSet::new(),
        }
    }

    /// Looks at the data of an event.
    pub fn look_at(&mut self, data: &str) {
        let mut is_whole = true;
        let read_whole = read(data, Wanted::Everything);
        let value = match read_whole {
            Err(Unreadable::TooMany) => {
                is_whole = false;
                read(data, Wanted::Paths(&self.wanted))
            }
            value => value,
        };
        match value {
            Ok(None) => {}
            // What cannot be read may have anything.
            Err(_) => self.missing.clear(),
            Ok(Some(value)) => {
                self.missing.retain(|path| {
                    let mut found = Vec::new();
                    value.collect_at(path.members(), &mut found);
                    found.is_empty()
                });
                if is_whole && !self.missing.is_empty() {
                    remember(&value, &Path::default(), &mut self.seen);
                }
            }
        }
    }

    /// Returns whether every path was seen.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Returns the paths that no event had.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.missing.iter()
    }

    /// Returns the path that was most likely meant: one that leads on to this one, or that is written nearly so.
    pub fn nearest(&self, path: &Path) -> Option<&str> {
        let text = path.to_string();
        let seen = || self.seen.iter().map(String::as_str);
        let tail = |seen: &'_ str| -> Option<usize> {
            let members = Path::parse(seen)?;
            let skipped = members.members().len().checked_sub(path.members().len())?;
            let tail: Path = members.members()[skipped..].iter().cloned().collect();
            Some(seen.len() - tail.to_string().len())
        };
        let leading = seen()
            .filter(|seen| tail(seen).is_some_and(|at| seen[at..] == text))
            .min_by_key(|seen| seen.len());
        leading
            .or_else(|| suggest::nearest(&text, seen()))
            .or_else(|| {
                let tails = seen().filter_map(|seen| Some(&seen[tail(seen)?..]));
                let nearest = suggest::nearest(&text, tails)?;
                seen()
                    .filter(|seen| tail(seen).is_some_and(|at| &seen[at..] == nearest))
                    .min_by_key(|seen| seen.len())
            })
    }
}

/// Adds the paths at which a rule, or what it negates, holds of a value only.
fn add_expected(rule: &Rule, paths: &mut Vec<Path>) {
    match rule {
        Rule::All(rules) | Rule::Any(rules) => {
            for rule in rules {
                add_expected(rule, paths);
            }
        }
        Rule::Not { rule, .. } => add_expected(rule, paths),
        Rule::Data {
            path, condition, ..
        } if !condition.holds(&[]) => paths.push(path.clone()),
        Rule::Pattern {
            root: Root::Data,
            node,
            ..
        } => add_expected_by(node, &Path::default(), paths),
        Rule::Data { .. } | Rule::Attribute { .. } | Rule::Pattern { .. } | Rule::Sql { .. } => {}
    }
}

fn add_expected_by(node: &Node, path: &Path, paths: &mut Vec<Path>) {
    match node {
        Node::Leaf(leaf) if leaf.accepts_absence => {}
        Node::Leaf(_) => paths.push(path.clone()),
        Node::Fields(fields) => add_expected_by_fields(fields, path, paths),
    }
}

fn add_expected_by_fields(fields: &Fields, path: &Path, paths: &mut Vec<Path>) {
    for field in &fields.fields {
        add_expected_by(&field.node, &path.to_member(&field.name), paths);
    }
    for branch in fields.choices.iter().flat_map(|choice| &choice.branches) {
        add_expected_by_fields(branch, path, paths);
    }
}

/// Adds every path into a value.
fn remember(value: &Value<'_>, path: &Path, seen: &mut BTreeSet<String>) {
    match value {
        Value::Array(elements) => {
            for element in elements {
                remember(element, path, seen);
            }
        }
        Value::Object(members) => {
            for (name, value) in members.iter() {
                let path = path.to_member(name);
                if seen.len() < MAX_SUGGESTED && path.size() <= MAX_PATH_BYTES {
                    seen.insert(path.to_string());
                    remember(value, &path, seen);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unseen(filter: &str, events: &[&str]) -> Unseen {
        let mut unseen = Unseen::of(&Filter::parse(filter).unwrap());
        for data in events {
            unseen.look_at(data);
        }
        unseen
    }

    /// Returns the paths that no event had, each with the nearest one.
    fn slips(filter: &str, events: &[&str]) -> Vec<String> {
        let unseen = unseen(filter, events);
        let slip = |path: &Path| format!("{path} {}", unseen.nearest(path).unwrap_or("-"));
        unseen.paths().map(slip).collect()
    }

    #[test]
    fn a_path_that_no_event_has_is_found_in_every_dialect() {
        let events = [r#"{"items": [{"sku": 1}], "state": null}"#];
        for (filter, expected) in [
            (r#"{"data": {"items.sku": 2, "state": "x"}}"#, &[][..]),
            (r#"{"data": {"items.suk": 2}}"#, &["items.suk items.sku"]),
            (r#"{"data": {"gone": {"exists": false}}}"#, &[]),
            (r#"{"data": {"gone": {"exists": true}}}"#, &["gone -"]),
            (r#"{"not": {"data": {"stat": "x"}}}"#, &["stat state"]),
            (
                r#"{"any": [{"data": {"a": 1}}, {"data": {"state": 1}}]}"#,
                &["a -"],
            ),
            (
                r#"{"pattern": {"data": {"items": {"suk": [1]}, "gone": [{"exists": false}]}}}"#,
                &["items.suk items.sku"],
            ),
            (
                r#"{"pattern": {"$or": [{"data": {"state": [1]}}, {"data": {"b": [1]}}]}}"#,
                &["b -"],
            ),
            (r#"{"exact": {"subject": "1"}}"#, &[]),
        ] {
            assert_eq!(slips(filter, &events), expected, "{filter}");
        }
    }

    #[test]
    fn a_path_is_seen_if_any_event_has_it() {
        let filter = r#"{"data": {"a": 1, "b": 1}}"#;
        assert_eq!(slips(filter, &[r#"{"a": 7}"#, r#"{"b": 8}"#]), [""; 0]);
        assert_eq!(slips(filter, &["7", "[]"]), ["a -", "b -"]);
    }

    #[test]
    fn the_column_of_a_captured_row_is_suggested_for_its_name() {
        let row = r#"{"operation": "insert", "record": {"status": "paid", "a.b": 1}, "old_record": {"status": "x"}}"#;
        for (path, nearest) in [
            ("status", "status record.status"),
            ("stauts", "stauts record.status"),
            (r"a\\.b", r"a\.b record.a\.b"),
            ("record.statsu", "record.statsu record.status"),
            ("colour", "colour -"),
        ] {
            let filter = format!(r#"{{"data": {{"{path}": "paid"}}}}"#);
            assert_eq!(slips(&filter, &[row]), [nearest]);
        }
    }

    #[test]
    fn data_that_cannot_be_read_may_have_everything() {
        let filter = r#"{"data": {"b": 1}}"#;
        assert!(unseen(filter, &["{"]).is_empty());
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(unseen(filter, &[&deep]).is_empty());
    }

    #[test]
    fn data_with_many_values_is_searched_for_the_filters_own_paths() {
        let many = format!(r#"{{"list": [{}0], "b": 1}}"#, "0,".repeat(20_000));
        assert!(unseen(r#"{"data": {"b": 1}}"#, &[&many]).is_empty());
        assert_eq!(slips(r#"{"data": {"c": 1}}"#, &[&many]), ["c -"]);
    }

    #[test]
    fn a_bounded_number_of_paths_is_remembered() {
        let members: Vec<String> = (0..5_000).map(|n| format!(r#""m{n:04}": 1"#)).collect();
        let data = format!("{{{}}}", members.join(","));
        let unseen = unseen(r#"{"data": {"x": 1}}"#, &[&data]);
        assert_eq!(unseen.seen.len(), MAX_SUGGESTED);
    }
}
