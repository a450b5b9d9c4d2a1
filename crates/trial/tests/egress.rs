//! Egress: a canary listens where no webhook may go, and no request ever comes.

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Database, SOON, receiver_with, subscribed};
use herald_trial::wait::eventually_holds;
use herald_trial::{Cluster, Mode};

/// Listens on every address of this machine, and records who came and with what first words.
struct Canary {
    port: u16,
    seen: Arc<Mutex<Vec<(IpAddr, String)>>>,
}

impl Canary {
    fn start() -> Self {
        let listener = TcpListener::bind("[::]:0").expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let visitors = Arc::clone(&seen);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let peer = stream.peer_addr().expect("a peer").ip().to_canonical();
                let mut words = [0; 1024];
                let amount = stream.read(&mut words).unwrap_or(0);
                let words = String::from_utf8_lossy(&words[..amount]).into_owned();
                visitors.lock().expect("no panic").push((peer, words));
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
            }
        });
        Self { port, seen }
    }

    fn seen(&self) -> Vec<(IpAddr, String)> {
        self.seen.lock().expect("no panic").clone()
    }

    fn first(&self) -> (IpAddr, String) {
        eventually_holds(SOON, "a visitor", || self.seen(), |seen| !seen.is_empty());
        self.seen().remove(0)
    }
}

/// Starts a cluster in which the canary's port is open, with `settings`.
fn cluster(canary: &Canary, settings: &[(&str, &str)]) -> Cluster {
    let mut builder = Cluster::builder()
        .fsync(false)
        .setting("herald.allow_http", "on")
        .setting("herald.allow_networks", "")
        .setting("herald.allow_ports", &canary.port.to_string());
    for (name, value) in settings {
        builder = builder.setting(name, value);
    }
    builder.start().expect("a cluster")
}

/// Every spelling is refused at once, or blocked when dialled.
#[test]
fn no_spelling_of_a_private_address_gets_there() {
    let canary = Canary::start();
    let cluster = cluster(&canary, &[]);
    let mut db = Database::new(&cluster, "spellings");
    let hosts = "127.0.0.1 127.1 0x7f.1 0x7f000001 2130706433 0177.0.0.1 0 0.0.0.0 [::1] [::] [::ffff:127.0.0.1] \
        [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] localhost LocalHost localhost. a.localhost 127.0.0.1. \
        10.0.0.1 172.16.0.1 192.168.0.1 169.254.169.254 100.64.0.1 198.18.0.1 224.0.0.1 255.255.255.255 [fe80::1] [fc00::1] \
        [ff02::1] ip6-localhost localhost.localdomain";
    let mut accepted = 0;
    for (number, host) in hosts.split_whitespace().enumerate() {
        let subscribe = format!(
            "select herald.subscribe('s{number}', url => 'http://{host}:{}/', max_attempts => 1)",
            canary.port
        );
        accepted += usize::from(db.batch_execute(&subscribe).is_ok());
    }
    db.emit("order.paid");
    db.settle();
    assert_eq!(
        db.text("select string_agg(distinct error_class, ' ' order by error_class) from herald.attempt where error_class not in ('blocked', 'dns')"),
        "-"
    );
    assert_eq!(
        db.number("select count(*) from herald.dead_letter"),
        accepted as i64
    );
    assert_eq!(canary.seen(), []);
}

#[test]
fn a_redirect_is_not_followed() {
    let canary = Canary::start();
    let cluster = cluster(&canary, &[("herald.allow_networks", "127.0.0.0/8")]);
    let mut db = Database::new(&cluster, "redirect");
    for (number, status) in [301, 302, 303, 307, 308].into_iter().enumerate() {
        let to = format!("http://127.0.0.1:{}/", canary.port);
        let receiver = receiver_with(Mode::answer_with(move |_| {
            herald_trial::receiver::Answer::new(status).header("location", &to)
        }));
        db.subscribe(&format!("s{number}"), &receiver, "max_attempts => 1");
        db.emit("order.paid");
        db.settle();
    }
    assert_eq!(canary.seen(), []);
}

#[test]
fn a_connection_that_is_kept_does_not_outlive_the_setting_that_allowed_it() {
    let canary = Canary::start();
    let cluster = cluster(&canary, &[("herald.allow_networks", "127.0.0.0/8")]);
    let (receiver, mut db) = subscribed(&cluster, "kept", "");
    db.emit("order.paid");
    db.settle();
    cluster.set("herald.allow_networks", "").unwrap();
    db.run("select herald.restart_worker()");
    db.emit("order.paid");
    db.until("select count(*) from herald.pending", "1");
    assert_eq!(receiver.total(), 1);
}

