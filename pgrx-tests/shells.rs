//! Functions that remember their caller: each kind of result gets through.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{run, value};
    use pgrx::prelude::*;

    #[pg_test]
    fn functions_of_every_kind_work_through_their_shell() {
        // Named arguments, defaults, a row of several columns.
        let created = "select concat_ws(' ', name, left(secret, 6), created)
                       from herald.subscribe('shop', url => 'https://example.com/', max_attempts => 3)";
        assert_eq!(value(created), "shop whsec_ t");
        run("select herald.subscribe('other', url => 'https://example.com/')");
        // Rows.
        let names =
            "select string_agg(s.subscription, ' ' order by s.subscription) from herald.status() s";
        assert_eq!(value(names), "other shop");
        let joined = "select count(*) from generate_series(1, 3) n, lateral (select * from herald.status()) s";
        assert_eq!(value(joined), "6");
        assert_eq!(value("select state from herald.pause('shop')"), "paused");
        // A value, null, and a value for each row of a query.
        assert_eq!(
            value(
                "select sum(herald.replay(s.name, now() - interval '1 min', dry_run => true)) from herald.subscription s"
            ),
            "0"
        );
        assert_eq!(
            value("select left(herald.rotate_secret('shop'), 6)"),
            "whsec_"
        );
        assert_eq!(value("select buried from herald.unsubscribe('shop')"), "0");
    }

    #[pg_test]
    #[should_panic(expected = "subscription \"none\" does not exist")]
    fn an_error_comes_through_a_shell() {
        run("select herald.pause('none')");
    }
}
