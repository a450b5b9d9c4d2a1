//! Scheduled events: they are delivered at their time, unless they are cancelled before or expire.

mod common;

use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use common::{Database, SOON, hint, receiver, subscribed, text_at, types, worker_of};
use herald_trial::Cluster;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Emits an event that is due in this many milliseconds. Returns its id.
fn emit_in(db: &mut Database, event_type: &str, millis: i64) -> String {
    db.text(&format!(
        "select herald.emit('{event_type}', '{{}}', deliver_at => clock_timestamp() + {millis} * interval '1 ms')"
    ))
}

#[test]
fn a_scheduled_event_is_sent_at_its_time_and_others_meanwhile() {
    let (receiver, mut db) = subscribed(&CLUSTER, "at_time", "max_age => '1 s'");
    emit_in(&mut db, "later", 2_500);
    db.emit("now");
    receiver.wait_for(1, SOON);
    assert_eq!(types(&receiver), ["now"]);
    db.until(
        "select count(*) from herald.pending where deliver_at is not null",
        "1",
    );
    let why = db.text("select blocked_by from herald.why((select uid::text from herald.event where type = 'later'))");
    assert!(why.starts_with("deliver_at: it is sent at "), "{why}");
    db.settle();
    let sent = receiver.requests();
    let later = sent
        .iter()
        .find(|request| text_at(request, "/type") == "later");
    let due = db.number("select (extract(epoch from deliver_at) * 1000000)::bigint from herald.event where type = 'later'");
    let late = later.expect("it was sent").at_micros - due;
    // Its max_age counts from then.
    assert!((0..1_000_000).contains(&late), "{late}");
}

#[test]
fn what_is_scheduled_outlives_a_crash() {
    let cluster = common::cluster();
    let (receiver, mut db) = subscribed(&cluster, "crash", "");
    emit_in(&mut db, "later", 3_000);
    db.until(
        "select count(*) from herald.pending where deliver_at is not null",
        "1",
    );
    cluster
        .crash(worker_of(&cluster, "crash"))
        .expect("a crash");
    receiver.wait_for(1, SOON);
    assert_eq!(types(&receiver), ["later"]);
}

