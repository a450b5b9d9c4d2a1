//! Captures TRUNCATE as one event without records.

use super::bounds::Captured;
use super::context::common;
use super::payload;
use super::watch::Watch;
use crate::log::append::{self, NewEvent};
use crate::pg::trigger::{self, Operation};
use crate::pg::{catalog, tree, user};
use pgrx::pg_sys;
use std::cell::RefCell;

/// The partitions that one statement truncates along with their tables, each with the watch of the table.
struct Covered {
    statement: (u64, u32),
    partitions: Vec<(i64, pg_sys::Oid)>,
}

thread_local! {
    static COVERED: RefCell<Covered> = const { RefCell::new(Covered { statement: (0, 0), partitions: Vec::new() }) };
}

/// Appends the event of a TRUNCATE, unless the same statement truncates a table that this is a partition of: PostgreSQL
/// fires the triggers of a partitioned table first and those of its partitions right after.
pub fn capture(watch: &Watch, fired: pg_sys::Oid) {
    let statement = trigger::statement_mark();
    let is_covered = COVERED.with_borrow_mut(|covered| {
        if covered.statement != statement {
            covered.statement = statement;
            covered.partitions.clear();
        }
        covered.partitions.contains(&(watch.id, fired))
    });
    if is_covered {
        return;
    }
    let partitions = tree::partitions_below(fired);
    COVERED.with_borrow_mut(|covered| {
        let below = partitions.into_iter().map(|below| (watch.id, below));
        covered.partitions.extend(below);
    });
    let part = (fired != watch.watched).then(|| catalog::qualified_name(fired));
    let event = NewEvent {
        r#type: watch.event_type(Operation::Truncate).to_owned(),
        data: Some(payload::truncate_data(watch, part.as_deref())),
        ..NewEvent::default()
    };
    let mut faults = Vec::new();
    let common = common(watch, user::current_user(), &mut faults);
    append::append_one(&common, &Captured::from(event).finish(&faults));
}
