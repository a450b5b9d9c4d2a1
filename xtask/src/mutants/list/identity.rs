//! Which functions and schemas are trusted, and which commands must not fail.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "squatted-schema",
        breaks: "CREATE EXTENSION takes no schema that belongs to somebody else.",
        file: "sql/schema/schemas.sql",
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
        file: "sql/schema/schemas.sql",
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
        file: "sql/watch/expressions.sql",
        from: "or p.proowner = c.relowner and not exists",
        to: "or not exists",
        killed_by: Test::InDatabase {
            name: "a_function_of_another_role_is_never_called",
        },
        says: "it does not fail",
    },
    Mutant {
        name: "restored-oids",
        breaks: "A restored watch finds its functions before its table gets another owner.",
        file: "sql/watch/follow_ddl.sql",
        from: "for each row when (new.column_table is not null)",
        to: "for each row when (false)",
        killed_by: Test::InDatabase {
            name: "a_restored_table_that_gets_another_owner_first_keeps_its_functions",
        },
        says: "left: \"seller",
    },
    Mutant {
        name: "upgraded-oids",
        breaks: "An upgraded watch finds its functions when somebody decides.",
        file: "sql/worker/restore.sql",
        from: "    perform herald_internal.note_functions(w.id) from herald_internal.watch w;\n",
        to: "",
        killed_by: Test::InDatabase {
            name: "an_upgraded_table_that_gets_another_owner_after_the_decision_keeps_its_functions",
        },
        says: "left: \"seller",
    },
    Mutant {
        name: "oid-of-another",
        breaks: "A function with the number that a watch's own had elsewhere is not in its way.",
        file: "sql/watch/expressions.sql",
        from: "where k.oid = f.made and k.pronamespace = p.pronamespace and k.proname = p.proname",
        to: "where k.oid = f.made",
        killed_by: Test::InDatabase {
            name: "a_number_that_another_function_has_by_now_names_no_function_of_a_watch",
        },
        says: "was dropped",
    },
    Mutant {
        name: "open-schema",
        breaks: "Nobody ever may create in herald_watch.",
        file: "sql/watch/expressions.sql",
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
        file: "sql/watch/triggers.sql",
        from: "from herald_internal.triggers() p where p.watch_id = (entry).id",
        to: "from herald_internal.triggers() p where p.watch_id = (entry).id and p.name like 'pg_herald_%'",
        killed_by: Test::InDatabase {
            name: "a_trigger_of_a_watch_keeps_working_under_another_name",
        },
        says: "left: ",
    },
    Mutant {
        name: "event-trigger-fails",
        breaks: "No command fails because an event trigger of ours does.",
        file: "sql/watch/follow_ddl.sql",
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
        says: "herald_internal.watch",
    },
    Mutant {
        name: "foreign-table-missed",
        breaks: "ALTER FOREIGN TABLE is followed.",
        file: "sql/watch/follow_ddl.sql",
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
        file: "sql/watch/watch.sql",
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
        file: "sql/watch/watch.sql",
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
    Mutant {
        name: "squatted-by-privilege",
        breaks: "CREATE EXTENSION takes no schema in which somebody else may create.",
        file: "sql/schema/schemas.sql",
        from: " or squatted.creators is not null then",
        to: " then",
        killed_by: Test::EndToEnd {
            file: "extension",
            name: "a_schema_that_somebody_else_made_is_refused",
        },
        says: "called `Result::unwrap_err()` on an `Ok` value",
    },
    Mutant {
        name: "squatted-functions-schema",
        breaks: "CREATE EXTENSION takes no herald_watch of somebody else's.",
        file: "sql/schema/schemas.sql",
        from: "where n.nspname in ('herald', 'herald_internal', 'herald_watch')",
        to: "where n.nspname = 'herald'",
        killed_by: Test::EndToEnd {
            file: "extension",
            name: "a_schema_that_somebody_else_made_is_refused",
        },
        says: "called `Result::unwrap_err()` on an `Ok` value",
    },
    Mutant {
        name: "type-of-our-own",
        breaks: "No watch is given a type of pg_herald's own.",
        file: "src/api.rs",
        from: "if is_operational(event_type) {",
        to: "if false {",
        killed_by: Test::InDatabase {
            name: "a_type_of_pg_herald_s_own_is_refused",
        },
        says: "it does not fail",
    },
];
