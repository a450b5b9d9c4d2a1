//! Order: of a key, nothing is sent before what came earlier is delivered or dead, and no key holds another.

mod common;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Database, SOON, hint, receiver, receiver_with, text_at, worker_of};
use herald_trial::receiver::Answer;
use herald_trial::{Cluster, Mode, Receiver};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// A delivery that fails is not tried again soon.
const BLOCKING: &str = "ordering => 'key', retry_schedule => '{1 h}'";
/// Retries come at once, so that a blocked key is not a slow one.
const EAGER: &str = "retry_schedule => array_fill(interval '50 ms', array[100]), retry_jitter => 0";

/// Emits events with these keys, whose types are their places, from 1 on. Each is a transaction.
fn emit(db: &mut Database, keys: &[&str]) {
    for (place, key) in (1..).zip(keys) {
        db.run(&format!(
            "select herald.emit('{place}', '{{}}', key => '{key}')"
        ));
    }
}

/// Returns the types of all requests, in the order in which they came.
fn requests(receiver: &Receiver) -> Vec<String> {
    let requests = receiver.requests();
    requests
        .iter()
        .map(|request| text_at(request, "/type"))
        .collect()
}

/// Answers 503 to events of this type, and 200 to others.
fn refuses(event_type: &'static str) -> Mode {
    Mode::answer_with(move |request| {
        let is_refused = text_at(request, "/type") == event_type;
        Answer::new(if is_refused { 503 } else { 200 })
    })
}

/// A receiver that answers like this, and a database whose subscription `shop` sends to it with these options.
fn shop(name: &str, mode: Mode, options: &str) -> (Receiver, Database) {
    let receiver = receiver_with(mode);
    let db = Database::subscribed(&CLUSTER, name, &receiver, options);
    (receiver, db)
}

/// For each key of the table `account`, its versions in the order of their first successful receipts.
fn receipts(receiver: &Receiver) -> BTreeMap<i64, Vec<i64>> {
    let mut seen = std::collections::BTreeSet::new();
    let mut receipts: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for request in receiver
        .requests()
        .iter()
        .filter(|request| request.accepted)
    {
        let body = request.json();
        let number = |member: &str| body["data"]["record"][member].as_i64().expect("a number");
        if seen.insert(request.webhook_id.clone()) {
            receipts
                .entry(number("id"))
                .or_default()
                .push(number("version"));
        }
    }
    receipts
}

/// Updates random rows of `account` in four sessions until told to end, whatever becomes of the server.
fn update_at_random(cluster: &Cluster, database: &str, is_over: &AtomicBool) {
    const UPDATE: &str = "with picked as materialized (select floor(random() * 1000)::bigint as id)
        update account a set version = a.version + 1 from picked p where a.id = p.id";
    let session = || {
        while !is_over.load(Ordering::Relaxed) {
            match cluster.connect(database) {
                Ok(mut client) => {
                    while !is_over.load(Ordering::Relaxed) && client.execute(UPDATE, &[]).is_ok() {
                        thread::sleep(Duration::from_millis(1));
                    }
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(session);
        }
    });
}

#[test]
fn a_thousand_keys_are_received_in_commit_order_through_failures_and_kills() {
    let cluster = common::cluster();
    let shaky = receiver_with(Mode::flaky_together(1, 5));
    let mut db = Database::new(&cluster, "keys");
    db.run(
        "create table account (id bigint primary key, version bigint not null);
         insert into account select n, 0 from generate_series(0, 999) n;
         select herald.watch('account', operations => '{update}')",
    );
    db.subscribe("shaky", &shaky, &format!("ordering => 'key', {EAGER}"));
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| update_at_random(&cluster, "keys", &is_over));
        let killed = (0..3).try_for_each(|_| {
            thread::sleep(Duration::from_millis(1_500));
            cluster.crash(worker_of(&cluster, "keys"))?;
            cluster.forget_deaths()
        });
        thread::sleep(Duration::from_millis(1_500));
        is_over.store(true, Ordering::Relaxed);
        killed.expect("crashes");
    });
    let mut db = Database::of(&cluster, "keys");
    shaky.set_mode(Mode::ok());
    db.settle_within(Duration::from_secs(120));
    let expected = db.number("select sum(version) from account");
    assert!(expected > 1_000, "{expected}");
    let receipts = receipts(&shaky);
    assert_eq!(
        receipts.values().map(Vec::len).sum::<usize>() as i64,
        expected
    );
    for (id, versions) in receipts {
        let expected: Vec<i64> = (1..=versions.len() as i64).collect();
        assert_eq!(versions, expected, "account {id}");
    }
}

