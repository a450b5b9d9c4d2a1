//! Rates: how many requests leave in a time.

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, hint, receiver, receiver_with};
use herald_trial::{Cluster, Mode, Receiver};

static CLUSTER: LazyLock<Cluster> =
    LazyLock::new(|| common::cluster_with(&[("herald.tenant_networks", "127.0.0.0/8")]));

const SECOND: i64 = 1_000_000;

fn emit(db: &mut Database, event_type: &str, count: usize) {
    db.run(&format!(
        "select herald.emit('{event_type}', '{{}}') from generate_series(1, {count})"
    ));
}

/// Returns when requests came in, in order.
fn arrivals(receivers: &[&Receiver]) -> Vec<i64> {
    let requests = receivers.iter().flat_map(|receiver| receiver.requests());
    let mut arrivals: Vec<i64> = requests.map(|request| request.at_micros).collect();
    arrivals.sort_unstable();
    arrivals
}

/// Returns the most that came in within any second.
fn most_in_a_second(arrivals: &[i64]) -> usize {
    let within = |from: usize| arrivals.partition_point(|at| *at < arrivals[from] + SECOND) - from;
    (0..arrivals.len()).map(within).max().unwrap_or(0)
}

#[test]
fn a_subscription_keeps_its_rate_and_others_are_not_slowed() {
    let (slow, quick) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "rate");
    db.subscribe("slow", &slow, "rate_limit => '20/s'");
    db.subscribe("quick", &quick, "");
    emit(&mut db, "order", 100);
    quick.wait_until("everything", |quick| quick.total() == 100, SOON);
    assert!(slow.total() < 100);
    db.settle();
    let arrivals = arrivals(&[&slow]);
    assert_eq!(arrivals.len(), 100);
    // Two more than the rate, because arrivals jitter.
    assert!(most_in_a_second(&arrivals) <= 23, "{arrivals:?}");
    let took = arrivals[99] - arrivals[0];
    assert!(took >= 4 * SECOND, "{took}");
}

#[test]
fn a_backlog_at_a_rate_is_written_once_and_not_moved_to_and_fro() {
    let slow = receiver();
    let mut db = Database::new(&CLUSTER, "churn");
    db.subscribe("slow", &slow, "rate_limit => '200/s burst 10'");
    emit(&mut db, "order", 1_000);
    db.settle();
    assert_eq!(slow.total(), 1_000);
    assert!(most_in_a_second(&arrivals(&[&slow])) <= 230);
    db.until(
        "select pg_stat_get_tuples_inserted('herald.pending'::regclass) > 500",
        "true",
    );
    let written = db.text(
        "select pg_stat_get_tuples_inserted(c.oid) <= 1000 and pg_stat_get_tuples_updated(c.oid) = 0
         from pg_class c where c.oid = 'herald.pending'::regclass",
    );
    assert_eq!(written, "true");
}

#[test]
fn a_rate_that_is_changed_holds_from_then_on() {
    let slow = receiver();
    let mut db = Database::new(&CLUSTER, "changed_rate");
    db.subscribe("slow", &slow, "rate_limit => '1/h'");
    emit(&mut db, "order", 50);
    slow.wait_until("the first", |slow| slow.total() == 1, SOON);
    db.until("select count(*) from herald.pending", "49");
    assert_eq!(
        db.text(
            "select string_agg(distinct w.blocked_by, '; ') from herald.event e
             cross join lateral herald.why(e.uid::text) w where w.state = 'pending'"
        ),
        "it waits for its turn: rate_limit is 1/h"
    );
    db.run("update herald.subscription set rate_limit = null");
    db.settle();
    assert_eq!(slow.total(), 50);
}

#[test]
fn a_faulty_rate_is_refused_with_the_fix() {
    let mut db = Database::new(&CLUSTER, "faulty_rate");
    let refused = db.refusal(
        "select herald.subscribe('x', url => 'https://example.com/', rate_limit => '10/sec')",
    );
    assert_eq!(refused.message(), "invalid rate_limit");
    assert_eq!(
        hint(&refused),
        "Use rate_limit => '10/s', '100/min', '5000/h' or '1000/day'."
    );
}

