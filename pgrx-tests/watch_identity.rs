//! Which functions a watch calls: those made for it that belong to its table's owner.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{
        count, event, events, fault, orders, owner, role, run, run_as, value,
    };
    use pgrx::prelude::*;

    /// Creates a table of mallory's and a domain whose check runs her statement while an expression is compiled.
    fn mallory(statement: &str) {
        owner("mallory");
        run_as(
            "mallory",
            &format!(
                "create function mallory.check(text) returns boolean language plpgsql as $check$
                 begin {statement}; return true; end $check$;
                 create domain mallory.checked as text check (mallory.check(value));
                 create table mallory.bait (id int primary key, t text)"
            ),
        );
    }

    const WATCH: &str =
        "select herald.watch('mallory.bait', subject => '(''{a}''::mallory.checked[])[1]')";

    /// Creates a watch of a superuser's table that lost its condition.
    fn lost_condition() -> String {
        orders(", condition => 'new.total > 100'");
        run("alter table public.orders drop column total cascade");
        let id = value(
            "select id from herald_internal.watch where table_name = 'public.orders'::regclass",
        );
        format!(
            r#"herald_watch._{id}_condition("new" public.orders, "old" public.orders, operation text)
               returns boolean language plpgsql as $$ begin execute 'alter role mallory superuser'; return true; end $$"#
        )
    }

    #[pg_test]
    fn an_expression_that_is_being_compiled_cannot_create_a_function_for_another_watch() {
        let function = lost_condition();
        mallory(&format!(
            "execute $create$ create function {function} $create$"
        ));
        run("grant usage on schema public to mallory");
        run("set local role mallory");
        let refused = fault(WATCH);
        run("reset role");
        assert_eq!(refused.sqlstate, "42501", "{refused:?}");
        assert!(refused.message.contains("herald_watch"), "{refused:?}");
    }

    #[pg_test]
    fn nobody_ever_gets_a_privilege_on_the_schema_of_the_functions() {
        mallory(
            "if has_schema_privilege('herald_watch', 'create') or has_schema_privilege('herald_watch', 'usage') then
                 raise 'open'; end if",
        );
        run_as("mallory", WATCH);
        run_as("mallory", "insert into mallory.bait values (1)");
        assert_eq!(event("subject"), "a");
        assert_eq!(
            count("pg_namespace where nspname like 'herald\\_watch\\_%'"),
            0
        );
    }

    #[pg_test]
    fn a_function_of_another_role_is_never_called() {
        let function = lost_condition();
        role("mallory");
        run("grant create on schema herald_watch to mallory");
        run(&format!("create function {function}"));
        run(&format!(
            "alter function {} owner to mallory",
            function
                .split(" returns")
                .next()
                .unwrap()
                .replace('\n', " ")
                .replace("\"new\" ", "")
                .replace("\"old\" ", "")
                .replace("operation ", "")
        ));
        let refused = fault("insert into public.orders values (1)");
        assert_eq!(refused.sqlstate, "42883", "{refused:?}");
        assert_eq!(
            value("select rolsuper from pg_roles where rolname = 'mallory'"),
            "false"
        );
        // Nor does it pass to the table's owner with the next change of the table.
        run("alter table public.orders add column more int");
        assert_eq!(
            fault("insert into public.orders values (1)").sqlstate,
            "42883"
        );
        run("alter table public.orders add column total numeric");
        run("drop function if exists herald_watch.none()");
    }

    #[pg_test]
    fn after_a_restore_a_function_is_found_by_name_owner_and_arguments() {
        orders(", condition => 'new.id > 1', on_change_of => '{status}'");
        // As a restore leaves it.
        run(r#"update herald_internal.watch set functions = '{"condition": 1}'"#);
        run("select herald_internal.announce_change('public.orders')");
        run("insert into public.orders values (1), (2)");
        assert_eq!(events("key"), ["2"]);
        run("alter table public.orders add column more int");
        assert_eq!(
            value(
                "select (functions ->> 'condition')::oid::regproc::text ~ '^herald_watch._[0-9]+_condition$' from herald_internal.watch"
            ),
            "true"
        );
        run("create role heir; alter table public.orders owner to heir");
        assert_eq!(
            value(
                "select proowner::regrole from pg_proc where pronamespace = 'herald_watch'::regnamespace"
            ),
            "heir"
        );
    }

    const FUNCTION: &str = "select concat_ws(' ', p.proowner::regrole, (w.functions ->> 'condition')::oid = p.oid)
                            from herald_internal.watch w, pg_proc p where p.pronamespace = 'herald_watch'::regnamespace";

    /// Creates a role's table, whose watch comes from a dump with this number for the function of its condition.
    fn restored(function: &str) {
        orders(", condition => 'new.id > 1'");
        run("create role seller; create role heir; alter table public.orders owner to seller");
        run(&format!(
            "create temp table dumped as select * from herald_internal.watch;
             update dumped set functions = jsonb_build_object('condition', {function});
             alter table herald_internal.watch disable trigger audit;
             delete from herald_internal.watch;
             insert into herald_internal.watch select * from dumped;
             select herald_internal.announce_change('public.orders')"
        ));
    }

    #[pg_test]
    fn a_restored_table_that_gets_another_owner_first_keeps_its_functions() {
        restored("1");
        run("alter table public.orders owner to heir");
        assert_eq!(value(FUNCTION), "heir t");
        run("insert into public.orders values (1), (2)");
        assert_eq!(events("key"), ["2"]);
    }

    #[pg_test]
    fn a_number_that_another_function_has_by_now_names_no_function_of_a_watch() {
        restored("1");
        run(
            "update herald_internal.watch set functions = jsonb_build_object('condition', 'herald.doctor()'::regprocedure::oid);
             select herald_internal.announce_change('public.orders')",
        );
        run("insert into public.orders values (1), (2)");
        assert_eq!(events("key"), ["2"]);
    }

    #[pg_test]
    fn an_upgraded_table_that_gets_another_owner_after_the_decision_keeps_its_functions() {
        restored("1");
        // pg_upgrade keeps the rows as they are.
        run("update herald_internal.watch set functions = '{\"condition\": 1}'");
        run("update herald_internal.window set origin = origin + 1");
        run("select herald.resume_after_restore('skip')");
        run("alter table public.orders owner to heir");
        assert_eq!(value(FUNCTION), "heir t");
    }

    #[pg_test]
    fn what_an_expression_makes_while_it_is_compiled_is_refused() {
        mallory("perform 1");
        run_as(
            "mallory",
            r"create or replace function mallory.check(text) returns boolean language plpgsql as $check$
            begin
                execute format('create function %I.more() returns int language sql return 1',
                    (select nspname from pg_namespace where nspname like 'herald\_watch\_%'));
                return true;
            end $check$",
        );
        run("set local role mallory");
        let refused = fault(WATCH);
        run("reset role");
        assert_eq!(refused.sqlstate, "2BP01", "{refused:?}");
    }

    #[pg_test]
    fn data_and_lists_of_columns_exclude_each_other() {
        run("create table public.people (id int primary key, ssn text)");
        let watch = |options: &str| format!("select herald.watch('public.people', {options})");
        for (options, message) in [
            (
                "data => 'to_jsonb(new)', exclude_columns => '{ssn}'",
                "data and exclude_columns exclude each other",
            ),
            (
                "data => 'to_jsonb(new)', include_columns => '{id}'",
                "data and include_columns exclude each other",
            ),
        ] {
            let refused = fault(&watch(options));
            assert_eq!((&*refused.sqlstate, &*refused.message), ("22023", message));
        }
        run(&watch("exclude_columns => '{ssn}'"));
        let refused = fault(&watch("data => 'to_jsonb(new)'"));
        assert_eq!(refused.sqlstate, "22023");
        assert!(
            refused
                .hint
                .contains("herald.unwatch('public.people', 'default')"),
            "{refused:?}"
        );
        run("select herald.unwatch('public.people')");
        run(&watch("data => 'to_jsonb(new)'"));
        assert_eq!(
            fault(&watch("exclude_columns => '{ssn}'")).sqlstate,
            "22023"
        );
    }

    #[pg_test]
    fn no_hint_says_to_make_somebody_a_superuser() {
        run("create table public.orders (id int)");
        owner("app");
        run("set local role app");
        let refused = fault("select herald.watch('public.orders')");
        run("reset role");
        assert_eq!(refused.sqlstate, "42501");
        assert!(!refused.hint.contains("grant"), "{refused:?}");
        run("create role shop; alter table public.orders owner to shop; set local role app");
        let refused = fault("select herald.watch('public.orders')");
        run("reset role");
        assert!(
            refused.hint.ends_with("or run: grant shop to app;"),
            "{refused:?}"
        );
    }

    #[pg_test]
    fn texts_of_a_watch_have_limits() {
        run("create table public.orders (id int)");
        let watch = |options: &str| format!("select herald.watch('public.orders', {options})");
        run(&watch("'x', condition => 'true' || repeat(' ', 16380)"));
        run(&watch("repeat('x', 255)"));
        for options in [
            "'x', condition => 'true' || repeat(' ', 16381)",
            "repeat('x', 256)",
            "include_columns => array_fill('id'::text, array[1601])",
        ] {
            assert_eq!(fault(&watch(options)).sqlstate, "54000", "{options}");
        }
        let twice = "operations => '{insert,update,delete,truncate,insert}'";
        assert_eq!(fault(&watch(twice)).sqlstate, "22023");
        run(&watch("type => repeat('x', 1024)"));
        assert_eq!(
            fault(&watch("type => repeat('x', 1025)")).message,
            "invalid type"
        );
    }
}
