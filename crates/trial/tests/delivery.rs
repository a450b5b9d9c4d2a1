//! The main promise: what commits is delivered, signed and recorded; what does not commit is never sent.

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, only_request, receiver, receiver_with, subscribed, text_at, types};
use herald_trial::receiver::Signature;
use herald_trial::{Cluster, Mode};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn an_insert_is_delivered_signed_and_recorded() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "an_insert");
    db.watched_table();
    db.subscribe_at("shop", &receiver.url("/hook"), "");
    db.run("insert into note values (1, 'paid')");
    db.settle();

    let request = only_request(&receiver);
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/hook")
    );
    assert_eq!(request.signature, Signature::Valid);
    assert_eq!(
        request.header("content-type"),
        Some("application/cloudevents+json; charset=utf-8")
    );
    let event = request.json();
    assert_eq!(event["type"], "public.note.inserted");
    assert_eq!(event["specversion"], "1.0");
    assert_eq!(event["source"], "/an_insert");
    assert_eq!(
        event["data"]["record"],
        serde_json::json!({"id": 1, "words": "paid"})
    );
    let id = request.webhook_id.clone().unwrap();
    assert_eq!(event["id"], id.as_str());
    assert_eq!(db.text("select uid from herald.event"), id);
    let recorded = db.row(
        "select event_id, subscription, attempt, status_code::int, outcome, error_class from herald.attempt",
        &[],
    );
    assert_eq!(recorded.get::<_, String>(0), id);
    assert_eq!(recorded.get::<_, String>(1), "shop");
    assert_eq!(
        (recorded.get::<_, i32>(2), recorded.get::<_, i32>(3)),
        (1, 200)
    );
    assert_eq!(recorded.get::<_, String>(4), "delivered");
    assert_eq!(recorded.get::<_, Option<String>>(5), None);
    assert_eq!(db.text("select state from herald.delivery"), "delivered");
}

#[test]
fn a_commit_wakes_the_worker_at_once() {
    let (receiver, mut db) = subscribed(&CLUSTER, "a_commit_wakes", "");
    db.emit("order.first");
    receiver.wait_for(1, SOON);
    // The poll interval is 5 s: ten events in a row within it were not found by polling.
    let began_at = std::time::Instant::now();
    for n in 2..12 {
        db.emit("order.next");
        receiver.wait_for(n, SOON);
    }
    assert!(began_at.elapsed().as_secs() < 5, "{:?}", began_at.elapsed());
}

#[test]
fn what_is_rolled_back_or_failed_is_never_sent() {
    let (receiver, mut db) = subscribed(&CLUSTER, "rolled_back", "");
    db.watched_table();
    db.run("begin; insert into note values (1, 'rolled back'); rollback");
    db.refusal("insert into note values (2, 'failed'), (2, 'twice the same key')");
    db.refusal("begin; insert into note values (3, 'aborted'); select 1/0");
    db.run("rollback");
    db.run(
        "begin;
         insert into note values (10, 'kept');
         savepoint a; insert into note values (11, 'undone');
         savepoint b; insert into note values (12, 'undone with a'); release savepoint b;
         rollback to savepoint a;
         savepoint c; insert into note values (13, 'released'); release savepoint c;
         do $$ begin insert into note values (14, 'in a block that fails'); perform 1/0;
               exception when division_by_zero then insert into note values (15, 'in its handler'); end $$;
         commit",
    );
    db.settle();
    let mut words: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| text_at(request, "/data/record/words"))
        .collect();
    words.sort();
    assert_eq!(words, ["in its handler", "kept", "released"]);
    assert_eq!(receiver.invalid_signatures(), 0);
}