#[test]
fn a_key_that_waits_for_a_retry_holds_nobody_else_and_is_shown() {
    let (receiver, mut db) = shop("holds", refuses("2"), BLOCKING);
    emit(&mut db, &["b", "a", "a", "b", "a", "b"]);
    receiver.wait_until("all of b", |receiver| receiver.total() == 4, SOON);
    let mut sent = requests(&receiver);
    sent.sort();
    assert_eq!(sent, ["1", "2", "4", "6"]);
    db.until(
        "select format('%s %s %s %s', subscription, key, attempts, waiting) from herald.blocked_key",
        "shop a 1 2",
    );
    let why = db.text(
        "select blocked_by from herald.why((select uid::text from herald.event where type = '5'))",
    );
    assert!(
        why.starts_with("ordering: it waits behind 2 of its key; the first, event \"")
            && why.contains("has failed since"),
        "{why}"
    );
    receiver.set_mode(Mode::ok());
    db.run("select herald.retry('shop')");
    db.settle();
    assert_eq!(requests(&receiver)[4..], ["2", "3", "5"]);
    assert_eq!(db.count("herald.blocked_key"), 0);
}

#[test]
fn a_blocked_key_can_be_skipped() {
    let is_refused = |event_type: &str| ["1", "4"].contains(&event_type);
    let mode = Mode::answer_with(move |request| {
        let is_refused = is_refused(&text_at(request, "/type"));
        Answer::new(if is_refused { 503 } else { 200 })
    });
    let (receiver, mut db) = shop("skipped", mode, BLOCKING);
    emit(&mut db, &["a", "a", "a", "b"]);
    db.until("select sum(waiting) from herald.blocked_key", "2");
    db.until("select count(*) from herald.blocked_key", "2");
    let error = db.refusal("select * from herald.skip('shop', 'c')");
    assert_eq!(
        error.message(),
        r#"nothing blocks key "c" of subscription "shop""#
    );
    let skipped =
        db.text("select format('%s %s', attempts, waiting) from herald.skip('shop', 'a')");
    assert_eq!(skipped, "1 2");
    // The other key stays blocked.
    receiver.wait_until("those behind it", |receiver| receiver.total() == 4, SOON);
    let of_a: Vec<String> = requests(&receiver)
        .into_iter()
        .filter(|event_type| event_type != "4")
        .collect();
    assert_eq!(of_a, ["1", "2", "3"]);
    db.until_dead("discarded");
    assert_eq!(db.text("select note from herald.dead_letter"), "skipped");
    assert_eq!(db.text("select key from herald.blocked_key"), "b");
}

