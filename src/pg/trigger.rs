//! What a trigger is told: the operation, the table, and the rows before and after.

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

    /// The word in the data of an event and in `operations`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Truncate => "truncate",
        }
    }

    /// The last part of the default event type.
    pub fn past_tense(self) -> &'static str {
        match self {
            Self::Insert => "inserted",
            Self::Update => "updated",
            Self::Delete => "deleted",
            Self::Truncate => "truncated",
        }
    }
}

/// The operation that fired the trigger.
pub fn operation(trigger: &PgTrigger<'_>) -> Operation {
    match trigger.op() {
        Ok(pgrx::PgTriggerOperation::Insert) => Operation::Insert,
        Ok(pgrx::PgTriggerOperation::Update) => Operation::Update,
        Ok(pgrx::PgTriggerOperation::Delete) => Operation::Delete,
        _ => Operation::Truncate,
    }
}

/// The rows before and after the statement, where the trigger declares them; or the one row that it fires for.
pub fn rows<'a>(trigger: &PgTrigger<'a>) -> (Option<Rows<'a>>, Option<Rows<'a>>) {
    let data = trigger.trigger_data();
    if matches!(trigger.level(), PgTriggerLevel::Row) {
        // SAFETY: PostgreSQL passes tuples that live as long as the call of the trigger, in the row format of tg_relation.
        let (first, second) =
            unsafe { (Rows::one(data.tg_trigtuple), Rows::one(data.tg_newtuple)) };
        return match operation(trigger) {
            Operation::Insert => (None, first),
            _ => (first, second),
        };
    }
    // SAFETY: PostgreSQL passes tuplestores that live as long as the call of the trigger, in the row format of
    // tg_relation, and null where the trigger declares no such transition table.
    unsafe {
        let descriptor = (*data.tg_relation).rd_att;
        (
            Rows::of(data.tg_oldtable, descriptor),
            Rows::of(data.tg_newtable, descriptor),
        )
    }
}

/// The oid of the table whose trigger fired.
pub fn relation(trigger: &PgTrigger<'_>) -> pg_sys::Oid {
    // SAFETY: tg_relation is open during the call.
    unsafe { (*trigger.trigger_data().tg_relation).rd_id }
}

/// What tells one statement of this session from every other: all triggers that a statement fires see the same mark.
///
/// It takes a transaction id, so it is for statements that write anyhow.
pub fn statement_mark() -> (u64, u32) {
    // SAFETY: inside a transaction. A statement has the active snapshot from its start, and the one that follows sees
    // the commands of this one, so its snapshot has a higher number.
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
