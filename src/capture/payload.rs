//! What an event says about a row when its watch has no expressions: data, key, changed columns.
//!
//! All of it converts values, so it runs as the table's owner where a type's own functions may do that.

use super::watch::{Format, Watch};
use crate::pg::rows::Row;
use crate::pg::trigger::Operation;
use herald_core::attributes::{is_reserved, replace_forbidden};
use herald_core::json::push_string;
use herald_core::limits;

/// `{"operation":...,"schema":...,"table":...,"record":...,"old_record":...,"changed":[...]}`, minified.
///
/// `changed` are positions among the table's columns. Where they are unknown, because an update's old row is, the
/// member is null. `None` for rows beyond [`limits::ROWS`].
pub fn row_data(
    watch: &Watch,
    format: &Format,
    operation: Operation,
    new: Option<&Row<'_>>,
    old: Option<&Row<'_>>,
    changed: Option<&[usize]>,
) -> Option<String> {
    let rows = [new, old].into_iter().flatten();
    if rows.map(Row::bytes).sum::<usize>() > limits::ROWS {
        return None;
    }
    let mut json = start(watch, operation);
    for (member, row) in [("record", new), ("old_record", old)] {
        push_member(&mut json, member);
        match row {
            Some(row) => row.push_json(&mut json),
            None => json.push_str("null"),
        }
    }
    if operation == Operation::Update {
        push_member(&mut json, "changed");
        match changed {
            None => json.push_str("null"),
            Some(changed) => push_names(&mut json, format, changed),
        }
    }
    json.push('}');
    Some(json)
}

/// The data of a TRUNCATE; `part` is the partition or child that was truncated instead of the whole table.
pub fn truncate_data(watch: &Watch, part: Option<&str>) -> String {
    let mut json = start(watch, Operation::Truncate);
    json.push_str(",\"record\":null,\"old_record\":null");
    if let Some(part) = part {
        push_member(&mut json, "partition");
        push_string(&mut json, part);
    }
    json.push('}');
    json
}

fn start(watch: &Watch, operation: Operation) -> String {
    let mut json = String::with_capacity(256);
    json.push_str("{\"operation\":\"");
    json.push_str(operation.as_str());
    json.push_str("\",\"schema\":");
    push_string(&mut json, &watch.table.schema);
    push_member(&mut json, "table");
    push_string(&mut json, &watch.table.name);
    json
}

fn push_member(json: &mut String, name: &str) {
    json.push_str(",\"");
    json.push_str(name);
    json.push_str("\":");
}

fn push_names(json: &mut String, format: &Format, positions: &[usize]) {
    json.push('[');
    let kept = positions.iter().filter(|at| format.is_kept(**at));
    for (count, at) in kept.enumerate() {
        if count > 0 {
            json.push(',');
        }
        push_string(json, &format.shape.columns[*at].name);
    }
    json.push(']');
}

/// The columns whose stored value differs between the two rows, by position: of those that are shown or decide.
pub fn changed_columns(format: &Format, new: &Row<'_>, old: &Row<'_>) -> Vec<usize> {
    let columns = &format.shape.columns;
    (0..columns.len())
        .filter(|at| format.is_kept(*at) || format.decides(*at))
        .filter(|at| !new.has_same(old, &columns[*at]))
        .collect()
}

/// The primary key as text: its columns joined by `/`, with `%` and `/` in them percent-encoded where there are
/// several. `None` without a primary key.
pub fn key_text(format: &Format, row: &Row<'_>) -> Option<String> {
    let mut parts = key_parts(format, row);
    if parts.len() < 2 {
        return parts.pop().flatten();
    }
    let encoded: Vec<String> = parts
        .into_iter()
        .map(|part| {
            part.unwrap_or_default()
                .replace('%', "%25")
                .replace('/', "%2F")
        })
        .collect();
    Some(encoded.join("/"))
}

/// The values of the key columns as text, in the order of the key.
pub fn key_parts(format: &Format, row: &Row<'_>) -> Vec<Option<String>> {
    format
        .key
        .iter()
        .map(|at| row.text(&format.shape.columns[*at]))
        .collect()
}

/// A text as a CloudEvents attribute: an empty one is none, and what no CloudEvents string may contain is replaced,
/// because no business write fails for the form of an attribute.
pub fn attribute(text: Option<String>) -> Option<String> {
    let text = text.filter(|text| !text.is_empty())?;
    Some(replace_forbidden(&text).unwrap_or(text))
}

/// The type of a table's events, unless the watch has its own. Of a schema whose name begins with `herald.` it would be
/// one of pg_herald's own, so an underscore goes before it.
pub fn default_type(schema: &str, table: &str, change: &str) -> String {
    let names = attribute(Some(format!("{schema}.{table}.{change}"))).unwrap_or_default();
    if is_reserved(&names) {
        return format!("_{names}");
    }
    names
}

/// The extension attribute that an event carries when it could not be captured as it should have been.
pub fn fault_extension(message: &str) -> String {
    let printable: String = message.chars().take(500).collect();
    let mut json = String::from("{\"captureerror\":");
    push_string(&mut json, &attribute(Some(printable)).unwrap_or_default());
    json.push('}');
    json
}
