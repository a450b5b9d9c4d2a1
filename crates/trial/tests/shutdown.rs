//! Stops and restarts: quick whatever is under way; they lose nothing, and what was recorded is not sent again.

mod common;

use std::thread;
use std::time::Duration;

use common::{
    Database, SOON, cluster_with, receiver, receiver_with, receiver_with_receipts, worker_of,
};
use herald_trial::cluster::Builder;
use herald_trial::receiver::Receiver;
use herald_trial::wait::eventually_holds;
use herald_trial::workload::Change;
use herald_trial::{Cluster, Mode, StopMode, Verdict, at_size, figure};

/// The promise is 3 s; a shared machine gets more where that is not measured.
const QUICK: Duration = Duration::from_secs(10);

fn with_64_threads() -> Builder {
    Cluster::builder()
        .fsync(false)
        .setting("herald.sender_threads", "64")
}

/// Eight subscriptions that share the threads.
const LANES: u64 = 8;

fn subscribe_lanes(db: &mut Database, receiver: &Receiver) {
    for n in 0..LANES {
        let options = "max_concurrency => 8, timeout => '5 min'";
        db.subscribe(&format!("shop.{n}"), receiver, options);
    }
    // Each lane needs a success; otherwise it gets only one thread.
    db.emit("proves.the.receiver");
    db.settle();
}

/// Counts requests as accepted, but does not answer them before the stop.
fn unanswered() -> Mode {
    Mode::delayed(Duration::from_secs(300))
}

#[test]
fn a_stop_with_64_hanging_requests_takes_less_than_3_s() {
    let cluster = with_64_threads().start().unwrap();
    let receiver = receiver_with(Mode::ok());
    let mut db = Database::new(&cluster, "hanging");
    subscribe_lanes(&mut db, &receiver);
    let (mut events, mut stops) = (1, Vec::new());
    let mut again = 0;
    for _ in 0..at_size(2, 50) {
        let before = receiver.total();
        receiver.set_mode(unanswered());
        db.run("select herald.emit('order.' || n) from generate_series(1, 20) n");
        events += 20;
        receiver.wait_until(
            "64 hanging requests",
            |receiver| receiver.total() >= before + 64,
            SOON,
        );
        drop(db);
        stops.push(cluster.stop(StopMode::Fast).unwrap());
        receiver.set_mode(Mode::ok());
        receiver.shut_connections();
        cluster.start().unwrap();
        db = Database::of(&cluster, "hanging");
        // Not all can be proven again in a moment: a lane that saw its requests hang starts with one.
        db.settle();
        again += receiver.total() - before - LANES * 20;
    }
    stops.sort();
    let (median, worst) = (stops[stops.len() / 2], stops[stops.len() - 1]);
    figure("stops", stops.len());
    figure(
        "stop with 64 hanging requests, median, ms",
        median.as_millis(),
    );
    figure(
        "stop with 64 hanging requests, worst, ms",
        worst.as_millis(),
    );
    figure("requests made again after all stops", again);
    assert_eq!(receiver.accepted(), events, "nothing is lost");
    let delivered = db.number("select count(*) from herald.attempt where outcome = 'delivered'");
    assert_eq!(delivered as u64, LANES * events as u64);
    assert!(worst < QUICK, "{worst:?}");
    assert!(median < Duration::from_secs(5), "{median:?}");
}

#[test]
fn a_stop_does_not_wait_for_a_synchronous_standby_that_is_gone() {
    let cluster = with_64_threads()
        .setting("synchronous_standby_names", "gone")
        .start()
        .unwrap();
    let receiver = receiver_with(Mode::ok());
    let local = |database: &str| {
        let mut config = cluster.config(database);
        config.options("-c synchronous_commit=local");
        config.connect(postgres::NoTls).unwrap()
    };
    local("postgres")
        .batch_execute("create database standby")
        .unwrap();
    local("standby")
        .batch_execute("create extension pg_herald")
        .unwrap();
    let session = || {
        let mut db = Database::of(&cluster, "standby");
        db.run("set synchronous_commit = local");
        db
    };
    let mut db = session();
    subscribe_lanes(&mut db, &receiver);
    let mut worst = Duration::ZERO;
    let rounds = at_size(1, 5);
    for _ in 0..rounds {
        receiver.set_mode(unanswered());
        let before = receiver.total();
        db.run("select herald.emit('order.' || n) from generate_series(1, 20) n");
        receiver.wait_until("hanging", |receiver| receiver.total() >= before + 64, SOON);
        // A client whose commit hangs: its event is not visible yet, so it is not sent.
        let mut waits = Database::of(&cluster, "standby");
        let client = thread::spawn(move || waits.batch_execute("select herald.emit('hangs')"));
        db.until(
            "select count(*) from pg_stat_activity where wait_event = 'SyncRep'",
            "1",
        );
        drop(db);
        worst = worst.max(cluster.stop(StopMode::Fast).unwrap());
        // The client was told that it is committed here, if not on the standby.
        client.join().unwrap().ok();
        receiver.set_mode(Mode::ok());
        receiver.shut_connections();
        cluster.start().unwrap();
        db = session();
        db.settle();
    }
    assert_eq!(receiver.accepted(), 1 + rounds * 21);
    figure(
        "worst stop without the synchronous standby, ms",
        worst.as_millis(),
    );
    assert!(worst < QUICK, "{worst:?}");
}

