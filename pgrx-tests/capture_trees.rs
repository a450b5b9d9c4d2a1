//! Partitioned tables and inheritance.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{
        all, count, event, events, fault, forget_events, run, value,
    };
    use pgrx::prelude::*;

    /// Creates `public.sales`, by region: `north` as it is, `south` with other columns in another order, and `west`
    /// divided further into `west_1`.
    fn sales(options: &str) {
        run(
            "create table public.sales (region text, id int, total int, primary key (region, id)) partition by list (region)",
        );
        run("create table public.north partition of public.sales for values in ('n', 'nn')");
        run(
            "create table public.south (total int, gone text, id int not null, region text not null)",
        );
        run("alter table public.south drop column gone");
        run("alter table public.sales attach partition public.south for values in ('s')");
        run(
            "create table public.west partition of public.sales for values in ('w') partition by range (id)",
        );
        run("create table public.west_1 partition of public.west for values from (0) to (1000)");
        run(&format!("select herald.watch('public.sales'{options})"));
    }

    fn records() -> Vec<String> {
        events("data ->> 'record'")
    }

    #[pg_test]
    fn writes_through_the_parent_are_captured_once() {
        sales("");
        run("insert into public.sales values ('n', 1, 10), ('s', 2, 20), ('w', 3, 30)");
        assert_eq!(
            records(),
            [
                r#"{"region":"n","id":1,"total":10}"#,
                r#"{"region":"s","id":2,"total":20}"#,
                r#"{"region":"w","id":3,"total":30}"#
            ]
        );
        assert_eq!(value("select count(distinct type) from herald.event"), "1");
    }

    #[pg_test]
    fn writes_to_a_partition_or_a_level_between_are_captured_as_the_table_s() {
        sales(", condition => 'new.total > 0'");
        run("insert into public.north values ('n', 1, 10), ('n', 2, -1)");
        run("insert into public.south (region, id, total) values ('s', 2, 20)");
        run("insert into public.west values ('w', 3, 30)");
        run("insert into public.west_1 values ('w', 4, 40)");
        run("update public.south set total = 21");
        assert_eq!(
            records(),
            [
                r#"{"region":"n","id":1,"total":10}"#,
                r#"{"region":"s","id":2,"total":20}"#,
                r#"{"region":"w","id":3,"total":30}"#,
                r#"{"region":"w","id":4,"total":40}"#,
                r#"{"region":"s","id":2,"total":21}"#
            ]
        );
        assert_eq!(events("key"), ["n/1", "s/2", "w/3", "w/4", "s/2"]);
        assert_eq!(events("data ->> 'changed'")[4], r#"["total"]"#);
        assert_eq!(events("type")[1], "public.sales.inserted");
    }

    #[pg_test]
    fn a_row_that_moves_to_another_partition_keeps_its_old_row() {
        sales("");
        run("insert into public.sales values ('n', 1, 10), ('n', 2, 20), ('s', 3, 30)");
        forget_events();
        run(
            "update public.sales set region = case id when 1 then 's' when 3 then 'w' else region end, total = total + 1",
        );
        let mut pairs =
            events("(data -> 'old_record' ->> 'region') || (data -> 'record' ->> 'region') || key");
        pairs.sort();
        assert_eq!(pairs, ["nnn/2", "nss/1", "sww/3"]);
        assert_eq!(
            value(
                "select bool_and((data -> 'old_record' ->> 'id') = (data -> 'record' ->> 'id')) from herald.event"
            ),
            "true"
        );
    }

    /// Lets a trigger keep row 2 from moving south.
    fn refuse_a_move() {
        run(
            "create function public.refuse() returns trigger language plpgsql as
             $$ begin if new.id = 2 then return null; end if; return new; end $$;
             create trigger refuse before insert on public.south for each row execute function public.refuse()",
        );
    }

    #[pg_test]
    fn a_suppressed_move_never_pairs_a_row_with_another_s_old_row() {
        sales("");
        run("insert into public.sales select 'n', n, n from generate_series(1, 6) n");
        refuse_a_move();
        forget_events();
        run(
            "update public.sales set region = case when id <= 3 then 's' else 'n' end, total = total * 10",
        );
        assert_eq!(
            events(
                "key || coalesce(' from ' || (data -> 'old_record' ->> 'id'), '') || coalesce(data ->> 'changed', ' null')"
            ),
            [
                "s/1 null",
                "s/3 null",
                r#"n/4 from 4["total"]"#,
                r#"n/5 from 5["total"]"#,
                r#"n/6 from 6["total"]"#
            ]
        );
    }

    #[pg_test]
    fn a_suppressed_move_among_many_rows_leaves_the_old_rows_out() {
        sales("");
        run("insert into public.sales select 'n', n, n from generate_series(1, 900) n");
        refuse_a_move();
        forget_events();
        run("update public.sales set region = case when id <= 3 then 's' else 'n' end");
        assert_eq!(count("herald.event"), 899);
        assert_eq!(
            count("herald.event where data ->> 'old_record' is not null"),
            0
        );
    }

    #[pg_test]
    fn a_partition_that_comes_later_is_captured() {
        sales("");
        run("create table public.east partition of public.sales for values in ('e')");
        run("create table public.west_2 partition of public.west for values from (1000) to (2000)");
        run("create table public.loose (region text not null, id int not null, total int)");
        run("insert into public.loose values ('l', 0, 0)");
        run("alter table public.sales attach partition public.loose for values in ('l')");
        run("insert into public.east values ('e', 1, 1)");
        run("insert into public.west_2 values ('w', 1000, 1)");
        run("insert into public.loose values ('l', 1, 1)");
        run("insert into public.sales values ('l', 2, 1)");
        assert_eq!(events("key"), ["e/1", "w/1000", "l/1", "l/2"]);
    }

    #[pg_test]
    fn a_subtree_that_is_attached_is_captured_on_all_its_levels() {
        sales("");
        run(
            "create table public.east (region text not null, id int not null, total int) partition by range (id)",
        );
        run("create table public.east_1 partition of public.east for values from (0) to (9)");
        run("alter table public.sales attach partition public.east for values in ('e')");
        run("insert into public.east values ('e', 1, 1)");
        run("insert into public.east_1 values ('e', 2, 1)");
        assert_eq!(events("key"), ["e/1", "e/2"]);
    }

    #[pg_test]
    fn a_detached_partition_is_captured_no_more() {
        sales("");
        run("alter table public.sales detach partition public.north");
        run("alter table public.sales detach partition public.west");
        run("insert into public.north values ('n', 1, 1)");
        run("insert into public.west_1 values ('w', 1, 1)");
        run("insert into public.sales values ('s', 1, 1)");
        assert_eq!(events("key"), ["s/1"]);
        assert_eq!(
            all(
                "select distinct tgrelid::regclass from pg_trigger where tgname like 'pg\\_herald%' order by 1"
            ),
            ["sales", "south"]
        );
    }

    #[pg_test]
    fn truncating_a_partitioned_table_is_one_event() {
        sales(", operations => '{truncate}'");
        run("truncate public.sales");
        assert_eq!(
            event("data"),
            r#"{"operation":"truncate","schema":"public","table":"sales","record":null,"old_record":null}"#
        );
        run("truncate public.sales");
        assert_eq!(events("type").len(), 2);
    }

    #[pg_test]
    fn truncating_a_partition_is_an_event_that_names_it() {
        sales(", operations => '{truncate}'");
        run("truncate public.north");
        assert_eq!(event("data ->> 'partition'"), "public.north");
        run("truncate public.west");
        assert_eq!(
            events("data ->> 'partition'"),
            ["public.north", "public.west"]
        );
        run("truncate public.west_1, public.south");
        assert_eq!(
            events("data ->> 'partition'")[2..],
            ["public.west_1", "public.south"]
        );
    }

    #[pg_test]
    fn a_partition_truncated_after_its_table_is_an_event_of_its_own() {
        sales(", operations => '{truncate}'");
        run("alter table public.north disable trigger user");
        run("truncate public.sales");
        run("alter table public.north enable trigger user");
        run("truncate public.north");
        fault("truncate public.sales; select 1 / 0");
        run("truncate public.south");
        assert_eq!(
            events("coalesce(data ->> 'partition', 'all')"),
            ["all", "public.north", "public.south"]
        );
    }

    #[pg_test]
    fn inheritance_children_are_captured_with_the_parent_s_columns() {
        run("create table public.animal (id int primary key, name text)");
        run("create table public.dog (bark text, primary key (id)) inherits (public.animal)");
        run("select herald.watch('public.animal')");
        run("create table public.cat (lives int) inherits (public.animal)");
        run("insert into public.dog values (1, 'Rex', 'woof')");
        run("insert into public.cat values (2, 'Tom', 9)");
        run("update public.animal set name = upper(name)");
        assert_eq!(
            records(),
            [
                r#"{"id":1,"name":"Rex"}"#,
                r#"{"id":2,"name":"Tom"}"#,
                r#"{"id":1,"name":"REX"}"#,
                r#"{"id":2,"name":"TOM"}"#
            ]
        );
        run("alter table public.cat no inherit public.animal");
        forget_events();
        run("insert into public.cat values (3, 'Kit', 9)");
        assert_eq!(events("key").len(), 0);
    }

    #[pg_test]
    fn a_column_added_to_a_tree_appears_in_its_records() {
        sales("");
        run("insert into public.south (region, id) values ('s', 1)");
        run("alter table public.sales add column extra text default 'x'");
        run("insert into public.south (region, id) values ('s', 2)");
        run("alter table public.sales drop column total");
        run("insert into public.south (region, id) values ('s', 3)");
        assert_eq!(
            records(),
            [
                r#"{"region":"s","id":1,"total":null}"#,
                r#"{"region":"s","id":2,"total":null,"extra":"x"}"#,
                r#"{"region":"s","id":3,"extra":"x"}"#
            ]
        );
    }

    #[pg_test]
    fn unwatch_leaves_no_trigger_in_the_tree() {
        sales(", operations => '{insert,update,delete,truncate}'");
        assert_eq!(count("pg_trigger where tgname like 'pg\\_herald%'"), 20);
        run("select herald.unwatch('public.sales')");
        assert_eq!(count("pg_trigger where tgname like 'pg\\_herald%'"), 0);
    }

    fn foreign_server() -> bool {
        if value("select exists (select from pg_available_extensions where name = 'file_fdw')")
            == "false"
        {
            return false;
        }
        run("create extension file_fdw; create server files foreign data wrapper file_fdw");
        true
    }

    #[pg_test]
    fn a_tree_with_a_foreign_partition_is_refused() {
        if !foreign_server() {
            return;
        }
        run("create table public.t (a int) partition by list (a)");
        run("create table public.t1 partition of public.t for values in (1) partition by list (a)");
        run(
            "create foreign table public.t11 partition of public.t1 for values in (1) server files options (filename '/dev/null')",
        );
        let refused = fault("select herald.watch('public.t')");
        assert_eq!(refused.sqlstate, "42809");
        assert!(refused.detail.contains("public.t11"), "{refused:?}");
    }

    #[pg_test]
    fn a_foreign_partition_that_comes_later_does_not_stop_unwatch() {
        if !foreign_server() {
            return;
        }
        run("create table public.t (a int) partition by list (a)");
        run("create table public.t2 partition of public.t for values in (2)");
        run("select herald.watch('public.t')");
        run(
            "create foreign table public.t1 partition of public.t for values in (1) server files options (filename '/dev/null')",
        );
        run("insert into public.t values (2)");
        run("select herald.unwatch('public.t')");
        assert_eq!(count("pg_trigger where tgname like 'pg\\_herald%'"), 0);
    }
}
