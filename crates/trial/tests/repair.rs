//! Repairs by hand: redeliver, replay, discard, purge.

mod common;

use std::sync::LazyLock;
use std::thread;
use std::time::Instant;

use common::{Database, SOON, receiver, receiver_with, subscribed, types};
use herald_trial::{Cluster, Mode, Receiver};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

const ONCE: &str = "max_attempts => 1";

#[test]
fn a_redelivery_carries_the_same_webhook_id_and_goes_on_counting() {
    let (receiver, mut db) = subscribed(&CLUSTER, "redelivery", "");
    let uid = db.emit("order.paid");
    db.settle();
    db.run(&format!("select herald.redeliver('shop', '{uid}')"));
    db.settle();
    assert_eq!(receiver.attempts(&uid), 2);
    assert_eq!(receiver.requests()[0].body, receiver.requests()[1].body);
    assert_eq!(
        db.text("select string_agg(attempt::text, ' ' order by at) from herald.attempt"),
        "1 2"
    );
    assert_eq!(
        db.text("select count(*) || ' ' || max(attempts) from herald.delivery"),
        "1 2"
    );
}

#[test]
fn a_dead_letter_that_is_redelivered_gets_the_whole_schedule_again() {
    let receiver = receiver_with(Mode::status(500));
    let mut db = Database::subscribed(
        &CLUSTER,
        "dead_again",
        &receiver,
        "retry_schedule => '{30 ms, 30 ms}', retry_jitter => 0",
    );
    let uid = db.emit("order.paid");
    db.until_dead("exhausted");
    db.run(&format!("select herald.redeliver('shop', '{uid}')"));
    receiver.wait_until("six attempts", |receiver| receiver.total() == 6, SOON);
    db.until_dead("exhausted");
    assert_eq!(db.number("select attempts from herald.dead_letter"), 6);
    assert_eq!(
        db.number("select jsonb_array_length(attempt_log) from herald.dead_letter"),
        6
    );
    receiver.set_mode(Mode::ok());
    assert_eq!(db.number("select herald.redeliver_dead_letters('shop')"), 1);
    db.settle();
    assert_eq!(receiver.attempts(&uid), 7);
    assert_eq!(db.count("herald.dead_letter"), 0);
}

#[test]
fn dead_letters_are_redelivered_by_reason_and_time() {
    let receiver = receiver_with(Mode::status(500));
    let mut db = Database::subscribed(&CLUSTER, "by_reason", &receiver, ONCE);
    db.emit("exhausted");
    db.until_dead("exhausted");
    db.run("select herald.pause('shop')");
    db.emit("discarded");
    db.until("select count(*) from herald.pending", "1");
    assert_eq!(
        db.number("select herald.discard('shop', reason => 'a test')"),
        1
    );
    db.until_dead("exhausted discarded");
    assert_eq!(
        db.text("select note from herald.dead_letter where reason = 'discarded'"),
        "a test"
    );
    db.run("select herald.resume('shop')");
    receiver.set_mode(Mode::ok());
    let redeliver =
        |arguments: &str| format!("select herald.redeliver_dead_letters('shop', {arguments})");
    assert_eq!(
        db.number(&redeliver("since => now() + interval '1 hour'")),
        0
    );
    assert_eq!(
        db.number(&redeliver("until => now() - interval '1 hour'")),
        0
    );
    assert_eq!(db.number(&redeliver("reason => 'discarded'")), 1);
    db.settle();
    db.until_dead("exhausted");
    assert_eq!(receiver.accepted(), 1);
    assert_eq!(db.number("select herald.purge_dead_letters('1 hour')"), 0);
    assert_eq!(db.number("select herald.purge_dead_letters('0')"), 1);
}

#[test]
fn dead_letters_of_all_subscriptions_are_redelivered_together() {
    let receiver = receiver_with(Mode::status(500));
    let mut db = Database::new(&CLUSTER, "redeliver_all");
    for name in ["crm", "shop"] {
        db.subscribe(name, &receiver, "max_attempts => 1");
    }
    db.emit("order.paid");
    db.until_dead("exhausted exhausted");
    receiver.set_mode(Mode::ok());
    let all = |since: &str| format!("select herald.redeliver_dead_letters(null, since => {since})");
    assert_eq!(db.number(&all("now() + interval '1 hour'")), 0);
    assert_eq!(db.number(&all("now() - interval '1 hour'")), 2);
    db.settle();
    assert_eq!(db.count("herald.delivery where state = 'delivered'"), 2);
}

#[test]
fn replay_chooses_all_failed_or_missing_ones_and_a_dry_run_only_counts() {
    let receiver = Receiver::start().expect("a receiver");
    receiver.set_mode(Mode::answer_with(|request| {
        let fails = request.text().contains("fails");
        herald_trial::receiver::Answer::new(if fails { 500 } else { 200 })
    }));
    let mut db = Database::new(&CLUSTER, "replay");
    db.emit("missed");
    db.subscribe("shop", &receiver, ONCE);
    db.emit("order.works");
    db.emit("order.fails");
    db.settle();
    db.until_dead("exhausted");
    let replay = |arguments: &str| {
        format!("select herald.replay('shop', since => now() - interval '1 hour'{arguments})")
    };
    let count = |db: &mut Database, arguments: &str| {
        db.number(&replay(&format!("{arguments}, dry_run => true")))
    };
    assert_eq!(count(&mut db, ""), 3);
    assert_eq!(count(&mut db, ", \"only\" => 'failed'"), 1);
    assert_eq!(count(&mut db, ", \"only\" => 'missing'"), 2);
    assert_eq!(count(&mut db, ", types => '{order.*}'"), 2);
    assert_eq!(count(&mut db, ", until => now() - interval '30 min'"), 0);
    db.settle();
    assert_eq!(receiver.total(), 2);

    assert_eq!(db.number(&replay(", \"only\" => 'missing'")), 2);
    db.until_dead("exhausted");
    db.settle();
    assert_eq!(types(&receiver), ["missed", "order.fails", "order.works"]);
    receiver.set_mode(Mode::ok());
    assert_eq!(db.number(&replay(", \"only\" => 'failed'")), 1);
    db.settle();
    assert_eq!(db.count("herald.dead_letter"), 0);
    assert_eq!(receiver.total(), 5);
    assert_eq!(db.number(&replay("")), 3);
    db.settle();
    assert_eq!((receiver.total(), receiver.distinct_ids().len()), (8, 3));
}

