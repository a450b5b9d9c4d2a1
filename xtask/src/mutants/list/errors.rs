//! What users are told of an error.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[Mutant {
    name: "backtrace-in-detail",
    breaks: "No error shows a backtrace, whatever the server's environment says.",
    file: "src/pg/backtrace.rs",
    from: "    let _ = Backtrace::capture();\n",
    to: "",
    killed_by: Test::EndToEnd {
        file: "errors",
        name: "no_error_shows_a_backtrace_although_the_environment_asks_for_it",
    },
    says: "register_pg_guard_panic_hook",
}];
