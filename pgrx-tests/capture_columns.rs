//! Which columns records show, and how their names and values are written.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{count, event, events, orders, run, value};
    #[cfg(feature = "pg18")]
    use crate::in_postgres::support::{fault, forget_events};
    use pgrx::prelude::*;

    #[pg_test]
    fn records_show_the_included_columns_only() {
        orders(", include_columns => '{total,id}'");
        run("insert into public.orders values (1, 'secret', 5)");
        run("update public.orders set status = 'other'");
        assert_eq!(
            events("data ->> 'record'"),
            [r#"{"id":1,"total":5}"#, r#"{"id":1,"total":5}"#]
        );
        assert_eq!(events("data ->> 'changed'"), ["null", "[]"]);
        assert_eq!(count("herald.event where data::text like '%secret%'"), 0);
    }

    #[pg_test]
    fn records_leave_the_excluded_columns_out() {
        orders(", exclude_columns => '{status,note}'");
        run("insert into public.orders values (1, 'secret', 5, 'secret')");
        run("update public.orders set status = 'other secret', total = 6");
        assert_eq!(
            events("data ->> 'record'"),
            [r#"{"id":1,"total":5}"#, r#"{"id":1,"total":6}"#]
        );
        assert_eq!(events("data ->> 'changed'"), ["null", r#"["total"]"#]);
        assert_eq!(count("herald.event where data::text like '%secret%'"), 0);
    }

    #[pg_test]
    fn values_are_written_the_same_whatever_the_session_s_settings() {
        run(
            "create table public.facts (at timestamptz primary key, span interval, x float8, bytes bytea, days daterange)",
        );
        run("select herald.watch('public.facts')");
        let insert = "insert into public.facts values ('2026-02-03 04:05:06+00', '1 day 02:03', 1.1::float8 / 3, '\\x01ff',
                      daterange('2026-02-03', '2026-02-04'))";
        run(insert);
        run("delete from public.facts");
        run("set local timezone = 'Asia/Tokyo'; set local datestyle = 'German'; set local intervalstyle = 'iso_8601';
             set local extra_float_digits = -10; set local bytea_output = 'escape'");
        run(insert);
        let records = events("data -> 'record'");
        assert_eq!(records[0], records[2]);
        assert_eq!(
            records[0],
            r#"{"at":"2026-02-03T04:05:06+00:00","span":"1 day 02:03:00","x":0.3666666666666667,"bytes":"\\x01ff","days":"[2026-02-03,2026-02-04)"}"#
        );
        assert_eq!(events("key")[0], events("key")[2]);
        assert_eq!(value("select current_setting('timezone')"), "Asia/Tokyo");
        assert_eq!(value("select current_setting('datestyle')"), "German, DMY");
    }

    /// In PostgreSQL 18, the value of a virtual column is computed when it is read.
    #[cfg(feature = "pg18")]
    #[pg_test]
    fn a_virtual_column_is_left_out_and_nothing_asks_for_it() {
        run(
            "create table public.virtual_sums (id int primary key, a int, b int generated always as (a * 2) virtual, c int);
             select herald.watch('virtual_sums')",
        );
        run(
            "insert into public.virtual_sums values (1, 3, default, 7); update public.virtual_sums set a = 4",
        );
        assert_eq!(
            events("data -> 'record'"),
            [r#"{"id":1,"a":3,"c":7}"#, r#"{"id":1,"a":4,"c":7}"#]
        );
        assert_eq!(events("data -> 'changed'"), ["null", r#"["a"]"#]);
        for refused in [
            "condition => 'new.b > 1'",
            "data => 'new.b'",
            "include_columns => '{b}'",
            "on_change_of => '{b}'",
        ] {
            let fault = fault(&format!("select herald.watch('virtual_sums', {refused})"));
            assert!(fault.message.contains("virtual"), "{refused}: {fault:?}");
        }
        // In a whole row, in an expression, it is null.
        forget_events();
        run(
            "select herald.watch('virtual_sums', condition => 'new.c = 7');
             insert into public.virtual_sums values (2, 5, default, 7), (3, 5, default, 8)",
        );
        assert_eq!(events("key"), ["2"]);
    }

    #[pg_test]
    fn generated_columns_and_unlogged_tables_are_captured() {
        run(
            "create unlogged table public.sums (a int, b int generated always as (a * 2) stored, c int generated always as identity)",
        );
        run("select herald.watch('public.sums')");
        run("insert into public.sums (a) values (21)");
        assert_eq!(event("data ->> 'record'"), r#"{"a":21,"b":42,"c":1}"#);
    }

    #[pg_test]
    fn quoted_and_non_ascii_names_work() {
        run(r#"create schema "Über ""Schema""" "#);
        run(
            r#"create table "Über ""Schema"""."Tabelle 1%" ("Schlüssel ""x""" int primary key, "new" text, "日本" text)"#,
        );
        run(
            r#"select herald.watch('"Über ""Schema"""."Tabelle 1%"', condition => 'new."日本" <> ''nein''',
               subject => 'new."Schlüssel ""x""" || new.new')"#,
        );
        run(
            r#"insert into "Über ""Schema"""."Tabelle 1%" values (1, 'a', 'ja'), (2, 'b', 'nein')"#,
        );
        assert_eq!(
            event("data"),
            r#"{"operation":"insert","schema":"Über \"Schema\"","table":"Tabelle 1%","record":{"Schlüssel \"x\"":1,"new":"a","日本":"ja"},"old_record":null}"#
        );
        assert_eq!(event("type"), r#"Über "Schema".Tabelle 1%.inserted"#);
        assert_eq!(event("subject"), "1a");
        assert_eq!(event("key"), "1");
    }
}
