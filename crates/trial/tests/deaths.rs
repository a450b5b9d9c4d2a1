//! Deaths of the worker itself: each restarts the whole server, and no event may cause that again and again.

mod common;

use std::time::Duration;

use common::{Database, SOON, cluster_with, receiver, receiver_with, subscribed, worker_of};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Mode, Receiver, StopMode};
use nix::sys::signal::Signal;

const DEATHS: &str = "select count(*) from herald_internal.last_death()";

/// Crashes the worker, as its own fault would, and the server with it. Opens a new session.
fn die(cluster: &Cluster, db: &mut Database) {
    let worker = ready_worker(cluster, db);
    cluster.signal(worker, Signal::SIGSEGV).expect("a signal");
    eventually(SOON, "the end of all sessions", || {
        db.simple_query("").err()
    });
    cluster.wait_until_ready().expect("the server is back");
    *db = Database::of(cluster, &db.name);
}

/// Returns the worker, once it has begun to work.
fn ready_worker(cluster: &Cluster, db: &mut Database) -> i32 {
    db.until(
        "select count(*) from pg_stat_activity
         where backend_type = 'pg_herald worker' and datname = current_database() and query = 'waiting for events'",
        "1",
    );
    worker_of(cluster, &db.name)
}

fn requests_to(receiver: &Receiver, path: &str) -> usize {
    let requests = receiver.requests();
    requests
        .iter()
        .filter(|request| request.path == path)
        .count()
}

#[test]
fn an_event_that_kills_the_worker_twice_is_a_dead_letter_and_all_others_get_through() {
    let cluster = common::cluster();
    let sick = receiver_with(Mode::hang_before_answer());
    let healthy = receiver();
    let mut db = Database::new(&cluster, "poison");
    for name in ["slow1", "slow2", "bad"] {
        let options = format!(
            "types => '{{{name}}}', timeout => '2 s', retry_schedule => array_fill(interval '5 s', array[9])"
        );
        db.subscribe_at(name, &sick.url(&format!("/{name}")), &options);
    }
    db.subscribe("healthy", &healthy, "types => '{order.*}'");
    for name in ["slow1", "slow2", "bad"] {
        db.emit(name);
    }
    sick.wait_until("three requests", |sick| sick.total() == 3, SOON);
    die(&cluster, &mut db);
    db.emit("order.1");
    healthy.wait_for(1, SOON);
    // Suspects are tried one after another: this one is alone when it kills again.
    sick.wait_until(
        "the bad one alone",
        |sick| requests_to(sick, "/bad") == 2,
        SOON,
    );
    die(&cluster, &mut db);
    db.until(
        "select detail ~ '2 times in a row.* in the step \"send\" with .*event [0-9a-f-]{36} to subscription \"bad\"'
         from herald.doctor() where \"check\" = 'death'",
        "true",
    );
    sick.set_mode(Mode::ok());
    db.emit("order.2");
    // It passes through the pending deliveries before it is taken up, which is no burial.
    cluster.set("herald.dispatch", "queue").expect("a setting");
    db.run("select herald.start_worker()");
    db.settle();
    assert_eq!(healthy.accepted(), 2);
    assert_eq!(
        db.text(
            "select string_agg(format('%s %s', subscription, reason), ', ') from herald.dead_letter"
        ),
        "bad poison"
    );
    assert_eq!(requests_to(&sick, "/bad"), 2);
    // Redelivered by hand, it is a delivery like others.
    db.run("select herald.redeliver_dead_letters('bad')");
    db.settle();
    assert_eq!(requests_to(&sick, "/bad"), 3);
}

