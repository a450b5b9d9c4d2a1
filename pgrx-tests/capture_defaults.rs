//! Rows older than a column: their value is the default with which the column was added.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{event, events, forget_events, run};
    use pgrx::prelude::*;

    #[pg_test]
    fn rows_older_than_a_column_have_its_default() {
        run("create table public.orders (id int primary key, total int)");
        run("insert into public.orders values (1, 10), (2, 20), (3, 30)");
        run(
            "alter table public.orders add column status text default 'new', add column rate numeric default 1.50, \
             add column tags text[] default '{a,b}', add column note text",
        );
        run(
            "select herald.watch('public.orders', on_change_of => '{status,rate,tags}', \
             subject => 'old.status || old.rate')",
        );
        // Of the columns in on_change_of, only this one changes.
        run("update public.orders set status = null where id = 1");
        assert_eq!(
            event("data"),
            r#"{"operation":"update","schema":"public","table":"orders","record":{"id":1,"total":10,"status":null,"rate":1.50,"tags":["a","b"],"note":null},"old_record":{"id":1,"total":10,"status":"new","rate":1.50,"tags":["a","b"],"note":null},"changed":["status"]}"#
        );
        assert_eq!(event("subject"), "new1.50");
        forget_events();
        run("update public.orders set total = 0, note = 'x' where id = 2");
        assert_eq!(events("type"), Vec::<String>::new());
        run("delete from public.orders where id = 3");
        assert_eq!(
            event("data -> 'old_record'"),
            r#"{"id":3,"total":30,"status":"new","rate":1.50,"tags":["a","b"],"note":null}"#
        );
    }

    #[pg_test]
    fn a_key_is_found_in_a_column_that_is_younger_than_the_row() {
        run("create table public.orders (id int, total int)");
        run("insert into public.orders values (1, 10)");
        run("alter table public.orders add column shard int not null default 7");
        run("alter table public.orders add primary key (id, shard)");
        run("select herald.watch('public.orders')");
        run("update public.orders set total = 11");
        run("delete from public.orders");
        assert_eq!(
            events("concat_ws(' ', key, data -> 'old_record' ->> 'shard')"),
            ["1/7 7", "1/7 7"]
        );
    }

    #[pg_test]
    fn rows_of_a_partition_older_than_a_column_have_its_default() {
        run("create table public.sales (id int, region text) partition by list (region)");
        // Its columns are in another order.
        run("create table public.south (region text, gone int, id int)");
        run("alter table public.south drop column gone");
        run("alter table public.sales attach partition public.south for values in ('s')");
        run("insert into public.sales values (1, 's'), (2, 's')");
        run("alter table public.sales add column extra text default 'x'");
        run("select herald.watch('public.sales', on_change_of => '{extra}')");
        run("update public.sales set extra = null where id = 1");
        run("update public.south set region = 's' where id = 2");
        assert_eq!(
            events("data -> 'old_record'"),
            [r#"{"id":1,"region":"s","extra":"x"}"#]
        );
    }
}
