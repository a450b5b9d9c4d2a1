//! watch() and unwatch(): what they report, change and refuse.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, count, event, events, fault, orders, rows, run, value};
    use pgrx::prelude::*;

    #[pg_test]
    fn watch_says_what_it_did() {
        run("create table public.orders (id int)");
        assert_eq!(
            value("select w from herald.watch('public.orders') w"),
            "(default,orders,t)"
        );
        assert_eq!(
            value("select w from herald.watch('public.orders') w"),
            "(default,orders,f)"
        );
        assert_eq!(
            value("select w from herald.watch('public.orders', 'second') w"),
            "(second,orders,t)"
        );
        assert_eq!(
            all("select w from herald.unwatch('public.orders') w"),
            ["(default,orders)", "(second,orders)"]
        );
        assert_eq!(
            all("select w from herald.unwatch('public.orders') w").len(),
            0
        );
        assert_eq!(
            value("select w from herald.watch('public.orders', 'second') w"),
            "(second,orders,t)"
        );
    }

    #[pg_test]
    fn watch_again_changes_exactly_the_given_options() {
        orders(", operations => '{insert,delete}', type => 'order.x', condition => 'new.id > 0 or old.id > 0', subject => 'new.status',
                 exclude_columns => '{total}', on_change_of => '{status}', on_error => 'capture'");
        let options = "select row(operations, type, include_columns, exclude_columns, on_change_of, on_error, expressions) from herald_internal.watch";
        let before = value(options);
        run("select herald.watch('public.orders')");
        assert_eq!(value(options), before);
        run("select herald.watch('public.orders', on_error => 'abort', priority => $$'high'$$)");
        assert_eq!(
            value(options),
            before
                .replace(",capture,", ",abort,")
                .replace("{condition,subject}", "{condition,priority,subject}")
        );
        run("insert into public.orders values (1, 'a', 5)");
        assert_eq!(
            event("concat_ws(' ', type, subject, priority, data ->> 'record')"),
            r#"order.x a high {"id":1,"status":"a","note":null}"#
        );
    }

    #[pg_test]
    fn a_type_and_a_type_expression_replace_each_other() {
        orders(", type => 'fixed'");
        run("select herald.watch('public.orders', type_expression => $$'row.' || new.id$$)");
        run("insert into public.orders values (1)");
        run("select herald.watch('public.orders', type => 'again')");
        run("insert into public.orders values (2)");
        run("select herald.watch('public.orders', type_expression => 'new.status')");
        run("select herald.watch('public.orders', type => 'it''s')");
        assert_eq!(events("type"), ["row.1", "again"]);
        assert_eq!(value("select expressions from herald_internal.watch"), "{}");
        // Called by a session that has just read that a type_expression exists.
        assert_eq!(
            value(
                "select pg_get_function_sqlbody(oid) from pg_proc where pronamespace = 'herald_watch'::regnamespace"
            ),
            "RETURN 'it''s'::text"
        );
        run("alter table public.orders drop column status");
        run("select herald.unwatch('public.orders')");
        assert_eq!(
            count("pg_proc where pronamespace = 'herald_watch'::regnamespace"),
            0
        );
    }

    #[pg_test]
    fn a_changed_expression_keeps_its_function() {
        orders(", condition => 'new.status is not null'");
        let function = "select oid from pg_proc where pronamespace = 'herald_watch'::regnamespace";
        let before = value(function);
        run("select herald.watch('public.orders', condition => 'new.id > 1')");
        assert_eq!(value(function), before);
        run("alter table public.orders drop column status");
        run("insert into public.orders values (1), (2)");
        assert_eq!(event("key"), "2");
        run("drop table public.orders");
        assert_eq!(value(function), "null");
    }

    #[pg_test]
    fn a_subquery_may_aggregate_and_number_its_own_rows() {
        orders(
            ", condition => '(select count(*) from generate_series(1, new.id)) > 1',
               subject => '(select row_number() over ()::text)',
               key => '(array(select unnest(array[new.status])))[1]'",
        );
        run("insert into public.orders values (1, 'a'), (2, 'b')");
        assert_eq!(event("subject || key"), "1b");
    }

    #[pg_test]
    fn include_and_exclude_replace_each_other() {
        orders(", include_columns => '{id,note}'");
        run("select herald.watch('public.orders', exclude_columns => '{id,note}')");
        assert_eq!(
            value("select row(include_columns, exclude_columns) from herald_internal.watch"),
            r#"(,"{id,note}")"#
        );
        run("select herald.watch('public.orders', include_columns => '{id}')");
        assert_eq!(
            value("select row(include_columns, exclude_columns) from herald_internal.watch"),
            "({id},)"
        );
    }

    #[pg_test]
    fn watching_again_touches_no_trigger() {
        orders(", condition => 'new.id > 0'");
        let triggers =
            "select array_agg(oid order by oid) from pg_trigger where tgname like 'pg\\_herald%'";
        let before = value(triggers);
        run("select herald.watch('public.orders', condition => 'new.id > 1')");
        assert_eq!(value(triggers), before);
        run("select herald.watch('public.orders', operations => '{insert,truncate}')");
        assert_eq!(
            all("select tgname from pg_trigger where tgname like 'pg\\_herald%' order by 1")
                .iter()
                .map(|name| name.rsplit('_').next().unwrap_or_default())
                .collect::<Vec<_>>(),
            ["insert", "truncate"]
        );
    }

    /// Checks the faults of calls that must change nothing: options, SQLSTATE, and what message, detail and hint contain.
    fn refused(table: &str, cases: &str) {
        let state = "select row((select array_agg(w) from herald_internal.watch w), (select count(*) from pg_trigger), (select count(*) from pg_proc where pronamespace = 'herald_watch'::regnamespace))";
        let before = value(state);
        for [options, sqlstate, message, detail, hint] in rows(cases) {
            let fault = fault(&format!("select herald.watch('{table}', {options})"));
            assert_eq!(fault.sqlstate, sqlstate, "{options}: {fault:?}");
            for (said, expected) in [
                (&fault.message, message),
                (&fault.detail, detail),
                (&fault.hint, hint),
            ] {
                let is_right = !said.is_empty() && said.contains(expected);
                assert!(is_right, "{options}: {fault:?}");
            }
        }
        assert_eq!(value(state), before);
    }

    #[pg_test]
    fn wrong_options_are_refused_with_the_fix() {
        orders(", condition => 'new.id > 0'");
        refused(
            "public.orders",
            r#"
                operations => '{insert,updaet}' | 22023 | unknown operation "updaet" | insert, update, delete | "update"
                operations => '{}' | 22023 | operations is empty | insert, update | Leave operations out
                operations => '{null}' | 22023 | unknown operation "null" | - | -
                include_columns => '{id,totl}' | 42703 | column "totl" of include_columns | id, status, total, note | "total"
                exclude_columns => '{zzzzzzzz}' | 42703 | "zzzzzzzz" | id, status | exclude_columns
                on_change_of => '{}' | 22023 | on_change_of is empty | id, status | leave on_change_of out
                on_change_of => '{id,null}' | 22023 | on_change_of contains null | - | -
                on_error => 'abrt' | 22023 | unknown on_error "abrt" | capture | "abort"
                type => 'a', type_expression => 'new.status' | 22023 | exclude each other | new.status | fixed
                include_columns => '{id}', exclude_columns => '{note}' | 22023 | exclude each other | - | one of them
                type => '' | 22023 | type | empty | -
                condition => 'new.totl > 100' | 42703 | the condition does not compile: column new.totl does not exist | The fault is at character 1 of line 1. | new.total
                condition => 'new.total' | 42P13 | the condition does not compile: return type mismatch | numeric | -
                condition => E'new.id > 0\n and new.total > > 2' | 42601 | the condition does not compile: syntax error at or near ">" | character 18 of line 2 | -
                subject => $$'日本語' || new.totl$$ | 42703 | the subject does not compile | The fault is at character 10 of line 1. | -
                data => 'my_function(new.id)' | 42883 | the data does not compile | my_function | -
                condition => 'count(*) > 1' | 22023 | the condition contains an aggregate | condition => count(*) > 1 | subquery
                type_expression => 'row_number() over ()::text' | 22023 | the type_expression contains a window function | row_number() | subquery
                subject => $$upper(unnest('{a,b}'::text[]))$$ | 22023 | the subject contains a set | unnest | one value
                key => 'coalesce(max(new.status) filter (where new.id > 0), new.note)' | 22023 | the key contains an aggregate | - | -
                tenant => 'case when rank() over (order by new.id) > 0 then new.status end' | 22023 | the tenant contains a window function | - | -
                priority => $$json_object_keys('{"high": 1}')$$ | 22023 | the priority contains a set | - | -
                data => 'json_agg(new)' | 22023 | the data contains an aggregate | - | -
                tenant => 'other.id' | 42P01 | the tenant does not compile | - | -
            "#,
        );
    }

    #[pg_test]
    fn a_fault_is_pointed_at_in_the_expression() {
        orders("");
        let fault = fault("select herald.watch('public.orders', condition => 'new.totl > 100')");
        let pointer =
            "condition => new.totl > 100\n             ^\nThe fault is at character 1 of line 1.";
        assert!(fault.detail.contains(pointer), "{fault:?}");
    }

    #[pg_test]
    fn a_word_is_answered_with_how_texts_and_columns_are_written() {
        orders("");
        refused(
            "public.orders",
            r#"
                priority => 'high' | 42703 | the priority does not compile: column "high" does not exist | priority => high | for the text high write priority => $$'high'$$.
                tenant => 'acme-1' | 42703 | the tenant does not compile | - | write tenant => $$'acme-1'$$.
                type_expression => 'order.paid' | 42601 | the type_expression does not compile | - | write type_expression => $$'order.paid'$$.
                subject => 'status' | 42703 | the subject does not compile | - | for the column status write subject => 'new.status'.
                subject => 'new.statu' | 42703 | the subject does not compile | - | Perhaps you meant new.status.
                condition => 'high' | 42703 | the condition does not compile | - | An expression sees new, old and operation
            "#,
        );
    }

    #[pg_test]
    fn a_constant_that_no_row_can_be_captured_with_is_refused_at_once() {
        orders("");
        run("create function public.always() returns text immutable language sql return 'urgent'");
        refused(
            "public.orders",
            r#"
                priority => $$'urgent'$$ | 22023 | unknown priority "urgent" | low, normal and high | priority => $$'high'$$
                priority => 'public.always()' | 22023 | unknown priority "urgent" | - | -
                priority => $$''$$ | 22023 | unknown priority "" | - | -
                tenant => $$'acme '$$ | 22023 | invalid tenant | white space | Write 'acme'.
                tenant => $$''$$ | 22023 | invalid tenant | empty | -
                type_expression => $$'herald.paid'$$ | 42939 | "herald.paid" is reserved | - | -
                type_expression => $$'order.paid '$$ | 22023 | invalid type | white space | Write 'order.paid'.
            "#,
        );
        run(
            "select herald.watch('public.orders', priority => $$'high'$$, tenant => $$'acme'$$, type_expression => $$'order.paid'$$);
             select herald.watch('public.orders', 'second', priority => 'null', tenant => 'new.note', type_expression => 'new.status');
             insert into public.orders values (1, 'paid', 5, 'globex')",
        );
        let mut made = events("concat_ws(' ', type, tenant, priority)");
        made.sort();
        assert_eq!(made, ["order.paid acme high", "paid globex normal"]);
    }

    #[pg_test]
    fn what_is_empty_or_has_white_space_around_it_is_refused() {
        orders("");
        refused(
            "public.orders",
            r#"
                tenant => ' ' | 22023 | the tenant is empty | " " | Leave tenant out
                condition => '' | 22023 | the condition is empty | - | Leave condition out
                '' | 22023 | the name is empty | - | "default"
                'audit ' | 22023 | the name begins or ends with white space | "audit " | -
                type => ' order.paid' | 22023 | invalid type | white space | Write 'order.paid'.
            "#,
        );
    }

    #[pg_test]
    fn relations_that_cannot_be_watched_are_refused_with_the_reason() {
        run("create table public.t (a int);
             create view public.v as select 1 as a;
             create materialized view public.m as select 1 as a;
             create sequence public.s;
             create temp table mine (a int)");
        for (table, detail) in [
            ("public.v", "a view"),
            ("public.m", "a materialized view"),
            ("public.s", "a sequence"),
            ("mine", "temporary"),
            ("pg_catalog.pg_class", "system table"),
            ("information_schema.sql_parts", "system table"),
            ("herald.event", "pg_herald itself"),
            ("herald_internal.subscription", "pg_herald itself"),
        ] {
            let as_usual = "on_error => 'abort'";
            let case = format!("{as_usual} | 42809 | cannot be watched | {detail} | -");
            refused(table, &case);
        }
        let missing = fault("select herald.watch(0::regclass)");
        assert_eq!(missing.sqlstate, "42P01", "{missing:?}");
    }

    #[pg_test]
    fn an_unknown_watch_is_refused_with_the_nearest() {
        orders("");
        run("select herald.watch('public.orders', 'audit')");
        let unknown = fault("select herald.unwatch('public.orders', 'audti')");
        assert_eq!(unknown.sqlstate, "42704");
        assert_eq!(unknown.message, "public.orders has no watch \"audti\"");
        assert_eq!(unknown.detail, "Its watches are audit, default.");
        assert_eq!(unknown.hint, "Perhaps you meant \"audit\".");
        assert_eq!(count("herald_internal.watch"), 2);
        run("select herald.unwatch('public.orders', 'audit')");
        run("insert into public.orders values (1)");
        assert_eq!(events("type").len(), 1);
    }

    #[pg_test]
    fn unwatch_leaves_nothing_of_the_watch() {
        orders(", condition => 'new.id > 0', data => 'new', operations => '{insert,truncate}'");
        run("select herald.unwatch('public.orders')");
        run("insert into public.orders values (1)");
        assert_eq!(events("type").len(), 0);
        assert_eq!(
            count("pg_proc where pronamespace = 'herald_watch'::regnamespace"),
            0
        );
        assert_eq!(count("pg_trigger where tgname like 'pg\\_herald%'"), 0);
        run("alter table public.orders drop column total");
    }
}
