//! Step 1: a statement on a watched table becomes events in the user's own transaction.
//!
//! It takes two steps with different rights. A value or an expression that may call a user's function is evaluated as
//! the table's owner, in a security-restricted operation; then only finished text is appended to the log. Nothing here
//! sends, waits, or locks a row that other sessions use.

mod attributes;
mod bounds;
mod context;
mod evaluators;
mod expression;
mod payload;
mod truncate;
mod watch;

pub use context::{check_context, context};

use crate::log::append::{self, Common, NewEvent};
use crate::pg::memory::Memory;
use crate::pg::rows::{Row, Rows};
use crate::pg::trigger::{self, Operation};
use crate::pg::user::{self, Acting};
use crate::settings;
use bounds::Captured;
use context::common;
use evaluators::Evaluators;
use pgrx::pg_sys::panic::{ErrorReport, ErrorReportable};
use pgrx::prelude::*;
use std::collections::HashMap;
use std::rc::Rc;
use watch::{Format, Watch};

/// Events are appended in batches of this many rows or bytes, whichever comes first: a statement of any size needs
/// memory for one batch, or for one larger event.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 1 << 20;

#[pg_trigger(sql = false)]
fn capture<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, ErrorReport> {
    // Report here: pgrx would show a returned report in its own format.
    capture_statement(trigger).unwrap_or_report();
    Ok(None::<PgHeapTuple<'a, pgrx::AllocatedByPostgres>>)
}

fn capture_statement(trigger: &PgTrigger<'_>) -> Result<(), ErrorReport> {
    if !settings::capture_is_on() {
        return Ok(());
    }
    let Some(watch) = Watch::of_trigger(trigger)? else {
        return Ok(());
    };
    let operation = trigger::operation(trigger);
    let (old, new) = trigger::rows(trigger);
    let is_empty = |rows: &Option<Rows<'_>>| rows.as_ref().is_none_or(|rows| rows.len() == 0);
    if operation != Operation::Truncate && is_empty(&old) && is_empty(&new) {
        return Ok(());
    }
    let fired = trigger::relation(trigger);
    let Some(format) = watch.format(fired) else {
        return Ok(());
    };
    if operation == Operation::Truncate {
        truncate::capture(&watch, fired);
    } else {
        Statement::new(&watch, format, operation).capture(old, new);
    }
    Ok(())
}

/// A new and an old row.
type Pair<'r> = (Option<Row<'r>>, Option<Row<'r>>);
/// Rows by primary key.
type ByKey<'f> = HashMap<Vec<Option<String>>, Row<'f>>;

/// A statement being captured, or a single row of it if the trigger fires per row.
struct Statement<'w> {
    watch: &'w Watch,
    operation: Operation,
    common: Common,
    /// Faults of the common attributes, named in every event.
    faults: Vec<String>,
    format: Rc<Format>,
    evaluators: Option<Evaluators<'w>>,
    memory: Memory,
    batch: Vec<NewEvent>,
    batch_bytes: usize,
}

