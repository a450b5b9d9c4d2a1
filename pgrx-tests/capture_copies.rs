//! Tables with triggers of another table's watches: copies, restored tables, and tables taken out of a tree.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, event, events, orders, run, value};
    use pgrx::prelude::*;

    const DOCTOR: &str = "select status || ': ' || detail from herald.doctor() where \"check\" = 'trigger' order by 1";
    const TRIGGERS: &str =
        "select count(*) from pg_trigger where tgfoid = 'herald_internal.capture()'::regprocedure";

    /// Copies public.orders as pg_dump and psql do, with the triggers of the watch of this number.
    fn copy(id: &str) {
        run("create schema copy; create table copy.orders (like public.orders including all)");
        for (operation, tables) in [
            ("insert", "new table as new"),
            ("update", "old table as old new table as new"),
            ("delete", "old table as old"),
        ] {
            run(&format!(
                "create trigger pg_herald_{operation} after {operation} on copy.orders referencing {tables}
                 for each statement execute function herald_internal.capture('{id}')"
            ));
        }
        run(
            "create trigger pg_herald_truncate after truncate on copy.orders
             for each statement execute function herald_internal.capture('0')",
        );
    }

    fn write_to_copy() {
        run("insert into copy.orders values (1, 'a')");
        run("update copy.orders set status = 'b'");
        run("delete from copy.orders");
        run("truncate copy.orders");
    }

    fn id_of_watch() -> String {
        value("select id from herald.watch")
    }

    #[pg_test]
    fn a_copy_made_with_like_has_no_triggers() {
        orders("");
        run("create table public.twin (like public.orders including all)");
        run("insert into public.twin values (1)");
        run("create table public.result as select * from public.orders");
        assert_eq!(events("type").len(), 0);
        assert_eq!(value(TRIGGERS), "3");
    }

    #[pg_test]
    fn a_copy_captures_nothing_and_fails_nothing() {
        orders("");
        copy(&id_of_watch());
        write_to_copy();
        assert_eq!(events("type").len(), 0);
        run("insert into public.orders values (1)");
        assert_eq!(event("type"), "public.orders.inserted");
        let found = all(DOCTOR);
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(
            found[0],
            "warning: trigger pg_herald_delete on copy.orders belongs to no watch of this table, so it captures nothing"
        );
        run("select herald.unwatch('copy.orders')");
        assert_eq!(value(TRIGGERS), "3");
        assert_eq!(all(DOCTOR).len(), 0);
    }

    #[pg_test]
    fn a_copy_from_a_database_with_other_watches_is_no_watch_s() {
        run("create table public.customer (id int primary key)");
        run("select herald.watch('public.customer')");
        run("create table public.orders (id bigint, status text)");
        copy(&id_of_watch());
        write_to_copy();
        assert_eq!(events("type").len(), 0);
        // It may be watched like any other table.
        run("select herald.watch('copy.orders')");
        write_to_copy();
        assert_eq!(
            events("type"),
            [
                "copy.orders.inserted",
                "copy.orders.updated",
                "copy.orders.deleted"
            ]
        );
        assert_eq!(all(DOCTOR).len(), 0);
    }

    #[pg_test]
    fn a_copy_of_a_table_that_is_not_watched_any_more_goes_with_its_watch() {
        orders("");
        copy(&id_of_watch());
        run("select herald.unwatch('public.orders')");
        write_to_copy();
        assert_eq!(events("type").len(), 0);
        // The remaining trigger has a number that no watch ever had.
        assert_eq!(value(TRIGGERS), "1");
    }

    #[pg_test]
    fn a_detached_partition_captures_nothing_although_nobody_took_its_triggers() {
        run("create table public.sales (region text, id int) partition by list (region)");
        run("create table public.north partition of public.sales for values in ('n')");
        run("create table public.south partition of public.sales for values in ('s')");
        run("select herald.watch('public.sales')");
        run("insert into public.north values ('n', 1)");
        run("alter event trigger pg_herald_follow_ddl disable");
        run("alter table public.sales detach partition public.north");
        run("insert into public.north values ('n', 2)");
        run("insert into public.south values ('s', 3)");
        run("alter table public.sales attach partition public.north for values in ('n')");
        run("insert into public.north values ('n', 4)");
        run("alter event trigger pg_herald_follow_ddl enable always");
        assert_eq!(events("data -> 'record' ->> 'id'"), ["1", "3", "4"]);
    }

    #[pg_test]
    fn doctor_reports_a_table_that_replaced_a_watched_table() {
        let renamed =
            "select detail || ' | ' || hint from herald.doctor() where \"check\" = 'renamed'";
        orders("");
        assert_eq!(value(renamed), "null");
        run("alter table public.orders rename to orders_old");
        assert_eq!(
            value(renamed),
            "watch \"default\" was made for public.orders, which is now called public.orders_old; its events have types of the \
             new name | To go on with public.orders_old, run: select * from herald.watch('public.orders_old', 'default');"
        );
        run("create table public.orders (like public.orders_old including all)");
        run("insert into public.orders values (1)");
        assert_eq!(events("type").len(), 0);
        assert_eq!(
            value(renamed),
            "watch \"default\" was made for public.orders, which is now called public.orders_old; another table is public.orders \
             now, and is not captured by it; its events have types of the new name | To capture that table, run: select * from \
             herald.watch('public.orders', 'default'); To go on with public.orders_old, run: select * from \
             herald.watch('public.orders_old', 'default');"
        );
        run("select herald.watch('public.orders_old', type => 'order.changed')");
        assert_eq!(value(renamed), "null");
        run("create schema old; alter table public.orders_old set schema old");
        assert_eq!(
            value(renamed).split(" | ").next(),
            Some(
                "watch \"default\" was made for public.orders_old, which is now called old.orders_old"
            )
        );
    }

    #[pg_test]
    fn triggers_of_a_dump_find_their_place_free_while_it_is_restored() {
        orders("");
        let definitions = all(&format!("{ALL_TRIGGERS} order by 1"));
        run("create temp table dumped as select * from herald_internal.watch;
             alter table herald_internal.watch disable trigger audit;
             delete from herald_internal.watch; drop table public.orders;
             create table public.orders (id bigint primary key, status text, total numeric, note text);
             update dumped set table_name = 'public.orders';
             insert into herald_internal.watch select * from dumped");
        for definition in definitions {
            run("alter table public.orders alter column note set default ''");
            run(&definition);
        }
        run("alter table public.orders alter column note drop default");
        assert_eq!(all(ALL_TRIGGERS).len(), 3);
        run("insert into public.orders (id) values (1)");
        assert_eq!(event("type"), "public.orders.inserted");
    }

    const ALL_TRIGGERS: &str = "select pg_get_triggerdef(oid) from pg_trigger where tgfoid = 'herald_internal.capture()'::regprocedure";
}
