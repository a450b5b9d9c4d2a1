//! Who gets which events, and how: types, tenants, the moment of creation, options, secrets and states.

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SECRET, SOON, hint, receiver, receiver_with, subscribed, types};
use herald_trial::receiver::{Receiver, Request};
use herald_trial::wait::eventually_holds;
use herald_trial::{Cluster, Mode};
use http::{HeaderMap, HeaderName, HeaderValue};
use standardwebhooks::Webhook;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn a_subscription_gets_the_events_after_its_creation_also_in_its_own_transaction() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "creation");
    let mut other = db.session(&CLUSTER);
    db.emit("long.before");
    other.run("begin");
    other.emit("begun.before");
    db.run("begin");
    db.emit("same.before");
    db.subscribe("shop", &receiver, "");
    db.emit("same.after");
    db.run("commit");
    // It was open when the subscription was created, so it becomes visible later.
    other.run("commit");
    db.emit("long.after");
    db.settle();
    assert_eq!(
        types(&receiver),
        ["begun.before", "long.after", "same.after"]
    );
    let why = "select rule from herald.why((select uid::text from herald.event where type = 'same.before'))";
    assert!(db.text(why).starts_with("created_at: "), "{}", db.text(why));
}

#[test]
fn types_are_matched_by_globs() {
    let (receiver, mut db) = subscribed(&CLUSTER, "globs", "types => '{order.*,*.urgent,exact}'");
    for event_type in [
        "order.paid",
        "order.line.added",
        "orders",
        "mail.urgent",
        "exact",
        "exactly",
        "Order.paid",
    ] {
        db.emit(event_type);
    }
    db.settle();
    assert_eq!(
        types(&receiver),
        ["exact", "mail.urgent", "order.line.added", "order.paid"]
    );
}

#[test]
fn an_event_of_a_tenant_never_goes_to_another_tenant() {
    let (red, blue, all) = (receiver(), receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "tenants");
    db.subscribe("red", &red, "tenant => 'red'");
    db.subscribe("blue", &blue, "tenant => 'blue'");
    db.subscribe("all", &all, "");
    db.run("select herald.emit('of.red', tenant => 'red'); select herald.emit('of.blue', tenant => 'blue');
            select herald.emit('of.nobody')");
    db.settle();
    assert_eq!(types(&red), ["of.red"]);
    assert_eq!(types(&blue), ["of.blue"]);
    assert_eq!(types(&all), ["of.blue", "of.nobody", "of.red"]);
    let refused = db.refusal(
        "select herald.redeliver('red', (select uid::text from herald.event where type = 'of.blue'))",
    );
    assert_eq!(refused.code().code(), "42501");
    let count = db.number(
        "select herald.replay('all', now() - interval '1 hour', target => 'red', dry_run => true)",
    );
    assert_eq!(count, 1);
}

#[test]
fn custom_headers_are_sent_and_shown_as_stars() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "headers");
    let headers = r#"headers => '{"X-Shop": "eu", "Authorization": "Bearer canary"}'"#;
    db.subscribe("shop", &receiver, headers);
    db.emit("one");
    receiver.wait_for(1, SOON);
    let request = receiver.requests()[0].clone();
    assert_eq!(request.header("x-shop"), Some("eu"));
    assert_eq!(request.header("authorization"), Some("Bearer canary"));
    let shown = "select headers from herald.subscription";
    assert_eq!(
        db.text(shown),
        r#"{"X-Shop": "***", "Authorization": "***"}"#
    );
    // What is shown can be written back: the hidden value stays, the other changes.
    db.run(r#"update herald.subscription set headers = headers || '{"X-Shop": "us"}'"#);
    db.emit("two");
    receiver.wait_for(2, SOON);
    let request = receiver.requests()[1].clone();
    assert_eq!(request.header("x-shop"), Some("us"));
    assert_eq!(request.header("authorization"), Some("Bearer canary"));
}

#[test]
fn an_update_takes_effect_on_the_next_event_and_on_what_waits() {
    let (old, new) = (receiver_with(Mode::status(500)), receiver());
    let mut db = Database::subscribed(
        &CLUSTER,
        "update",
        &old,
        "retry_schedule => '{300 ms, 1 hour}', retry_jitter => 0",
    );
    db.emit("waits");
    old.wait_until("the first attempt", |receiver| receiver.total() == 1, SOON);
    db.run(&format!(
        "update herald.subscription set url = '{}', name = 'renamed'",
        new.url("/")
    ));
    db.emit("next");
    db.settle();
    assert_eq!(types(&new), ["next", "waits"]);
    assert_eq!(old.total(), 1);
    assert_eq!(
        db.text("select distinct subscription from herald.attempt"),
        "renamed"
    );
}

