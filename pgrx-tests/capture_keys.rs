//! The keys of events.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{event, events, forget_events, run};
    use pgrx::prelude::*;

    #[pg_test]
    fn the_key_is_that_of_the_primary_key_whatever_kind_it_is() {
        for (columns, key) in [
            ("id bigint primary key deferrable, b text", "1"),
            ("id bigint, b text, primary key (id) include (b)", "1"),
            ("id bigint, b text, primary key (b, id)", "x/1"),
            ("gone int, id bigint primary key, b text", "1"),
            ("id bigint unique not null, b text", "null"),
        ] {
            run(&format!("create table public.keyed ({columns})"));
            run("alter table public.keyed drop column if exists gone");
            run("select herald.watch('public.keyed')");
            run("insert into public.keyed (id, b) values (1, 'x')");
            assert_eq!(event("coalesce(key, 'null')"), key, "{columns}");
            forget_events();
            run("drop table public.keyed");
        }
    }

    #[pg_test]
    fn a_composite_key_is_joined_and_a_missing_one_is_null() {
        run("create table public.lines (b text, a int, x text, primary key (a, b))");
        run("create table public.heap (a int)");
        run("select herald.watch('public.lines'), herald.watch('public.heap')");
        run("insert into public.lines values ('x/y%', 3, '')");
        run("insert into public.heap values (1)");
        assert_eq!(events("key"), ["3/x%2Fy%25", "null"]);
        assert_eq!(events("subject"), ["3/x%2Fy%25", "null"]);
    }

    #[pg_test]
    fn a_key_that_no_attribute_may_be_does_not_fail_the_write() {
        run("create table public.odd (id text primary key)");
        run("select herald.watch('public.odd')");
        run(r"insert into public.odd values (''), (E'a\nb'), (U&'\FFFE')");
        assert_eq!(events("key"), ["null", "a\u{fffd}b", "\u{fffd}"]);
    }
}
