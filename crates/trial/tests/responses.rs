//! What receivers do wrong: each answer ends in the right record, and nothing of it reaches the worker itself.

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, hint, receiver, receiver_with};
use herald_trial::receiver::{Authority, Flaw};
use herald_trial::{Cluster, Mode, Receiver};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

const ONCE: &str = "max_attempts => 1, timeout => '700 ms'";

#[test]
fn each_kind_of_fault_is_told_apart_and_the_worker_lives_on() {
    let mut db = Database::new(&CLUSTER, "faults");
    let cases = [
        (
            "redirect",
            Mode::redirect("http://127.0.0.1:1/elsewhere"),
            "302 status",
        ),
        ("server_error", Mode::status(500), "500 status"),
        ("not_found", Mode::status(404), "404 status"),
        ("rate_limit", Mode::status(429), "429 rate_limited"),
        ("hangs_on_accept", Mode::hang_on_accept(), " timeout"),
        ("hangs", Mode::hang_before_answer(), " timeout"),
        (
            "trickles",
            Mode::Trickle(Duration::from_millis(50)),
            " timeout",
        ),
        ("garbage", Mode::garbage(), " connect"),
        ("http_0_9", Mode::bare_body(), " connect"),
        ("closes_early", Mode::close_early(), " connect"),
        ("loses_the_answer", Mode::lose_response(), " connect"),
        ("resets", Mode::reset(), " connect"),
        ("endless_headers", Mode::endless_headers(), " connect"),
        ("interim_flood", Mode::informational_flood(), " connect"),
    ];
    let receivers: Vec<(&str, Receiver, &str)> = cases
        .into_iter()
        .map(|(name, mode, expected)| (name, receiver_with(mode), expected))
        .collect();
    let healthy = receiver();
    db.subscribe("healthy", &healthy.url("/"), "");
    for (name, receiver, _) in &receivers {
        db.subscribe(name, &receiver.url("/"), ONCE);
    }
    db.until("select herald._worker_pid() is not null", "true");
    let pid = db.number("select herald._worker_pid()");
    db.emit("order.paid");
    let dead = receivers.len().to_string();
    db.until("select count(*) from herald.dead_letter", &dead);

    let mut found = Vec::new();
    let mut wanted = Vec::new();
    for (name, _, expected) in &receivers {
        let recorded = format!(
            "select format('%s %s', status_code, error_class) from herald.attempt where subscription = '{name}'"
        );
        found.push(format!("{name}: {}", db.text(&recorded)));
        wanted.push(format!("{name}: {expected}"));
    }
    assert_eq!(found, wanted);
    let silent = "select count(*) from herald.attempt where outcome <> 'delivered' and coalesce(error, '') = ''";
    assert_eq!(db.number(silent), 0);
    assert_eq!(
        db.number("select count(*) from herald.attempt where duration_ms > 3000"),
        0
    );
    assert_eq!(db.number("select herald._worker_pid()"), pid);
    assert_eq!(healthy.total(), 1);
}

#[test]
fn strange_answers_that_are_successes_are_recorded_in_a_bounded_and_clean_form() {
    let mut db = Database::new(&CLUSTER, "strange");
    let nul = receiver_with(Mode::nul_bytes());
    let huge = receiver_with(Mode::huge_body(1 << 30));
    let short = receiver_with(Mode::short_body());
    let silent = receiver_with(Mode::hang_after_headers());
    db.subscribe("nul", &nul.url("/"), ONCE);
    db.subscribe("huge", &huge.url("/"), ONCE);
    db.subscribe("short", &short.url("/"), ONCE);
    db.subscribe("silent", &silent.url("/"), ONCE);
    db.until("select herald._worker_pid() is not null", "true");
    let pid = db.number("select herald._worker_pid()");
    db.emit("order.paid");
    db.until(
        "select count(*) from herald.attempt where outcome = 'delivered'",
        "4",
    );
    db.settle();
    let of = |name: &str| {
        format!(
            "select format('%s %s', outcome, response) from herald.attempt where subscription = '{name}'"
        )
    };
    let nul = db.text(&of("nul"));
    assert!(
        nul.starts_with("delivered o") && nul.contains('k'),
        "{nul:?}"
    );
    assert!(db.text(&of("huge")).starts_with("delivered xxxx"));
    assert_eq!(
        db.number("select count(*) from herald.attempt where length(response) > 10000"),
        0
    );
    assert_eq!(db.number("select herald._worker_pid()"), pid);
    // The gigabyte was not read to its end.
    assert!(
        db.number("select max(duration_ms)::int from herald.attempt where subscription = 'huge'")
            < 700
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let mut db = Database::new(&CLUSTER, "redirect");
    let target = receiver();
    let first = receiver_with(Mode::redirect(&target.url("/")));
    db.subscribe("shop", &first.url("/"), ONCE);
    db.emit("order.paid");
    db.until_dead("exhausted");
    assert_eq!((first.total(), target.connections()), (1, 0));
}

#[test]
fn a_410_disables_the_subscription_and_buries_what_is_open() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "gone");
    db.subscribe("shop", &receiver.url("/"), "max_concurrency => 1");
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
    assert_eq!(db.number("select count(*) from herald.delivery"), 5);
    receiver.set_mode(Mode::ok());
    db.run("select herald.resume('shop', redeliver_dead_since => '-infinity')");
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
            &receiver.url("/"),
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
fn private_addresses_and_http_are_refused_unless_they_are_allowed() {
    let cluster = Cluster::builder()
        .fsync(false)
        .setting("herald.allow_http", "off")
        .setting("herald.allow_networks", "")
        .start()
        .expect("a cluster");
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
    // This machine's own name is no address. Wherever it leads, nothing is connected to.
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
    let mut db = Database::new(&cluster, "narrowed");
    let receiver = receiver();
    db.subscribe("shop", &receiver.url("/"), "");
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
fn certificates_are_trusted_by_the_ca_file_and_only_when_they_are_sound() {
    let authority = Authority::new().expect("an authority");
    let cluster = Cluster::builder()
        .fsync(false)
        .setting("herald.ca_file", &authority.ca_file().display().to_string())
        .start()
        .expect("a cluster");
    let mut db = Database::new(&cluster, "tls");
    let of = |flaw| {
        let tls = authority.server(flaw).expect("a certificate");
        Receiver::builder()
            .tls(tls)
            .secret(common::SECRET)
            .start()
            .expect("a receiver")
    };
    let good = of(Flaw::None);
    db.subscribe("good", &good.url("/"), "");
    let bad = [
        ("expired", Flaw::Expired, "expired"),
        ("not_yet", Flaw::NotYetValid, "not yet valid"),
        ("other_host", Flaw::OtherHost, "name"),
        (
            "self_signed",
            Flaw::SelfSigned,
            "unknown certificate authority",
        ),
    ]
    .map(|(name, flaw, words)| (name, of(flaw), words));
    for (name, receiver, _) in &bad {
        db.subscribe(name, &receiver.url("/"), ONCE);
    }
    db.emit("order.paid");
    db.until("select count(*) from herald.dead_letter", "4");
    db.settle();
    assert_eq!((good.total(), good.invalid_signatures()), (1, 0));
    for (name, receiver, words) in &bad {
        let recorded = db.text(&format!(
            "select error_class || ': ' || error from herald.attempt where subscription = '{name}'"
        ));
        assert!(
            recorded.starts_with("tls: ") && recorded.contains(words),
            "{name}: {recorded}"
        );
        assert_eq!(receiver.total(), 0);
    }
}
