//! Transactions of the background worker: begun, committed or rolled back here, never left open.

use super::process;
use super::symbols::{STATEMENT_TIMEOUT, disable_timeout, enable_timeout_after};
use herald_dispatch::slices::DamageKind;
use pgrx::pg_sys::panic::{CaughtError, ErrorReport};
use pgrx::{PgLogLevel, PgSqlErrorCode, pg_sys};
use std::ffi::CString;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

/// The failure of a transaction: enough to log it and to decide whether to try again.
#[derive(Debug, Clone)]
pub struct TransactionError {
    /// The five characters of the SQLSTATE.
    pub sqlstate: String,
    /// The primary message, and the detail if there is one.
    pub message: String,
}

/// Why a transaction failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Another session holds a lock, or the statement was cancelled. The same may succeed at any moment.
    Others,
    /// The server cannot do it now, with any values.
    Server,
    /// The values or the stored rows are at fault, or the fault is unforeseen: with these it will fail again.
    Value,
}

impl TransactionError {
    /// Classifies the failure by its SQLSTATE.
    pub fn fault(&self) -> Fault {
        match self.sqlstate.as_str() {
            // Lock not available, query cancelled (also by a timeout), serialization failure, deadlock.
            "55P03" | "57014" | "40001" | "40P01" => Fault::Others,
            // Undefined tables and schemas: the extension is being dropped. A read-only server is a standby.
            "3F000" | "42P01" | "25006" => Fault::Server,
            state => match state.get(..2) {
                // Connection, insufficient resources, operator intervention, system error.
                Some("08" | "53" | "57" | "58") => Fault::Server,
                _ => Fault::Value,
            },
        }
    }

    /// Returns the kind of damage that it reports.
    pub fn damage(&self) -> DamageKind {
        match self.sqlstate.as_str() {
            "XX002" => DamageKind::Index,
            "58030" => DamageKind::Disk,
            _ => DamageKind::Row,
        }
    }

    /// Returns whether a row that was read may be at fault: a value, damage, or a part of a file that the disk cannot
    /// read.
    pub fn may_be_a_bad_row(&self) -> bool {
        self.fault() == Fault::Value || self.sqlstate == "58030"
    }

    /// Returns whether it took too long, or was cancelled.
    pub fn is_timeout(&self) -> bool {
        self.sqlstate == "57014"
    }

    /// Returns whether the extension is gone.
    pub fn is_missing_table(&self) -> bool {
        matches!(self.sqlstate.as_str(), "3F000" | "42P01")
    }
}

impl TransactionError {
    /// Returns whether it concerns the session or the server, such as a cancel, a serialization failure or a full disk,
    /// rather than the work: classes 40, 53, 57, 58 and XX of Appendix A of the PostgreSQL documentation.
    pub fn is_session_error(&self) -> bool {
        ["40", "53", "57", "58", "XX"]
            .iter()
            .any(|class| self.sqlstate.starts_with(class))
    }

    /// Raises it again as an ERROR.
    pub fn raise(&self) {
        let code = self.sqlstate.bytes().rev().fold(0, |code, digit| {
            code << 6 | (i32::from(digit) - i32::from(b'0')) & 0x3f
        });
        ErrorReport::new(PgSqlErrorCode::from(code), self.message.clone(), "raise")
            .report(PgLogLevel::ERROR);
    }
}

impl std::fmt::Display for TransactionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.sqlstate)
    }
}

/// Runs `body` in its own transaction, at the isolation level READ COMMITTED.
///
/// An ERROR or a panic inside rolls the transaction back and becomes an `Err`; the worker continues. `body` must wait
/// for nothing but PostgreSQL, and must not send.
pub fn transaction<R>(body: impl FnOnce() -> R) -> Result<R, TransactionError> {
    run_transaction(pg_sys::XACT_READ_COMMITTED, || (), |()| body())
}

/// Like [`transaction`], but cancels what takes longer than `limit`, waits for locks included.
pub fn transaction_within<R>(
    limit: Duration,
    body: impl FnOnce() -> R,
) -> Result<R, TransactionError> {
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).max(1);
    // SAFETY: main thread of a connected background worker, which handles this timeout and the signal that it raises.
    // It is disabled before anything else runs; outside a transaction a cancellation is dropped.
    unsafe { enable_timeout_after(STATEMENT_TIMEOUT, limit) };
    let result = transaction(body);
    // SAFETY: as above.
    unsafe { disable_timeout(STATEMENT_TIMEOUT, false) };
    process::forget_cancellation();
    result
}

/// Runs `body` with another limit for each wait for a lock.
pub fn with_lock_timeout<R>(limit: Duration, body: impl FnOnce() -> R) -> R {
    // SAFETY: main thread; the variable of the parameter lock_timeout, which is read when a wait begins.
    let before = unsafe { pg_sys::LockTimeout };
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: as above. `body` returns even after an ERROR, which the transactions in it catch.
    unsafe { pg_sys::LockTimeout = limit };
    let result = body();
    // SAFETY: as above.
    unsafe { pg_sys::LockTimeout = before };
    result
}

/// Runs `body` in its own transaction, at the isolation level REPEATABLE READ: all its statements see one snapshot.
/// `before_snapshot` runs in this transaction, too, before that snapshot is taken.
pub fn snapshot_transaction<P, R>(
    before_snapshot: impl FnOnce() -> P,
    body: impl FnOnce(P) -> R,
) -> Result<R, TransactionError> {
    run_transaction(pg_sys::XACT_REPEATABLE_READ, before_snapshot, body)
}