#[test]
fn a_host_keeps_its_limits_over_all_subscriptions() {
    let (one, other) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "hosts");
    db.run("insert into herald.host_limit (host, rate_limit) values ('127.0.0.1', '20/s')");
    db.subscribe("one", &one, "");
    db.subscribe("other", &other, "");
    emit(&mut db, "order", 40);
    db.until(
        "select count(*) > 0 from herald.pending p cross join lateral herald.why((select e.uid::text from herald.event e where e.seq = p.event_seq)) w
         where w.blocked_by = 'it waits for its turn: herald.host_limit has 20/s'",
        "true",
    );
    db.settle();
    let arrivals = arrivals(&[&one, &other]);
    assert_eq!(arrivals.len(), 80);
    assert!(most_in_a_second(&arrivals) <= 23, "{arrivals:?}");
    assert!(one.total() == 40 && other.total() == 40);
    db.run("update herald.host_limit set rate_limit = null, max_concurrency = 1");
    let slow = receiver_with(Mode::delayed(Duration::from_millis(50)));
    db.subscribe("slow", &slow, "types => '{slow}'");
    emit(&mut db, "slow", 20);
    db.settle();
    let one_by_one = self::arrivals(&[&slow]);
    let gaps = one_by_one.windows(2).map(|pair| pair[1] - pair[0]);
    assert!(gaps.min().unwrap() >= SECOND / 20, "{one_by_one:?}");
    let refused = db.refusal(
        "insert into herald.host_limit (host, rate_limit) values ('Example.com:443', '1/s')",
    );
    assert_eq!(refused.message(), "host of a host's limit is out of range");
    let refused = db.refusal("update herald.host_limit set rate_limit = '1 per second'");
    assert_eq!(
        refused.message(),
        "rate_limit of a host's limit is out of range"
    );
}

#[test]
fn a_tenant_keeps_the_rate_of_its_plan() {
    let (one, other, free) = (receiver(), receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "plan_rate");
    db.run(
        "insert into herald.plan (name, rate_limit) values ('paced', '20/s');
         insert into herald.tenant (name, plan) values ('acme', 'paced')",
    );
    db.subscribe("acme/one", &one, "");
    db.subscribe("acme/other", &other, "");
    db.subscribe("free", &free, "");
    db.run("select herald.emit('order', '{}', tenant => 'acme') from generate_series(1, 40)");
    free.wait_until("everything", |free| free.total() == 40, SOON);
    db.settle();
    let arrivals = arrivals(&[&one, &other]);
    assert_eq!(arrivals.len(), 80);
    assert!(most_in_a_second(&arrivals) <= 23, "{arrivals:?}");
    assert!(arrivals[79] - arrivals[0] >= 3 * SECOND);
}

/// Asserts that these came at 20 a second, and that what was new came meanwhile.
fn came_at_twenty_a_second(receiver: &Receiver, before: usize) {
    let requests = receiver.requests();
    let again = requests[before..].iter();
    let again = again.filter(|request| common::text_at(request, "/type") == "order");
    let mut arrivals: Vec<i64> = again.map(|request| request.at_micros).collect();
    arrivals.sort_unstable();
    assert_eq!(arrivals.len(), 60);
    assert!(most_in_a_second(&arrivals) <= 24, "{arrivals:?}");
    let new = requests[before..]
        .iter()
        .position(|request| common::text_at(request, "/type") == "new");
    assert!(new.is_some_and(|place| place < 40), "{new:?}");
}

#[test]
fn a_replay_and_a_resume_can_have_a_rate_of_their_own() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "paced_replay");
    db.subscribe("shop", &receiver, "");
    emit(&mut db, "order", 60);
    db.settle();
    db.run("select herald.replay('shop', now() - interval '1 h', rate => '20/s')");
    emit(&mut db, "new", 1);
    db.settle();
    came_at_twenty_a_second(&receiver, 60);
    db.run("select herald.pause('shop')");
    emit(&mut db, "order", 60);
    db.until("select count(*) from herald.pending", "60");
    let before = receiver.requests().len();
    db.run("select herald.resume('shop', rate => '20/s')");
    emit(&mut db, "new", 1);
    db.settle();
    came_at_twenty_a_second(&receiver, before);
}

#[test]
fn an_ordered_subscription_takes_no_rate_for_a_replay() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "ordered_replay");
    db.subscribe("shop", &receiver, "ordering => 'key'");
    let refused =
        db.refusal("select herald.replay('shop', now() - interval '1 h', rate => '20/s')");
    assert_eq!(
        refused.message(),
        r#"subscription "shop" is ordered, and takes no rate here"#
    );
    let refused = db.refusal("select herald.resume('shop', rate => '20 per second')");
    assert_eq!(
        hint(&refused),
        "Run: update herald.subscription set rate_limit = '20 per second' where name = 'shop';"
    );
    db.subscribe("plain", &receiver, "");
    let refused = db.refusal("select herald.resume('plain', rate => '20 per second')");
    assert_eq!(
        hint(&refused),
        "Use rate => '10/s', '100/min', '5000/h' or '1000/day'."
    );
}
