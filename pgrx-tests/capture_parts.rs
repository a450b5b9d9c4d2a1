//! Watches of partitions and inheritance children. Whichever table a statement names, each watch captures a row of its
//! own tree once.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, event, events, forget_events, run, value};
    use pgrx::prelude::*;

    /// Creates `public.sales`, by region: `north`, and `west`, divided further into `west_1` and `west_2`.
    fn sales() {
        run(
            "create table public.sales (region text, id int, total int, primary key (region, id)) partition by list (region)",
        );
        run("create table public.north partition of public.sales for values in ('n')");
        run(
            "create table public.west partition of public.sales for values in ('w') partition by range (id)",
        );
        run("create table public.west_1 partition of public.west for values from (0) to (1000)");
        run("create table public.west_2 partition of public.west for values from (1000) to (2000)");
    }

    /// Returns type and key of each event, and forgets the events.
    fn captured() -> Vec<String> {
        let mut captured = events("type || ' ' || key");
        captured.sort();
        forget_events();
        captured
    }

    #[pg_test]
    fn a_partition_s_watch_captures_what_comes_through_the_table_above() {
        sales();
        run(
            "select herald.watch('public.north', condition => 'coalesce(new.total, old.total) > 0')",
        );
        run("insert into public.sales values ('n', 1, 10), ('n', 2, -1), ('w', 3, 30)");
        run("insert into public.north values ('n', 4, 40)");
        assert_eq!(
            captured(),
            ["public.north.inserted n/1", "public.north.inserted n/4"]
        );
        run("update public.sales set total = total + 1");
        assert_eq!(
            events("data ->> 'old_record'")[0],
            r#"{"region":"n","id":1,"total":10}"#
        );
        assert_eq!(events("data ->> 'changed'")[0], r#"["total"]"#);
        assert_eq!(
            captured(),
            ["public.north.updated n/1", "public.north.updated n/4"]
        );
        run(
            "insert into public.sales values ('n', 1, 5) on conflict (region, id) do update set total = 6",
        );
        assert_eq!(captured(), ["public.north.updated n/1"]);
        run("delete from public.sales where id = 1");
        run("delete from public.north");
        assert_eq!(
            captured(),
            ["public.north.deleted n/1", "public.north.deleted n/4"]
        );
    }

    #[pg_test]
    fn a_row_that_leaves_a_watched_partition_is_deleted_there() {
        sales();
        run("select herald.watch('public.north'), herald.watch('public.west')");
        run("insert into public.sales values ('n', 1, 10)");
        forget_events();
        run("update public.sales set region = 'w'");
        assert_eq!(
            captured(),
            ["public.north.deleted n/1", "public.west.inserted w/1"]
        );
    }

    #[pg_test]
    fn watches_on_all_levels_capture_each_row_once() {
        sales();
        run(
            "select herald.watch(t) from unnest('{public.sales,public.west,public.west_1}'::regclass[]) t",
        );
        for table in ["sales", "west", "west_1"] {
            run(&format!("insert into public.{table} values ('w', 1, 10)"));
            assert_eq!(
                captured(),
                [
                    "public.sales.inserted w/1",
                    "public.west.inserted w/1",
                    "public.west_1.inserted w/1"
                ],
                "{table}"
            );
            run("delete from public.sales");
            assert_eq!(captured().len(), 3, "{table}");
        }
        run("insert into public.sales values ('w', 1000, 10), ('n', 1, 10)");
        assert_eq!(
            captured(),
            [
                "public.sales.inserted n/1",
                "public.sales.inserted w/1000",
                "public.west.inserted w/1000"
            ]
        );
    }

    #[pg_test]
    fn a_watched_partition_follows_its_own_partitions() {
        sales();
        run(
            "create table public.east partition of public.sales for values in ('e') partition by range (id)",
        );
        run("select herald.watch('public.east')");
        run("create table public.east_1 partition of public.east for values from (0) to (10)");
        run("insert into public.sales values ('e', 1, 1)");
        run("insert into public.east_1 values ('e', 2, 1)");
        assert_eq!(
            captured(),
            ["public.east.inserted e/1", "public.east.inserted e/2"]
        );
        run("alter table public.east detach partition public.east_1");
        run("insert into public.east_1 values ('e', 3, 1)");
        assert_eq!(captured().len(), 0);
    }

    const KINDS: &str =
        "select string_agg(distinct case when tgtype & 1 = 1 then 'row' else 'statement' end, ' ')
                         from pg_trigger where tgname like 'pg\\_herald%'";

    #[pg_test]
    fn a_watched_table_that_joins_or_leaves_a_tree_goes_on() {
        sales();
        run("create table public.loose (region text not null, id int not null, total int)");
        run(
            "select herald.watch('public.loose', operations => '{insert,truncate}', key => 'new.id')",
        );
        assert_eq!(value(KINDS), "statement");
        run("alter table public.sales attach partition public.loose for values in ('l')");
        run("insert into public.loose values ('l', 1, 1)");
        run("insert into public.sales values ('l', 2, 1)");
        assert_eq!(
            captured(),
            ["public.loose.inserted 1", "public.loose.inserted 2"]
        );
        assert_eq!(
            all("select distinct status from herald.doctor() where \"check\" = 'trigger'").len(),
            0
        );
        run("truncate public.sales");
        assert_eq!(event("type"), "public.loose.truncated");
        forget_events();
        run("alter table public.sales detach partition public.loose");
        assert_eq!(value(KINDS), "statement");
        run("insert into public.loose values ('l', 3, 1)");
        assert_eq!(captured(), ["public.loose.inserted 3"]);
    }

    #[pg_test]
    fn a_tree_that_joins_another_goes_on() {
        sales();
        run("select herald.watch('public.sales')");
        run(
            "create table public.all_sales (region text not null, id int not null, total int) partition by range (id)",
        );
        run(
            "alter table public.all_sales attach partition public.sales for values from (0) to (2000)",
        );
        run("insert into public.all_sales values ('w', 1, 1), ('n', 2, 1)");
        run("insert into public.sales values ('w', 3, 1)");
        run("insert into public.west_1 values ('w', 4, 1)");
        assert_eq!(
            events("key"),
            ["w/1", "n/2", "w/3", "w/4"],
            "{:?}",
            events("type")
        );
    }

    #[pg_test]
    fn a_child_s_watch_captures_what_comes_through_any_parent() {
        run("create table public.animal (id int, name text)");
        run("create table public.pet (id int, owner text)");
        run(
            "create table public.dog (bark text, primary key (id)) inherits (public.animal, public.pet)",
        );
        run("select herald.watch('public.animal', key => 'new.id'), herald.watch('public.dog')");
        run("insert into public.dog (id, name) values (1, 'Rex')");
        run("insert into public.animal values (2, 'Tom')");
        assert_eq!(
            captured(),
            [
                "public.animal.inserted 1",
                "public.animal.inserted 2",
                "public.dog.inserted 1"
            ]
        );
        for (statement, count) in [
            ("update public.animal set name = upper(name)", 3),
            ("update public.pet set owner = 'Ada'", 2),
            ("update public.dog set bark = 'woof'", 2),
        ] {
            run(statement);
            assert_eq!(captured().len(), count, "{statement}");
        }
    }
}
