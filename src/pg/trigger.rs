//! What a trigger learns: the operation, the table, and the rows before and after.

use super::rows::Rows;
use pgrx::{PgTrigger, PgTriggerLevel, pg_sys};

/// What the statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Insert,
    Update,
    Delete,
    Truncate,
}

impl Operation {
    pub const ALL: [Self; 4] = [Self::Insert, Self::Update, Self::Delete, Self::Truncate];

    /// Returns the word for it in the data of an event and in `operations`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
        }
    }

    /// Returns the last part of the default event type.
    pub fn past_tense(self) -> &'static str {
        match self {
            Self::Insert => "inserted",
            Self::Update => "updated",
            Self::Delete => "deleted",
            Self::Truncate => "truncated",
        }
    }
}

/// Returns the operation that fired the trigger.
pub fn operation(trigger: &PgTrigger<'_>) -> Operation {
    match trigger.op() {
        Ok(pgrx::PgTriggerOperation::Insert) => Operation::Insert,
        Ok(pgrx::PgTriggerOperation::Update) => Operation::Update,
        Ok(pgrx::PgTriggerOperation::Delete) => Operation::Delete,
        _ => Operation::Truncate,
    }
}

/// Returns the rows before and after the statement, if the trigger declares them; or the one row that it fires for.
pub fn rows<'a>(trigger: &PgTrigger<'a>) -> (Option<Rows<'a>>, Option<Rows<'a>>) {
    let data = trigger.trigger_data();
    if matches!(trigger.level(), PgTriggerLevel::Row) {
        // SAFETY: PostgreSQL passes tuples that live as long as the trigger's call, in the row format of tg_relation.
        let (first, second) = unsafe {
            (
                Rows::of_row(data.tg_trigtuple),
                Rows::of_row(data.tg_newtuple),
            )
        };
        return match operation(trigger) {
            Operation::Insert => (None, first),
            _ => (first, second),
        };
    }
    // SAFETY: PostgreSQL passes tuplestores that live as long as the call of the trigger, in the row format of
    // tg_relation, and null if the trigger declares no such transition table.
    unsafe {
        let descriptor = (*data.tg_relation).rd_att;
        (
            Rows::of(data.tg_oldtable, descriptor),
            Rows::of(data.tg_newtable, descriptor),
        )
    }
}

/// Returns the oid of the table whose trigger fired.
pub fn relation(trigger: &PgTrigger<'_>) -> pg_sys::Oid {
    // SAFETY: tg_relation is open during the call.
    unsafe { (*trigger.trigger_data().tg_relation).rd_id }
}

/// Returns a mark that tells one statement of this session from every other: all triggers that a statement fires see
/// the same mark.
///
/// Assigns a transaction id, so it is only for statements that write anyway.
pub fn statement_mark() -> (u64, u32) {
    // SAFETY: inside a transaction. A statement has its active snapshot from its start; the next statement's snapshot
    // sees the commands of this one, and so has a higher number.
    unsafe {
        let transaction = pg_sys::GetTopFullTransactionId().value;
        let command = if pg_sys::ActiveSnapshotSet() {
            (*pg_sys::GetActiveSnapshot()).curcid
        } else {
            0
        };
        (transaction, command)
    }
}
