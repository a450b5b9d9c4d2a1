//! What the plans of tenants allow, and what happens beyond.

use std::time::Duration;

use herald_trial::Mode;

use super::common::{self, SOON, receiver, receiver_with};
use super::{CLUSTER, Database, emit, plan, tenant};

#[test]
fn a_plan_limits_subscriptions_attempts_dead_letters_and_replays() {
    let mut db = Database::new(&CLUSTER, "plans");
    let receiver = receiver_with(Mode::status(500));
    let (name, mut session) = tenant(&mut db, "one", "starter");
    let url = receiver.url("/");
    let subscribe = |n: usize| {
        format!(
            "select herald.subscribe('shop{n}', url => '{url}', retry_schedule => '{{5ms,5ms,5ms,5ms,5ms,5ms}}')"
        )
    };
    session.run(&subscribe(1));
    session.run(&subscribe(2));
    let refused = session.refusal(&subscribe(3));
    assert_eq!(refused.code().code(), "53400");
    session.run("select herald.unsubscribe('shop2')");
    emit(&mut db, &name, "dead");
    db.settle();
    assert_eq!(receiver.total(), 4);
    assert_eq!(
        session.text("select attempts || ' ' || (expires_at - failed_at <= '24 hours') from herald.dead_letter"),
        "4 true"
    );
    let replay = "select herald.replay('shop1', since => now() - interval '1 min')";
    assert_eq!(session.sqlstate(replay), "42501");
    assert_eq!(
        session.number("select herald.redeliver_dead_letters('shop1')"),
        1
    );
    // Dead letters may be redelivered one by one; delivered events may not.
    session.run(&format!("select herald.redeliver('shop1', '{name}-dead')"));
    db.settle();
    receiver.set_mode(Mode::ok());
    emit(&mut db, &name, "delivered");
    db.settle();
    let again = format!("select herald.redeliver('shop1', '{name}-delivered')");
    assert_eq!(session.sqlstate(&again), "42501");
    let from = "select herald.subscribe('shop4', url => 'https://example.com/', start_from => now() - interval '1 min')";
    assert_eq!(session.sqlstate(from), "42501");
    // The platform's operator may.
    db.run(&format!(
        "select herald.replay('{name}/shop1', since => now() - interval '1 min')"
    ));
    let refused = db.refusal("update herald.plan set endpoints = 9 where name = 'starter'");
    assert_eq!(refused.code().code(), "0A000");
}

#[test]
fn beyond_the_quota_deliveries_are_held_until_there_is_quota_again() {
    let mut db = Database::new(&CLUSTER, "held");
    let (receiver, platform) = (receiver(), receiver_with(Mode::ok()));
    plan(&mut db, "ten", "events_per_month", "10");
    let (name, mut session) = tenant(&mut db, "one", "ten");
    let (free, mut neighbour) = tenant(&mut db, "free", "enterprise");
    for subscriber in [&mut session, &mut neighbour] {
        subscriber.subscribe("shop", &receiver, "");
    }
    db.subscribe("quotas", &platform, "types => '{herald.quota.*}'");
    for n in 0..25 {
        emit(&mut db, &name, &format!("{n}"));
        emit(&mut db, &free, &format!("{n}"));
        if n == 8 {
            db.settle();
        }
    }
    receiver.wait_until(
        "ten of one and all of the other",
        |r| r.accepted() >= 35,
        SOON,
    );
    db.until("select count(*) from herald.pending where subscription_id = (select id from herald.subscription where name = 'held_one/shop')", "15");
    platform.wait_for(2, SOON);
    assert_eq!(receiver.accepted(), 35);
    let words: Vec<String> = platform
        .requests()
        .iter()
        .map(|request| request.text().to_string())
        .collect();
    assert!(words[0].contains("herald.quota.warning"), "{words:?}");
    assert!(words[1].contains("herald.quota.exceeded"), "{words:?}");
    assert_eq!(
        session
            .text("select events || ' of ' || events_per_month || ' ' || state from herald.usage"),
        "10 of 10 throttled"
    );
    assert_eq!(
        session.text("select distinct state from herald.delivery where state <> 'delivered'"),
        "held"
    );
    let blocked = session.text(&format!("select blocked_by from herald.why('{name}-24')"));
    assert!(blocked.starts_with("quota: "), "{blocked}");
    assert!(
        db.text("select detail from herald.doctor() where \"check\" = 'quota'")
            .contains(&name)
    );
    // Nothing slips through across a restart.
    db.run("select herald.restart_worker()");
    emit(&mut db, &name, "late");
    db.until("select count(*) from herald.pending where subscription_id = (select id from herald.subscription where name = 'held_one/shop')", "16");
    db.run(&format!(
        "update herald.tenant set plan = 'enterprise' where name = '{name}'"
    ));
    receiver.wait_until("the rest", |r| r.accepted() >= 51, SOON);
    db.settle();
    assert_eq!(receiver.duplicates(), []);
    assert_eq!(session.number("select events from herald.usage"), 26);
}

