//! What pg_herald says about itself when something is wrong: the view of the worker, doctor, why, ping.

mod common;

use std::sync::LazyLock;

use common::{Database, SOON, only_request, receiver, receiver_with, subscribed, text_at};
use herald_trial::{Cluster, Mode};
use postgres::NoTls;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

fn doctor(check: &str) -> String {
    format!(
        "select string_agg(detail, '; ' order by detail) from herald.doctor() where \"check\" = '{check}' and status <> 'ok'"
    )
}

#[test]
fn the_worker_is_one_row_for_everybody_who_watches_it() {
    let mut db = Database::new(&CLUSTER, "watched_by");
    db.run(
        "create role see_all login; grant pg_monitor to see_all;
         create role see_reader login; select herald.grant_access('see_reader', 'reader');
         create role see_operator login; select herald.grant_access('see_operator', 'operator')",
    );
    let document = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/operations.md"
    ))
    .expect("the document");
    let from = document
        .find("select\n    (pid is not null)")
        .expect("the query for monitoring");
    let query = &document[from..from + document[from..].find(';').expect("its end")];
    db.until("select activity from herald.worker", "waiting for events");
    assert_eq!(db.text("select state from herald.worker"), "running");
    for role in ["see_all", "see_reader", "see_operator"] {
        let mut session = CLUSTER
            .config("watched_by")
            .user(role)
            .connect(NoTls)
            .expect("a session");
        let row = session.query_one(query, &[]).expect(query);
        assert_eq!(row.get::<_, i32>("worker_up"), 1, "{role}");
        let shown = session
            .query_one(
                "select activity, started_at < now() + interval '1 min' from herald.worker",
                &[],
            )
            .expect(role);
        assert_eq!(shown.get::<_, String>(0), "waiting for events", "{role}");
        assert!(shown.get::<_, bool>(1), "{role}");
    }
    db.run("select herald.stop_worker()");
    let stopped = "select format('%s %s', coalesce(pid::text, 'none'), state) from herald.worker";
    assert_eq!(db.text(stopped), "none stopped");
}

#[test]
fn a_step_that_fails_is_shown_until_it_succeeds() {
    let (_receiver, mut db) = subscribed(&CLUSTER, "failing_step", "");
    db.run(
        "create function broken() returns trigger language plpgsql as 'begin raise exception ''a disk is full''; end';
         create trigger broken before delete on herald_internal.config_change execute function broken()",
    );
    db.run("select herald.pause('shop')");
    db.until(
        &format!(
            "select ({}) like 'the worker cannot delete notices of changes since %: a disk is full%'",
            doctor("failure")
        ),
        "true",
    );
    let last = db.text("select last_error from herald.worker");
    assert!(
        last.starts_with("cannot delete notices of changes: a disk is full"),
        "{last}"
    );
    db.run("drop trigger broken on herald_internal.config_change; select herald.resume('shop')");
    db.until(&doctor("failure"), "-");
}

#[test]
fn a_receiver_that_always_fails_and_what_it_cost_are_named() {
    let receiver = receiver_with(Mode::status(503));
    let mut db = Database::subscribed(&CLUSTER, "always_fails", &receiver, "max_attempts => 1");
    let event = db.emit("order.paid");
    db.until_dead("exhausted");
    assert_eq!(
        db.text(&doctor("dead_letters")),
        "1 deliveries to subscription \"shop\" were given up in the last day: 1 exhausted"
    );
    assert!(db.text(&doctor("failing")).starts_with(
        "all 1 requests of the last hour to subscription \"shop\" failed, the last one with: "
    ));
    assert_eq!(
        db.text(&format!("select blocked_by from herald.why('{event}')")),
        "it is a dead letter: exhausted (status 503)"
    );
    db.run("update herald.subscription set max_attempts = null");
    let event = db.emit("order.paid");
    db.until(
        &format!("select blocked_by from herald.why('{event}')"),
        "it failed (status 503) and waits for its next attempt",
    );
}

