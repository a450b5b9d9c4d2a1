//! A receiver that answers that it is gone (410) while much is pending for it.

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, receiver, receiver_with};
use herald_trial::wait::eventually_holds;
use herald_trial::{Cluster, Mode, at_size};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

const BURIED: &str = "select count(*) from herald.dead_letter where reason = 'gone'";

/// Creates a subscription `shop` for `order`, and a neighbour for everything else. `backlog` orders wait until the
/// receiver, which answers 410, is sent the first.
fn with_backlog(
    name: &str,
    backlog: u32,
) -> (Database, herald_trial::Receiver, herald_trial::Receiver) {
    let mut db = Database::new(&CLUSTER, name);
    let gone = receiver_with(Mode::status(410));
    let neighbour = receiver();
    db.subscribe("shop", &gone, "types => '{order}'");
    db.subscribe("neighbour", &neighbour, "types => '{other}'");
    db.run("select herald.pause('shop')");
    db.run(&format!(
        "select herald.emit('order') from generate_series(1, {backlog})"
    ));
    db.until("select count(*) from herald.pending", &backlog.to_string());
    db.run("select herald.resume('shop')");
    (db, gone, neighbour)
}

#[test]
fn the_backlog_of_a_receiver_that_is_gone_is_buried_while_its_neighbour_is_served() {
    let backlog = at_size(5_000, 40_000);
    let (mut db, gone, neighbour) = with_backlog("gone", backlog);
    for _ in 0..10 {
        db.emit("other");
    }
    neighbour.wait_for(10, SOON);
    eventually_holds(
        at_size(3 * SOON, Duration::from_secs(120)),
        "everything is buried",
        || db.number(BURIED),
        |buried| *buried == i64::from(backlog),
    );
    db.settle();
    assert_eq!(
        gone.total(),
        1,
        "nothing is sent to a receiver that is gone"
    );
    assert_eq!(db.count("herald.pending"), 0);
}

#[test]
fn a_resume_sends_what_is_not_buried_yet() {
    let backlog = 5_000;
    let (mut db, gone, _neighbour) = with_backlog("resumed", backlog);
    let seen = eventually_holds_some(&mut db);
    gone.set_mode(Mode::ok());
    db.run("select herald.resume('shop')");
    assert!(seen < i64::from(backlog), "it was buried at once");
    db.settle_within(Duration::from_secs(60));
    let buried = db.number(BURIED);
    assert!(buried < i64::from(backlog), "{buried} were buried");
    assert_eq!(gone.accepted() as i64 + buried, i64::from(backlog));
}

#[test]
fn a_410_ends_its_delivery_only_where_the_subscription_wants_that() {
    let mut db = Database::new(&CLUSTER, "survives");
    let receiver = receiver_with(Mode::status(410));
    db.subscribe("shop", &receiver, "gone => 'dead', retry_on => '{500}'");
    db.emit("order");
    db.settle();
    assert_eq!(
        db.text("select concat_ws(' ', d.reason, d.attempts, s.state, s.gone) from herald.dead_letter d, herald.subscription s"),
        "permanent_status 1 active dead"
    );
    receiver.set_mode(Mode::ok());
    db.emit("order");
    receiver.wait_for(1, SOON);
}

#[test]
fn a_410_from_the_former_url_does_not_affect_the_new_url() {
    let mut db = Database::new(&CLUSTER, "former_url");
    let former = receiver_with(Mode::Delayed(
        Duration::from_secs(1),
        Box::new(Mode::status(410)),
    ));
    let new = receiver();
    db.subscribe("shop", &former, "retry_schedule => '{100 ms}'");
    db.emit("order");
    former.wait_until("the request", |former| former.total() == 1, SOON);
    db.run(&format!(
        "update herald.subscription set url = '{}'",
        new.url("/")
    ));
    new.wait_for(1, SOON);
    db.emit("order");
    new.wait_for(2, SOON);
    db.settle();
    assert_eq!(former.total(), 1);
    assert_eq!(
        db.text("select concat_ws(' ', state, (select count(*) from herald.dead_letter)) from herald.subscription"),
        "active 0"
    );
}

#[test]
fn a_backlog_is_walked_over_once_although_an_old_snapshot_still_sees_it() {
    let backlog = 2_000;
    let (mut db, _gone, _neighbour) = with_backlog("old_snapshot", backlog);
    // Rows deleted from now on stay in the index.
    let mut old = db.session(&CLUSTER);
    old.run("begin isolation level repeatable read; select from herald.pending");
    db.until(BURIED, &backlog.to_string());
    db.until(
        "select n_tup_del from pg_stat_user_tables where relname = 'pending'",
        &backlog.to_string(),
    );
    let entries =
        db.number("select sum(idx_tup_read) from pg_stat_user_indexes where relname = 'pending'");
    // Each row is found, locked and deleted; a walk per slice would meet most rows a hundred times.
    assert!(
        entries < 20 * i64::from(backlog),
        "{entries} entries of indexes were read"
    );
    old.run("commit");
}

/// Waits for dead letters, and returns the first count seen.
fn eventually_holds_some(db: &mut Database) -> i64 {
    herald_trial::wait::eventually(SOON, "a dead letter", || {
        Some(db.number("select count(*) from herald.dead_letter where event_seq > (select min(event_seq) from herald.dead_letter)"))
            .filter(|seen| *seen > 0)
    })
}