#[test]
fn beyond_a_blocking_quota_deliveries_are_buried_and_retries_go_on() {
    let mut db = Database::new(&CLUSTER, "blocked");
    let receiver = receiver_with(Mode::flaky(1, 2));
    plan(&mut db, "five", "events_per_month", "5");
    let (name, mut session) = tenant(&mut db, "one", "five");
    db.run("update herald.tenant set over_quota = 'blocked'");
    session.subscribe(
        "shop",
        &receiver,
        "types => '{order.*}', retry_schedule => '{50ms,50ms}'",
    );
    for n in 0..12 {
        emit(&mut db, &name, &format!("{n}"));
    }
    db.settle();
    assert_eq!((receiver.accepted(), receiver.total()), (5, 10));
    assert_eq!(
        session.text("select reason || ' ' || count(*) from herald.dead_letter group by reason"),
        "quota 7"
    );
    assert_eq!(
        session.text("select concat_ws(' ', events, attempts, delivered, dead) from herald.usage"),
        "5 10 5 7"
    );
    // A new month begins.
    db.run("update herald_internal.usage set month = month - interval '1 month'; update herald.tenant set plan = plan");
    emit(&mut db, &name, "next");
    db.settle();
    assert_eq!(receiver.accepted(), 6);
    assert_eq!(
        session.text("select string_agg(events::text, ' ' order by month) from herald.usage"),
        "5 1"
    );
    let again = "select herald.redeliver_dead_letters('shop', reason => 'quota')";
    assert_eq!(session.number(again), 7);
}

#[test]
fn a_tenant_has_its_connections_over_all_its_subscriptions() {
    let mut db = Database::new(&CLUSTER, "connections");
    let slow = receiver_with(Mode::delayed(Duration::from_millis(100)));
    plan(&mut db, "two", "max_connections", "2");
    let (name, mut session) = tenant(&mut db, "one", "two");
    for n in 0..4 {
        session.subscribe(&format!("shop{n}"), &slow, "");
    }
    for n in 0..5 {
        emit(&mut db, &name, &format!("{n}"));
    }
    slow.wait_until("all", |r| r.total() == 20, SOON);
    let mut ends: Vec<(i64, i32)> = Vec::new();
    for request in slow.requests() {
        ends.push((request.at_micros, 1));
        ends.push((request.at_micros + 100_000, -1));
    }
    ends.sort_unstable();
    let most = ends
        .iter()
        .scan(0, |now, (_, change)| {
            *now += change;
            Some(*now)
        })
        .max();
    assert_eq!(most, Some(2));
}

#[test]
fn a_tenant_that_leaves_a_transaction_open_keeps_nobody_waiting() {
    let mut db = Database::new(&CLUSTER, "open");
    let receiver = receiver_with(Mode::flaky(1, 2));
    let (name, mut session) = tenant(&mut db, "one", "enterprise");
    session.subscribe(
        "shop",
        &receiver,
        "retry_schedule => '{300 ms}', retry_jitter => 0",
    );
    let event = emit(&mut db, &name, "held");
    db.until("select count(*) from herald.pending", "1");
    // The row stays locked while the worker has to delete it.
    session.run(&format!(
        "begin; select herald.redeliver('shop', '{event}')"
    ));
    let platform = common::receiver();
    db.subscribe("platform", &platform, "types => '{other}'");
    receiver.wait_for(1, SOON);
    let recorded = "select count(*) from herald.attempt where subscription = 'platform'";
    db.emit("other");
    db.until(recorded, "1");
    // Locks the subscription's row, which a 410 has to disable.
    session.run("commit; begin; select herald.pause('shop')");
    receiver.set_mode(Mode::status(410));
    emit(&mut db, &name, "gone");
    db.emit("other");
    db.until(recorded, "2");
    // The tenant's session is left alone.
    session.run("rollback");
    db.settle();
    assert_eq!(platform.accepted(), 2);
}

#[test]
fn a_test_request_takes_one_of_the_tenant_s_connections() {
    let mut db = Database::new(&CLUSTER, "pinging");
    let hangs = receiver_with(Mode::hang_before_answer());
    plan(&mut db, "one", "max_connections", "1");
    let (name, mut session) = tenant(&mut db, "one", "one");
    session.subscribe("shop", &hangs, "");
    emit(&mut db, &name, "hanging");
    hangs.wait_until("the delivery", |hangs| hangs.total() == 1, SOON);
    // The ping waits for the connection that the delivery holds.
    let refusal = session.refusal("select herald.ping('shop', timeout => '1 s')");
    assert!(
        refusal.message().contains("not answered in time"),
        "{refusal}"
    );
    assert_eq!(hangs.total(), 1);
}