#[test]
fn a_stop_during_the_fan_out_of_a_huge_statement_is_quick() {
    let cluster = with_64_threads().start().unwrap();
    let (receiver, receipts) = receiver_with_receipts(Mode::ok());
    let mut db = Database::new(&cluster, "fan_out");
    db.run("create table change (client int, seq bigint); select herald.watch('change')");
    db.subscribe("shop", &receiver, "max_concurrency => 64");
    let rows = at_size(3_000, 200_000);
    db.run(&format!(
        "insert into change select 1, n from generate_series(1, {rows}) n"
    ));
    let mut worst = Duration::ZERO;
    let stops = at_size(2, 5);
    for stop in 1..=stops {
        // Spread over the first half.
        let sent = rows as usize / 2 * stop / stops;
        receiver.wait_until(
            &format!("{sent} changes"),
            |_| receipts.accepted() >= sent,
            SOON * 90,
        );
        drop(db);
        worst = worst.max(cluster.stop(StopMode::Fast).unwrap());
        cluster.start().unwrap();
        db = Database::of(&cluster, "fan_out");
    }
    let committed = (1..=rows).map(|seq| Change { client: 1, seq }).collect();
    let verdict = eventually_holds(
        SOON * 90,
        "all of the statement",
        || Verdict::new(&committed, &receipts),
        |verdict| verdict.lost.is_empty(),
    );
    figure("rows of the statement", rows);
    figure("worst stop during the fan-out, ms", worst.as_millis());
    figure("after the stops", &verdict);
    assert!(verdict.is_clean(), "{verdict}");
    assert!(worst < QUICK, "{worst:?}");
}

#[test]
fn what_was_committed_while_the_worker_was_away_is_not_left_to_the_poll() {
    let cluster = cluster_with(&[("herald.poll_interval", "60s")]);
    let (receiver, hanging) = (receiver(), receiver_with(Mode::hang_before_answer()));
    let mut db = Database::subscribed(&cluster, "away", &receiver, "");
    db.subscribe("hangs", &hanging, "");
    db.emit("before");
    receiver.wait_for(1, SOON);
    hanging.wait_until("a request", |hanging| hanging.total() > 0, SOON);
    // The next worker begins with a window that this worker leaves open.
    db.run("select herald.stop_worker()");
    db.emit("meanwhile");
    db.run("select herald.start_worker()");
    worker_of(&cluster, "away");
    receiver.wait_for(2, SOON);
}

#[test]
fn restarts_send_nothing_again_and_lose_nothing() {
    let cluster = Cluster::builder()
        .setting("herald.sender_threads", "8")
        .start()
        .expect("a cluster");
    let receiver = receiver_with(Mode::delayed(Duration::from_millis(3)));
    let mut db = Database::subscribed(&cluster, "restarts", &receiver, "");
    let emit = "do $$ begin for n in 1..200 loop perform herald.emit('order.paid'); commit; end loop; end $$";
    for round in 0..5 {
        db.run(emit);
        match round {
            0 => db.run("select herald.restart_worker()"),
            1 => db.run("select pg_terminate_backend(herald_internal.worker_pid())"),
            2 => {
                cluster.restart(StopMode::Fast).unwrap();
                db = Database::of(&cluster, "restarts");
            }
            3 => db.run("select herald.stop_worker()"),
            _ => {}
        }
        if round == 3 {
            db.run(emit);
            db.run("select herald.start_worker()");
        }
    }
    db.settle();
    assert_eq!(receiver.accepted(), 1_200);
    assert_eq!(
        receiver.total(),
        1_200,
        "an orderly stop waits for what is under way: {receiver:?}"
    );

    // A crash may repeat what was under way or not yet recorded, but nothing recorded on disk.
    db.run("checkpoint");
    cluster.restart(StopMode::Immediate).unwrap();
    let mut db = Database::of(&cluster, "restarts");
    db.emit("order.after");
    db.settle();
    receiver.wait_for(1_201, SOON);
    assert_eq!(receiver.total(), 1_201);
}
