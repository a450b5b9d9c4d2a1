//! Whose functions and schemas are trusted, and whose commands must not fail.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "squatted-schema",
        breaks: "CREATE EXTENSION takes no schema that belongs to somebody else.",
        file: "sql/01_log.sql",
        from: "if not squatted.is_superusers or squatted.has_objects or",
        to: "if squatted.has_objects or",
        killed_by: Test::EndToEnd {
            file: "extension",
            name: "a_schema_that_somebody_else_made_is_refused",
        },
        says: "called `Result::unwrap_err()` on an `Ok` value",
    },
    Mutant {
        name: "squatted-function",
        breaks: "CREATE EXTENSION takes no schema with anything in it.",
        file: "sql/01_log.sql",
        from: "if not squatted.is_superusers or squatted.has_objects or",
        to: "if not squatted.is_superusers or",
        killed_by: Test::EndToEnd {
            file: "extension",
            name: "a_schema_that_somebody_else_made_is_refused",
        },
        says: "called `Result::unwrap_err()` on an `Ok` value",
    },
    Mutant {
        name: "template-default",
        breaks: "No command fails because of an option without a value.",
        file: "src/pg/utility.rs",
        from: "if (*template).arg.is_null() {",
        to: "if false {",
        killed_by: Test::EndToEnd {
            file: "databases",
            name: "options_without_a_value_are_no_fault",
        },
        says: "template requires a parameter",
    },
    Mutant {
        name: "somebody-else-s-function",
        breaks: "A watch calls no function that does not belong to its table's owner.",
        file: "sql/03_watch.sql",
        from: "or p.proowner = c.relowner and not exists",
        to: "or not exists",
        killed_by: Test::InDatabase {
            name: "a_function_of_another_role_is_never_called",
        },
        says: "it does not fail",
    },
    Mutant {
        name: "open-schema",
        breaks: "Nobody ever may create in herald_watch.",
        file: "sql/03_watch.sql",
        from: "execute format('grant usage, create on schema %I to %s', workshop, owner);",
        to: "execute format('grant usage, create on schema %I, herald_watch to %s', workshop, owner);",
        killed_by: Test::InDatabase {
            name: "nobody_ever_gets_a_privilege_on_the_schema_of_the_functions",
        },
        says: "open",
    },
    Mutant {
        name: "trigger-by-name",
        breaks: "A watch knows its triggers under any name.",
        file: "sql/03_follow_ddl.sql",
        from: "from herald._triggers() p where p.watch_id = entry.id",
        to: "from herald._triggers() p where p.watch_id = entry.id and p.name like 'pg_herald_%'",
        killed_by: Test::InDatabase {
            name: "a_trigger_of_a_watch_keeps_working_under_another_name",
        },
        says: "left: ",
    },
    Mutant {
        name: "event-trigger-fails",
        breaks: "No command fails because an event trigger of ours does.",
        file: "sql/03_follow_ddl.sql",
        from: "    end loop;
exception when others then
    raise warning using
        message = format('pg_herald could not follow this command: %s', sqlerrm),
        hint = 'Call herald.watch()",
        to: "    end loop;
exception when division_by_zero then
    raise warning using
        message = format('pg_herald could not follow this command: %s', sqlerrm),
        hint = 'Call herald.watch()",
        killed_by: Test::InDatabase {
            name: "a_fault_of_the_event_triggers_fails_no_command",
        },
        says: "herald.watch",
    },
    Mutant {
        name: "foreign-table-missed",
        breaks: "ALTER FOREIGN TABLE is followed.",
        file: "sql/03_follow_ddl.sql",
        from: "'ALTER TABLE', 'ALTER FOREIGN TABLE', ",
        to: "'ALTER TABLE', ",
        killed_by: Test::InDatabase {
            name: "a_foreign_table_that_joins_the_tree_is_followed",
        },
        says: "(,{note},)",
    },
    Mutant {
        name: "data-past-the-lists",
        breaks: "The expression data does not pass by the lists of columns.",
        file: "sql/03_watch.sql",
        from: "if 'data' = any (entry.expressions) and",
        to: "if 'none' = any (entry.expressions) and",
        killed_by: Test::InDatabase {
            name: "data_and_lists_of_columns_exclude_each_other",
        },
        says: "it does not fail",
    },
    Mutant {
        name: "grant-a-superuser",
        breaks: "No hint says to grant a superuser.",
        file: "sql/03_watch.sql",
        from: "hint = case when (select r.rolsuper from pg_roles r where r.oid = owner)",
        to: "hint = case when false",
        killed_by: Test::InDatabase {
            name: "no_hint_says_to_make_somebody_a_superuser",
        },
        says: "grant",
    },
    Mutant {
        name: "quoted-values",
        breaks: "quote_all_identifiers changes no value.",
        file: "src/pg/user.rs",
        from: "if pg_sys::quote_all_identifiers {",
        to: "if false {",
        killed_by: Test::InDatabase {
            name: "quoting_all_identifiers_changes_no_value",
        },
        says: "public.kinds public.kinds",
    },
];