#[test]
fn the_server_s_own_port_is_closed_whatever_is_allowed() {
    let canary = Canary::start();
    let cluster = Cluster::builder()
        .fsync(false)
        .tcp(true)
        .setting("herald.allow_http", "on")
        .setting("herald.allow_networks", "0.0.0.0/0, ::/0")
        .setting("herald.allow_hosts", "localhost")
        .setting("herald.allow_ports", &canary.port.to_string())
        .start()
        .expect("a cluster");
    let mut db = Database::new(&cluster, "own_port");
    for host in ["127.0.0.1", "localhost", "example.com"] {
        let url = format!("http://{host}:{}/", cluster.port());
        let refused = db.refusal(&format!("select herald.subscribe('own', url => '{url}')"));
        assert!(
            refused.detail() == Some("Its port is the one that this database server listens on."),
            "{host}: {refused:?}"
        );
    }
}

#[test]
fn a_host_that_is_allowed_may_lead_anywhere_and_no_other_may() {
    let canary = Canary::start();
    let cluster = cluster(&canary, &[("herald.allow_hosts", "localhost")]);
    let mut db = Database::new(&cluster, "hosts");
    let url = |host: &str| format!("http://{host}:{}/", canary.port);
    let refused = db.refusal(&format!(
        "select herald.subscribe('other', url => '{}')",
        url("127.0.0.1")
    ));
    assert!(
        refused
            .hint()
            .is_some_and(|hint| hint.contains("herald.allow_networks"))
    );
    db.run(&format!(
        "select herald.subscribe('shop', url => '{}')",
        url("localhost")
    ));
    db.emit("order.paid");
    db.settle();
    assert_eq!(canary.seen().len(), 1);
}

#[test]
fn requests_come_from_the_source_address() {
    let canary = Canary::start();
    let settings = [
        ("herald.allow_networks", "127.0.0.0/8"),
        ("herald.source_address", "127.0.0.9"),
    ];
    let cluster = cluster(&canary, &settings);
    let mut db = Database::new(&cluster, "source");
    let url = format!("http://127.0.0.1:{}/", canary.port);
    db.run(&format!("select herald.subscribe('shop', url => '{url}')"));
    db.emit("order.paid");
    assert_eq!(canary.first().0, IpAddr::from([127, 0, 0, 9]));
}

#[test]
fn requests_go_through_the_proxy_whose_password_only_superusers_see() {
    let proxy = Canary::start();
    let setting = format!("http://user:canary@127.0.0.1:{}", proxy.port);
    let cluster = cluster(&proxy, &[("herald.proxy", &setting)]);
    let mut db = Database::new(&cluster, "proxy");
    db.run("select herald.subscribe('shop', url => 'https://hooks.example.com/')");
    db.emit("order.paid");
    let words = proxy.first().1;
    assert!(
        words.starts_with("CONNECT hooks.example.com:443 HTTP/1.1\r\n"),
        "{words}"
    );
    db.run("create role nobody; set role nobody");
    assert_eq!(db.sqlstate("show herald.proxy"), "42501");
    assert_eq!(
        db.text("select setting from pg_settings where name = 'herald.proxy'"),
        "-"
    );
    db.run("reset role");
    assert!(!cluster.log().contains("user:canary"));
}

#[test]
fn an_invalid_setting_stops_sending_and_is_reported() {
    let canary = Canary::start();
    let cluster = cluster(&canary, &[("herald.proxy", "socks5://user:canary@proxy")]);
    let mut db = Database::new(&cluster, "invalid");
    db.run("select herald.subscribe('shop', url => 'https://hooks.example.com/')");
    db.emit("order.paid");
    eventually_holds(
        SOON,
        "words in the log",
        || cluster.log(),
        |log| log.contains("invalid value for herald.proxy"),
    );
    assert!(!cluster.log().contains("canary"));
    db.until("select state from herald.worker", "stopped");
    db.until(
        "select detail like '%herald.proxy is not taken over%' from herald.doctor() where \"check\" = 'settings' and status = 'error'",
        "true",
    );
    // Once the setting is mended, a worker starts at once, however often it could not before.
    cluster.set("herald.proxy", "").expect("a setting");
    db.until("select state from herald.worker", "running");
}
