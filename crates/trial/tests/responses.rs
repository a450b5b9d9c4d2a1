//! Consequences of answers beyond their own delivery, and where nothing is sent at all. For the answers, see hell.rs.

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, cluster_with, hint, receiver, receiver_with, subscribed};
use herald_trial::{Cluster, Mode};
use postgres::NoTls;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn a_410_disables_the_subscription_and_buries_what_is_open() {
    let (receiver, mut db) = subscribed(&CLUSTER, "gone", "max_concurrency => 1");
    db.run("select herald.pause('shop')");
    db.run("select herald.emit('order.' || n) from generate_series(1, 5) n");
    db.until("select count(*) from herald.pending", "5");
    receiver.set_mode(Mode::status(410));
    db.run("select herald.resume('shop')");
    db.until_dead("gone gone gone gone gone");
    assert_eq!(
        db.text("select state || ': ' || state_reason from herald.subscription"),
        "disabled: the receiver answered 410"
    );
    db.emit("order.later");
    db.settle();
    assert_eq!(db.count("herald.delivery"), 5);
    receiver.set_mode(Mode::ok());
    let (told, heard) = std::sync::mpsc::channel();
    let client = CLUSTER
        .config("gone")
        .notice_callback(move |notice| told.send(notice.message().to_owned()).unwrap_or(()))
        .connect(NoTls);
    Database::with("gone", client.expect("a session"))
        .run("select herald.resume('shop', redeliver_dead_since => '-infinity')");
    let missed: Vec<String> = heard.try_iter().collect();
    assert!(
        missed.len() == 1
            && missed[0].starts_with("subscription \"shop\" missed what happened since"),
        "{missed:?}"
    );
    db.settle();
    assert_eq!(receiver.accepted(), 5);
    db.emit("order.again");
    db.settle();
    assert_eq!(receiver.accepted(), 6);
}

#[test]
fn retry_after_delays_the_whole_lane() {
    for (status, name) in [(429, "retry_after_429"), (503, "retry_after_503")] {
        let receiver = receiver_with(Mode::retry_after(status, "2"));
        let mut db = Database::new(&CLUSTER, name);
        db.subscribe(
            "shop",
            &receiver,
            "retry_schedule => '{50 ms, 50 ms, 50 ms}'",
        );
        db.emit("first");
        receiver.wait_until("the refusal", |receiver| receiver.total() == 1, SOON);
        receiver.set_mode(Mode::ok());
        db.until("select count(*) from herald.attempt", "1");
        db.emit("second");
        db.settle();
        let requests = receiver.requests();
        assert_eq!(requests.len(), 3);
        let waited = (requests[1].at_micros - requests[0].at_micros) / 1_000;
        assert!((1_900..6_000).contains(&waited), "{waited} ms");
    }
}

#[test]
fn retry_after_counts_for_the_next_worker_too() {
    let receiver = receiver_with(Mode::retry_after(429, "4"));
    let mut db = Database::subscribed(&CLUSTER, "retry_after_restart", &receiver, "");
    db.emit("first");
    db.until(
        "select count(*) from herald.pending where spare_until > now()",
        "1",
    );
    receiver.set_mode(Mode::ok());
    db.run("select herald.restart_worker()");
    db.emit("second");
    receiver.wait_for(2, SOON);
    let requests = receiver.requests();
    let waited = (requests[1].at_micros - requests[0].at_micros) / 1_000;
    assert!((3_900..15_000).contains(&waited), "{waited} ms");
}

