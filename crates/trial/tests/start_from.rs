//! Subscriptions that start from events already in the log.

mod common;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Database, SECRET, SOON, cluster_with, receiver, types};
use herald_trial::{Cluster, at_size};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

fn subscribe_from(name: &str, url: &str) -> String {
    format!(
        "select herald.subscribe('{name}', url => '{url}', secret => '{SECRET}', types => '{{order.*}}',
             start_from => now() - interval '1 hour')"
    )
}

#[test]
fn a_subscription_that_starts_from_the_log_holds_nobody_up_until_it_commits() {
    let (shop, neighbour) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "open");
    db.subscribe("neighbour", &neighbour, "");
    db.emit("order.before");
    let mut other = db.session(&CLUSTER);
    other.run("begin");
    other.emit("order.long");
    let mut starter = db.session(&CLUSTER);
    starter.run("begin");
    starter.emit("order.own");
    starter.run(&subscribe_from("shop", &shop.url("/")));
    db.emit("order.meanwhile");
    // The transaction stays open, and the worker reads on.
    neighbour.wait_for(2, SOON);
    other.run("commit");
    neighbour.wait_for(3, SOON);
    starter.run("commit");
    db.emit("order.after");
    db.settle();
    let all = [
        "order.after",
        "order.before",
        "order.long",
        "order.meanwhile",
        "order.own",
    ];
    assert_eq!(types(&shop), all);
    assert_eq!(shop.total(), 5, "each once");
    assert_eq!(types(&neighbour), all);
    assert_eq!(db.count("herald_internal.starting"), 0);
}

#[test]
fn a_transaction_with_a_new_subscription_that_starts_from_the_log_cannot_be_prepared() {
    let (shop, neighbour) = (receiver(), receiver());
    let cluster = cluster_with(&[("max_prepared_transactions", "5")]);
    let mut db = Database::new(&cluster, "prepared");
    db.subscribe("neighbour", &neighbour, "");
    let mut starter = db.session(&cluster);
    starter.run("begin");
    starter.run(&subscribe_from("shop", &shop.url("/")));
    let refusal = starter.refusal("prepare transaction 'shop'");
    assert_eq!(refusal.code().code(), "0A000");
    db.emit("order.paid");
    neighbour.wait_for(1, SOON);
    // The session's next transaction may be prepared.
    starter.run("begin; select herald.emit('order.next'); prepare transaction 'other'");
    starter.run("commit prepared 'other'");
    neighbour.wait_for(2, SOON);
    assert_eq!(shop.total(), 0);
}

#[test]
fn each_event_comes_once_however_many_are_written_while_subscriptions_start() {
    let mut db = Database::new(&CLUSTER, "busy");
    let subscriptions = at_size(5, 50);
    let receivers: Vec<_> = (0..subscriptions).map(|_| receiver()).collect();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..3 {
            let mut session = db.session(&CLUSTER);
            let is_over = &is_over;
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    session.run(&format!(
                        "begin; select herald.emit('order.{writer}'); savepoint s; select herald.emit('order.{writer}'); commit"
                    ));
                }
            });
        }
        for (n, receiver) in receivers.iter().enumerate() {
            let mut session = db.session(&CLUSTER);
            session.run("begin");
            session.run(&subscribe_from(&format!("shop.{n}"), &receiver.url("/")));
            thread::sleep(std::time::Duration::from_millis(100));
            session.run("commit");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    db.settle_within(at_size(SOON * 3, SOON * 30));
    let written = db.number("select count(*) from herald.event") as u64;
    for (n, receiver) in receivers.iter().enumerate() {
        let got = (receiver.distinct_ids().len() as u64, receiver.total());
        assert_eq!(got, (written, written), "subscription {n}");
    }
}
