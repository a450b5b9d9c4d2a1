//! Answers to users' questions: ping, preview, why, wait, status, overall health.

mod common;

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{
    Database, SOON, cluster_with, hint, only_request, receiver, receiver_with, subscribed, text_at,
};
use herald_trial::receiver::Signature;
use herald_trial::{Cluster, Mode, at_size, figure};
use postgres::SimpleQueryMessage;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn a_ping_sends_one_signed_request_and_shows_the_answer() {
    let (receiver, mut db) = subscribed(&CLUSTER, "ping", "");
    // A ping is refused until the worker has announced itself.
    db.until("select herald_internal.worker_pid() is not null", "true");
    let ping =
        "select format('%s %s %s', outcome, status_code, error_class) from herald.ping('shop')";
    db.until(ping, "delivered 200 ");
    let request = only_request(&receiver);
    assert_eq!(request.signature, Signature::Valid);
    assert_eq!(text_at(&request, "/type"), "herald.ping");
    receiver.set_mode(Mode::status(418));
    assert_eq!(db.text(ping), "failed 418 status");
    receiver.down();
    assert_eq!(db.text(ping), "failed  connect");
    receiver.up().unwrap();
    receiver.set_mode(Mode::hang_before_answer());
    let error = db.refusal("select herald.ping('shop', timeout => '200 ms')");
    assert!(
        error.message().contains("not answered in time"),
        "{error:?}"
    );
    assert_eq!(db.count("herald.attempt"), 0);
}

#[test]
fn a_preview_has_the_bytes_that_are_received_later() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "preview");
    db.subscribe_at(
        "shop",
        &receiver.url("/hook?x=1"),
        r#"headers => '{"X-Shop": "eu"}'"#,
    );
    db.run("select herald.pause('shop')");
    db.run(r#"select herald.emit('order.paid', '{"é": [1.50, "\u001f\"", null], "b": {"a": 1e3}}', id => 'one', subject => 'süd')"#);
    let shown = db.row(
        "select method, url, headers::text, body from herald.preview('shop', 'one')",
        &[],
    );
    assert_eq!(receiver.total(), 0);
    db.run("select herald.resume('shop')");
    receiver.wait_for(1, SOON);

    let request = only_request(&receiver);
    assert_eq!(shown.get::<_, String>(0), request.method);
    assert_eq!(shown.get::<_, String>(1), receiver.url(&request.path));
    assert_eq!(shown.get::<_, String>(3), request.text());
    let headers: serde_json::Value = serde_json::from_str(&shown.get::<_, String>(2)).unwrap();
    for (name, value) in headers.as_object().unwrap() {
        if !["webhook-timestamp", "webhook-signature"].contains(&name.as_str()) {
            assert_eq!(request.header(name), value.as_str(), "{name}");
        }
    }
    assert!(
        headers["webhook-signature"]
            .as_str()
            .unwrap()
            .starts_with("v1,")
    );
}

#[test]
fn why_says_for_each_subscription_what_became_of_the_event() {
    let (good, bad) = (receiver(), receiver_with(Mode::status(500)));
    let mut db = Database::new(&CLUSTER, "why");
    db.subscribe("good", &good, "");
    db.subscribe("failing", &bad, "");
    db.subscribe("other_types", &good, "types => '{invoice.*}'");
    db.subscribe("other_tenant", &good, "tenant => 'red'");
    let uid = db.text("select herald.emit('order.paid', tenant => 'blue')");
    db.until("select count(*) from herald.attempt", "2");
    let why = format!(
        "select string_agg(format('%s %s %s', subscription, matched, coalesce(state, rule)), '; ' order by subscription)
         from herald.why('{uid}')"
    );
    let expected = db.text(&why);
    for part in [
        "good t delivered",
        "failing t retrying",
        "other_types f types:",
        "other_tenant f tenant:",
    ] {
        assert!(expected.contains(part), "{part} in {expected}");
    }
    let blocked = db.text(&format!(
        "select blocked_by from herald.why('{uid}') where subscription = 'failing'"
    ));
    assert!(blocked.contains("failed (status 500)"), "{blocked}");
    assert_eq!(
        hint(&db.refusal("select * from herald.why('order-x')")),
        "See: select uid, type, time from herald.event order by seq desc limit 10;"
    );
}