#[test]
fn private_addresses_and_http_are_refused_unless_they_are_allowed() {
    let cluster = cluster_with(&[("herald.allow_http", "off"), ("herald.allow_networks", "")]);
    let mut db = Database::new(&cluster, "strict");
    let receiver = receiver();
    let subscribe = |url: &str| format!("select herald.subscribe('shop', url => '{url}')");
    let http = db.refusal(&subscribe("http://example.com/"));
    assert!(hint(&http).contains("https"), "{http:?}");
    for host in [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "[::1]",
        "0x7f.1",
        "2130706433",
        "[::ffff:127.0.0.1]",
    ] {
        let refused = db.refusal(&subscribe(&format!("https://{host}/")));
        assert_eq!(refused.code().code(), "22023", "{host}");
    }
    // This machine's own name is no address. Wherever it leads, no connection is opened.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let url = format!("https://{}:{}/", name.trim(), receiver.port());
    db.run(&format!(
        "alter database strict set herald.allow_ports = '{}'",
        receiver.port()
    ));
    let mut db = db.session(&cluster);
    db.run("select herald.restart_worker()");
    db.run(&format!(
        "select herald.subscribe('shop', url => '{url}', max_attempts => 1)"
    ));
    db.emit("order.paid");
    db.until_dead("exhausted");
    let class = db.text("select error_class from herald.attempt");
    assert!(
        ["blocked", "dns"].contains(&class.as_str()),
        "{}",
        db.text("select error from herald.attempt")
    );
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_setting_that_is_narrowed_later_holds_what_was_accepted_before() {
    let cluster = common::cluster();
    let (receiver, mut db) = subscribed(&cluster, "narrowed", "");
    cluster.set("herald.allow_networks", "").unwrap();
    db.run("select herald.restart_worker()");
    db.emit("order.paid");
    db.until("select count(*) from herald.pending", "1");
    assert_eq!(receiver.connections(), 0);
    cluster.set("herald.allow_networks", "127.0.0.0/8").unwrap();
    db.run("select herald.restart_worker()");
    receiver.wait_for(1, SOON);
}

#[test]
fn a_subscription_says_which_statuses_succeed_and_which_are_tried_again() {
    let (receiver, mut db) = subscribed(
        &CLUSTER,
        "statuses",
        "success => '{200,409}', retry_on => '{500}', retry_schedule => '{0,50 ms}'",
    );
    for status in [409, 204, 500] {
        receiver.set_mode(Mode::status(status));
        db.emit("order.paid");
        db.settle();
    }
    assert_eq!(
        db.text("select string_agg(format('%s %s %s', status_code, outcome, error_class), ', ' order by at) from herald.attempt"),
        "409 delivered , 204 dead status, 500 retrying status, 500 retrying status, 500 dead status"
    );
    assert_eq!(
        db.text("select string_agg(reason, ' ' order by id) from herald.dead_letter"),
        "permanent_status exhausted"
    );
    // Pings follow these options, and their removal.
    receiver.set_mode(Mode::status(409));
    let ping = "select outcome from herald.ping('shop')";
    assert_eq!(db.text(ping), "delivered");
    db.run("update herald.subscription set success = null, retry_on = null");
    db.until(ping, "failed");
    for option in [
        "success => '{99}'",
        "success => '{}'",
        "retry_on => '{null}'",
        "timeout_delay => '0'",
    ] {
        let refused = db.refusal(&format!("select herald.subscribe('shop', {option})"));
        assert_eq!(refused.code().code(), "22023", "{option}");
        assert!(refused.hint().is_some(), "{option}");
    }
}

#[test]
fn a_timeout_has_a_delay_of_its_own() {
    let receiver = receiver_with(Mode::delayed(Duration::from_millis(400)));
    let mut db = Database::subscribed(
        &CLUSTER,
        "late",
        &receiver,
        "timeout => '200 ms', timeout_delay => '700 ms', retry_schedule => '{1 h}', retry_jitter => 0",
    );
    db.emit("order.paid");
    receiver.wait_until("the first attempt", |receiver| receiver.total() == 1, SOON);
    receiver.set_mode(Mode::ok());
    db.settle();
    let delay =
        "select extract(epoch from max(at) - min(at)) between 0.9 and 5 from herald.attempt";
    assert_eq!(db.text(delay), "true");
}

#[test]
fn a_schedule_that_grows_is_made_of_base_multiplier_and_cap() {
    let mut db = Database::new(&CLUSTER, "backoff");
    for (call, schedule) in [
        ("'2 s', retries => 3", "{00:00:02,00:00:04,00:00:08}"),
        (
            "'1 s', 2, '5 min', 5",
            "{00:00:01,00:00:02,00:00:04,00:00:08,00:00:16}",
        ),
        (
            "'1 min', 10, '5 min', 4",
            "{00:01:00,00:05:00,00:05:00,00:05:00}",
        ),
        ("'1 s', 1000, '1 h', 3", "{00:00:01,00:16:40,01:00:00}"),
    ] {
        assert_eq!(
            db.text(&format!("select herald.backoff({call})")),
            schedule,
            "{call}"
        );
    }
    assert_eq!(
        db.number("select cardinality(herald.backoff('1 s', 1e6, '30 days', 100))"),
        100
    );
    db.run("select herald.subscribe('s', url => 'http://127.0.0.1:1/', retry_schedule => herald.backoff('2 s', cap => '5 min'))");
    assert!(hint(&db.refusal("select herald.backoff('0')")).starts_with("Use herald.backoff("));
}

#[test]
fn nothing_is_tried_again_after_the_retry_duration() {
    let receiver = receiver_with(Mode::status(500));
    let mut db = Database::subscribed(
        &CLUSTER,
        "retry_duration",
        &receiver,
        "retry_schedule => '{100 ms,100 ms,1 h}', retry_jitter => 0, retry_duration => '10 min'",
    );
    db.emit("order.paid");
    db.until_dead("exhausted");
    assert_eq!(receiver.total(), 3);
}

#[test]
fn a_backlog_is_not_longer_than_it_may_be_and_the_newest_are_on_record() {
    let mut db = Database::new(&CLUSTER, "max_backlog");
    db.subscribe_at("shop", "http://127.0.0.1:1/", "max_backlog => 3");
    db.run("select herald.pause('shop'); select herald.emit('order.paid', to_jsonb(n)) from generate_series(1, 10) n");
    db.until(
        "select count(*) from herald.dead_letter where reason = 'discarded'",
        "7",
    );
    let waiting = "select string_agg(e.data::text, ' ' order by e.seq) from herald.pending p join herald.event e on e.seq = p.event_seq";
    assert_eq!(db.text(waiting), "1 2 3");
    assert_eq!(
        db.text("select distinct note from herald.dead_letter"),
        "more than max_backlog, which is 3"
    );
}
