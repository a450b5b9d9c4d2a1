//! The breaker: a receiver that is down is tried now and then, and its deliveries wait.

mod common;

use std::sync::LazyLock;

use common::{Database, SOON, hint, receiver_with};
use herald_trial::receiver::{Answer, Signature};
use herald_trial::{Cluster, Mode, Receiver, StopMode};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

const OPENED: &str = "select count(*) from herald.subscription where breaker_opened_at is not null";

fn emit(db: &mut Database, count: usize) {
    db.run(&format!(
        "select herald.emit('order', '{{}}') from generate_series(1, {count})"
    ));
}

/// Returns how many requests had this method.
fn count_of(receiver: &Receiver, method: &str) -> usize {
    let requests = receiver.requests();
    requests
        .iter()
        .filter(|request| request.method == method)
        .count()
}

/// The schedule would be used up at once: what waits behind an open breaker uses none of it.
const IMPATIENT: &str = "retry_schedule => '{1 s}', retry_jitter => 0";

#[test]
fn deliveries_wait_behind_an_open_breaker_and_go_out_when_a_probe_succeeds() {
    let down = receiver_with(Mode::status(503));
    let mut db = Database::new(&CLUSTER, "opens");
    db.subscribe(
        "down",
        &down,
        &format!(r#"breaker => '{{"failures": 1, "probe": "1 s"}}', {IMPATIENT}"#),
    );
    emit(&mut db, 20);
    db.until(OPENED, "1");
    down.wait_until("four probes", |down| down.total() >= 5, SOON);
    assert_eq!(db.count("herald.dead_letter"), 0, "no schedule is used up");
    assert!(down.total() < 12, "{}", down.total());
    let why = db.text("select distinct blocked_by from herald.event e cross join lateral herald.why(e.uid::text) w");
    assert!(
        why.starts_with("its breaker is open since") && why.ends_with("status 503"),
        "{why}"
    );
    let doctor = db.text(r#"select detail from herald.doctor() where "check" = 'breaker'"#);
    assert!(
        doctor.contains(r#"subscription "down" is open since"#),
        "{doctor}"
    );
    down.set_mode(Mode::ok());
    db.settle();
    assert_eq!(down.accepted(), 20);
    db.until(OPENED, "0");
}

#[test]
fn probes_without_a_delivery_are_signed_and_any_status_below_500_is_up() {
    let down = receiver_with(Mode::answer_with(|request| {
        Answer::new(if request.method == "POST" { 500 } else { 503 })
    }));
    let mut db = Database::new(&CLUSTER, "heads");
    db.subscribe(
        "down",
        &down,
        &format!(
            r#"breaker => '{{"failures": 1, "probe": "1 s", "probe_with": "HEAD"}}', {IMPATIENT}"#
        ),
    );
    emit(&mut db, 3);
    down.wait_until("three probes", |down| count_of(down, "HEAD") >= 3, SOON);
    assert_eq!(count_of(&down, "POST"), 1);
    let probe = down
        .requests()
        .iter()
        .find(|request| request.method == "HEAD")
        .cloned();
    assert_eq!(probe.unwrap().signature, Signature::Valid);
    down.set_mode(Mode::answer_with(|request| {
        Answer::new(if request.method == "POST" { 200 } else { 405 })
    }));
    db.settle();
    assert_eq!(db.count("herald.delivery where state = 'delivered'"), 3);
}

#[test]
fn a_ping_that_succeeds_closes_the_breaker() {
    let down = receiver_with(Mode::status(503));
    let mut db = Database::new(&CLUSTER, "pinged");
    db.subscribe(
        "down",
        &down,
        &format!(r#"breaker => '{{"failures": 1, "probe": "1 h"}}', {IMPATIENT}"#),
    );
    emit(&mut db, 2);
    db.until(OPENED, "1");
    down.set_mode(Mode::ok());
    db.run("select * from herald.ping('down')");
    db.settle();
    assert_eq!(db.count("herald.delivery where state = 'delivered'"), 2);
}

#[test]
fn what_the_receiver_says_of_a_delivery_opens_nothing() {
    let picky = receiver_with(Mode::status(422));
    let mut db = Database::new(&CLUSTER, "picky");
    db.subscribe(
        "picky",
        &picky,
        r#"breaker => '{"failures": 1}', retry_on => '{500}'"#,
    );
    emit(&mut db, 5);
    db.until("select count(*) from herald.dead_letter", "5");
    assert_eq!(db.text(OPENED), "0");
}

#[test]
fn a_breaker_that_is_open_for_too_long_disables_and_one_that_is_open_outlives_a_crash() {
    let cluster = common::cluster();
    let (long, short) = (
        receiver_with(Mode::status(503)),
        receiver_with(Mode::status(503)),
    );
    let mut db = Database::new(&cluster, "lasts");
    let options = |more: &str| {
        format!(r#"breaker => '{{"failures": 1, "probe": "1 s"{more}}}', {IMPATIENT}"#)
    };
    db.subscribe("long", &long, &options(r#", "disable_after": "1 min""#));
    db.subscribe("short", &short, &options(""));
    emit(&mut db, 3);
    db.until(OPENED, "2");
    // As if it were open for a minute already.
    db.run("update herald_internal.breaker set opened_at = opened_at - interval '1 min'");
    let opened_at = db.text("select opened_at from herald_internal.breaker b join herald_internal.subscription s on s.id = b.subscription_id where s.name = 'short'");
    cluster.stop(StopMode::Immediate).expect("a crash");
    cluster.start().expect("the server is back");
    let mut db = Database::of(&cluster, &db.name);
    db.until(
        "select state from herald.subscription where name = 'long'",
        "disabled",
    );
    db.until_dead("gone gone gone");
    assert_eq!(
        db.text("select breaker_opened_at from herald.subscription where name = 'short'"),
        opened_at
    );
    long.set_mode(Mode::ok());
    db.run("select herald.resume('long', redeliver_dead_since => '-infinity')");
    db.until(
        "select count(*) from herald.delivery where state = 'delivered'",
        "3",
    );
}

#[test]
fn a_faulty_breaker_is_refused_with_the_fix() {
    let mut db = Database::new(&CLUSTER, "faulty_breaker");
    let refused = db.refusal(
        r#"select herald.subscribe('x', url => 'https://example.com/', breaker => '{"failures": 0}')"#,
    );
    assert_eq!(refused.message(), "invalid breaker");
    assert_eq!(hint(&refused), r#"Use "failures": 20."#);
}

#[test]
fn a_receiver_can_be_probed_while_all_is_well_and_its_uptime_is_told() {
    let receiver = receiver_with(Mode::ok());
    let mut db = Database::new(&CLUSTER, "uptime");
    db.subscribe(
        "watched",
        &receiver,
        r#"breaker => '{"failures": 100, "probe_with": "HEAD", "probe_every": "1 s"}'"#,
    );
    receiver.wait_until(
        "three probes",
        |receiver| count_of(receiver, "HEAD") >= 3,
        SOON,
    );
    db.until(
        "select uptime_24h from herald.subscription_stats where subscription = 'watched'",
        "1.0000",
    );
    receiver.set_mode(Mode::status(503));
    db.until(
        "select uptime_24h < 0.9 from herald.subscription_stats where subscription = 'watched'",
        "true",
    );
    // A second each: no more than a probe a second.
    let probes = count_of(&receiver, "HEAD");
    let seconds = db.text("select sum(up_seconds + down_seconds) from herald_internal.uptime");
    let seconds: f64 = seconds.parse().expect("a number");
    assert!((probes as f64) < seconds + 4.0, "{probes} in {seconds}");
    assert_eq!(db.text(OPENED), "0");
}

#[test]
fn a_receiver_that_is_probed_all_the_time_opens_its_breaker_without_a_delivery() {
    let down = receiver_with(Mode::status(503));
    let mut db = Database::new(&CLUSTER, "probed_open");
    db.subscribe(
        "down",
        &down,
        r#"breaker => '{"failures": 2, "probe": "1 s", "probe_with": "HEAD", "probe_every": "1 s"}'"#,
    );
    db.until(OPENED, "1");
    down.set_mode(Mode::ok());
    db.until(OPENED, "0");
}

#[test]
fn deliveries_are_no_probes_while_all_is_well() {
    let mut db = Database::new(&CLUSTER, "no_delivery");
    let error = db.refusal(
        r#"select herald.subscribe('x', url => 'https://example.com/', breaker => '{"probe_every": "1 min"}')"#,
    );
    assert_eq!(
        hint(&error),
        r#"Use "probe_with": "HEAD" too, or leave probe_every out."#
    );
}
