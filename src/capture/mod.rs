//! Step 1: a statement on a watched table becomes events in the user's own transaction.
//!
//! Two steps with different rights: every value is converted and every expression evaluated as the table's owner, in
//! a security-restricted operation; only finished text is then appended with the rights of the extension's owner.
//! Nothing here sends, waits, or locks a row that other sessions use.

mod context;
mod payload;
mod truncate;
mod watch;

pub use context::context;

use crate::log::append::{self, Common, NewEvent};
use crate::pg::rows::{Row, RowMemory, Rows, Shape};
use crate::pg::trigger::{self, Operation};
use crate::pg::{transaction, user::Acting};
use crate::settings;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use watch::{Evaluators, Watch};

/// Events are appended in batches of this many rows or bytes, whichever comes first: a statement of any size needs
/// the memory of one batch.
const BATCH_ROWS: usize = 500;
const BATCH_BYTES: usize = 1 << 20;

#[pg_trigger(sql = r#"
create function herald._capture() returns trigger
    language c
    as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function herald._capture() is
    'Captures the changes of one statement on a watched table; watch() creates its triggers.';
"#)]
fn capture<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, impl WhoAllocated>>, ErrorReport> {
    capture_statement(trigger)?;
    Ok(None::<PgHeapTuple<'a, pgrx::AllocatedByPostgres>>)
}

fn capture_statement(trigger: &PgTrigger<'_>) -> Result<(), ErrorReport> {
    let operation = trigger::operation(trigger);
    let (mut old, mut new) = trigger::transition_rows(trigger);
    let is_empty = |rows: &Option<Rows<'_>>| rows.as_ref().is_none_or(|rows| rows.len() == 0);
    if operation != Operation::Truncate && is_empty(&old) && is_empty(&new)
        || !settings::capture_is_on()
    {
        return Ok(());
    }
    let fired = trigger::relation(trigger);
    let watch = Watch::of_trigger(trigger)?;
    if operation == Operation::Truncate {
        return truncate::capture(&watch, fired);
    }
    let mut statement = Statement::new(&watch, fired, operation);
    // Rows are paired by walking both tables in step. Where a trigger of the user's kept one side from happening
    // the counts differ, and no pair can be trusted.
    let pairs = match (&old, &new) {
        (Some(old), Some(new)) => old.len() == new.len(),
        _ => true,
    };
    if pairs {
        statement.walk(old.as_mut(), new.as_mut());
    } else {
        statement.walk_unpaired(old.as_mut(), new.as_mut());
    }
    statement.append();
    Ok(())
}

/// One statement being captured.
struct Statement<'w> {
    watch: &'w Watch,
    operation: Operation,
    common: Common,
    shape: Shape,
    evaluators: Evaluators,
    memory: RowMemory,
    batch: Vec<NewEvent>,
    batch_bytes: usize,
}

impl<'w> Statement<'w> {
    fn new(watch: &'w Watch, fired: pg_sys::Oid, operation: Operation) -> Self {
        let common = Common {
            source: watch.source.clone(),
            context: context(),
        };
        let shape = watch.shape(fired);
        let _owner = Acting::as_owner_restricted(watch.owner);
        let evaluators = watch.evaluators(&shape, operation);
        Self {
            watch,
            operation,
            common,
            shape,
            evaluators,
            memory: RowMemory::new(),
            batch: Vec::new(),
            batch_bytes: 0,
        }
    }

    /// Captures row after row, old and new in step.
    fn walk(&mut self, mut old: Option<&mut Rows<'_>>, mut new: Option<&mut Rows<'_>>) {
        loop {
            let owner = Acting::as_owner_restricted(self.watch.owner);
            let mut exhausted = false;
            while self.batch.len() < BATCH_ROWS && self.batch_bytes < BATCH_BYTES {
                let Self {
                    watch,
                    operation,
                    shape,
                    evaluators,
                    memory,
                    ..
                } = self;
                let captured = memory.run(|| {
                    let old = old.as_mut().and_then(|rows| rows.next(shape));
                    let new = new.as_mut().and_then(|rows| rows.next(shape));
                    (old.is_some() || new.is_some()).then(|| {
                        capture_row(
                            watch,
                            shape,
                            evaluators,
                            *operation,
                            new.as_ref(),
                            old.as_ref(),
                        )
                    })
                });
                match captured {
                    None => {
                        exhausted = true;
                        break;
                    }
                    Some(None) => {}
                    Some(Some(event)) => {
                        self.batch_bytes += event.data.as_ref().map_or(0, String::len);
                        self.batch.push(event);
                    }
                }
            }
            drop(owner);
            if exhausted {
                return;
            }
            self.append();
        }
    }

    /// An update of which some old or new rows are missing: pairs are found by primary key where the old rows fit
    /// into one batch, and otherwise events carry the new row only.
    fn walk_unpaired(&mut self, old: Option<&mut Rows<'_>>, new: Option<&mut Rows<'_>>) {
        let (Some(old), Some(new)) = (old, new) else {
            return;
        };
        let Self {
            watch,
            operation,
            shape,
            evaluators,
            batch,
            ..
        } = self;
        if watch.key_columns.is_empty() || old.len() > BATCH_ROWS as i64 {
            return self.walk(None, Some(new));
        }
        let _owner = Acting::as_owner_restricted(watch.owner);
        let mut by_key = std::collections::HashMap::new();
        while let Some(row) = old.next(shape) {
            by_key.insert(payload::key_parts(&row, &watch.key_columns), row);
        }
        while let Some(row) = new.next(shape) {
            let old = by_key.remove(&payload::key_parts(&row, &watch.key_columns));
            batch.extend(capture_row(
                watch,
                shape,
                evaluators,
                *operation,
                Some(&row),
                old.as_ref(),
            ));
        }
    }

    fn append(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        match batch.len() {
            1 => {
                append::append_one(&self.common, batch.remove(0));
            }
            _ => append::append_many(&self.common, batch),
        }
    }
}

/// The event of one row, or `None` where the watch leaves it out. Runs as the table's owner.
fn capture_row(
    watch: &Watch,
    shape: &Shape,
    evaluators: &mut Evaluators,
    operation: Operation,
    new: Option<&Row<'_>>,
    old: Option<&Row<'_>>,
) -> Option<NewEvent> {
    let changed = payload::changed_columns(watch, shape, operation, new, old);
    if operation == Operation::Update && !watch.concerns(changed.as_deref()) {
        return None;
    }
    let keys = new
        .or(old)
        .and_then(|row| payload::key_text(row, &watch.key_columns));
    let mut event = NewEvent {
        r#type: watch.event_type(operation),
        subject: keys.clone(),
        key: keys,
        ..NewEvent::default()
    };
    let evaluated = if watch.captures_faults && !evaluators.is_empty() {
        // One evaluation, one subtransaction: a fault in it undoes what it did and nothing else.
        transaction::subtransaction(|| evaluators.apply(&mut event, new, old)).unwrap_or_else(
            |fault| {
                event.extensions = Some(payload::fault_extension(&fault.message));
                true
            },
        )
    } else {
        evaluators.apply(&mut event, new, old)
    };
    if !evaluated {
        return None;
    }
    if event.data.is_none() {
        event.data = Some(payload::default_data(
            watch,
            operation,
            new,
            old,
            changed.as_deref(),
        ));
    }
    Some(event)
}