#[test]
fn the_webhook_id_is_the_same_on_every_attempt_and_retries_follow_the_schedule() {
    let receiver = receiver_with(Mode::flaky(3, 4));
    let mut db = Database::new(&CLUSTER, "retries");
    let options = "retry_schedule => '{100 ms, 300 ms, 900 ms}', retry_jitter => 0";
    db.subscribe("shop", &receiver, options);
    let id = db.emit("order.paid");
    db.settle();

    let attempts = receiver.requests_of(&id);
    assert_eq!(attempts.len(), 4, "{receiver:?}");
    assert!(
        attempts
            .iter()
            .all(|request| request.signature == Signature::Valid)
    );
    let pauses: Vec<i64> = attempts
        .windows(2)
        .map(|pair| (pair[1].at_micros - pair[0].at_micros) / 1_000)
        .collect();
    for (pause, scheduled) in pauses.iter().zip([100, 300, 900]) {
        assert!((scheduled..scheduled + 600).contains(pause), "{pauses:?}");
    }
    let log = "select string_agg(format('%s %s %s %s', attempt, status_code, outcome, error_class), ', ' order by attempt)
               from herald.attempt";
    assert_eq!(
        db.text(log),
        "1 500 retrying status, 2 500 retrying status, 3 500 retrying status, 4 200 delivered "
    );
    assert_eq!(
        db.text("select state || ' ' || attempts from herald.delivery"),
        "delivered 4"
    );
}

#[test]
fn a_retry_does_not_wait_for_the_end_of_a_log_that_keeps_its_subscription_busy() {
    const EVENTS: usize = 6_000;
    let mut db = Database::new(&CLUSTER, "busy");
    let refuses_the_first = Mode::flaky_together(1, u32::MAX);
    let receiver = receiver_with(Mode::Delayed(
        Duration::from_millis(1),
        Box::new(refuses_the_first),
    ));
    db.subscribe("shop", &receiver, "retry_schedule => '{10 ms}'");
    db.run(&format!(
        "select herald.emit('order.paid', '{{}}') from generate_series(1, {EVENTS})"
    ));
    receiver.wait_for(EVENTS, SOON);
    let requests = receiver.requests();
    let (first, rest) = requests.split_first().expect("requests");
    let retry = rest
        .iter()
        .position(|request| request.webhook_id == first.webhook_id);
    let retry = retry.expect("the retry is among the requests");
    assert!(retry < EVENTS * 2 / 3, "it was the {retry}th request");
}

#[test]
fn an_exhausted_delivery_becomes_a_dead_letter_with_all_that_is_known() {
    let receiver = receiver_with(Mode::status(500));
    let mut db = Database::new(&CLUSTER, "exhausted");
    let options = "retry_schedule => '{50 ms, 50 ms}', retry_jitter => 0, headers => '{\"X-Key\": \"canary\"}'";
    db.subscribe("shop", &receiver, options);
    let id = db.text("select herald.emit('order.paid', '{\"total\": 7}', id => 'order-1')");
    db.until_dead("exhausted");

    assert_eq!(receiver.total(), 3);
    let dead = db.row(
        "select event_id, subscription, attempts, event::text, subscription_config::text, attempt_log::text,
                jsonb_array_length(attempt_log)
         from herald.dead_letter where expires_at > failed_at + interval '29 days'",
        &[],
    );
    assert_eq!(dead.get::<_, String>(0), id);
    assert_eq!(dead.get::<_, String>(1), "shop");
    assert_eq!((dead.get::<_, i32>(2), dead.get::<_, i32>(6)), (3, 3));
    let (event, config, log): (String, String, String) = (dead.get(3), dead.get(4), dead.get(5));
    assert!(
        event.contains("\"total\":7") && event.contains("order.paid"),
        "{event}"
    );
    assert!(
        config.contains(&receiver.url("/")) && config.contains("retry_schedule"),
        "{config}"
    );
    assert!(
        !config.contains("canary") && !config.contains("whsec_"),
        "{config}"
    );
    assert!(
        log.contains("\"status_code\": 500") && log.contains("\"attempt\": 3"),
        "{log}"
    );
    assert_eq!(db.count("herald.pending"), 0);
    assert_eq!(db.text("select state from herald.delivery"), "dead");
}