impl<'w> Statement<'w> {
    fn new(watch: &'w Watch, format: Rc<Format>, operation: Operation) -> Self {
        let mut faults = Vec::new();
        Self {
            watch,
            operation,
            // The current role is the user here, and the table's owner from then on.
            common: common(watch, user::current_user(), &mut faults),
            faults,
            format,
            evaluators: None,
            memory: Memory::of_statement(c"pg_herald row"),
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Pairs the rows by walking both tables in step. If a user's trigger suppressed rows on one side, the counts
    /// differ and no such pair can be trusted.
    fn capture(mut self, mut old: Option<Rows<'_>>, mut new: Option<Rows<'_>>) {
        match (&mut old, &mut new) {
            (Some(old), Some(new)) if old.len() != new.len() => self.walk_unpaired(old, new),
            _ => self.walk(old.as_mut(), new.as_mut()),
        }
    }

    /// Captures the rows in order, old and new in step.
    fn walk(&mut self, mut old: Option<&mut Rows<'_>>, mut new: Option<&mut Rows<'_>>) {
        let format = Rc::clone(&self.format);
        self.capture_pairs(|| {
            let old = old.as_mut().and_then(|rows| rows.next(&format.shape));
            let new = new.as_mut().and_then(|rows| rows.next(&format.shape));
            (old.is_some() || new.is_some()).then_some((new, old))
        });
    }

    /// Captures an update that lacks some old or new rows. Pairs rows by primary key if the old rows fit into one
    /// batch; otherwise events carry the new row only.
    fn walk_unpaired(&mut self, old: &mut Rows<'_>, new: &mut Rows<'_>) {
        let format = Rc::clone(&self.format);
        let by_key = self.rows_by_key(&format, old);
        let Some(mut by_key) = by_key else {
            return self.walk(None, Some(new));
        };
        self.capture_pairs(|| {
            let new = new.next(&format.shape)?;
            let old = by_key.remove(&payload::key_parts(&format, &new));
            Some((Some(new), old))
        });
    }

    /// Returns the rows by primary key, or `None` if they have no key or are too many.
    fn rows_by_key<'f>(&self, format: &'f Format, rows: &mut Rows<'_>) -> Option<ByKey<'f>> {
        if format.key.is_empty() || rows.len() > BATCH_ROWS as i64 {
            return None;
        }
        let _owner = self.act_as_owner();
        let (mut by_key, mut bytes) = (ByKey::new(), 0);
        while let Some(row) = rows.next(&format.shape) {
            bytes += row.length();
            if bytes > BATCH_BYTES {
                return None;
            }
            by_key.insert(payload::key_parts(format, &row), row);
        }
        Some(by_key)
    }

    /// Captures all pairs of a new and an old row, and appends their events in batches.
    fn capture_pairs<'r>(&mut self, mut next: impl FnMut() -> Option<Pair<'r>>) {
        loop {
            let is_done = {
                let _owner = self.act_as_owner();
                self.fill_batch(&mut next)
            };
            self.append();
            if is_done {
                return;
            }
        }
    }

    /// Switches to the table's owner if the capture may call a user's function.
    fn act_as_owner(&self) -> Option<Acting> {
        let is_plain = self.format.is_plain() && !self.watch.has_expressions();
        (!is_plain).then(|| Acting::as_owner_restricted(self.watch.table.owner))
    }

    /// Fills the batch. Returns whether the rows are exhausted. Runs as [`Self::act_as_owner`] says.
    fn fill_batch<'r>(&mut self, next: &mut impl FnMut() -> Option<Pair<'r>>) -> bool {
        let Self {
            watch,
            operation,
            faults,
            format,
            memory,
            batch,
            batch_bytes,
            ..
        } = self;
        let evaluators = self
            .evaluators
            .get_or_insert_with(|| Evaluators::new(watch, *operation));
        while batch.len() < BATCH_ROWS && *batch_bytes < BATCH_BYTES {
            let captured = memory.run_and_empty(|| {
                let (new, old) = next()?;
                let (new, old) = (new.as_ref(), old.as_ref());
                let captured = capture_row(watch, format, evaluators, *operation, new, old);
                Some(captured.map(|captured| captured.finish(faults)))
            });
            let Some(captured) = captured else {
                return true;
            };
            *batch_bytes += captured.as_ref().map_or(0, NewEvent::bytes);
            batch.extend(captured);
        }
        false
    }

    fn append(&mut self) {
        match self.batch.as_slice() {
            [event] => {
                append::append_one(&self.common, event);
            }
            events => append::append_many(&self.common, events),
        }
        self.batch.clear();
        self.batch_bytes = 0;
    }
}

/// Returns the event of one row, or `None` if the watch leaves it out. Runs as [`Statement::act_as_owner`] says.
fn capture_row(
    watch: &Watch,
    format: &Format,
    evaluators: &mut Evaluators<'_>,
    operation: Operation,
    new: Option<&Row<'_>>,
    old: Option<&Row<'_>>,
) -> Option<Captured> {
    let changed = match (operation, new, old) {
        (Operation::Update, Some(new), Some(old)) => {
            Some(payload::changed_columns(format, new, old))
        }
        _ => None,
    };
    if !format.concerns(changed.as_deref()) {
        return None;
    }
    let key = new.or(old).and_then(|row| payload::key_text(format, row));
    let event = NewEvent {
        r#type: watch.event_type(operation).to_owned(),
        subject: key.clone(),
        key,
        ..NewEvent::default()
    };
    let mut captured = evaluators.apply(event, new, old)?;
    if captured.event.data.is_none() {
        let changed = changed.as_deref();
        captured.event.data = payload::row_data(watch, format, operation, new, old, changed);
        if captured.event.data.is_none() {
            let fault = "the rows have more than 128 MB, so the event has no data";
            captured.faults.push(fault.to_owned());
        }
    }
    Some(captured)
}