#[test]
fn a_subscription_that_exists_keeps_what_is_not_given() {
    let (receiver, mut db) = subscribed(&CLUSTER, "again", "types => '{a,b}', timeout => '7 s'");
    let again = db.row(
        "select name, secret, created from herald.subscribe('shop', types => '{c}')",
        &[],
    );
    assert_eq!(again.get::<_, Option<String>>(1), None);
    assert!(!again.get::<_, bool>(2));
    let kept = "select format('%s %s %s', url, types, timeout) from herald.subscription";
    assert_eq!(
        db.text(kept),
        format!("{} {{c}} 00:00:07", receiver.url("/"))
    );
    db.emit("a");
    db.emit("c");
    db.settle();
    assert_eq!(types(&receiver), ["c"]);
    assert_eq!(receiver.invalid_signatures(), 0);
}

#[test]
fn a_rotated_secret_signs_beside_the_old_one_until_its_grace_is_over() {
    let receiver = Receiver::start().expect("a receiver");
    let mut db = Database::subscribed(&CLUSTER, "rotation", &receiver, "");
    let send = |db: &mut Database, number: usize| {
        db.emit("order.paid");
        receiver.wait_for(number, SOON);
        receiver.requests()[number - 1].clone()
    };
    assert_eq!(verified_by(&send(&mut db, 1), &[SECRET]), [true]);

    let new = db.text("select herald.rotate_secret('shop', grace => '2 s')");
    let both = send(&mut db, 2);
    assert_eq!(verified_by(&both, &[SECRET, &new]), [true, true]);
    assert_eq!(
        both.header("webhook-signature").unwrap().split(' ').count(),
        2
    );

    db.until(
        "select count(*) from herald.secret where expires_at > clock_timestamp()",
        "0",
    );
    let after_grace = send(&mut db, 3);
    assert_eq!(verified_by(&after_grace, &[SECRET, &new]), [false, true]);
    assert_eq!(
        after_grace
            .header("webhook-signature")
            .unwrap()
            .split(' ')
            .count(),
        1
    );

    let newest = db.text("select herald.rotate_secret('shop', grace => '0')");
    assert_eq!(
        verified_by(&send(&mut db, 4), &[&new, &newest]),
        [false, true]
    );
}

#[test]
fn at_most_ten_secrets_sign_at_once_and_without_grace_there_is_one() {
    let (receiver, mut db) = subscribed(&CLUSTER, "many_secrets", "");
    for _ in 0..9 {
        db.run("select herald.rotate_secret('shop')");
    }
    for call in [
        "herald.rotate_secret('shop')".to_owned(),
        format!("herald.subscribe('shop', secret => '{SECRET}')"),
    ] {
        let refused = db.refusal(&format!("select {call}"));
        assert_eq!(refused.code().code(), "54000", "{call}");
    }
    db.emit("order.paid");
    db.settle();
    db.run(&format!(
        "select herald.rotate_secret('shop', secret => '{SECRET}', grace => '0')"
    ));
    db.emit("order.paid");
    db.settle();
    let signatures: Vec<usize> = receiver
        .requests()
        .iter()
        .filter_map(|request| Some(request.header("webhook-signature")?.split(' ').count()))
        .collect();
    assert_eq!(signatures, [10, 1]);
    assert_eq!(receiver.invalid_signatures(), 0);
}

#[test]
fn pause_holds_what_comes_and_resume_sends_it_in_order() {
    let (receiver, mut db) = subscribed(&CLUSTER, "pause", "max_concurrency => 1");
    db.run("select herald.pause('shop')");
    for n in 0..20 {
        db.emit(&format!("event.{n:02}"));
    }
    db.until(
        "select count(*) from herald.delivery where state = 'held'",
        "20",
    );
    db.run("select herald.restart_worker()");
    db.until("select herald_internal.worker_pid() is not null", "true");
    assert!(!receiver.holds_within(Duration::from_millis(300), |receiver| receiver.total() > 0));
    let blocked = "select blocked_by from herald.why((select min(event_id) from herald.delivery))";
    assert!(
        db.text(blocked).starts_with("the subscription is paused"),
        "{}",
        db.text(blocked)
    );

    db.run("select herald.resume('shop')");
    db.emit("event.20");
    db.settle();
    let order: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| common::text_at(request, "/type"))
        .collect();
    assert_eq!(
        order,
        (0..=20)
            .map(|n| format!("event.{n:02}"))
            .collect::<Vec<_>>()
    );
    assert!(receiver.duplicates().is_empty());
}

#[test]
fn unsubscribe_buries_what_is_open_and_keeps_the_history() {
    let (receiver, mut db) = subscribed(&CLUSTER, "unsubscribe", "");
    db.emit("delivered");
    db.settle();
    db.run("select herald.pause('shop')");
    db.emit("open");
    db.until("select count(*) from herald.pending", "1");
    assert_eq!(
        db.number("select buried from herald.unsubscribe('shop')"),
        1
    );
    db.until_dead("unsubscribed");
    db.emit("after");
    db.run("delete from herald.subscription");
    db.settle();
    assert_eq!(types(&receiver), ["delivered"]);
    let history = "select string_agg(type || ' ' || subscription || ' ' || state, ', ' order by type) from herald.delivery";
    assert_eq!(db.text(history), "delivered shop delivered, open shop dead");
    assert_eq!(db.count("herald.secret"), 0);
    db.subscribe("shop", &receiver, "");
    db.emit("of.the.new.one");
    db.settle();
    assert_eq!(types(&receiver), ["delivered", "of.the.new.one"]);
}