#[test]
fn wait_ends_when_the_event_is_delivered_or_dead() {
    let receiver = receiver_with(Mode::delayed(Duration::from_millis(300)));
    let mut db = Database::subscribed(&CLUSTER, "wait", &receiver, "max_attempts => 1");
    let uid = db.emit("order.paid");
    let wait =
        |uid: &str, timeout: &str| format!("select herald.wait('{uid}', timeout => '{timeout}')");
    assert_eq!(db.text(&wait(&uid, "50 ms")), "false");
    assert_eq!(db.text(&wait(&uid, "20 s")), "true");
    assert_eq!(receiver.accepted(), 1);
    receiver.set_mode(Mode::status(500));
    let uid = db.emit("order.dies");
    assert_eq!(db.text(&wait(&uid, "20 s")), "true");
    assert_eq!(db.count("herald.dead_letter"), 1);
    let own = "do $$ begin perform herald.wait(herald.emit('of.this.transaction')); end $$";
    assert_eq!(hint(&db.refusal(own)), "Commit first.");
}

#[test]
fn wait_answers_at_once_when_nothing_that_is_left_can_end_in_time() {
    let receiver = receiver_with(Mode::status(500));
    let mut db = Database::subscribed(
        &CLUSTER,
        "wait_in_vain",
        &receiver,
        "retry_schedule => '{1 hour}'",
    );
    db.subscribe("paused", &receiver, "types => '{held.*}'");
    db.run("select herald.pause('paused')");
    let in_vain = |db: &mut Database, id: &str| {
        let began_at = Instant::now();
        let wait = format!("select herald.wait({id}, timeout => '1 min')");
        assert_eq!(db.text(&wait), "false", "{id}");
        assert!(began_at.elapsed() < SOON, "{id}");
    };
    db.run(
        "select herald.emit('order.paid', id => 'fails'), herald.emit('held.back', id => 'held')",
    );
    in_vain(&mut db, "'fails'");
    in_vain(&mut db, "'held'");
    in_vain(&mut db, "null");
    // A receiver that asked to be spared for longer gets no due deliveries.
    receiver.set_mode(Mode::retry_after(503, "600"));
    db.run("select herald.redeliver('shop', 'fails')");
    db.until(
        "select count(*) from herald.pending where spare_until > now()",
        "1",
    );
    db.run("select herald.emit('order.paid', id => 'waits')");
    in_vain(&mut db, "'waits'");
    // A delivery's id works as well as its event's id.
    let delivery = db.text("select delivery_id from herald.delivery where event_id = 'fails'");
    in_vain(&mut db, &format!("'{delivery}'"));
    assert_eq!(
        db.text(&format!(
            "select count(*) from herald.preview('shop', '{delivery}')"
        )),
        "1"
    );
    assert_eq!(
        db.text(&format!(
            "select delivery_id from herald.redeliver('shop', '{delivery}')"
        )),
        delivery
    );
    assert_eq!(db.sqlstate("select herald.why('999/1')"), "42704");
}

#[test]
fn status_and_statistics_show_the_backlog_and_the_last_error() {
    let receiver = receiver_with(Mode::status(503));
    let mut db = Database::subscribed(
        &CLUSTER,
        "status",
        &receiver,
        "retry_schedule => '{1 hour}'",
    );
    db.emit("order.paid");
    db.until("select format('%s %s %s %s', subscription, state, backlog, success_rate_1h) from herald.status()", "shop active 1 0.0000");
    assert!(
        db.text("select last_error from herald.status()")
            .contains("503")
    );
    receiver.set_mode(Mode::ok());
    db.run("select herald.redeliver('shop', (select event_id from herald.attempt))");
    db.settle();
    let stats = "select format('%s %s %s %s', attempts_1h, delivered_1h, failed_1h, backlog) from herald.subscription_stats";
    assert_eq!(db.text(stats), "2 1 1 0");
    assert_eq!(db.text("select p50_ms > 0 and p99_ms >= p50_ms and last_success_at > last_error_at from herald.subscription_stats"), "true");
}

#[test]
fn the_doctor_names_what_is_wrong_and_how_to_mend_it() {
    let (receiver, mut db) = subscribed(&CLUSTER, "doctor", "");
    db.watched_table();
    db.settle();
    let faults = "select coalesce(string_agg(\"check\" || ' ' || status, ', ' order by \"check\"), 'none') from herald.doctor() where status <> 'ok'";
    db.until(faults, "none");
    db.run("alter table note disable trigger user; select herald.pause('shop'); delete from herald.secret; select herald.stop_worker()");
    let found = db.text(faults);
    for part in [
        "subscription error",
        "subscription warning",
        "trigger warning",
        "worker error",
    ] {
        assert!(found.contains(part), "{part} in {found}");
    }
    // Each hint, run as written, mends its fault.
    let hints = db.text("select string_agg(distinct replace(hint, 'Run: ', ''), ' ') from herald.doctor() where hint like 'Run: %'");
    db.run(&hints);
    db.until(faults, "none");
    db.run("insert into note values (1, 'after the visit')");
    receiver.wait_until("the event", |receiver| receiver.total() == 1, SOON);

    db.run("select herald.stop_worker(); insert into note values (2, 'nobody reads it')");
    db.run("update herald.event set uid = herald_internal.uid_at(now() - interval '10 minutes') where key = '2'");
    let log = "select status || ' ' || detail from herald.doctor() where \"check\" = 'log'";
    assert!(
        db.text(log)
            .starts_with("warning the oldest event that was not read is of "),
        "{}",
        db.text(log)
    );
    db.run("select herald.start_worker()");
    db.until(log, "ok everything was read");
}

