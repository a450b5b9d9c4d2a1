//! What a hot standby answers if asked to change something, or to wait for what it cannot bring about.

mod common;

use std::time::{Duration, Instant};

use common::{Database, replay};
use herald_trial::Cluster;

/// Calls that are refused there, with arguments that are right on the primary.
const WRITING: [&str; 18] = [
    "herald.emit('order.paid', '{}')",
    "herald.emit('order.paid', '{}', id => 'one')",
    "herald.emit('order.paid', '{}', key => 'one', ordered => true)",
    "herald.watch('note', 'more')",
    "herald.watch('note', condition => 'new.id > 0')",
    "herald.unwatch('note')",
    "herald.subscribe('other', url => 'https://example.com/')",
    "herald.subscribe('shop', types => '{order.*}')",
    "herald.apply('{\"subscriptions\": [{\"name\": \"other\", \"url\": \"https://example.com/\"}]}')",
    "herald.unsubscribe('shop')",
    "herald.pause('shop')",
    "herald.resume('shop')",
    "herald.rotate_secret('shop')",
    "herald.redeliver('shop', (select id from herald.event limit 1))",
    "herald.replay('shop', since => now() - interval '1 hour')",
    "herald.discard('shop', reason => 'unwanted')",
    "herald.grant_access('pg_monitor', 'reader')",
    "herald.wait()",
];

#[test]
fn a_standby_refuses_what_writes_and_waits_for_nothing() {
    let primary = Cluster::builder().fsync(false).start().expect("a primary");
    let mut db = Database::new(&primary, "shop");
    db.watched_table();
    db.subscribe_at("shop", "https://example.com/", "");
    db.run("select herald.stop_worker()");
    db.emit("order.paid");
    let builder = Cluster::builder().fsync(false);
    let standby = builder.start_standby_of(&primary).expect("a standby");
    replay(&primary, &standby);

    let mut copy = Database::of(&standby, "shop");
    let began_at = Instant::now();
    for call in WRITING {
        let refused = copy.refusal(&format!("select {call}"));
        let words = refused.message();
        assert_eq!(refused.code().code(), "25006", "{call}: {words}");
        assert!(words.starts_with("cannot execute "), "{call}: {words}");
    }
    assert!(began_at.elapsed() < Duration::from_secs(10));
    for function in ["start_worker", "restart_worker"] {
        assert_eq!(copy.text(&format!("select herald.{function}()")), "standby");
    }
    assert_eq!(
        copy.text(
            "select status || ': ' || detail from herald.doctor() where \"check\" = 'worker'"
        ),
        "ok: waits for the promotion of this standby"
    );

    // The primary tells a read-only transaction the same.
    let refused = db.refusal("begin read only; select herald.emit('order.paid', '{}')");
    assert_eq!(
        (refused.code().code(), refused.message()),
        (
            "25006",
            "cannot execute herald.emit() in a read-only transaction"
        )
    );
    db.run("rollback");
    assert_eq!(db.count("herald.event"), 1);
}
