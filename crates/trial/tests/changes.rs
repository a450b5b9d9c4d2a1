//! Changes of subscriptions: the worker reads only what changed, however many subscriptions exist.

mod common;

use common::{Database, cluster_with, receiver};
use herald_trial::at_size;

#[test]
fn a_change_of_one_subscription_reads_that_one() {
    let cluster = cluster_with(&[("shared_preload_libraries", "pg_herald, pg_stat_statements")]);
    let mut db = Database::new(&cluster, "changes");
    db.run("create extension pg_stat_statements");
    let (first, second) = (receiver(), receiver());
    let many = at_size(200, 10_000);
    db.run(&format!(
        "select herald.subscribe('idle.' || n, url => '{}', types => '{{idle}}') from generate_series(1, {many}) n",
        first.url("/idle")
    ));
    db.subscribe("shop", &first, "types => '{order}'");
    db.emit("order");
    db.settle_within(at_size(common::SOON, std::time::Duration::from_secs(300)));
    let url = second.url("/");
    for (change, expected) in [
        ("select pg_stat_statements_reset()".to_owned(), (2, 0)),
        (
            format!("update herald.subscription set url = '{url}' where name = 'shop'"),
            (2, 1),
        ),
        ("select herald.pause('idle.1')".into(), (2, 2)),
        ("select herald.rotate_secret('idle.2')".into(), (2, 3)),
        ("select herald.unsubscribe('idle.3')".into(), (2, 4)),
    ] {
        db.run(&change);
        db.emit("order");
        db.settle();
        let read = "select coalesce(sum(rows), 0) from pg_stat_statements where query like '%as wanted (id)%'";
        let accepted = (first.accepted(), second.accepted());
        // A removed subscription is asked for but not found.
        let rows = (accepted.1 as i64).min(3);
        assert_eq!(db.number(read), rows, "{change}");
        assert_eq!(accepted, expected, "{change}");
    }
}