#[test]
fn deaths_of_other_processes_do_not_count_as_worker_deaths() {
    let cluster = Cluster::builder()
        .setting("herald.sender_threads", "8")
        .start()
        .expect("a cluster");
    let hanging = receiver_with(Mode::hang_before_answer());
    let mut db = Database::subscribed(&cluster, "others", &hanging, "");
    db.emit("order.paid");
    hanging.wait_until("a request", |hanging| hanging.total() == 1, SOON);

    let backend = db.number("select pg_backend_pid()") as i32;
    cluster.crash(backend).expect("a kill");
    let mut db = Database::of(&cluster, "others");
    hanging.wait_until("a second one", |hanging| hanging.total() == 2, SOON);
    assert_eq!(db.number(DEATHS), 0, "a killed backend");

    cluster.kill9_postmaster().expect("a kill");
    cluster.start().expect("a start");
    let mut db = Database::of(&cluster, "others");
    hanging.wait_until("a third one", |hanging| hanging.total() == 3, SOON);
    assert_eq!(db.number(DEATHS), 0, "a killed postmaster");

    cluster.restart(StopMode::Immediate).expect("a restart");
    let mut db = Database::of(&cluster, "others");
    hanging.wait_until("a fourth one", |hanging| hanging.total() == 4, SOON);
    assert_eq!(db.number(DEATHS), 0, "an immediate stop");

    // As in a power failure: no process is told anything.
    let worker = worker_of(&cluster, "others");
    let postmaster = cluster.postmaster_pid().expect("a postmaster");
    cluster.signal(postmaster, Signal::SIGSTOP).expect("a stop");
    cluster.kill9(worker).expect("a kill");
    cluster.kill9_postmaster().expect("a kill");
    cluster.start().expect("a start");
    let mut db = Database::of(&cluster, "others");
    hanging.wait_until("a fifth one", |hanging| hanging.total() == 5, SOON);
    assert_eq!(db.number(DEATHS), 0, "a killed machine");

    die(&cluster, &mut db);
    db.until(DEATHS, "1");
}

#[test]
fn repeated_deaths_delay_the_next_start_and_start_worker_overrides() {
    let cluster = cluster_with(&[("restart_after_crash", "on")]);
    let (receiver, mut db) = subscribed(&cluster, "delay", "");
    die(&cluster, &mut db);
    // The first death may have been an accident.
    db.emit("after.the.first");
    receiver.wait_for(1, SOON);
    let death = "select status || ': ' || detail from herald.doctor() where \"check\" = 'death'";
    let once = db.text(death);
    assert!(
        once.starts_with("warning: the worker died 1 times in a row"),
        "{once}"
    );
    die(&cluster, &mut db);
    eventually(SOON, "a line of the log", || {
        let words = "died 2 times in a row, the last time in the step \"wait for events\"";
        cluster.log().contains(words).then_some(())
    });
    db.emit("after.the.second");
    // Longer than between two starts of a worker that exits by itself.
    let is_sent = receiver.holds_within(Duration::from_secs(4), |receiver| receiver.total() > 1);
    assert!(!is_sent, "the next one did not wait");
    let twice = db.text(death);
    assert!(
        twice.starts_with("error: the worker died 2 times in a row")
            && twice.contains("it starts again at"),
        "{twice}"
    );
    assert_eq!(cluster.worker_pid("delay").expect("an answer"), None);
    db.run("select herald.start_worker()");
    receiver.wait_for(2, SOON);
    assert!(db.text(death).starts_with("warning: "));
    // After a stop by hand, nothing delays the start.
    cluster.restart(StopMode::Fast).expect("a restart");
    let mut db = Database::of(&cluster, "delay");
    db.emit("after.a.restart");
    receiver.wait_for(3, SOON);
}

#[test]
fn deaths_count_where_the_server_does_not_restart_itself() {
    let cluster = cluster_with(&[("restart_after_crash", "off")]);
    let mut db = Database::new(&cluster, "off");
    for deaths in ["1", "2"] {
        let worker = ready_worker(&cluster, &mut db);
        cluster.signal(worker, Signal::SIGSEGV).expect("a signal");
        eventually(SOON, "the end of the server", || db.simple_query("").err());
        db = eventually(SOON, "a new server", || {
            cluster.start().ok()?;
            Some(Database::with("off", cluster.connect("off").ok()?))
        });
        db.until("select deaths from herald_internal.last_death()", deaths);
    }
    assert_eq!(cluster.worker_pid("off").expect("an answer"), None);
}