#[test]
fn only_what_is_ordered_and_blocked_can_be_skipped() {
    let receiver = receiver_with(Mode::status(503));
    let mut db = Database::new(&CLUSTER, "unordered");
    db.subscribe("plain", &receiver, "retry_schedule => '{1 h}'");
    db.subscribe(
        "shop",
        &receiver,
        "ordering => 'key', retry_schedule => '{1 h}'",
    );
    let error = db.refusal("select * from herald.skip('plain', 'a')");
    assert_eq!(error.message(), r#"subscription "plain" is not ordered"#);
    let error = db.refusal("select * from herald.skip('shop')");
    assert_eq!(error.message(), "key is null");
    db.run("select herald.emit('order', '{}', key => 'a', source => '/one'), herald.emit('order', '{}', key => 'a', source => '/two')");
    db.until("select count(*) from herald.blocked_key", "2");
    let error = db.refusal("select * from herald.skip('shop', 'a')");
    assert_eq!(error.message(), r#"key "a" is ambiguous"#);
    assert_eq!(
        hint(&error),
        "Run: select herald.skip('shop', 'a', source => '/one');"
    );
    db.run("select * from herald.skip('shop', 'a', source => '/two')");
    assert_eq!(db.text("select source from herald.blocked_key"), "/one");
}

#[test]
fn a_key_is_not_blocked_for_longer_than_max_block() {
    let receiver = receiver_with(refuses("1"));
    let mut db = Database::new(&CLUSTER, "capped");
    db.subscribe(
        "shop",
        &receiver,
        &format!("ordering => 'key', max_block => '1 s', {EAGER}"),
    );
    emit(&mut db, &["a", "a"]);
    db.settle();
    db.until_dead("exhausted");
    let sent = requests(&receiver);
    assert_eq!(sent.last().map(String::as_str), Some("2"));
    assert!((10..=25).contains(&sent.len()), "{sent:?}");
}

#[test]
fn a_dead_letter_lets_those_behind_it_go() {
    let (receiver, mut db) = shop(
        "dies",
        refuses("1"),
        "ordering => 'key', retry_on => '{429}'",
    );
    emit(&mut db, &["a", "a", "a"]);
    db.settle();
    assert_eq!(requests(&receiver), ["1", "2", "3"]);
    db.until_dead("permanent_status");
}

/// The options of a subscription whose dead letters hold their keys.
const DEAD_BLOCKS: &str = "ordering => 'key', dead_blocks => true, retry_on => '{429}'";

#[test]
fn a_dead_letter_can_hold_its_key_until_it_is_sent_again() {
    let cluster = common::cluster();
    let receiver = receiver_with(refuses("2"));
    let mut db = Database::new(&cluster, "blocks");
    db.subscribe("shop", &receiver, DEAD_BLOCKS);
    emit(&mut db, &["a", "a", "a", "b"]);
    db.until(
        "select format('%s %s %s %s', key, state, attempts, waiting) from herald.blocked_key",
        "a dead 1 1",
    );
    receiver.wait_until("b", |receiver| receiver.total() == 3, SOON);
    let third = "(select uid::text from herald.event where type = '3')";
    let why = db.text(&format!("select blocked_by from herald.why({third})"));
    assert!(
        why.starts_with("ordering: the dead letter of event"),
        "{why}"
    );
    assert!(!db.truth(&format!("select herald.wait({third})")));
    // Another worker knows of it, too, and new events wait.
    cluster
        .crash(worker_of(&cluster, "blocks"))
        .expect("a crash");
    let mut db = Database::of(&cluster, "blocks");
    db.run("select herald.emit('5', '{}', key => 'a'), herald.emit('6', '{}', key => 'b')");
    receiver.wait_until("b again", |receiver| receiver.total() >= 4, SOON);
    db.until("select waiting from herald.blocked_key", "2");
    receiver.set_mode(Mode::ok());
    db.run("select herald.redeliver_dead_letters('shop')");
    db.settle();
    let of_a: Vec<String> = requests(&receiver)
        .into_iter()
        .filter(|event_type| !["4", "6"].contains(&event_type.as_str()))
        .collect();
    // The crash may have lost what was recorded last.
    assert!(
        of_a.ends_with(&["2".into(), "3".into(), "5".into()]),
        "{of_a:?}"
    );
    assert_eq!(
        of_a.iter().filter(|event_type| *event_type == "3").count(),
        1
    );
    assert_eq!(db.count("herald.blocked_key"), 0);
}

#[test]
fn a_dead_letter_that_holds_its_key_can_be_skipped() {
    let (receiver, mut db) = shop("blocks_skipped", refuses("1"), DEAD_BLOCKS);
    emit(&mut db, &["a", "a"]);
    db.until("select waiting from herald.blocked_key", "1");
    db.run("select * from herald.skip('shop', 'a')");
    db.settle();
    assert_eq!(requests(&receiver), ["1", "2"]);
    db.until_dead("permanent_status");
}

#[test]
fn dead_letters_hold_nothing_when_the_option_is_taken_away() {
    let (receiver, mut db) = shop("blocks_no_more", refuses("1"), DEAD_BLOCKS);
    emit(&mut db, &["a", "a"]);
    db.until("select waiting from herald.blocked_key", "1");
    db.run("update herald.subscription set dead_blocks = false");
    db.settle();
    assert_eq!(requests(&receiver), ["1", "2"]);
}

#[test]
fn a_strict_order_is_one_of_all_events_one_at_a_time() {
    let (receiver, mut db) = shop(
        "strict",
        Mode::flaky(1, 4),
        &format!("ordering => 'strict', {EAGER}"),
    );
    db.run("select herald.emit(n::text, '{}', key => case when n % 3 > 0 then n::text end) from generate_series(1, 60) n");
    db.settle();
    let accepted: Vec<String> = receiver
        .requests()
        .iter()
        .filter(|request| request.accepted)
        .map(|request| text_at(request, "/type"))
        .collect();
    let expected: Vec<String> = (1..=60).map(|number| number.to_string()).collect();
    assert_eq!(accepted, expected);
}

#[test]
fn what_is_sent_again_queues_as_new() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "again");
    db.subscribe(
        "shop",
        &receiver,
        "ordering => 'key', retry_schedule => '{1 h}'",
    );
    emit(&mut db, &["a"]);
    db.settle();
    receiver.set_mode(Mode::status(503));
    db.run("select herald.emit('2', '{}', key => 'a'); select herald.emit('3', '{}', key => 'a')");
    db.until("select waiting from herald.blocked_key", "1");
    db.run(
        "select herald.redeliver('shop', (select uid::text from herald.event where type = '1'))",
    );
    db.run("select herald.emit('4', '{}', key => 'a')");
    db.until("select waiting from herald.blocked_key", "3");
    receiver.set_mode(Mode::ok());
    db.run("select herald.retry('shop')");
    db.settle();
    assert_eq!(requests(&receiver)[2..], ["2", "3", "1", "4"]);
}