#[test]
fn a_cancelled_event_is_not_sent_and_one_whose_time_has_come_is_not_cancelled() {
    let (receiver, mut db) = subscribed(&CLUSTER, "cancelled", "");
    let cancelled = emit_in(&mut db, "cancelled", 1_500);
    let sent = emit_in(&mut db, "sent", 1_000);
    db.until(
        "select count(*) from herald.pending where deliver_at is not null",
        "2",
    );
    assert!(db.truth(&format!("select herald.cancel('{cancelled}')")));
    // The same again.
    assert!(db.truth(&format!("select herald.cancel('{cancelled}')")));
    db.settle();
    assert!(!db.truth(&format!("select herald.cancel('{sent}')")));
    thread::sleep(Duration::from_millis(1_000));
    db.emit("last");
    db.settle();
    assert_eq!(types(&receiver), ["last", "sent"]);
    let error = db.refusal(&format!("select herald.redeliver('shop', '{cancelled}')"));
    assert_eq!(
        error.message(),
        format!(r#"event "{cancelled}" was cancelled"#)
    );
    db.run("select herald.replay('shop', now() - interval '1 h')");
    db.settle();
    assert!(!types(&receiver).contains(&"cancelled".to_owned()));
    let why = db.text(&format!("select blocked_by from herald.why('{cancelled}')"));
    assert_eq!(why, "it was cancelled");
}

#[test]
fn what_cancel_says_is_true_also_in_the_second_before() {
    let (receiver, mut db) = subscribed(&CLUSTER, "second_before", "");
    let mut kept = 0;
    for round in 0..60 {
        let id = emit_in(&mut db, &format!("r{round}"), 30 + round % 7);
        thread::sleep(Duration::from_millis(24 + round.unsigned_abs() % 13));
        if !db.truth(&format!("select herald.cancel('{id}')")) {
            kept += 1;
        }
    }
    assert!((1..60).contains(&kept), "{kept}");
    db.settle();
    assert_eq!(receiver.total(), kept);
}

#[test]
fn a_cancellation_that_is_not_committed_yet_delays_the_event_and_nothing_else() {
    let (receiver, mut db) = subscribed(&CLUSTER, "open", "");
    let id = emit_in(&mut db, "held", 1_000);
    let mut other = db.session(&CLUSTER);
    other.run(&format!("begin; select herald.cancel('{id}')"));
    emit_in(&mut db, "other", 1_100);
    receiver.wait_for(1, SOON);
    assert_eq!(types(&receiver), ["other"]);
    other.run("rollback");
    receiver.wait_for(2, SOON);
}

#[test]
fn a_subscription_that_starts_from_the_log_waits_for_what_is_scheduled() {
    let mut db = Database::new(&CLUSTER, "starts");
    emit_in(&mut db, "later", 2_500);
    let receiver = receiver();
    db.subscribe("shop", &receiver, "start_from => now() - interval '1 h'");
    db.until(
        "select count(*) from herald.pending where deliver_at > now()",
        "1",
    );
    db.settle();
    assert_eq!(types(&receiver), ["later"]);
}

#[test]
fn only_scheduled_events_are_cancelled_and_at_most_a_year_ahead() {
    let mut db = Database::new(&CLUSTER, "refused");
    let id = db.emit("now");
    let error = db.refusal(&format!("select herald.cancel('{id}')"));
    assert_eq!(error.message(), format!(r#"event "{id}" is not scheduled"#));
    let error =
        db.refusal("select herald.emit('x', '{}', deliver_at => now() + interval '2 years')");
    assert_eq!(error.message(), "deliver_at is out of range");
    assert_eq!(hint(&error), "Emit the event later.");
}

#[test]
fn an_event_that_has_expired_is_not_sent() {
    let (receiver, mut db) = subscribed(&CLUSTER, "expired", "");
    let emit = |event_type: &str, expiry: &str| {
        format!(
            "select herald.emit('{event_type}', '{{}}', extensions => jsonb_build_object('expirytime', to_char(now() at time zone 'UTC' + interval '{expiry}', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')))"
        )
    };
    db.run(&emit("too_late", "-1 min"));
    db.run(&emit("in_time", "1 h"));
    db.settle();
    assert_eq!(types(&receiver), ["in_time"]);
    assert_eq!(db.count("herald.dead_letter"), 0);
    let why = db.text("select blocked_by from herald.why((select uid::text from herald.event where type = 'too_late'))");
    assert!(why.starts_with("expirytime: it expired at "), "{why}");
    db.run("select herald.pause('shop')");
    db.run(&emit("while_held", "1 s"));
    db.until("select count(*) from herald.pending", "1");
    thread::sleep(Duration::from_millis(2_100));
    db.run("select herald.resume('shop')");
    db.until_dead("expired");
    let error =
        db.refusal(r#"select herald.emit('x', '{}', extensions => '{"expirytime": "soon"}')"#);
    assert!(
        hint(&error).starts_with("Use a time such as"),
        "{}",
        hint(&error)
    );
}

#[test]
fn what_is_scheduled_is_not_replayed_before_its_time_and_stays_cancelled() {
    let (receiver, mut db) = subscribed(&CLUSTER, "replayed", "");
    let id = emit_in(&mut db, "later", 60_000);
    db.until(
        "select count(*) from herald.pending where deliver_at is not null",
        "1",
    );
    let other = receiver_named(&mut db, "other");
    db.run("select herald.replay('shop', now() - interval '1 h', target => 'other')");
    db.emit("now");
    receiver.wait_for(1, SOON);
    other.wait_for(1, SOON);
    assert_eq!(db.count("herald.pending where deliver_at is not null"), 2);
    assert!(db.truth(&format!("select herald.cancel('{id}')")));
    assert_eq!(db.count("herald.pending"), 0);
}

fn receiver_named(db: &mut Database, name: &str) -> herald_trial::Receiver {
    let receiver = receiver();
    db.subscribe(name, &receiver, "");
    receiver
}

#[test]
fn a_lock_of_one_subscription_delays_no_other_and_what_others_cancel_hides_nothing() {
    let (receiver, mut db) = subscribed(&CLUSTER, "locked", "types => '{free}'");
    let _held = receiver_named(&mut db, "held");
    let mut other = db.session(&CLUSTER);
    emit_in(&mut db, "held", 1_000);
    emit_in(&mut db, "free", 1_200);
    db.until(
        "select count(*) from herald.pending where deliver_at is not null",
        "3",
    );
    other.run("begin; select from herald.pending where subscription_id = (select id from herald.subscription where name = 'held') for update");
    receiver.wait_for(1, SOON);
    other.run("rollback");
    db.settle();
}

#[test]
fn an_id_stays_known_until_its_time_and_is_idempotent_after_it() {
    let (_receiver, mut db) = subscribed(&CLUSTER, "ids", "");
    let emit = "select herald.emit('later', '{}', id => 'i', deliver_at => '2026-01-01')";
    db.run(&emit.replace("'2026-01-01'", "now() + interval '300 days'"));
    db.run("update herald_internal.emitted set at = at - interval '1 day'");
    assert!(db.truth("select at > now() + interval '200 days' from herald_internal.emitted"));
    let at = db.text("select clock_timestamp() + interval '200 ms'");
    let emit = format!("select herald.emit('later', '{{}}', id => 'j', deliver_at => '{at}')");
    db.run(&emit);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(db.text(&emit), "j");
    assert_eq!(db.count("herald.event where id = 'j'"), 1);
}

#[test]
fn a_scheduled_event_of_an_ordered_subscription_can_be_sent_again() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "ordered");
    receiver.set_mode(herald_trial::Mode::status(503));
    db.subscribe(
        "shop",
        &receiver,
        "ordering => 'key', retry_schedule => '{1 h}'",
    );
    let id = db.text(
        "select herald.emit('later', '{}', key => 'a', deliver_at => clock_timestamp() + interval '300 ms')",
    );
    db.until(
        "select count(*) from herald.pending where attempts = 1",
        "1",
    );
    receiver.set_mode(herald_trial::Mode::ok());
    db.run(&format!("select herald.redeliver('shop', '{id}')"));
    db.settle();
}
