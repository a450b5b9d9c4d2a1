//! What an event says about a row when its watch has no expressions: data, key, changed columns.
//!
//! All of it converts values, so it runs as the table's owner.

use super::watch::Watch;
use crate::pg::rows::{Row, Shape};
use crate::pg::trigger::Operation;
use herald_core::json::{minify, push_string};

/// The names of the columns whose stored value differs between the two rows; `None` unless both are there.
pub fn changed_columns(
    watch: &Watch,
    shape: &Shape,
    operation: Operation,
    new: Option<&Row<'_>>,
    old: Option<&Row<'_>>,
) -> Option<Vec<String>> {
    let (Operation::Update, Some(new), Some(old)) = (operation, new, old) else {
        return None;
    };
    let changed = shape
        .columns
        .iter()
        .filter(|column| watch.keeps(&column.name) || watch.decides_on(&column.name))
        .filter(|column| !new.has_same(old, column))
        .map(|column| column.name.clone());
    Some(changed.collect())
}

/// `{"operation":...,"schema":...,"table":...,"record":...,"old_record":...,"changed":[...]}`, minified.
pub fn default_data(
    watch: &Watch,
    operation: Operation,
    new: Option<&Row<'_>>,
    old: Option<&Row<'_>>,
    changed: Option<&[String]>,
) -> String {
    let mut json = String::with_capacity(256);
    json.push_str("{\"operation\":\"");
    json.push_str(operation.as_str());
    json.push_str("\",\"schema\":");
    push_string(&mut json, &watch.schema_name);
    json.push_str(",\"table\":");
    push_string(&mut json, &watch.table_name);
    for (member, row) in [("record", new), ("old_record", old)] {
        json.push_str(",\"");
        json.push_str(member);
        json.push_str("\":");
        match row {
            Some(row) => json.push_str(&minify(&row.json())),
            None => json.push_str("null"),
        }
    }
    if operation == Operation::Update {
        json.push_str(",\"changed\":[");
        let kept = changed
            .unwrap_or_default()
            .iter()
            .filter(|name| watch.keeps(name));
        for (position, name) in kept.enumerate() {
            if position > 0 {
                json.push(',');
            }
            push_string(&mut json, name);
        }
        json.push(']');
    }
    json.push('}');
    json
}

/// The primary key as text: its columns joined by `/`, with `%` and `/` in them percent-encoded where there are
/// several. `None` without a primary key.
pub fn key_text(row: &Row<'_>, key_columns: &[String]) -> Option<String> {
    let parts = key_parts(row, key_columns);
    match parts.as_slice() {
        [] => None,
        [one] => one.clone(),
        several => Some(
            several
                .iter()
                .map(|part| {
                    part.as_deref()
                        .unwrap_or_default()
                        .replace('%', "%25")
                        .replace('/', "%2F")
                })
                .collect::<Vec<_>>()
                .join("/"),
        ),
    }
}

/// The values of the key columns as text, in the order of the key.
pub fn key_parts(row: &Row<'_>, key_columns: &[String]) -> Vec<Option<String>> {
    key_columns
        .iter()
        .filter_map(|name| row.column(name))
        .map(|column| row.text(column))
        .collect()
}

/// The extension attribute that an event carries when its watch's expressions failed.
pub fn fault_extension(message: &str) -> String {
    let mut json = String::from("{\"captureerror\":");
    let printable: String = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(500)
        .collect();
    push_string(&mut json, &printable);
    json.push('}');
    json
}

/// The priority that an expression gave, if it is one.
pub fn checked_priority(priority: String) -> String {
    if !matches!(priority.as_str(), "low" | "normal" | "high") {
        use pgrx::pg_sys::panic::ErrorReport;
        use pgrx::prelude::*;
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            format!("a watch's priority gave \"{priority}\""),
            "capture",
        )
        .set_hint("It has to be low, normal or high.")
        .report(PgLogLevel::ERROR);
    }
    priority
}
