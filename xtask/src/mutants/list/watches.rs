//! Watches beside other sessions, other commands and other copies of their tables.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "function-made-anew",
        breaks: "A writer beside watch() finds the function that it has just read of.",
        file: "sql/watch/expressions.sql",
        from: "p.oid = present and p.proowner = owner as is_kept",
        to: "false as is_kept",
        killed_by: Test::EndToEnd {
            file: "watches",
            name: "no_writer_notices_that_an_expression_changes",
        },
        says: "cache lookup failed for function",
    },
    Mutant {
        name: "function-dropped-for-a-type",
        breaks: "So does one beside a watch() that replaces an expression by a fixed type.",
        file: "sql/watch/watch.sql",
        from: "perform herald_internal.create_expression(entry, 'type_expression', quote_literal(_watch.type));",
        to: "perform herald_internal.drop_expression(entry, 'type_expression');",
        killed_by: Test::InDatabase {
            name: "a_type_and_a_type_expression_replace_each_other",
        },
        says: "RETURN",
    },
    Mutant {
        name: "aggregate-accepted",
        breaks: "No expression is an aggregate.",
        file: "src/pg/expression.rs",
        from: "if (*node).hasAggs {",
        to: "if false {",
        killed_by: Test::InDatabase {
            name: "wrong_options_are_refused_with_the_fix",
        },
        says: "it does not fail",
    },
    Mutant {
        name: "window-function-accepted",
        breaks: "Nor is one a window function.",
        file: "src/pg/expression.rs",
        from: "} else if (*node).hasWindowFuncs {",
        to: "} else if false {",
        killed_by: Test::InDatabase {
            name: "wrong_options_are_refused_with_the_fix",
        },
        says: "it does not fail",
    },
    Mutant {
        name: "set-accepted",
        breaks: "Nor is one a set.",
        file: "src/pg/expression.rs",
        from: "(*node).hasTargetSRFs.then_some(\"a set\")",
        to: "None",
        killed_by: Test::InDatabase {
            name: "wrong_options_are_refused_with_the_fix",
        },
        says: "it does not fail",
    },
    Mutant {
        name: "schema-renamed",
        breaks: "The schemas of the extension keep their names.",
        file: "sql/watch/follow_ddl.sql",
        from: "if missing is not null then",
        to: "if false then",
        killed_by: Test::EndToEnd {
            file: "watches",
            name: "the_schemas_of_the_extension_keep_their_names",
        },
        says: "was not refused",
    },
    Mutant {
        name: "emit-where-nothing-may-be-written",
        breaks: "emit() writes nothing in a transaction that may not write.",
        file: "src/api.rs",
        from: "    transaction::refuse_read_only(\"herald.emit()\");\n",
        to: "",
        killed_by: Test::EndToEnd {
            file: "standby",
            name: "a_standby_refuses_what_writes_and_waits_for_nothing",
        },
        says: "25006",
    },
    Mutant {
        name: "wait-on-a-standby",
        breaks: "wait() waits for nothing on a standby.",
        file: "sql/delivery/wait.sql",
        from: "if pg_is_in_recovery() then",
        to: "if false then",
        killed_by: Test::EndToEnd {
            file: "standby",
            name: "a_standby_refuses_what_writes_and_waits_for_nothing",
        },
        says: "was not refused",
    },
    Mutant {
        name: "copy-captured",
        breaks: "A copy of a watched table captures nothing.",
        file: "src/capture/watch.rs",
        from: "fired == self.watched || tables_above(fired).contains(&self.watched)",
        to: "fired == self.watched || !tables_above(fired).contains(&self.watched)",
        killed_by: Test::InDatabase {
            name: "a_copy_captures_nothing_and_fails_nothing",
        },
        says: "left: 3",
    },
    Mutant {
        name: "trigger-without-a-watch",
        breaks: "A trigger of a watch that is not there fails nothing.",
        file: "src/capture/watch.rs",
        from: "let Some(watch) = Self::load(id).map(Rc::new) else {\n            return Ok(None);\n        };",
        to: "let watch = Self::load(id).map(Rc::new).expect(\"a watch\");",
        killed_by: Test::InDatabase {
            name: "a_copy_of_a_table_that_is_not_watched_any_more_goes_with_its_watch",
        },
        says: "a watch",
    },
    Mutant {
        name: "partition-by-statement",
        breaks: "A partition's watch captures what is written by way of the table above.",
        file: "sql/watch/triggers.sql",
        from: "(entry).replicated or herald_internal.is_part((entry).table_name) as is_by_row",
        to: "(entry).replicated as is_by_row",
        killed_by: Test::InDatabase {
            name: "a_partition_s_watch_captures_what_comes_through_the_table_above",
        },
        says: "left: [\"public.north.inserted n/4\"]",
    },
    Mutant {
        name: "attached-not-followed",
        breaks: "A watched table that becomes a partition is captured by row.",
        file: "sql/watch/follow_ddl.sql",
        from: "or w.id in (select a.id from above a where a.relid in (select up.relid from up))",
        to: "",
        killed_by: Test::InDatabase {
            name: "a_watched_table_that_joins_or_leaves_a_tree_goes_on",
        },
        says: "left: [\"public.loose.inserted 1\"]",
    },
    Mutant {
        name: "restore-in-the-way",
        breaks: "No trigger is made while a dump brings it.",
        file: "sql/watch/follow_ddl.sql",
        from: "entry.column_table is null\n        and exists (",
        to: "false and exists (",
        killed_by: Test::InDatabase {
            name: "triggers_of_a_dump_find_their_place_free_while_it_is_restored",
        },
        says: "already exists",
    },
    Mutant {
        name: "replicated-as-others",
        breaks: "What logical replication writes is captured on request.",
        file: "sql/watch/triggers.sql",
        from: "enable always trigger %I",
        to: "enable trigger %I",
        killed_by: Test::EndToEnd {
            file: "watches",
            name: "what_a_subscription_of_logical_replication_writes_is_captured_on_request",
        },
        says: "delete 1, truncate from select",
    },
];