/// A DBA's questions about the log, in SQL.
const QUESTIONS: [&str; 11] = [
    "select count(*) from herald.delivery",
    "select count(*) from herald.delivery where state <> 'delivered'",
    "select * from herald.delivery where event_id = (select uid::text from herald.event where seq = 1500)",
    "select * from herald.delivery where event_seq = 1500 and subscription_id = 1",
    "select * from herald.delivery order by created_at desc limit 20",
    "select * from herald.delivery order by at desc limit 20",
    "select state, count(*) from herald.delivery where subscription = 'shop.3' group by state",
    "select count(*) from herald.attempt",
    "select * from herald.attempt order by at desc limit 20",
    "select * from herald.subscription_stats",
    "select * from herald.status()",
];

/// Fills the log as the worker leaves it after `deliveries` deliveries, 200 of them pending and 50 dead, in three
/// slots.
fn fill_the_log(db: &mut Database, deliveries: i64) {
    db.run(&format!(
        "select herald.stop_worker();
         select herald.subscribe('shop.' || n, url => 'https://example.com/') from generate_series(1, 5) n;
         insert into herald.event (seq, xid, origin, time, uid, size, slot, source, type, data)
         select n, '3', herald_internal.origin(), now(), gen_random_uuid(), 0, 10 + n * 3 / ({deliveries} + 1), '/shop', 'order.paid', '{{}}'
         from generate_series(1, {deliveries}) n;
         insert into herald_internal.attempt (event_seq, subscription_id, at, attempt, duration_ms, event_slot, slot, outcome)
         select e.seq, e.seq % 5 + 1, now() - e.seq * interval '1 ms', 1, 3, e.slot, e.slot,
                case when e.seq <= 50 then 'dead' when e.seq <= 250 then 'retrying' else 'delivered' end
         from herald.event e;
         insert into herald.pending (subscription_id, event_seq, event_slot, next_attempt_at)
         select e.seq % 5 + 1, e.seq, e.slot, now() from herald.event e where e.seq between 51 and 250;
         select herald_internal.bury(array_agg(e.seq % 5 + 1), array_agg(e.slot), array_agg(e.seq), array_agg('exhausted'::text),
                            array_agg(1), array_agg(now()))
         from herald.event e where e.seq <= 50"
    ));
}

/// Runs a query and returns the top of its plan.
fn plan(db: &mut Database, sql: &str) -> serde_json::Value {
    let explain = format!("explain (analyze, buffers, timing off, format json) {sql}");
    let answer = db.simple_query(&explain).unwrap();
    let text = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let mut explained: serde_json::Value = serde_json::from_str(text.expect("a plan")).unwrap();
    explained[0]["Plan"].take()
}

#[test]
fn queries_on_an_unanalyzed_log_are_fast() {
    // Without autovacuum, which might analyze the tables.
    let cluster = cluster_with(&[("autovacuum", "off")]);
    let mut db = Database::new(&cluster, "unanalysed");
    let deliveries: i64 = at_size(3_000, 300_000);
    fill_the_log(&mut db, deliveries);
    let dear = db.number("select current_setting('jit_above_cost')::float8::bigint");
    for question in QUESTIONS {
        let asked_at = Instant::now();
        db.run(question);
        figure(question, format!("{} ms", asked_at.elapsed().as_millis()));
        let plan = plan(&mut db, question);
        // Above this cost PostgreSQL compiles a query before running it: with this many slots that takes seconds.
        let cost = plan["Total Cost"].as_f64().unwrap();
        assert!(cost < dear as f64, "{cost}: {question}");
        // Looking into every slot for every row would read 64 pages per row.
        let read = plan["Shared Hit Blocks"].as_i64().unwrap()
            + plan["Shared Read Blocks"].as_i64().unwrap();
        assert!(read < 5 * deliveries, "{read} pages: {question}");
    }
}
