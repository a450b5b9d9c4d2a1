//! Settings: impossible values are refused when set, and a running worker follows what is set.

mod common;

use common::{Database, cluster, hint, receiver, subscribed, worker_of};

const SETTINGS: &str = "select string_agg(format('%s: %s', status, detail), '; ' order by status) from herald.doctor() where \"check\" = 'settings'";
const GOES_BY_ALL: &str = "ok: the worker goes by what is set";

#[test]
fn a_value_that_cannot_be_is_refused_wherever_it_is_set() {
    let cluster = cluster();
    let mut db = Database::new(&cluster, "refused");
    for (name, value, detail) in [
        ("allow_ports", "http", "It is not a port."),
        (
            "allow_networks",
            "10.0.0.0/33",
            "It is neither an address nor a network.",
        ),
        (
            "tenant_networks",
            "somewhere",
            "It is neither an address nor a network.",
        ),
        ("allow_hosts", "10.0.0.1", ""),
        ("proxy", "socks5://proxy:1080", "Its scheme is not http."),
        ("source_address", "eth0", "The value is not an IP address."),
        ("dispatch", "windows", ""),
        ("on_timeline_change", "stop", ""),
    ] {
        for statement in [
            format!("alter system set herald.{name} = '{value}'"),
            format!("alter database refused set herald.{name} = '{value}'"),
            format!("set herald.{name} = '{value}'"),
        ] {
            let refusal = db.refusal(&statement);
            assert_eq!(refusal.code().code(), "22023", "{statement}: {refusal:?}");
            assert!(!hint(&refusal).is_empty(), "{statement}: {refusal:?}");
            let shown = refusal.detail().unwrap_or_default();
            assert!(shown.starts_with(detail), "{statement}: {shown}");
        }
    }
}

#[test]
fn a_file_with_a_value_that_cannot_be_changes_nothing_and_doctor_says_so() {
    let cluster = cluster();
    let mut db = Database::new(&cluster, "file");
    db.until(SETTINGS, GOES_BY_ALL);
    let file = db.text(
        "select setting || '/postgresql.auto.conf' from pg_settings where name = 'data_directory'",
    );
    let former = std::fs::read_to_string(&file).expect("the file");
    std::fs::write(&file, format!("{former}herald.allow_ports = 'http'\n")).expect("it is written");
    db.run("select pg_reload_conf()");
    let expected = format!(
        "{file}, line {}: herald.allow_ports",
        former.lines().count() + 1
    );
    db.until(
        &format!("select ({SETTINGS}) like '%error: {expected}%'"),
        "true",
    );
    std::fs::write(&file, former).expect("it is written");
    db.run("select pg_reload_conf()");
    db.until(SETTINGS, GOES_BY_ALL);
}

#[test]
fn a_running_worker_obeys_restrictions_after_a_reload() {
    let cluster = cluster();
    let (receiver, mut db) = subscribed(&cluster, "closed", "");
    db.emit("order.paid");
    db.settle();
    assert_eq!(receiver.total(), 1);
    db.run("alter system set herald.allow_networks = ''");
    db.run("select pg_reload_conf()");
    db.until(SETTINGS, GOES_BY_ALL);
    db.until("select count(*) from herald.doctor() where \"check\" = 'subscription' and status = 'error'", "1");
    db.emit("order.paid");
    db.until("select count(*) from herald.pending", "1");
    assert_eq!(receiver.total(), 1);
    db.run("alter system reset herald.allow_networks");
    db.run("select pg_reload_conf()");
    db.settle();
    assert_eq!(receiver.total(), 2);
}

#[test]
fn connections_that_are_made_after_a_reload_are_made_as_it_says() {
    let cluster = cluster();
    let (receiver, mut db) = subscribed(&cluster, "proxied", "");
    db.emit("order.paid");
    db.settle();
    // Nobody listens there, so everything sent through it fails.
    cluster
        .set("herald.proxy", "http://127.0.0.1:1")
        .expect("a setting");
    db.until(SETTINGS, GOES_BY_ALL);
    db.emit("order.paid");
    db.until(
        "select count(*) from herald.pending where attempts > 0 and status_code is null",
        "1",
    );
    assert_eq!(receiver.total(), 1);
}

#[test]
fn what_is_set_for_a_database_reaches_its_running_worker() {
    let cluster = cluster();
    cluster
        .set("herald.poll_interval", "200ms")
        .expect("a setting");
    let (receiver, mut db) = subscribed(&cluster, "alter_database", "");
    let former = worker_of(&cluster, "alter_database");
    db.run("alter database alter_database set herald.enabled = off");
    db.until("select state from herald.worker", "paused");
    assert_ne!(worker_of(&cluster, "alter_database"), former);
    db.emit("order.paid");
    db.run("alter database alter_database reset herald.enabled");
    db.settle();
    assert_eq!(receiver.total(), 1);
}

#[test]
fn what_any_role_may_set_starts_no_worker_again() {
    let cluster = cluster();
    cluster
        .set("herald.poll_interval", "100ms")
        .expect("a setting");
    let mut db = Database::new(&cluster, "actor");
    db.until("select activity from herald.worker", "waiting for events");
    let former = worker_of(&cluster, "actor");
    db.run("alter database actor set herald.actor = 'nightly'");
    db.run("alter database actor set herald.enabled = on");
    db.until(
        &format!("select pid <> {former} from herald.worker"),
        "true",
    );
    let next = worker_of(&cluster, "actor");
    db.run("alter database actor set herald.actor = 'daily'");
    db.run("alter role postgres in database actor set herald.traceparent = ''");
    let receiver = receiver();
    db.subscribe("shop", &receiver, "");
    db.emit("order.paid");
    db.settle();
    assert_eq!(worker_of(&cluster, "actor"), next);
}

#[test]
fn no_setting_of_a_database_keeps_its_worker_from_working() {
    let cluster = cluster();
    let receiver = receiver();
    let mut db = Database::new(&cluster, "hindered");
    db.run("create role nobody_much");
    for setting in [
        "role = nobody_much",
        "session_replication_role = replica",
        "default_transaction_read_only = on",
        "default_transaction_isolation = serializable",
        "statement_timeout = '1ms'",
        "search_path = nowhere",
    ] {
        db.run(&format!("alter database hindered set {setting}"));
    }
    db.run("select herald.restart_worker()");
    let mut db = db.session(&cluster);
    db.run("set role none; set session_replication_role = origin; set default_transaction_read_only = off; set default_transaction_isolation = 'read committed'; set statement_timeout = 0");
    db.subscribe("shop", &receiver, "");
    db.emit("order.paid");
    db.settle();
    assert_eq!(receiver.total(), 1);
}
