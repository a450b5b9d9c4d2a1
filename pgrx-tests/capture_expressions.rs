//! The expressions of watches: what they decide, and what happens when they fail.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{
        count, event, events, fault, forget_events, orders, run, value,
    };
    use pgrx::prelude::*;

    #[pg_test]
    fn a_condition_captures_the_rows_for_which_it_is_true() {
        orders(", condition => 'new.total > 100'");
        run("insert into public.orders values (1, '', 5), (2, '', 500), (3, '', null)");
        assert_eq!(events("key"), ["2"]);
    }

    #[pg_test]
    fn a_condition_sees_new_old_and_operation() {
        orders(
            ", condition => $$operation = 'delete' or old.status is distinct from new.status and old.id is not null$$",
        );
        run("insert into public.orders values (1, 'a')");
        run("update public.orders set note = 'x'");
        run("update public.orders set status = 'b'");
        run("delete from public.orders");
        assert_eq!(
            events("type"),
            ["public.orders.updated", "public.orders.deleted"]
        );
    }

    #[pg_test]
    fn expressions_decide_every_attribute() {
        orders(
            ", type_expression => $$'order.' || operation || '.' || coalesce(new.status, old.status)$$,
             subject => 'new.id + 1000', key => $$new.status$$, tenant => $$'t' || new.id % 2$$,
             priority => $$case when new.total > 100 then 'high' end$$,
             data => $$jsonb_build_object('id', new.id, 'was', old.status)$$",
        );
        run("insert into public.orders values (1, 'paid', 500), (2, null, 5)");
        assert_eq!(
            events("concat_ws(' ', type, subject, key, tenant, priority)"),
            [
                "order.insert.paid 1001 paid t1 high",
                "public.orders.inserted 1002 t0 normal"
            ]
        );
        assert_eq!(
            events("data"),
            [r#"{"id":1,"was":null}"#, r#"{"id":2,"was":null}"#]
        );
        forget_events();
        run("update public.orders set status = 'sent' where id = 1");
        assert_eq!(event("data ->> 'was'"), "paid");
    }

    #[pg_test]
    fn data_may_be_of_any_type_and_null() {
        orders(", data => 'new.total'");
        run("select herald.watch('public.orders', 'text', type => 't', data => 'new.status')");
        run("select herald.watch('public.orders', 'row', type => 'u', data => 'new')");
        run(
            r#"select herald.watch('public.orders', 'json', type => 'v', data => $$'{ "a" : [ 1, "b  c" ] }'::json$$)"#,
        );
        run("insert into public.orders values (1, 'a \"b\"', null)");
        let mut data = events("coalesce(data::text, 'no data')");
        data.sort();
        assert_eq!(
            data,
            [
                r#""a \"b\"""#,
                "null",
                r#"{"a":[1,"b  c"]}"#,
                r#"{"id":1,"status":"a \"b\"","total":null,"note":null}"#
            ]
        );
    }

    #[pg_test]
    fn an_expression_may_ask_other_tables_and_functions_of_the_owner() {
        run("create table public.customer (id int primary key, name text)");
        run("insert into public.customer values (1, 'Ada')");
        run("create function public.shout(t text) returns text language sql as 'select upper(t)'");
        run("create table public.orders (id int primary key, customer_id int)");
        run(
            "select herald.watch('public.orders', subject => '(select public.shout(c.name) from public.customer c where c.id = new.customer_id)')",
        );
        run("insert into public.orders values (1, 1)");
        assert_eq!(event("subject"), "ADA");
        forget_events();
        run(
            "create or replace function public.shout(t text) returns text language sql as $$select t || '!'$$",
        );
        run("insert into public.orders values (2, 1)");
        assert_eq!(event("subject"), "Ada!");
    }

    #[pg_test]
    fn empty_attributes_are_left_out() {
        let empty = "'concat(new.note)'";
        orders(&format!(
            ", subject => {empty}, key => {empty}, type_expression => {empty}, tenant => {empty}"
        ));
        run("insert into public.orders values (1)");
        assert_eq!(
            event("type || num_nonnulls(subject, key, tenant)"),
            "public.orders.inserted0"
        );
    }

    #[pg_test]
    fn a_fault_fails_the_statement_by_default() {
        orders(", subject => '1 / (new.id - 1)'");
        let fault = fault("insert into public.orders values (1)");
        assert_eq!(
            (fault.sqlstate.as_str(), fault.message.as_str()),
            ("22012", "division by zero")
        );
        assert_eq!(
            fault.detail,
            r#"It was raised by the subject of the watch "default" on public.orders."#
        );
        run("insert into public.orders values (3)");
        assert_eq!(events("key"), ["3"]);
    }

    #[pg_test]
    fn with_on_error_capture_a_fault_becomes_an_attribute() {
        orders(
            ", subject => '1 / (new.id - 2)', type => 'order.new', data => '42', on_error => 'capture'",
        );
        run("insert into public.orders values (1), (2), (3)");
        assert_eq!(
            events("extensions::text"),
            ["null", r#"{"captureerror":"division by zero"}"#, "null"]
        );
        assert_eq!(events("subject"), ["-1", "2", "1"]);
        assert_eq!(
            events("coalesce(data -> 'record' ->> 'id', data::text)"),
            ["42", "2", "42"]
        );
        assert_eq!(events("type")[1], "order.new");
    }

    #[pg_test]
    fn what_a_faulty_expression_did_is_undone() {
        run("create table public.log (t text)");
        run(
            r"create function public.note(t text) returns text language plpgsql as
              $$ begin insert into public.log values (t); if t = 'b' then raise 'no'; end if; return t; end $$",
        );
        orders(", subject => 'public.note(new.status)', on_error => 'capture'");
        run("insert into public.orders values (1, 'a'), (2, 'b'), (3, 'c')");
        assert_eq!(
            value("select string_agg(t, '' order by t) from public.log"),
            "ac"
        );
        assert_eq!(
            events("coalesce(extensions ->> 'captureerror', subject)"),
            ["a", "no", "c"]
        );
    }

    #[pg_test]
    fn a_cancelled_query_is_not_a_fault_of_the_expression() {
        run(
            r"create function public.cancelled() returns text language plpgsql as
              $$ begin raise sqlstate '57014' using message = 'cancelled'; end $$",
        );
        orders(", subject => 'public.cancelled()', on_error => 'capture'");
        let fault = fault(
            "do $$ begin insert into public.orders values (1);
            exception when query_canceled then raise 'it was cancelled'; end $$",
        );
        assert_eq!(fault.message, "it was cancelled");
    }

    #[pg_test]
    fn a_priority_that_is_none_is_a_fault() {
        orders(", priority => 'new.status'");
        let fault = fault("insert into public.orders values (1, 'urgent')");
        assert_eq!(fault.sqlstate, "22023");
        assert!(fault.message.contains("urgent"), "{fault:?}");
        run("select herald.watch('public.orders', on_error => 'capture')");
        run("insert into public.orders values (1, 'urgent')");
        assert_eq!(event("priority"), "normal");
    }

    #[pg_test]
    fn expressions_follow_renamed_columns_tables_and_schemas() {
        orders(", condition => 'new.total > 100', subject => 'new.status'");
        run("insert into public.orders values (1, 'a', 500)");
        run("alter table public.orders rename column total to amount");
        run("alter table public.orders rename to purchase");
        run("create schema shop; alter table public.purchase set schema shop");
        run("insert into shop.purchase values (2, 'b', 500), (3, 'c', 5)");
        run("alter schema shop rename to store");
        run("insert into store.purchase values (4, 'd', 500)");
        assert_eq!(
            events("type || ' ' || subject"),
            [
                "public.orders.inserted a",
                "shop.purchase.inserted b",
                "store.purchase.inserted d"
            ]
        );
        assert_eq!(
            events("(data ->> 'schema') || ' ' || (data ->> 'table')"),
            ["public orders", "shop purchase", "store purchase"]
        );
    }

    #[pg_test]
    fn dropping_a_column_that_an_expression_uses_is_refused() {
        orders(", condition => 'new.total > 100'");
        let fault = fault("alter table public.orders drop column total");
        assert_eq!(fault.sqlstate, "2BP01");
        assert!(fault.detail.contains("condition"), "{fault:?}");
        run("alter table public.orders drop column note");
        run("insert into public.orders values (1, '', 500)");
        assert_eq!(event("key"), "1");
    }

    #[pg_test]
    fn a_column_dropped_with_cascade_fails_writes_with_the_fix() {
        orders(", condition => 'new.total > 100'");
        run("insert into public.orders values (1, '', 500)");
        run("alter table public.orders drop column total cascade");
        let fault = fault("insert into public.orders values (2)");
        assert_eq!(fault.sqlstate, "42883");
        assert_eq!(
            fault.message,
            "the condition of a watch on public.orders was dropped"
        );
        assert!(
            fault.hint.contains("herald.unwatch('public.orders')"),
            "{fault:?}"
        );
        run("select herald.watch('public.orders', on_error => 'capture')");
        run("insert into public.orders values (2)");
        assert_eq!(
            events("coalesce(extensions ->> 'captureerror', '')")[1],
            "the condition of a watch on public.orders was dropped: DROP ... CASCADE of a column or function that it used dropped it, too."
        );
        run("select herald.watch('public.orders', condition => 'new.id > 2', on_error => 'abort')");
        run("insert into public.orders values (2000), (0)");
        assert_eq!(events("key"), ["1", "2", "2000"]);
    }

    #[pg_test]
    fn a_condition_on_a_table_that_is_dropped_needs_no_cascade() {
        orders(", condition => 'new.total > 100', data => 'new'");
        run("drop table public.orders");
        assert_eq!(count("herald_internal.watch"), 0);
        assert_eq!(
            count("pg_proc where pronamespace = 'herald_watch'::regnamespace"),
            0
        );
    }

    #[pg_test]
    fn the_latest_options_hold_from_the_next_statement_on() {
        orders("");
        run("insert into public.orders values (1, 'a')");
        run("select herald.watch('public.orders', subject => 'new.status')");
        run("insert into public.orders values (2, 'b')");
        run(
            "select herald.watch('public.orders', subject => 'new.note', exclude_columns => '{total}')",
        );
        run("insert into public.orders values (3, 'c', 0, 'n')");
        fault("select herald.watch('public.orders', subject => 'new.id'); select 1 / 0");
        run("insert into public.orders values (4, 'd', 0, 'o')");
        assert_eq!(events("subject"), ["1", "b", "n", "o"]);
    }
}
