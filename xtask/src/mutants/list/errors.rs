//! What errors tell users.

use crate::mutants::mutant::{EndToEnd, InDatabase, Mutant, Unit};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "backtrace-in-detail",
        breaks: "No error shows a backtrace, whatever the server's environment says.",
        file: "src/pg/backtrace.rs",
        from: "    let _ = Backtrace::capture();\n",
        to: "",
        killed_by: EndToEnd(
            "errors no_error_shows_a_backtrace_although_the_environment_asks_for_it",
        ),
        says: "register_pg_guard_panic_hook",
    },
    Mutant {
        name: "purge-of-the-future",
        breaks: "A span that makes no sense deletes nothing.",
        file: "sql/repair/redeliver.sql",
        from: "    perform herald_internal.check_span('older_than', older_than, '0', '100 years',\n                                       'Use older_than => ''0'' to delete all.');\n",
        to: "",
        killed_by: InDatabase("a_span_that_makes_no_sense_is_refused_and_deletes_nothing"),
        says: "it does not fail",
    },
    Mutant {
        name: "null-is-nothing",
        breaks: "A null for an argument that has a default means \"not given\".",
        file: "sql/repair/redeliver.sql",
        from: "between coalesce(_redeliver_dead_letters.since, '-infinity')",
        to: "between _redeliver_dead_letters.since",
        killed_by: InDatabase("a_null_for_an_argument_that_has_a_default_means_not_given"),
        says: "redeliver_dead_letters",
    },
    Mutant {
        name: "raw-constraint",
        breaks: "Every odd value is refused in words of our own.",
        file: "sql/tenant/tenant.sql",
        from: "        perform herald_internal.check_plan(new);\n",
        to: "        null;\n",
        killed_by: EndToEnd("fuzz every_refusal_uses_our_own_words"),
        says: "not one of the right states, 23514",
    },
    Mutant {
        name: "constant-priority",
        breaks: "A constant that no row can be captured with is refused by watch().",
        file: "sql/watch/expressions.sql",
        from: "    perform herald_internal.check_constant(made, expression, expression_name, table_name);\n",
        to: "",
        killed_by: InDatabase("a_constant_that_no_row_can_be_captured_with_is_refused_at_once"),
        says: "it does not fail",
    },
    Mutant {
        name: "word-for-text",
        breaks: "Where an expression is a word, the hint says how a text is written.",
        file: "src/compile.rs",
        from: "hint_for_word(label, expression, table_name).unwrap_or_else",
        to: "None.unwrap_or_else",
        killed_by: InDatabase("a_word_is_answered_with_how_texts_and_columns_are_written"),
        says: "An expression sees new, old and operation",
    },
    Mutant {
        name: "blank-tenant",
        breaks: "No tenant or type has white space at its ends, which would match nothing.",
        file: "crates/core/src/event/attributes.rs",
        from: "    if trimmed == value {",
        to: "    if trimmed == value || limit.bytes > 0 {",
        killed_by: Unit(
            "herald-core event::attributes::tests::types_and_tenants_have_no_white_space_at_their_ends",
        ),
        says: "unwrap_err",
    },
    Mutant {
        name: "unchecked-tenant",
        breaks: "subscribe() refuses a tenant that no event can have.",
        file: "crates/core/src/subscription/compile.rs",
        from: "        self.tenant.as_deref().map_or(Ok(()), check_tenant)?;\n",
        to: "",
        killed_by: InDatabase("a_tenant_is_written_alike_wherever_it_is_given"),
        says: "it does not fail",
    },
    Mutant {
        name: "silent-rotation",
        breaks: "A rotation says so where the former secret ends at once.",
        file: "sql/subscription/signing.sql",
        from: "    perform herald_internal.note_lone_signature(entry);\n",
        to: "",
        killed_by: EndToEnd(
            "signatures where_there_is_room_for_one_signature_a_rotation_says_that_the_former_secret_ends_at_once",
        ),
        says: "left == right",
    },
];
