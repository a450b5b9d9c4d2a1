//! What statements on a plain table leave in the log.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{
        count, event, events, fault, forget_events, orders, run, value,
    };
    use pgrx::prelude::*;

    #[pg_test]
    fn an_insert_leaves_one_event_with_the_row() {
        run("create table public.orders (id bigint primary key, total numeric)");
        run("select herald.watch('public.orders')");
        run("insert into public.orders values (1, 9.50)");
        assert_eq!(
            event("data"),
            r#"{"operation":"insert","schema":"public","table":"orders","record":{"id":1,"total":9.50},"old_record":null}"#
        );
        assert_eq!(
            event("type || ' ' || key || ' ' || subject"),
            "public.orders.inserted 1 1"
        );
        assert_eq!(
            event("source"),
            format!("/{}", value("select current_database()"))
        );
    }

    #[pg_test]
    fn a_trigger_of_ones_own_is_told_to_call_watch() {
        run("create table public.orders (id bigint primary key)");
        run(
            "create trigger mine after insert on public.orders execute function herald_internal.capture()",
        );
        let refused = fault("insert into public.orders values (1)");
        assert_eq!(refused.sqlstate, "39P01");
        assert_eq!(
            refused.message,
            "herald_internal.capture() is an internal trigger function of pg_herald"
        );
        assert_eq!(
            refused.hint,
            "Call herald.watch() to capture the changes of a table."
        );
    }

    #[pg_test]
    fn an_update_has_both_rows_and_names_the_columns_that_changed() {
        orders("");
        run("insert into public.orders values (1, 'new', 5, null)");
        forget_events();
        run("update public.orders set status = 'paid', note = 'x'");
        assert_eq!(
            event("data"),
            r#"{"operation":"update","schema":"public","table":"orders","record":{"id":1,"status":"paid","total":5,"note":"x"},"old_record":{"id":1,"status":"new","total":5,"note":null},"changed":["status","note"]}"#
        );
        assert_eq!(event("type"), "public.orders.updated");
    }

    #[pg_test]
    fn an_update_that_changes_nothing_has_an_empty_changed() {
        orders("");
        run("insert into public.orders values (1, 'new', 5)");
        forget_events();
        run("update public.orders set status = status");
        assert_eq!(event("data ->> 'changed'"), "[]");
    }

    #[pg_test]
    fn a_delete_has_the_old_row_only() {
        orders("");
        run("insert into public.orders values (7)");
        forget_events();
        run("delete from public.orders");
        assert_eq!(event("data ->> 'record'"), "null");
        assert_eq!(event("data -> 'old_record' ->> 'id'"), "7");
        assert_eq!(event("type || ' ' || key"), "public.orders.deleted 7");
    }

    #[pg_test]
    fn a_truncate_is_one_event_without_records_and_only_on_demand() {
        orders("");
        run("insert into public.orders values (1), (2)");
        forget_events();
        run("truncate public.orders");
        assert_eq!(events("data").len(), 0);
        run("select herald.watch('public.orders', operations => '{truncate}')");
        run("insert into public.orders values (1), (2)");
        run("truncate public.orders");
        assert_eq!(
            event("data"),
            r#"{"operation":"truncate","schema":"public","table":"orders","record":null,"old_record":null}"#
        );
        assert_eq!(event("type"), "public.orders.truncated");
        assert_eq!(event("coalesce(key, 'none')"), "none");
    }

    #[pg_test]
    fn statements_without_rows_leave_nothing_and_take_no_transaction_id() {
        orders(
            ", operations => '{insert,update,delete,truncate}', condition => 'coalesce(new.id, old.id) < 100'",
        );
        run("insert into public.orders values (1)");
        forget_events();
        // Each subtransaction that takes an id holds a lock on it.
        run(r"
            create function pg_temp.ids_of(statement text) returns bigint language plpgsql as $$
            declare before bigint; behind bigint;
            begin
                select count(*) into before from pg_locks where locktype = 'transactionid' and pid = pg_backend_pid();
                begin
                    execute statement;
                    select count(*) into behind from pg_locks where locktype = 'transactionid' and pid = pg_backend_pid();
                exception when division_by_zero then null;
                end;
                return behind - before;
            end
            $$");
        for statement in [
            "insert into public.orders select 2 where false",
            "update public.orders set note = '' where false",
            "delete from public.orders where false",
        ] {
            assert_eq!(
                value(&format!("select pg_temp.ids_of($q${statement}$q$)")),
                "0"
            );
        }
        assert_eq!(
            value("select pg_temp.ids_of('delete from public.orders')"),
            "1"
        );
        assert_eq!(events("type"), ["public.orders.deleted"]);
    }

    #[pg_test]
    fn a_statement_of_many_rows_keeps_their_order_and_their_pairs() {
        orders("");
        run("insert into public.orders select n, 'new', n from generate_series(1, 1203) n");
        assert_eq!(
            events("key"),
            (1..=1203).map(|n| n.to_string()).collect::<Vec<_>>()
        );
        forget_events();
        run("update public.orders set total = -total");
        assert_eq!(
            count(
                "herald.event
                 where data -> 'record' ->> 'id' = data -> 'old_record' ->> 'id'
                 and data -> 'record' ->> 'total' = '-' || (data -> 'old_record' ->> 'total')
                 and key = data -> 'record' ->> 'id'"
            ),
            1203
        );
        assert_eq!(
            value("select count(distinct uid) from herald.event"),
            "1203"
        );
    }

    #[pg_test]
    fn rows_of_a_megabyte_are_captured_whole() {
        orders("");
        run(
            "insert into public.orders select n, '', n, repeat('x', 1000000 + n::int) from generate_series(1, 5) n",
        );
        assert_eq!(
            events("length(data -> 'record' ->> 'note')"),
            ["1000001", "1000002", "1000003", "1000004", "1000005"]
        );
        forget_events();
        // The values are still stored out of line and compressed.
        run("update public.orders set status = 'moved' where id = 3");
        assert_eq!(event("data ->> 'changed'"), r#"["status"]"#);
        assert_eq!(event("length(data -> 'old_record' ->> 'note')"), "1000003");
    }

    #[pg_test]
    fn rows_that_do_not_fit_into_memory_are_captured() {
        orders("");
        run("set local work_mem = '64kB'");
        run("insert into public.orders select n, 'new', n from generate_series(1, 9000) n");
        run("update public.orders set total = -total");
        assert_eq!(
            count(
                "herald.event
                 where data -> 'record' ->> 'id' = data -> 'old_record' ->> 'id'
                 and data -> 'record' ->> 'total' = '-' || (data -> 'old_record' ->> 'total')
                 and key = data -> 'record' ->> 'id'"
            ),
            9000
        );
    }

    #[pg_test]
    fn copy_leaves_one_event_for_each_row() {
        orders("");
        run(r"copy public.orders (id) from program 'printf ''1\n2\n3\n'''");
        assert_eq!(events("key"), ["1", "2", "3"]);
    }

    #[pg_test]
    fn an_upsert_leaves_inserts_and_updates_apart() {
        orders("");
        run("insert into public.orders values (1, 'old')");
        forget_events();
        run("insert into public.orders values (1, 'new'), (2, 'new')
             on conflict (id) do update set status = excluded.status");
        let mut seen = events("type || ' ' || key || ' ' || (data ->> 'old_record' is null)");
        seen.sort();
        assert_eq!(
            seen,
            [
                "public.orders.inserted 2 true",
                "public.orders.updated 1 false"
            ]
        );
    }

    #[pg_test]
    fn a_merge_leaves_what_each_of_its_actions_did() {
        if value("select current_setting('server_version_num')::int >= 150000") == "false" {
            return;
        }
        orders("");
        run("insert into public.orders values (1, 'a'), (2, 'b')");
        forget_events();
        run(
            "merge into public.orders o using (values (1), (2), (3)) v (id) on o.id = v.id
             when matched and o.id = 1 then delete
             when matched then update set status = 'merged'
             when not matched then insert values (v.id, 'c')",
        );
        let mut seen = events("type || ' ' || key");
        seen.sort();
        assert_eq!(
            seen,
            [
                "public.orders.deleted 1",
                "public.orders.inserted 3",
                "public.orders.updated 2"
            ]
        );
    }

    #[pg_test]
    fn foreign_key_cascades_are_captured() {
        orders("");
        run("create table public.items (id int primary key, order_id bigint references public.orders
             on delete cascade on update cascade)");
        run("select herald.watch('public.items')");
        run("insert into public.orders values (1), (2)");
        run("insert into public.items values (1, 1), (2, 1), (3, 2)");
        forget_events();
        run("update public.orders set id = 10 where id = 1");
        run("delete from public.orders");
        let mut seen =
            events("type || ' ' || key || ' ' || coalesce(data -> 'record' ->> 'order_id', '-')");
        seen.retain(|line| line.contains("items"));
        seen.sort();
        assert_eq!(
            seen,
            [
                "public.items.deleted 1 -",
                "public.items.deleted 2 -",
                "public.items.deleted 3 -",
                "public.items.updated 1 10",
                "public.items.updated 2 10"
            ]
        );
    }

    #[pg_test]
    fn what_is_rolled_back_to_a_savepoint_leaves_nothing() {
        orders("");
        run(r"do $$
              begin
                  insert into public.orders values (1);
                  begin
                      insert into public.orders values (2);
                      raise division_by_zero;
                  exception when division_by_zero then
                      insert into public.orders values (3);
                  end;
              end $$");
        assert_eq!(events("key"), ["1", "3"]);
    }

    #[pg_test]
    fn herald_capture_off_skips_a_bulk_load() {
        orders("");
        run("set local herald.capture = off");
        run("insert into public.orders values (1)");
        run("set local herald.capture = on");
        run("insert into public.orders values (2)");
        assert_eq!(events("key"), ["2"]);
    }

    #[pg_test]
    fn on_change_of_captures_only_updates_of_those_columns() {
        orders(", on_change_of => '{status,total}'");
        run("insert into public.orders values (1, 'new', 1, 'a')");
        run("update public.orders set note = 'b'");
        run("update public.orders set total = 1.00, note = 'c'");
        run("delete from public.orders");
        assert_eq!(
            events("type || coalesce(data ->> 'changed', '')"),
            [
                "public.orders.inserted",
                r#"public.orders.updated["total","note"]"#,
                "public.orders.deleted"
            ]
        );
    }

    #[pg_test]
    fn operations_decide_what_is_captured() {
        orders(", operations => '{delete}'");
        run("insert into public.orders values (1)");
        run("update public.orders set note = ''");
        run("delete from public.orders");
        assert_eq!(events("type"), ["public.orders.deleted"]);
    }

    #[pg_test]
    fn a_nested_statement_s_events_come_before_its_outer_statement_s() {
        orders("");
        run("create table public.audit (n bigint)");
        run("select herald.watch('public.audit')");
        run(
            r"create function public.audit() returns trigger language plpgsql as
              $$ begin insert into public.audit values (new.id); return new; end $$",
        );
        run(
            "create trigger audit after insert on public.orders for each row execute function public.audit()",
        );
        run("insert into public.orders values (1), (2)");
        assert_eq!(
            events("type"),
            [
                "public.audit.inserted",
                "public.audit.inserted",
                "public.orders.inserted",
                "public.orders.inserted"
            ]
        );
    }

    #[pg_test]
    fn several_watches_of_a_table_capture_side_by_side() {
        orders(", type => 'order.all'");
        run(
            "select herald.watch('public.orders', 'big', type => 'order.big', condition => 'new.total > 100')",
        );
        run("insert into public.orders values (1, '', 5), (2, '', 500)");
        let mut seen = events("type || key");
        seen.sort();
        assert_eq!(seen, ["order.all1", "order.all2", "order.big2"]);
    }

    #[pg_test]
    fn a_prepared_transaction_s_events_come_with_its_commit() {
        if value("select exists (select from pg_available_extensions where name = 'dblink')")
            == "false"
        {
            return;
        }
        run("create extension dblink");
        let connect = |database: &str| {
            run(&format!(
                "select dblink_connect('c', format('dbname=%s port=%s host=%s', {database}, current_setting('port'),
                 split_part(current_setting('unix_socket_directories'), ',', 1)))"
            ));
        };
        let remote = |sql: &str| run(&format!("select dblink_exec('c', $q${sql}$q$)"));
        let count = || {
            value(
                "select n from dblink('c', 'select string_agg(key, '','') from herald.event') as d (n text)",
            )
        };
        // Other tests must not see what it commits.
        connect("current_database()");
        remote("create database herald_twice");
        run("select dblink_disconnect('c')");
        connect("'herald_twice'");
        remote("create extension pg_herald");
        remote("create table public.twice (id int primary key)");
        remote("do $$ begin perform herald.watch('public.twice'); end $$");
        remote("begin; insert into public.twice values (1); prepare transaction 'one'");
        remote("begin; insert into public.twice values (2); prepare transaction 'two'");
        assert_eq!(count(), "null");
        remote("commit prepared 'one'");
        remote("rollback prepared 'two'");
        assert_eq!(count(), "1");
        run("select dblink_disconnect('c')");
        connect("current_database()");
        remote("drop database herald_twice (force)");
    }
}
