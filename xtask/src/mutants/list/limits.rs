//! What is too long, and what a DBA adds to the log's tables.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "limit-plus-one",
        breaks: "No attribute is longer than its limit.",
        file: "crates/core/src/limits.rs",
        from: "text.len() <= self.bytes\n",
        to: "text.len() <= self.bytes + 1\n",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "limits::tests::a_text_may_have_the_limit_and_no_byte_more",
        },
        says: "Limit { name: \"type\", bytes: 1024 }",
    },
    Mutant {
        name: "tenant-prefix",
        breaks: "What is read of a tenant that is too long is no other tenant's name.",
        file: "crates/core/src/limits.rs",
        from: "while self.allows(&marked) {",
        to: "while false {",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "limits::tests::what_was_cut_or_hashed_is_short_enough",
        },
        says: "Limit { name: ",
    },
    Mutant {
        name: "slice-by-size",
        breaks: "A slice is bounded in bytes before they are fetched.",
        file: "src/log/read.rs",
        from: "bytes > most_bytes && !events.is_empty()",
        to: "false && !events.is_empty()",
        killed_by: Test::InDatabase {
            name: "large_events_are_read_a_few_at_a_time",
        },
        says: "!is_all",
    },
    Mutant {
        name: "believed-size",
        breaks: "The length of data is measured, not believed.",
        file: "src/log/row.rs",
        from: "!is_within_limits || !is_read(data, largest)",
        to: "!is_within_limits",
        killed_by: Test::InDatabase {
            name: "the_stored_size_of_data_is_not_believed",
        },
        says: "logged.event.data.is_none()",
    },
    Mutant {
        name: "long-attribute-read",
        breaks: "An attribute beyond its limit is not fetched.",
        file: "src/log/row.rs",
        from: "if row.text_bytes(column) <= limit.bytes {",
        to: "if true {",
        killed_by: Test::InDatabase {
            name: "attributes_beyond_their_limits_are_cut_marked_and_sent_to_nobody",
        },
        says: " bytes",
    },
    Mutant {
        name: "key-cut",
        breaks: "Keys that differ stay different however long they are.",
        file: "src/capture/bounds.rs",
        from: "KEY, Limit::hash, ",
        to: "KEY, Limit::cut, ",
        killed_by: Test::InDatabase {
            name: "a_key_beyond_its_limit_is_hashed_and_a_subject_cut",
        },
        says: "right: [\"1024\", \"71\", \"71\"]",
    },
    Mutant {
        name: "actor-as-it-is",
        breaks: "A setting of the session is no longer than its limit in the log.",
        file: "src/capture/context.rs",
        from: "match limit.cut(&value) {",
        to: "match limit.cut(&value).filter(|_| false) {",
        killed_by: Test::InDatabase {
            name: "a_setting_of_the_session_beyond_its_limit_is_cut",
        },
        says: "50000000",
    },
    Mutant {
        name: "emit-any-context",
        breaks: "emit refuses a context beyond its limits.",
        file: "src/api.rs",
        from: "    capture::check_context().map_err(invalid)?;\n",
        to: "",
        killed_by: Test::InDatabase {
            name: "emit_refuses_a_context_beyond_its_limit",
        },
        says: "it does not fail",
    },
    Mutant {
        name: "forged-type",
        breaks: "No expression makes an event of pg_herald's own.",
        file: "src/capture/evaluators.rs",
        from: "is_some_and(is_operational)",
        to: "is_some_and(|_| false)",
        killed_by: Test::InDatabase {
            name: "a_type_of_pg_herald_s_own_is_refused",
        },
        says: "it does not fail",
    },
    Mutant {
        name: "unknown-constraint",
        breaks: "A constraint that a DBA adds to the log is checked.",
        file: "src/pg/layout.rs",
        from: "known.iter().any(|text| text.as_bytes() == name.to_bytes())",
        to: "!name.is_empty() || known.is_empty()",
        killed_by: Test::InDatabase {
            name: "the_executor_is_asked_where_there_is_more",
        },
        says: "alter table herald.event add check",
    },
    Mutant {
        name: "trigger-passed-by",
        breaks: "A trigger that a DBA adds to the log fires.",
        file: "src/pg/layout.rs",
        from: "!relation.trigdesc.is_null() || ",
        to: "",
        killed_by: Test::InDatabase {
            name: "the_executor_is_asked_where_there_is_more",
        },
        says: "create trigger t before insert on herald_internal.event_7",
    },
    Mutant {
        name: "unknown-column",
        breaks: "A column that a DBA adds to the log gets its default.",
        file: "src/pg/layout.rs",
        from: "if !descriptor.iter().all(is_known) {",
        to: "if !descriptor.iter().any(is_known) {",
        killed_by: Test::InDatabase {
            name: "the_executor_is_asked_where_there_is_more",
        },
        says: "set not null",
    },
    Mutant {
        name: "id-of-any-length",
        breaks: "An id is bounded, as every later question about it compares it.",
        file: "crates/core/src/event/attributes.rs",
        from: "            (limits::ID, self.id),\n",
        to: "",
        killed_by: Test::InDatabase {
            name: "emit_refuses_what_is_longer_than_its_limit",
        },
        says: "it does not fail",
    },
    Mutant {
        name: "index-on-an-expression",
        breaks: "An index on an expression gets its entries from the executor.",
        file: "src/pg/layout.rs",
        from: "&& pg_sys::RelationGetIndexExpressions(relation).is_null()",
        to: "",
        killed_by: Test::InDatabase {
            name: "the_executor_is_asked_where_there_is_more",
        },
        says: "create index on herald.event ((data",
    },
    Mutant {
        name: "partial-index",
        breaks: "A partial index has no entry that does not fit its predicate.",
        file: "src/pg/layout.rs",
        from: "&& pg_sys::RelationGetIndexPredicate(relation).is_null()",
        to: "",
        killed_by: Test::InDatabase {
            name: "the_executor_is_asked_where_there_is_more",
        },
        says: "where tenant is null",
    },
    Mutant {
        name: "actor-in-the-log",
        breaks: "An actor of megabytes writes no more log than its limit.",
        file: "src/capture/context.rs",
        from: "match limit.cut(&value) {",
        to: "match limit.cut(&value).filter(|_| false) {",
        killed_by: Test::EndToEnd {
            file: "depth",
            name: "a_huge_actor_is_cut_to_its_limit",
        },
        says: " bytes",
    },
];