#[test]
fn keep_request_keeps_the_requests_of_failed_attempts() {
    let receiver = receiver_with(Mode::flaky(1, 2));
    let mut db = Database::new(&CLUSTER, "kept");
    let options =
        r#"retry_schedule => '{20 ms}', headers => '{"X-Key": "canary", "X-Type": "{type}"}'"#;
    db.subscribe_at(
        "shop",
        &receiver.url("/{type}"),
        &format!("keep_request => 'failed', {options}"),
    );
    db.run("select herald.emit('order.paid', '{\"total\": 7}')");
    db.settle();
    let sent = &receiver.requests()[0];
    let kept = db.text("select request from herald.attempt where outcome = 'retrying'");
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["method"], "POST");
    assert_eq!(kept["url"], receiver.url("/order.paid"));
    assert_eq!(kept["body"], *String::from_utf8_lossy(&sent.body));
    assert_eq!(
        kept["headers"]["webhook-id"],
        sent.webhook_id.clone().unwrap()
    );
    assert_eq!(kept["headers"]["x-key"], "***");
    assert_eq!(kept["headers"]["webhook-signature"], "***");
    // Requests that were delivered, and requests of a subscription that does not ask for it, are not kept.
    assert_eq!(db.number("select count(request) from herald.attempt"), 1);
    receiver.set_mode(Mode::status(500));
    db.run("select herald.emit('order.lost')");
    db.until_dead("exhausted");
    assert_eq!(
        db.text("select jsonb_path_query_array(attempt_log, '$[*].request.url')::text from herald.dead_letter"),
        format!("[\"{}\"]", receiver.url("/order.lost"))
    );
    assert_eq!(
        db.text("select string_agg(a ->> 'attempt', ',') from herald.dead_letter d, jsonb_array_elements(d.attempt_log) a where a ? 'request'"),
        "2"
    );
    db.run(
        "select herald.subscribe('shop', keep_request => 'none'); select herald.emit('order.last')",
    );
    db.until("select count(*) from herald.dead_letter", "2");
    assert_eq!(
        db.number("select count(request) from herald.attempt where type = 'order.last'"),
        0
    );
}

#[test]
fn max_attempts_caps_the_schedule() {
    let receiver = receiver_with(Mode::status(500));
    let mut db = Database::subscribed(&CLUSTER, "max_attempts", &receiver, "max_attempts => 1");
    db.emit("order.paid");
    db.until_dead("exhausted");
    assert_eq!(receiver.total(), 1);
}

#[test]
fn an_event_over_max_payload_is_buried_unsent_and_the_next_one_is_sent() {
    let (receiver, mut db) = subscribed(&CLUSTER, "too_large", "");
    db.watched_table();
    db.run(
        "insert into note values (1, repeat('x', 300000)); insert into note values (2, 'small')",
    );
    db.until_dead("too_large");
    db.settle();
    assert_eq!(
        text_at(&only_request(&receiver), "/data/record/words"),
        "small"
    );
    let record = "select error_class || ': ' || error from herald.attempt where outcome = 'dead'";
    assert!(
        db.text(record).starts_with("too_large: "),
        "{}",
        db.text(record)
    );

    db.run("select herald.subscribe('shop', max_payload => 1000000)");
    db.run("select herald.redeliver_dead_letters('shop')");
    receiver.wait_for(2, SOON);
    db.settle();
    assert_eq!(receiver.requests()[1].body.len() / 1_000, 300);
}

#[test]
fn several_subscriptions_each_get_the_event_and_fail_on_their_own() {
    let (good, bad) = (receiver(), receiver_with(Mode::status(500)));
    let mut db = Database::new(&CLUSTER, "several");
    db.subscribe("good", &good, "");
    db.subscribe(
        "bad",
        &bad,
        "max_attempts => 2, retry_schedule => '{50 ms}'",
    );
    let id = db.emit("order.paid");
    db.until_dead("exhausted");
    db.settle();
    assert_eq!((good.attempts(&id), bad.attempts(&id)), (1, 2));
    let states = "select string_agg(subscription || ' ' || state, ', ' order by subscription) from herald.delivery";
    assert_eq!(db.text(states), "bad dead, good delivered");
    assert_eq!(types(&good), ["order.paid"]);
}
