//! TRUNCATE: one event without records.

use super::context;
use super::payload;
use super::watch::Watch;
use crate::log::append::{self, Common, NewEvent};
use crate::pg::tree;
use crate::pg::trigger::Operation;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::ErrorReport;
use std::cell::RefCell;

thread_local! {
    // (watch, table): partitions whose triggers fire because their root was truncated by the same statement.
    static COVERED: RefCell<Vec<(i64, pg_sys::Oid)>> = const { RefCell::new(Vec::new()) };
}

/// Appends the event of a TRUNCATE, unless the table is a partition of one that the same statement truncates:
/// PostgreSQL fires the triggers of a partitioned table first and those of all its partitions right after.
pub fn capture(watch: &Watch, fired: pg_sys::Oid) -> Result<(), ErrorReport> {
    let is_covered = COVERED.with_borrow_mut(|covered| {
        let at = covered.iter().position(|one| *one == (watch.id, fired));
        at.map(|at| covered.swap_remove(at)).is_some()
    });
    if is_covered {
        return Ok(());
    }
    let partitions = tree::partitions_below(fired);
    COVERED.with_borrow_mut(|covered| {
        covered.retain(|(id, _)| *id != watch.id);
        covered.extend(
            partitions
                .into_iter()
                .map(|partition| (watch.id, partition)),
        );
    });
    let data = payload::default_data(watch, Operation::Truncate, None, None, None);
    let event = NewEvent {
        r#type: watch.event_type(Operation::Truncate),
        data: Some(data),
        ..NewEvent::default()
    };
    append::append_one(
        &Common {
            source: watch.source.clone(),
            context: context(),
        },
        event,
    );
    Ok(())
}
