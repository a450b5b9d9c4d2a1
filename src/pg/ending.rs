//! Actions at the end of a session's transaction.

use pgrx::prelude::*;
use std::cell::{Cell, RefCell};

type Action = fn();

/// Calls `action` once the current transaction has committed and is visible to all; not if it rolls back.
pub fn on_commit(action: Action) {
    follow_transaction(When::Committed, action);
}

/// Calls `action` when the current transaction ends, committed or not.
pub fn at_transaction_end(action: Action) {
    follow_transaction(When::Over, action);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Committed,
    Over,
}

thread_local! {
    /// Each action once, however often it is requested.
    static ACTIONS: RefCell<Vec<(When, Action)>> = const { RefCell::new(Vec::new()) };
    static FOLLOWING: Cell<bool> = const { Cell::new(false) };
}

fn follow_transaction(when: When, action: Action) {
    ACTIONS.with_borrow_mut(|actions| {
        let is_same =
            |known: &(When, Action)| known.0 == when && std::ptr::fn_addr_eq(known.1, action);
        if !actions.iter().any(is_same) {
            actions.push((when, action));
        }
    });
    if !FOLLOWING.replace(true) {
        // SAFETY: registered once per process.
        unsafe { pg_sys::RegisterXactCallback(Some(transaction_ended), std::ptr::null_mut()) }
    }
}

// SAFETY (as a C callback): the actions only touch atomics and latches; they raise no ERROR and do not panic.
unsafe extern "C-unwind" fn transaction_ended(
    event: pg_sys::XactEvent::Type,
    _: *mut std::ffi::c_void,
) {
    use pg_sys::XactEvent::{XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PREPARE};
    if !matches!(
        event,
        XACT_EVENT_COMMIT | XACT_EVENT_ABORT | XACT_EVENT_PREPARE
    ) {
        return;
    }
    for (when, action) in ACTIONS.take() {
        if when == When::Over || event == XACT_EVENT_COMMIT {
            action();
        }
    }
}