/// Returns the id of the current transaction. Assigns one if it has none yet.
pub fn assign_id() -> u64 {
    // SAFETY: inside a transaction of a session that may write; otherwise it raises an ERROR.
    unsafe { pg_sys::GetTopFullTransactionId().value }
}

/// Raises an ERROR if the transaction is read-only, as all are on a standby: writes here bypass the executor, which
/// would check this otherwise.
pub fn refuse_read_only(command: &str) {
    let command = std::ffi::CString::new(command).expect("a name has no NUL");
    // SAFETY: inside a transaction; the string outlives the call.
    unsafe { pg_sys::PreventCommandIfReadOnly(command.as_ptr()) }
}

/// Returns the id that the next transaction will get.
pub fn next_id() -> u64 {
    // SAFETY: reads shared memory under its own lock.
    unsafe { pg_sys::ReadNextFullTransactionId().value }
}

/// Ensures that once the current transaction has committed, its commit and every commit that it saw are on disk. Waits
/// for a standby only if `synchronous_commit` does.
pub fn flush_at_commit() {
    // Without an id it would write no commit record to flush, along with all earlier ones.
    assign_id();
    // SAFETY: sets a flag of the current transaction.
    unsafe { pg_sys::ForceSyncCommit() }
}

fn run_transaction<P, R>(
    isolation: u32,
    before_snapshot: impl FnOnce() -> P,
    body: impl FnOnce(P) -> R,
) -> Result<R, TransactionError> {
    let run = move || {
        begin(isolation);
        let seen = before_snapshot();
        take_snapshot();
        let result = body(seen);
        commit();
        Ok(result)
    };
    recover(run, || {
        // SAFETY: called on the main thread after the error was caught and its state flushed; AbortCurrentTransaction
        // is valid in every transaction state, even if StartTransactionCommand itself failed.
        unsafe { pg_sys::AbortCurrentTransaction() }
    })
}

/// Runs `body` in a subtransaction, which is rolled back if it fails.
pub fn subtransaction<R>(body: impl FnOnce() -> R) -> Result<R, TransactionError> {
    // SAFETY: main thread, inside a transaction. Memory context and resource owner are saved as PL/pgSQL does and
    // restored on both ways out, because the subtransaction's own are gone by then.
    let (context, owner) = unsafe { (pg_sys::CurrentMemoryContext, pg_sys::CurrentResourceOwner) };
    // SAFETY: as above; there is an open transaction.
    unsafe {
        pg_sys::BeginInternalSubTransaction(std::ptr::null());
        pg_sys::CurrentMemoryContext = context;
    }
    let run = move || {
        let result = body();
        // SAFETY: closes the subtransaction that was begun above, and restores what the caller had.
        unsafe {
            pg_sys::ReleaseCurrentSubTransaction();
            pg_sys::CurrentMemoryContext = context;
            pg_sys::CurrentResourceOwner = owner;
        }
        Ok(result)
    };
    recover(run, move || {
        // SAFETY: as above, for the way out through an error.
        unsafe {
            pg_sys::RollbackAndReleaseCurrentSubTransaction();
            pg_sys::CurrentMemoryContext = context;
            pg_sys::CurrentResourceOwner = owner;
        }
    })
}

/// Runs `run`; after an ERROR or a panic, rolls back. By then the error's own state is flushed.
fn recover<R>(
    run: impl FnOnce() -> Result<R, TransactionError>,
    roll_back: impl FnOnce(),
) -> Result<R, TransactionError> {
    let result = pgrx::PgTryBuilder::new(AssertUnwindSafe(run))
        .catch_others(|error| Err(TransactionError::from(&error)))
        .catch_rust_panic(|error| Err(TransactionError::from(&error)))
        .execute();
    if result.is_err() {
        roll_back();
    }
    result
}

impl From<&CaughtError> for TransactionError {
    fn from(error: &CaughtError) -> Self {
        let report = match error {
            CaughtError::PostgresError(report)
            | CaughtError::ErrorReport(report)
            | CaughtError::RustPanic {
                ereport: report, ..
            } => report,
        };
        let message = match report.detail() {
            Some(detail) => format!("{}: {detail}", report.message()),
            None => report.message().to_owned(),
        };
        Self {
            sqlstate: sqlstate_text(report.sql_error_code() as i32),
            message,
        }
    }
}

fn begin(isolation: u32) {
    // SAFETY: main thread of a connected background worker, outside any transaction.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::StartTransactionCommand();
        pg_sys::XactIsoLevel = isolation as i32;
    }
}

fn take_snapshot() {
    // SAFETY: inside the transaction that `begin` started; `commit` pops it, an abort does so itself.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) }
}

fn commit() {
    // SAFETY: pairs with `begin` and `take_snapshot`, on the path without an error.
    unsafe {
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
        // Without this the statistics of the worker's tables stay at 0 and autovacuum never looks at them.
        pg_sys::pgstat_report_stat(false);
    }
}

/// Sets a configuration parameter for the rest of this process.
pub fn set(name: &str, value: &str) {
    let name =
        CString::new(name).expect("a parameter's name is written in this crate and has no NUL");
    let value =
        CString::new(value).expect("a parameter's value is written in this crate and has no NUL");
    // SAFETY: both strings outlive the call, which copies them.
    unsafe {
        pg_sys::SetConfigOption(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_OVERRIDE,
        );
    }
}

fn sqlstate_text(code: i32) -> String {
    (0..5)
        .map(|digit| char::from(((code >> (6 * digit)) & 0x3f) as u8 + b'0'))
        .collect()
}
