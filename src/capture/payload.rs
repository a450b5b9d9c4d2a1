//! An event's content when its watch has no expressions: data, key, changed columns.
//!
//! All of it converts values, so it runs as the table's owner if a type's own functions may be called.

use super::watch::{Format, Watch};
use crate::pg::rows::Row;
use crate::pg::trigger::Operation;
use herald_core::json::push_string;
use herald_core::limits;

/// Returns `{"operation":...,"schema":...,"table":...,"record":...,"old_record":...,"changed":[...]}`, minified.
///
/// `changed` holds positions among the table's columns; the member is null if an update's old row is unknown. Returns
/// `None` if the rows exceed [`limits::ROWS`].
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

/// Returns the data of a TRUNCATE; `part` is the partition or child that was truncated instead of the whole table.
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

/// Returns the positions of the shown or deciding columns whose stored values differ between the two rows.
pub fn changed_columns(format: &Format, new: &Row<'_>, old: &Row<'_>) -> Vec<usize> {
    let columns = &format.shape.columns;
    (0..columns.len())
        .filter(|at| format.is_kept(*at) || format.decides(*at))
        .filter(|at| !new.has_same(old, &columns[*at]))
        .collect()
}

/// Returns the primary key as text: its columns joined by `/`, with `%` and `/` in them percent-encoded if there are
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

/// Returns the values of the key columns as text, in the order of the key.
pub fn key_parts(format: &Format, row: &Row<'_>) -> Vec<Option<String>> {
    format
        .key
        .iter()
        .map(|at| row.text(&format.shape.columns[*at]))
        .collect()
}