#[test]
fn a_glob_that_nothing_matches_is_named_with_the_nearest_type() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "no_such_type");
    for (name, types) in [
        ("slip", "{order.payed}"),
        ("two", "{\"order.paid,order.sent\"}"),
        ("right", "{order.*}"),
        ("all", "{*}"),
        ("operational", "{herald.subscription.disabled}"),
    ] {
        db.subscribe(name, &receiver, &format!("types => '{types}'"));
    }
    db.emit("order.paid");
    db.settle();
    db.run("update herald_internal.subscription set created_at = now() - interval '2 days'");
    let expected = "no type that was ever seen is matched by \"order.paid,order.sent\" of subscription \"two\"; \
                    no type that was ever seen is matched by \"order.payed\" of subscription \"slip\"";
    db.until(&doctor("types"), expected);
    assert_eq!(
        db.text(
            "select hint from herald.doctor() where \"check\" = 'types' and detail like '%payed%'"
        ),
        "The nearest one is \"order.paid\"."
    );
}

#[test]
fn doctor_names_the_session_that_blocks_a_slot() {
    let mut db = Database::new(&CLUSTER, "kept_slot");
    db.emit("order.paid");
    db.run(
        "update herald.event set uid = '01800000-0000-7000-8000-000000000000';
         update herald_internal.window set state = state",
    );
    let mut other = db.session(&CLUSTER);
    other.run("begin; select count(*) from herald.event");
    let pid = other.text("select pg_backend_pid()");
    db.run("select herald.wait(timeout => '5 s')");
    db.until(
        &format!(
            "select ({}) like 'slot herald_internal.event_%: process {pid} uses it'",
            doctor("ring")
        ),
        "true",
    );
    other.run("commit");
}

#[test]
fn a_ping_sends_an_event_of_the_log_under_an_id_of_its_own() {
    let (receiver, mut db) = subscribed(&CLUSTER, "ping_event", "types => '{nothing.of.this}'");
    let event = db.text("select herald.emit('order.paid', '{\"total\": 42.50}', subject => '7')");
    db.until("select herald_internal.worker_pid() is not null", "true");
    db.until(
        &format!("select outcome from herald.ping('shop', event_id => '{event}')"),
        "delivered",
    );
    let request = only_request(&receiver);
    assert_eq!(text_at(&request, "/type"), "order.paid");
    assert_eq!(text_at(&request, "/subject"), "7");
    assert!(
        request.text().contains("\"total\":42.50"),
        "{}",
        request.text()
    );
    assert_ne!(request.webhook_id.as_deref(), Some(event.as_str()));
    assert_eq!(db.count("herald.attempt"), 0);
    let refusal = db.refusal("select herald.ping('shop', event_id => 'nothing')");
    assert_eq!(refusal.code().code(), "42704");
}

#[test]
fn a_ping_says_why_nothing_can_be_sent() {
    let (_receiver, mut db) = subscribed(&CLUSTER, "ping_obstacle", "");
    db.until("select herald_internal.worker_pid() is not null", "true");
    db.until("select outcome from herald.ping('shop')", "delivered");
    db.run("update herald_internal.subscription set url = 'https://10.0.0.1/'; select herald_internal.changed('subscription')");
    db.until(
        "select error like 'cannot send: %10.0.0.1%' from herald.ping('shop')",
        "true",
    );
}

#[test]
fn a_retry_makes_waiting_deliveries_due_except_after_retry_after() {
    let receiver = receiver_with(Mode::status(503));
    receiver.set_mode_at("/spare", Mode::retry_after(503, "36000"));
    let mut db = Database::new(&CLUSTER, "retry_now");
    for name in ["shop", "spare"] {
        db.subscribe_at(
            name,
            &receiver.url(&format!("/{name}")),
            "retry_schedule => '{1 hour}'",
        );
    }
    db.emit("order.paid");
    db.until(
        "select count(*) from herald.pending where attempts = 1",
        "2",
    );
    receiver.set_mode(Mode::ok());
    receiver.set_mode_at("/spare", Mode::ok());
    assert_eq!(
        db.text("select herald.retry('shop', until => now() - interval '1 hour')"),
        "0"
    );
    assert_eq!(db.text("select herald.retry()"), "1");
    receiver.wait_until("the retry", |receiver| receiver.total() == 3, SOON);
    db.until(
        "select string_agg(subscription, ' ') from herald.delivery where state = 'retrying'",
        "spare",
    );
    assert_eq!(db.text("select herald.retry()"), "0");
}
