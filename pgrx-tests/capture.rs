//! Capture: what a statement on a watched table leaves in the log.

#[pgrx::pg_schema]
mod tests {
    use pgrx::prelude::*;

    fn run(sql: &str) {
        Spi::run(sql).unwrap();
    }

    fn one(sql: &str) -> String {
        Spi::get_one::<String>(sql).unwrap().unwrap()
    }

    #[pg_test]
    fn an_insert_leaves_one_event_with_the_row() {
        run("create table public.orders (id bigint primary key, total numeric)");
        run("select herald.watch('public.orders')");
        run("insert into public.orders values (1, 9.50)");
        assert_eq!(
            one("select data::text from herald.event"),
            r#"{"operation":"insert","schema":"public","table":"orders","record":{"id":1,"total":9.50},"old_record":null}"#
        );
        assert_eq!(
            one("select type || ' ' || key || ' ' || subject from herald.event"),
            "public.orders.inserted 1 1"
        );
    }
}
