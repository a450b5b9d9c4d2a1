//! What crashes must not lose.

use crate::mutants::mutant::{EndToEnd, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "window-closed-early",
        breaks: "A window is closed with or after the records of its deliveries, never before.",
        file: "crates/dispatch/src/windows.rs",
        from: "progress.is_read
                    && progress.outstanding <= settled.get(number).copied().unwrap_or(0)",
        to: "progress.is_read",
        killed_by: EndToEnd("crash a_window_that_is_read_again_sends_only_what_was_not_recorded"),
        says: "right: (11, 10)",
    },
    Mutant {
        name: "no-flush",
        breaks: "Nothing is sent before what it tells of is flushed.",
        file: "crates/dispatch/src/reader.rs",
        from: "                view.flush_at_commit();\n",
        to: "",
        killed_by: EndToEnd(
            "crash what_was_sent_survives_a_crash_although_its_commit_was_asynchronous",
        ),
        says: "left: \"-\"",
    },
    Mutant {
        name: "no-anti-join",
        breaks: "What was recorded before a crash is not sent again.",
        file: "crates/dispatch/src/reader.rs",
        from: "let done = if window.is_recovered {",
        to: "let done = if false {",
        killed_by: EndToEnd("crash a_window_that_is_read_again_sends_only_what_was_not_recorded"),
        says: "left: (20, 10)",
    },
    Mutant {
        name: "no-lease",
        breaks: "There is one worker for each database.",
        file: "src/pg/lock.rs",
        from: "as i32, true, true) };\n    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL",
        to: "as i32, true, true) };\n    let _ = result;\n    true",
        killed_by: EndToEnd("life a_worker_that_is_started_beside_another_leaves_it_the_database"),
        says: "waiting for two more workers to leave",
    },
    Mutant {
        name: "lease-lost-on-error",
        breaks: "The only worker stays the only one when a transaction of its own fails.",
        file: "src/pg/lock.rs",
        from: "WORKER, pg_sys::USER_LOCKMETHOD)",
        to: "WORKER, pg_sys::DEFAULT_LOCKMETHOD)",
        killed_by: EndToEnd("life two_workers_on_one_database_are_impossible"),
        says: "left: 0",
    },
    Mutant {
        name: "unfinished-window-unwritten",
        breaks: "The rest of a large window is read after a crash, although later windows were opened.",
        file: "crates/dispatch/src/reader.rs",
        from: "            || !window.is_read()\n",
        to: "",
        killed_by: EndToEnd(
            "crash a_crash_in_the_middle_of_a_large_window_that_matches_late_loses_nothing",
        ),
        says: "left: (0, ",
    },
];
