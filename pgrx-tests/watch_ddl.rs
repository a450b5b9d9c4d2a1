//! How a watch follows changes of its table's definition.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{
        count, event, events, forget_events, orders, owner, role, run, run_as, value,
    };
    use pgrx::prelude::*;

    const LISTS: &str =
        "select row(include_columns, exclude_columns, on_change_of) from herald_internal.watch";

    #[pg_test]
    fn the_view_shows_the_text_of_expressions_as_they_are_now_to_whoever_may_read_it() {
        orders(
            r#", condition => $$new.status = 'paid'$$, data => $$jsonb_build_object('n', new.total)$$, key => 'new.note'"#,
        );
        run("select herald.watch('public.orders', 'plain')");
        run("alter table public.orders rename column status to state");
        let shown = "select string_agg(format('%s %s %s %s %s', name, condition, data, key, subject), '; ' order by id) from herald.watch";
        let texts = "default ((new).state = 'paid'::text) jsonb_build_object('n', (new).total) (new).note ; plain    ";
        assert_eq!(value(shown), texts);
        role("watch_reader");
        run("select herald.grant_access('watch_reader', 'reader')");
        run("set local role watch_reader");
        assert_eq!(value(shown), texts);
        run("reset role");
        role("watch_stranger");
        run(
            "grant usage on schema herald, herald_internal to watch_stranger; set local role watch_stranger",
        );
        assert_eq!(count("herald_internal.expressions_of_watches()"), 0);
        run("reset role");
    }

    #[pg_test]
    fn a_renamed_column_stays_in_its_lists() {
        orders(", exclude_columns => '{note}', on_change_of => '{status,total}'");
        run("alter table public.orders rename column note to remark");
        run("alter table public.orders rename column total to amount");
        assert_eq!(value(LISTS), r#"(,{remark},"{status,amount}")"#);
        run("insert into public.orders values (1, 'a', 5, 'secret')");
        run("update public.orders set amount = 6");
        run("update public.orders set remark = 'other'");
        assert_eq!(
            events("data ->> 'record'"),
            [
                r#"{"id":1,"status":"a","amount":5}"#,
                r#"{"id":1,"status":"a","amount":6}"#
            ]
        );
    }

    #[pg_test]
    fn an_excluded_column_stays_excluded_when_event_triggers_did_not_see_its_rename() {
        orders(", exclude_columns => '{note}'");
        run("alter event trigger pg_herald_follow_ddl disable");
        run("alter table public.orders rename column note to remark");
        run("alter table public.orders add column note text");
        run("insert into public.orders values (1, 'a', 5, 'secret', 'shown')");
        assert_eq!(
            event("data ->> 'record'"),
            r#"{"id":1,"status":"a","total":5,"note":"shown"}"#
        );
        run("alter event trigger pg_herald_follow_ddl enable");
        run("select herald.watch('public.orders')");
        assert_eq!(value(LISTS), "(,{remark},)");
    }

    #[pg_test]
    fn a_dropped_column_leaves_its_lists() {
        orders(", include_columns => '{id,note}', on_change_of => '{status}'");
        run("alter table public.orders drop column note");
        run("insert into public.orders values (1, 'a')");
        assert_eq!(value(LISTS), "({id},,{status})");
        run("alter table public.orders drop column id, drop column status");
        assert_eq!(value(LISTS), "({},,{})");
        forget_events();
        run("update public.orders set total = 1");
        assert_eq!(events("type").len(), 0);
        run("delete from public.orders");
        assert_eq!(event("data ->> 'old_record'"), "{}");
    }

    #[pg_test]
    fn an_added_column_appears_in_records() {
        orders(", exclude_columns => '{note}'");
        run("insert into public.orders values (1)");
        run("alter table public.orders add column extra int default 7");
        run("insert into public.orders values (2)");
        assert_eq!(events("data -> 'record' ->> 'extra'"), ["null", "7"]);
    }

    #[pg_test]
    fn a_new_primary_key_is_the_key_from_then_on() {
        orders("");
        run("insert into public.orders values (1, 'a')");
        run("alter table public.orders drop constraint orders_pkey, add primary key (status, id)");
        run("insert into public.orders values (2, 'b')");
        run("alter table public.orders drop constraint orders_pkey");
        run("insert into public.orders values (3, 'c')");
        assert_eq!(events("key"), ["1", "b/2", "null"]);
    }

    #[pg_test]
    fn a_column_of_another_type_is_read_as_that() {
        orders("");
        run("insert into public.orders values (1, '7')");
        run("alter table public.orders alter column status type int using status::int");
        run("insert into public.orders values (2, 8)");
        assert_eq!(events("data -> 'record' -> 'status'"), [r#""7""#, "8"]);
    }

    #[pg_test]
    fn what_a_rolled_back_ddl_did_is_forgotten() {
        orders(", exclude_columns => '{note}'");
        run(r"do $$ begin
                  alter table public.orders rename column note to remark;
                  alter table public.orders add column extra int;
                  insert into public.orders values (1);
                  raise division_by_zero;
              exception when division_by_zero then null; end $$");
        run("insert into public.orders values (2)");
        assert_eq!(
            event("data ->> 'record'"),
            r#"{"id":2,"status":null,"total":null}"#
        );
        assert_eq!(value(LISTS), "(,{note},)");
    }

    #[pg_test]
    fn a_dropped_table_takes_its_watches_along() {
        orders(", condition => 'new.id > 0'");
        run("create schema shop; create table shop.item (id int)");
        run("select herald.watch('shop.item', data => 'new')");
        run("create table public.keep (id int)");
        run("select herald.watch('public.keep')");
        run("drop schema shop cascade");
        run("drop table public.orders");
        assert_eq!(
            value("select string_agg(table_name::text, ',') from herald_internal.watch"),
            "keep"
        );
        assert_eq!(
            count("pg_proc where pronamespace = 'herald_watch'::regnamespace"),
            0
        );
    }

    #[pg_test]
    fn expressions_pass_to_the_new_owner_of_the_table() {
        owner("alice");
        owner("bob");
        run_as(
            "alice",
            "create table alice.notes (id int); select herald.watch('alice.notes', subject => 'current_user')",
        );
        run("insert into alice.notes values (1)");
        run("alter table alice.notes owner to bob; grant usage on schema alice to bob");
        run("insert into alice.notes values (2)");
        assert_eq!(events("subject"), ["alice", "bob"]);
        run("alter schema alice owner to bob; drop owned by alice; drop role alice");
        run("insert into alice.notes values (3)");
    }

    #[pg_test]
    fn event_triggers_fail_no_command() {
        run("create table public.sales (id int) partition by list (id)");
        run("select herald.watch('public.sales')");
        // Blocks the trigger that the partition should get.
        run("create table public.one (id int)");
        run(
            "create function public.own() returns trigger language plpgsql as $$ begin return null; end $$",
        );
        let id = value("select id from herald_internal.watch");
        run(&format!(
            "create trigger pg_herald_{id}_insert after insert on public.one for each statement execute function public.own()"
        ));
        run("alter table public.sales attach partition public.one for values in (1)");
        run("insert into public.sales values (1)");
        assert_eq!(event("data ->> 'record'"), r#"{"id":1}"#);
    }

    #[pg_test]
    fn a_fault_of_the_event_triggers_fails_no_command() {
        orders("");
        run("alter table herald_internal.watch rename to hidden");
        run(
            "create table public.more (id int); alter table public.more add column x int; drop table public.more",
        );
        run("alter table herald_internal.hidden rename to watch");
        run("insert into public.orders values (1)");
        assert_eq!(event("key"), "1");
    }

    #[pg_test]
    fn a_user_trigger_named_like_ours_blocks_nothing() {
        orders("");
        run("create table public.other (id int)");
        run(
            "create function public.own() returns trigger language plpgsql as $$ begin return null; end $$",
        );
        run(
            "create trigger own after insert on public.other for each statement execute function public.own()",
        );
        run(
            "create trigger own after insert on public.orders for each statement execute function public.own()",
        );
        for table in ["other", "orders"] {
            run(&format!(
                "alter trigger own on public.{table} rename to pg_herald_x_insert"
            ));
            run(&format!("alter table public.{table} add column more int"));
            run(&format!(
                "alter trigger pg_herald_x_insert on public.{table} rename to pg_herald_99999999999999999999_insert"
            ));
            run(&format!(
                "alter table public.{table} add column still_more int"
            ));
        }
        run("drop table public.other");
        run("insert into public.orders values (1)");
        assert_eq!(event("key"), "1");
    }

    #[pg_test]
    fn a_trigger_of_a_watch_keeps_working_under_another_name() {
        orders("");
        let id = value("select id from herald_internal.watch");
        run(&format!(
            "alter trigger pg_herald_{id}_insert on public.orders rename to captures"
        ));
        run("alter table public.orders add column more int");
        run("select herald.watch('public.orders')");
        run("insert into public.orders values (1)");
        assert_eq!(events("key"), ["1"]);
        run("select herald.unwatch('public.orders')");
        assert_eq!(
            count("pg_trigger where tgrelid = 'public.orders'::regclass"),
            0
        );
    }

    #[pg_test]
    fn a_foreign_table_that_joins_the_tree_is_followed() {
        run("create extension postgres_fdw; create server far foreign data wrapper postgres_fdw");
        run("create table public.base (id int, note text)");
        run("select herald.watch('public.base', exclude_columns => '{note}')");
        run("create foreign table public.away (id int, remark text) server far");
        run("alter event trigger pg_herald_follow_ddl disable");
        run("alter table public.base rename column note to remark");
        run("alter event trigger pg_herald_follow_ddl enable always");
        run("alter foreign table public.away inherit public.base");
        assert_eq!(value(LISTS), "(,{remark},)");
    }

    #[pg_test]
    fn quoting_all_identifiers_changes_no_value() {
        run("create table public.kinds (kind regclass primary key, f regproc)");
        run("set local quote_all_identifiers = on");
        run(
            "select herald.watch('public.kinds', subject => 'new.kind::text', exclude_columns => '{f}')",
        );
        run("alter table public.kinds rename column f to g");
        run("insert into public.kinds values ('public.kinds', 'pg_catalog.now')");
        assert_eq!(event("key || ' ' || subject"), "public.kinds public.kinds");
        assert_eq!(event("data -> 'record'"), r#"{"kind":"public.kinds"}"#);
        assert_eq!(
            event("type || ' ' || source"),
            format!(
                "public.kinds.inserted /{}",
                value("select current_database()")
            )
        );
        assert_eq!(
            value("select exclude_columns from herald_internal.watch"),
            "{g}"
        );
        run("alter table public.kinds drop column kind cascade");
        run("drop table public.kinds");
        assert_eq!(count("herald_internal.watch"), 0);
    }

    #[pg_test]
    fn a_role_without_privileges_changes_its_tables_as_ever() {
        owner("alice");
        run_as(
            "alice",
            "create table alice.notes (id int, t text) partition by list (id);
                         select herald.watch('alice.notes', exclude_columns => '{t}')",
        );
        run("revoke all on schema herald from alice");
        run_as(
            "alice",
            "create table alice.notes_1 partition of alice.notes for values in (1);
                         alter table alice.notes rename column t to u;
                         insert into alice.notes_1 values (1, 'secret')",
        );
        assert_eq!(event("data ->> 'record'"), r#"{"id":1}"#);
        run_as("alice", "drop table alice.notes");
        assert_eq!(count("herald_internal.watch"), 0);
    }
}