#[test]
fn a_replay_to_a_target_leaves_the_first_receiver_alone() {
    let (first, second) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "target");
    db.subscribe("first", &first, "types => '{a}'");
    db.emit("a");
    db.emit("b");
    db.settle();
    db.subscribe("second", &second, "");
    let replay =
        "select herald.replay('first', since => now() - interval '1 hour', target => 'second')";
    assert_eq!(db.number(replay), 1);
    db.settle();
    assert_eq!((first.total(), types(&second)), (1, vec!["a".to_owned()]));
}

#[test]
fn a_large_replay_is_complete_and_keeps_the_order_of_the_log() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "large_replay");
    db.run("select herald.emit('old', to_jsonb(n)) from generate_series(1, 3000) n");
    db.subscribe("shop", &receiver, "max_concurrency => 1");
    assert_eq!(
        db.number("select herald.replay('shop', now() - interval '1 hour')"),
        3000
    );
    receiver.wait_for(3000, SOON * 2);
    db.settle();
    let order: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.json()["data"].as_i64())
        .collect();
    assert_eq!(order, (1..=3000).map(Some).collect::<Vec<_>>());
    assert!(receiver.duplicates().is_empty());
}

#[test]
fn discard_until_drops_the_older_part_of_a_backlog() {
    let (receiver, mut db) = subscribed(&CLUSTER, "discard", "");
    db.run("select herald.pause('shop')");
    db.emit("older");
    db.until("select count(*) from herald.pending", "1");
    let between = db.text("select clock_timestamp()");
    db.emit("newer");
    db.until("select count(*) from herald.pending", "2");
    assert_eq!(
        db.number(&format!(
            "select herald.discard('shop', until => '{between}')"
        )),
        1
    );
    db.run("select herald.resume('shop')");
    db.settle();
    assert_eq!(types(&receiver), ["newer"]);
    db.until_dead("discarded");
}

#[test]
fn a_discard_or_an_unsubscribe_that_is_cancelled_leaves_everything_as_it_was() {
    let backlog = 60_000;
    let mut db = Database::new(&CLUSTER, "cancelled");
    db.run("select herald.stop_worker()");
    db.subscribe_at("shop", "https://example.com/", "");
    db.run(&format!(
        "insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at)
         select s.id, 3, n, now() from herald_internal.subscription s, generate_series(1, {backlog}) n"
    ));
    let state = "select concat_ws(' ', (select count(*) from herald.pending), (select count(*) from herald.dead_letter),
                                  (select state from herald.subscription))";
    let before = db.text(state);
    assert_eq!(before, format!("{backlog} 0 active"));
    for command in ["herald.discard('shop')", "herald.unsubscribe('shop')"] {
        let begun = db.number("select last_value from herald_internal.dead_letter_id_seq");
        let mut session = db.session(&CLUSTER);
        let pid = session.text("select pg_backend_pid()");
        let running = thread::spawn(move || session.simple_query(&format!("select {command}")));
        // Only a sequence shows what it has written by now.
        let written =
            format!("select last_value > {begun} + 10000 from herald_internal.dead_letter_id_seq");
        db.until(&written, "true");
        let cancelled_at = Instant::now();
        db.run(&format!("select pg_cancel_backend({pid})"));
        let cancelled = running.join().unwrap().expect_err("it is cancelled");
        assert_eq!(cancelled.code().unwrap().code(), "57014", "{command}");
        assert!(
            cancelled_at.elapsed() < SOON,
            "{:?}",
            cancelled_at.elapsed()
        );
        assert_eq!(db.text(state), before, "{command}");
    }
    assert_eq!(
        db.text("select herald.discard('shop')"),
        backlog.to_string()
    );
}

#[test]
fn a_dead_letter_has_the_whole_event_whatever_is_in_it_and_holds_up_nobody() {
    let (refusing, willing) = (receiver_with(Mode::status(400)), receiver());
    let mut db = Database::new(&CLUSTER, "whole_event");
    db.subscribe("refusing", &refusing, "max_attempts => 1");
    db.subscribe("willing", &willing, "");
    db.run(
        r#"create table note (id int primary key, words json); select herald.watch('note');
           insert into note values (1, '{"half": "\ud83d", "none": null, "deep": {"none": null}}')"#,
    );
    db.until(
        "select string_agg(state, ' ' order by subscription) from herald.delivery",
        "dead delivered",
    );
    let words = r#""words":{"half": "\ud83d", "none": null, "deep": {"none": null}}"#
        .replace(": ", ":")
        .replace(", ", ",");
    let kept = db.text("select event::text from herald.dead_letter");
    assert!(kept.contains(&words), "{kept}");
}
