//! Transactions with old snapshots: their changes are captured by the current definitions.

mod common;

use common::Database;
use herald_trial::Cluster;

const OF_ORDERS: &str = "select string_agg(type, ' ' order by seq) from herald.event";

#[test]
fn a_transaction_older_than_a_watch_is_captured_by_it() {
    for isolation in ["repeatable read", "serializable"] {
        let (_cluster, mut db, mut old) = two_sessions();
        begin(&mut old, isolation);
        db.run("select herald.watch('orders', type => 'order')");
        old.run("insert into orders values (1); commit");
        assert_eq!(db.text(OF_ORDERS), "order");
    }
}

#[test]
fn a_session_keeps_no_watch_that_only_an_old_snapshot_shows() {
    let (_cluster, mut db, mut old) = two_sessions();
    db.run("select herald.watch('orders', type => 'former')");
    old.run("insert into orders values (1)");
    begin(&mut old, "repeatable read");
    db.run("select herald.watch('orders', type => 'new')");
    old.run("insert into orders values (2); commit; insert into orders values (3)");
    assert_eq!(db.text(OF_ORDERS), "former new new");
}

#[test]
fn an_old_transaction_writes_to_the_slot_of_the_ring_as_it_is_now() {
    let (_cluster, mut db, mut old) = two_sessions();
    begin(&mut old, "repeatable read");
    db.run(
        "update herald_internal.ring set period = '7 s', changed_at = now() where name = 'event'",
    );
    old.run("select herald.emit('order.paid'); commit");
    let by_period = "select slot - floor(extract(epoch from time) / 7) % 32 from herald.event";
    assert_eq!(db.text(by_period), "0");
}

/// Opens sessions in a database whose worker is stopped.
fn two_sessions() -> (Cluster, Database, Database) {
    let cluster = Cluster::builder().fsync(false).start().expect("a cluster");
    let mut db = Database::new(&cluster, "shop");
    db.run("select herald.stop_worker(); create table orders (id int primary key)");
    let old = db.session(&cluster);
    (cluster, db, old)
}

/// Begins a transaction and takes its snapshot.
fn begin(session: &mut Database, isolation: &str) {
    session.run(&format!("begin isolation level {isolation}; select 1"));
}