#[test]
fn a_backlog_and_a_start_from_the_log_keep_the_order() {
    let (receiver, late) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "backlog");
    db.subscribe("shop", &receiver, "ordering => 'key'");
    db.run("select herald.pause('shop')");
    db.run(
        "select herald.emit(n::text, '{}', key => (n % 7)::text) from generate_series(1, 3000) n",
    );
    db.until("select count(*) from herald.pending", "3000");
    // All of them are parked, and found key by key.
    assert_eq!(
        db.count("herald.pending where next_attempt_at < 'infinity'"),
        0
    );
    db.subscribe(
        "late",
        &late,
        "ordering => 'key', start_from => now() - interval '1 h'",
    );
    db.run("select herald.resume('shop')");
    db.settle();
    for receiver in [&receiver, &late] {
        let mut last = [0; 7];
        for sent in requests(receiver) {
            let number: usize = sent.parse().expect("a number");
            assert!(number > last[number % 7], "{number} after {last:?}");
            last[number % 7] = number;
        }
        assert_eq!(receiver.total(), 3_000);
    }
}

#[test]
fn an_order_that_is_taken_away_holds_nothing_any_longer() {
    let (receiver, mut db) = shop("taken_away", refuses("1"), BLOCKING);
    emit(&mut db, &["a", "a", "a"]);
    db.until("select waiting from herald.blocked_key", "2");
    db.run("update herald.subscription set ordering = 'none'");
    receiver.wait_until("the others", |receiver| receiver.total() == 3, SOON);
}

#[test]
fn a_discarded_delivery_holds_nobody() {
    let (receiver, mut db) = shop("discarded", refuses("1"), BLOCKING);
    emit(&mut db, &["a"]);
    db.until("select attempts from herald.blocked_key", "1");
    db.run("select herald.emit('2', '{}', key => 'a'); select herald.emit('3', '{}', key => 'a')");
    db.until("select waiting from herald.blocked_key", "2");
    db.run("select herald.discard('shop', until => (select created_at from herald.pending where attempts > 0))");
    db.settle();
    assert_eq!(requests(&receiver), ["1", "2", "3"]);
}

#[test]
fn options_of_an_order_need_one() {
    let mut db = Database::new(&CLUSTER, "needs_order");
    let error = db.refusal(
        "select herald.subscribe('shop', url => 'https://example.com/', max_block => '1 h')",
    );
    assert_eq!(error.message(), "invalid max_block");
    assert_eq!(
        hint(&error),
        "Use ordering => 'key' too, or leave max_block out."
    );
}

#[test]
fn an_order_that_is_taken_away_while_held_holds_nothing_after_a_restart() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "taken_away_held");
    db.subscribe("shop", &receiver, "ordering => 'key'");
    db.run("select herald.pause('shop')");
    emit(&mut db, &["a", "a", "b"]);
    db.until("select count(*) from herald.pending", "3");
    db.run("update herald.subscription set ordering = 'none'; select herald.restart_worker()");
    db.run("select herald.resume('shop')");
    db.settle();
    assert_eq!(receiver.total(), 3);
}

#[test]
fn a_key_is_held_and_can_be_skipped_after_its_letter_was_purged() {
    let (receiver, mut db) = shop("purged_letter", refuses("1"), DEAD_BLOCKS);
    emit(&mut db, &["a", "a"]);
    db.until("select waiting from herald.blocked_key", "1");
    db.run("select herald.purge_dead_letters('0', 'shop')");
    assert_eq!(db.count("herald.dead_letter"), 0);
    // As after the retention of the log.
    db.run("delete from herald.event where type = '1'");
    assert_eq!(
        db.text("select format('%s %s', key, state) from herald.blocked_key"),
        "a dead"
    );
    db.run("select * from herald.skip('shop', 'a')");
    db.settle();
    assert_eq!(requests(&receiver), ["1", "2"]);
}

#[test]
fn each_key_has_its_turn_at_a_rate() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "turns");
    db.subscribe(
        "shop",
        &receiver,
        "ordering => 'key', rate_limit => '100/s'",
    );
    db.run("select herald.pause('shop')");
    db.run(
        "select herald.emit(n::text, '{}', key => (n % 400)::text) from generate_series(1, 4000) n",
    );
    db.until("select count(*) from herald.pending", "4000");
    db.run("select herald.resume('shop')");
    receiver.wait_for(700, SOON);
    let keys: std::collections::BTreeSet<i64> = requests(&receiver)
        .iter()
        .map(|sent| sent.parse::<i64>().expect("a number") % 400)
        .collect();
    assert!(keys.len() > 300, "{} of 400 keys", keys.len());
}
