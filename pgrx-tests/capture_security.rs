//! The rights with which code from a watch, a type or an expression runs.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{
        all, count, event, events, fault, orders, owner, role, run, run_as, value,
    };
    use pgrx::prelude::*;

    /// Creates a table of mallory's with a column whose type has her own cast to JSON.
    fn trojan(body: &str) {
        owner("mallory");
        run_as(
            "mallory",
            &format!(
                "create type mallory.color as enum ('red');
                 create function mallory.paint(c mallory.color) returns json language plpgsql as
                 $$ begin {body} return to_json(current_user); end $$;
                 create cast (mallory.color as json) with function mallory.paint(mallory.color);
                 create table mallory.walls (id int primary key, color mallory.color);
                 select herald.watch('mallory.walls')"
            ),
        );
    }

    #[pg_test]
    fn a_cast_of_a_column_s_type_runs_as_the_table_s_owner() {
        trojan("");
        run("insert into mallory.walls values (1, 'red')");
        assert_eq!(event("data -> 'record' ->> 'color'"), "mallory");
    }

    #[pg_test]
    fn a_cast_cannot_use_the_rights_of_the_superuser_who_writes() {
        trojan("execute 'alter role mallory superuser';");
        let fault = fault("insert into mallory.walls values (1, 'red')");
        assert_eq!(fault.sqlstate, "42501", "{fault:?}");
        assert_eq!(
            value("select rolsuper from pg_roles where rolname = 'mallory'"),
            "false"
        );
        assert_eq!(count("mallory.walls"), 0);
    }

    #[pg_test]
    fn a_cast_cannot_leave_the_role_that_it_runs_as() {
        trojan("execute 'reset role';");
        let fault = fault("insert into mallory.walls values (1, 'red')");
        assert_eq!(fault.sqlstate, "42501", "{fault:?}");
        assert!(
            fault.message.contains("security-restricted operation"),
            "{fault:?}"
        );
    }

    #[pg_test]
    fn a_setting_made_by_an_owner_s_code_ends_with_the_capture() {
        trojan(
            "perform set_config('search_path', 'mallory, pg_catalog', false); perform set_config('datestyle', 'German', false);",
        );
        run_as(
            "mallory",
            "create function mallory.never(text) returns boolean language plpgsql as $$ begin raise 'trojan'; end $$;
             create domain mallory.text as pg_catalog.text check (mallory.never(value));
             create domain mallory.int8 as pg_catalog.int8 check (mallory.never(value::pg_catalog.text));
             create domain mallory.uuid as pg_catalog.uuid check (mallory.never(value::pg_catalog.text))",
        );
        run("insert into mallory.walls values (1, 'red'), (2, 'red')");
        run("insert into mallory.walls values (3, 'red')");
        assert_eq!(events("key"), ["1", "2", "3"]);
        assert_eq!(
            value("select current_setting('search_path')"),
            "\"$user\", public"
        );
        assert_eq!(value("select current_setting('datestyle')"), "ISO, MDY");
    }

    #[pg_test]
    fn nothing_in_a_writer_s_search_path_is_called_with_the_extension_s_rights() {
        orders("");
        run("create schema evil;
             create function evil.never(text) returns boolean language plpgsql as $$ begin raise 'trojan'; end $$;
             create domain evil.text as pg_catalog.text check (evil.never(value));
             create domain evil.uuid as pg_catalog.uuid check (evil.never(value::pg_catalog.text));
             create domain evil.json as pg_catalog.json check (evil.never(value::pg_catalog.text));
             create function evil.same(bigint, bigint) returns boolean language plpgsql as $$ begin raise 'trojan'; end $$;
             create operator evil.= (leftarg = bigint, rightarg = bigint, function = evil.same);
             create function evil.same(oid, oid) returns boolean language plpgsql as $$ begin raise 'trojan'; end $$;
             create operator evil.= (leftarg = oid, rightarg = oid, function = evil.same)");
        run("set local search_path = evil, pg_catalog");
        run("insert into public.orders (id) values (1)");
        run("insert into public.orders (id) values (2), (3)");
        run("set local search_path = public");
        assert_eq!(events("key"), ["1", "2", "3"]);
    }

    #[pg_test]
    fn an_operator_outside_pg_catalog_is_not_picked() {
        run("create function public.always(numeric, int) returns boolean language sql as 'select true';
             create operator public.> (leftarg = numeric, rightarg = int, function = public.always)");
        run("set local search_path = public");
        orders(", condition => 'new.total > 100'");
        run("insert into public.orders values (1, '', 5), (2, '', 500)");
        assert_eq!(events("key"), ["2"]);
        let fault =
            fault("select herald.watch('public.orders', condition => 'always(new.total, 1)')");
        assert_eq!(fault.sqlstate, "42883");
        assert!(fault.hint.contains("public.my_function"), "{fault:?}");
    }

    #[pg_test]
    fn expressions_run_as_the_table_s_owner_whoever_writes() {
        owner("alice");
        role("clerk");
        run_as(
            "alice",
            "create table alice.notes (id int);
             grant usage on schema alice to clerk;
             grant insert on alice.notes to clerk;
             select herald.watch('alice.notes', data => 'concat_ws($$ $$, current_user, current_setting($$search_path$$))')",
        );
        run("insert into alice.notes values (1)");
        run_as("clerk", "insert into alice.notes values (2)");
        run_as("alice", "insert into alice.notes values (3)");
        assert_eq!(events("data"), vec![r#""alice pg_catalog, pg_temp""#; 3]);
    }

    #[pg_test]
    fn an_expression_has_no_more_rights_than_the_owner() {
        owner("alice");
        run_as(
            "alice",
            r"create table alice.notes (id int);
              create function alice.escalate() returns text language plpgsql as
              $$ begin execute 'create role pwned superuser'; return ''; end $$;
              select herald.watch('alice.notes', subject => 'alice.escalate()')",
        );
        assert_eq!(
            fault("insert into alice.notes values (1)").sqlstate,
            "42501"
        );
        run("select herald.watch('alice.notes', subject => 'pg_read_file(''/etc/passwd'')')");
        assert_eq!(
            fault("insert into alice.notes values (1)").sqlstate,
            "42501"
        );
        run(
            "select herald.watch('alice.notes', subject => '(select rolpassword from pg_authid limit 1)')",
        );
        assert_eq!(
            fault("insert into alice.notes values (1)").sqlstate,
            "42501"
        );
    }

    #[pg_test]
    fn code_that_runs_while_an_expression_compiles_runs_as_the_owner() {
        owner("mallory");
        run_as(
            "mallory",
            "create table mallory.seen (who text);
             create function mallory.spy(text) returns boolean language plpgsql as
             $$ begin insert into mallory.seen values (current_user); return true; end $$;
             create domain mallory.word as text check (mallory.spy(value));
             create table mallory.notes (id int)",
        );
        run(
            "select herald.watch('mallory.notes', subject => $$'x'::mallory.word$$, data => $$'{y}'::mallory.word[]$$)",
        );
        run("insert into mallory.notes values (1), (2)");
        assert_eq!(event_subjects(), ["x", "x"]);
        assert_eq!(all("select distinct who from mallory.seen"), ["mallory"]);
    }

    fn event_subjects() -> Vec<String> {
        events("subject")
    }

    #[pg_test]
    fn an_expression_cannot_end_the_statement_that_it_stands_in() {
        orders("");
        for expression in [
            "true); drop table public.orders; select (true",
            "true); select (true",
            "true) as x, (true",
            "true) or (true",
            "true /*",
            "true) security definer --",
        ] {
            let fault = fault(&format!(
                "select herald.watch('public.orders', condition => $q${expression}$q$)"
            ));
            assert_eq!(fault.sqlstate, "42601", "{expression}: {fault:?}");
            assert!(!fault.hint.is_empty(), "{expression}: {fault:?}");
        }
        run("select herald.watch('public.orders', condition => 'true -- and no more')");
        run("insert into public.orders values (1)");
        assert_eq!(event("key"), "1");
    }

    #[pg_test]
    fn writers_need_no_privilege_of_pg_herald_s() {
        orders(", condition => 'new.id > 0', operations => '{insert,update,delete,truncate}'");
        role("clerk");
        run("grant all on public.orders to clerk");
        run_as(
            "clerk",
            "insert into public.orders values (1), (2); update public.orders set note = '';
             delete from public.orders where id = 1; truncate public.orders",
        );
        assert_eq!(
            value("select has_schema_privilege('clerk', 'herald', 'usage')"),
            "false"
        );
        assert_eq!(events("type").len(), 3 + 2);
    }

    #[pg_test]
    fn an_owner_keeps_no_privilege_on_the_schema_of_expressions() {
        owner("alice");
        run_as(
            "alice",
            "create table alice.notes (id int); select herald.watch('alice.notes', condition => 'new.id > 0')",
        );
        assert_eq!(
            value(
                "select has_schema_privilege('alice', 'herald_watch', 'create') or has_schema_privilege('alice', 'herald_watch', 'usage')"
            ),
            "false"
        );
        assert_eq!(
            value(
                "select nspacl::text like '%alice%' from pg_namespace where nspname = 'herald_watch'"
            ),
            "false"
        );
        assert_eq!(
            value(
                "select proowner::regrole from pg_proc where pronamespace = 'herald_watch'::regnamespace"
            ),
            "alice"
        );
    }

    #[pg_test]
    fn a_function_that_another_owner_left_behind_is_never_called() {
        owner("mallory");
        owner("alice");
        run_as("alice", "create table alice.notes (id int)");
        // What mallory's code could do while she may create functions there.
        run(
            "grant usage on schema alice to mallory; grant create, usage on schema herald_watch to mallory",
        );
        let next = value("select nextval('herald_internal.watch_id_seq') + 1");
        run_as(
            "mallory",
            &format!(
                "create function herald_watch._{next}_condition(alice.notes, alice.notes, text) returns boolean language plpgsql as
                 $$ begin raise 'trojan'; end $$;
                 create function herald_watch._{next}_condition(int) returns boolean language plpgsql as
                 $$ begin raise 'trojan'; end $$;
                 create function herald_watch._{next}_subject(alice.notes, alice.notes, text) returns text language plpgsql as
                 $$ begin raise 'trojan'; end $$"
            ),
        );
        run_as(
            "alice",
            "select herald.watch('alice.notes', condition => 'new.id > 0')",
        );
        assert_eq!(value("select max(id) from herald_internal.watch"), next);
        run("insert into alice.notes values (1)");
        assert_eq!(event("data -> 'record' ->> 'id'"), "1");
    }

    #[pg_test]
    fn only_the_owner_may_watch_and_unwatch() {
        owner("alice");
        owner("bob");
        run_as(
            "alice",
            "create table alice.notes (id int); grant all on schema alice to bob; grant all on alice.notes to bob",
        );
        run("set local role bob");
        let watching = fault("select herald.watch('alice.notes')");
        run("reset role");
        assert_eq!(watching.sqlstate, "42501");
        assert_eq!(watching.message, "must be owner of table alice.notes");
        assert!(watching.hint.contains("grant alice to bob"), "{watching:?}");
        run_as("alice", "select herald.watch('alice.notes')");
        run("set local role bob");
        let ending = fault("select herald.unwatch('alice.notes')");
        run("reset role");
        assert_eq!(ending.sqlstate, "42501");
        run("grant alice to bob");
        run_as("bob", "select herald.unwatch('alice.notes')");
        assert_eq!(count("herald_internal.watch"), 0);
    }

    #[pg_test]
    fn a_superuser_calling_foreign_code_cannot_be_used_to_watch() {
        owner("mallory");
        owner("alice");
        run_as(
            "alice",
            "create table alice.secrets (id int); grant usage on schema alice to mallory",
        );
        run_as(
            "mallory",
            "create function mallory.attack() returns int language plpgsql security definer as
             $$ begin perform herald.watch('alice.secrets'); return 1; end $$;
             create materialized view mallory.bait as select mallory.attack() with no data",
        );
        assert_eq!(
            fault("refresh materialized view mallory.bait").sqlstate,
            "42501"
        );
        assert_eq!(fault("select mallory.attack()").sqlstate, "42501");
        assert_eq!(count("herald_internal.watch"), 0);
    }
}