/// Runs `second` in one session while another has run but not committed `first`.
fn one_after_the_other(db: &mut Database, first: &str, second: &'static str) {
    let mut other = db.session(&CLUSTER);
    db.run(&format!("begin; {first}"));
    let pid = other.text("select pg_backend_pid()");
    let waiting = std::thread::spawn(move || other.run(second));
    let waits = format!("select count(*) from pg_locks where pid = {pid} and not granted");
    db.session(&CLUSTER).until(&waits, "1");
    db.run("commit");
    waiting.join().unwrap();
}

#[test]
fn a_state_change_starts_from_the_committed_state() {
    let mut db = Database::new(&CLUSTER, "states_at_once");
    db.subscribe_at("shop", "http://127.0.0.1:1/", "");
    one_after_the_other(
        &mut db,
        "update herald.subscription set state = 'sandbox'",
        "select herald.resume('shop')",
    );
    assert_eq!(db.text("select state from herald.subscription"), "sandbox");
}

#[test]
fn two_sessions_that_set_different_columns_at_once_both_keep_what_they_set() {
    let mut db = Database::new(&CLUSTER, "two_sessions");
    db.subscribe_at("shop", "http://127.0.0.1:1/", "");
    one_after_the_other(
        &mut db,
        "update herald.subscription set timeout = '7 s', state = 'paused'",
        r#"update herald.subscription set description = 'mine', headers = '{"X-Shop": "eu"}'"#,
    );
    assert_eq!(
        db.text("select format('%s %s %s %s', timeout, state, description, headers) from herald.subscription"),
        r#"00:00:07 paused mine {"X-Shop": "***"}"#
    );
}

#[test]
fn an_update_of_what_cannot_change_names_all_of_it() {
    let mut db = Database::new(&CLUSTER, "fixed_columns");
    db.subscribe_at("shop", "http://127.0.0.1:1/", "");
    let refused =
        db.refusal("update herald.subscription set id = 7, created_at = now(), timeout = '1 s'");
    assert_eq!(refused.code().code(), "0A000");
    assert_eq!(
        (refused.message(), hint(&refused)),
        (
            "column \"created_at\" of herald.subscription cannot be changed",
            "Leave created_at, id out of SET."
        )
    );
}

/// Returns what each of these secrets says of a request.
fn verified_by(request: &Request, secrets: &[&str]) -> Vec<bool> {
    let headers: HeaderMap = request
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value).ok()?))
        })
        .collect();
    let verify = |secret: &&str| {
        Webhook::new(secret)
            .unwrap()
            .verify(&request.body, &headers)
            .is_ok()
    };
    secrets.iter().map(verify).collect()
}

/// Counts what is written into herald.pending from now on.
fn count_pending(db: &mut Database) {
    db.run(
        "create table written (n int);
         create function note_pending() returns trigger language plpgsql as
             'begin insert into public.written values (1); return null; end';
         create trigger note after insert on herald.pending for each row execute function note_pending()",
    );
}

#[test]
fn a_subscription_that_has_caught_up_gets_its_events_from_the_log_again() {
    let (_receiver, mut db) = subscribed(&CLUSTER, "caught_up", "");
    db.emit("order.paid");
    db.settle();
    count_pending(&mut db);
    db.run("select herald.pause('shop')");
    db.emit("order.paid");
    db.until("select count(*) from written", "1");
    db.run("select herald.resume('shop')");
    db.settle();
    // The worker learns a moment later that nothing is left: earlier events go through pending as well.
    let mut from_log = 0;
    eventually_holds(
        SOON,
        "five events in a row from the log",
        || {
            let before = db.number("select count(*) from written");
            db.emit("order.paid");
            db.settle();
            let is_from_log = db.number("select count(*) from written") == before;
            from_log = if is_from_log { from_log + 1 } else { 0 };
            from_log
        },
        |from_log| *from_log == 5,
    );
}

#[test]
fn what_matches_a_subscription_that_cannot_be_read_is_held_until_it_can() {
    let (receiver, mut db) = subscribed(&CLUSTER, "unreadable", "");
    // As an older version, or a change by hand, may have left it.
    db.run(
        r#"update herald_internal.subscription set options = options || '{"signing": "nothing"}'; select herald_internal.changed('subscription')"#,
    );
    db.emit("order.paid");
    db.until("select count(*) from herald.pending", "1");
    let blocked =
        db.text("select w.blocked_by from herald.event e, lateral herald.why(e.uid::text) w");
    assert!(blocked.contains("invalid signing"), "{blocked}");
    db.run(&format!(
        "select herald.subscribe('shop', signing => '\"standard\"', secret => '{SECRET}')"
    ));
    receiver.wait_for(1, SOON);
}
