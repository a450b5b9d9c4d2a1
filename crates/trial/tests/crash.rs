//! Crashes under load: exactly what was committed is delivered, whatever dies at whatever moment.
//!
//! A round counts only if requests were in flight and a commit was acknowledged in the last 100 ms before the fault.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use common::{Database, SOON, receiver_with_receipts, subscribed};
use herald_trial::clock::now_micros;
use herald_trial::receiver::Receiver;
use herald_trial::wait::{eventually, within};
use herald_trial::workload::{committed_changes, insert_change};
use herald_trial::{Cluster, Mode, StopMode, Verdict, Workload};
use nix::sys::signal::Signal;

const ROUNDS: usize = 10;

#[derive(Debug, Clone, Copy)]
enum Fault {
    KillWorker,
    KillPostmaster,
    Immediate,
    Fast,
    TerminateWorker,
}

/// The faults, in an order in which each follows others.
const FAULTS: [Fault; 10] = [
    Fault::KillWorker,
    Fault::KillPostmaster,
    Fault::Immediate,
    Fault::Fast,
    Fault::KillPostmaster,
    Fault::TerminateWorker,
    Fault::KillWorker,
    Fault::Immediate,
    Fault::KillPostmaster,
    Fault::KillWorker,
];

#[test]
fn ten_crashes_under_load_lose_nothing_and_send_nothing_uncommitted() {
    let cluster = Cluster::builder()
        .setting("herald.sender_threads", "8")
        .setting("herald.poll_interval", "200ms")
        .setting("restart_after_crash", "on")
        .start()
        .expect("a cluster with fsync");
    let (receiver, receipts) = receiver_with_receipts(Mode::delayed(Duration::from_millis(5)));
    let mut db = Database::new(&cluster, "crash");
    let last_commit = Arc::new(AtomicI64::new(0));
    let workload = Workload::prepare(&cluster, "crash").expect("tables");
    db.run("select herald.watch('trial.change')");
    db.subscribe(
        "shop",
        &receiver,
        "retry_schedule => '{100 ms,100 ms,1 s,1 s,1 s}', timeout => '5 s'",
    );
    drop(db);

    let heard = Arc::clone(&last_commit);
    let running = workload
        .clients(6)
        .endless()
        .rate(300.0)
        .seed(20)
        .change(move |change| {
            // A transaction is about to begin, so this client's last one has ended.
            heard.store(now_micros(), Ordering::Relaxed);
            insert_change(change)
        })
        .start();

    let mut counted = 0;
    for (round, fault) in FAULTS.into_iter().cycle().enumerate() {
        assert!(
            round < 2 * ROUNDS,
            "only {counted} of {round} rounds were under load"
        );
        let before = receipts.accepted();
        eventually(SOON, "deliveries between two faults", || {
            (receipts.accepted() > before + 60).then_some(())
        });
        // Strike at varying moments of the 10 ms in which the worker gathers its records.
        std::thread::sleep(Duration::from_micros((round as u64 * 2_711) % 10_000));
        let is_under_load = is_under_load(&receiver, &last_commit);
        cluster.forget_deaths().expect("its notes");
        commit_fault(&cluster, fault);
        cluster.wait_until_ready().expect("the server is back");
        counted += usize::from(is_under_load);
        let duplicates: u32 = receiver
            .duplicates()
            .iter()
            .map(|(_, times)| times - 1)
            .sum();
        println!(
            "round {round}: {fault:?}, {} delivered, {duplicates} duplicates so far",
            receipts.accepted()
        );
        if counted >= ROUNDS {
            break;
        }
    }
    let tally = running.stop().expect("the clients end");
    let mut db = Database::of(&cluster, "crash");
    db.settle();

    let committed = committed_changes(&mut db).expect("the truth");
    let verdict = Verdict::new(&committed, &receipts);
    println!("{verdict}; {tally:?}");
    assert!(verdict.is_clean(), "{verdict}");
    assert!(committed.len() > 500 && tally.reconnects > 0, "{tally:?}");
    assert_eq!(receiver.invalid_signatures(), 0);
    assert_eq!(db.count("herald.dead_letter"), 0);
    // Everything received and accepted is recorded, and nothing is left over.
    assert_eq!(db.count("herald.pending"), 0);
    assert_eq!(
        db.number(
            "select count(distinct event_seq) from herald.attempt where outcome = 'delivered'"
        ),
        committed.len() as i64
    );
}

/// Returns true if a commit just ended and a request comes in at once.
fn is_under_load(receiver: &Receiver, last_commit: &AtomicI64) -> bool {
    let requests = receiver.total();
    let was_busy = now_micros() - last_commit.load(Ordering::Relaxed) < 100_000;
    let in_flight = within(Duration::from_millis(50), || {
        (receiver.total() > requests).then_some(())
    });
    was_busy && in_flight.is_some()
}

#[test]
fn a_window_that_is_read_again_sends_only_what_was_not_recorded() {
    let cluster = Cluster::builder().start().expect("a cluster with fsync");
    let (quick, slow) = (
        common::receiver(),
        common::receiver_with(Mode::hang_before_answer()),
    );
    let mut db = Database::new(&cluster, "again");
    db.subscribe("quick", &quick, "");
    db.subscribe("slow", &slow, "");
    db.run("select herald.emit('order.' || n) from generate_series(1, 10) n");
    // The hanging request keeps the window open while the other subscription's deliveries are recorded.
    db.until("select count(*) from herald.attempt", "10");
    slow.wait_until("a hanging request", |receiver| receiver.total() == 1, SOON);
    db.run("checkpoint");
    cluster.kill9_postmaster().expect("the fault");
    slow.set_mode(Mode::ok());
    slow.shut_connections();
    cluster.start().expect("a restart");
    let mut db = Database::of(&cluster, "again");
    db.settle();
    assert_eq!((quick.total(), quick.accepted()), (10, 10));
    assert_eq!((slow.total(), slow.accepted()), (11, 10));
    assert_eq!(db.count("herald.attempt"), 20);
}

#[test]
fn what_was_sent_survives_a_crash_although_its_commit_was_asynchronous() {
    let cluster = Cluster::builder()
        .setting("wal_writer_delay", "10s")
        .setting("autovacuum", "off")
        .start()
        .expect("a cluster with fsync");
    let receiver = common::receiver_with(Mode::hang_before_answer());
    let mut db = Database::subscribed(&cluster, "asynchronous", &receiver, "");
    db.run("set synchronous_commit = off");
    // Whatever its delay, the WAL writer writes full pages, and so occasionally a commit that nobody flushed.
    let wal_writer =
        db.number("select pid from pg_stat_activity where backend_type = 'walwriter'") as i32;
    cluster.signal(wal_writer, Signal::SIGSTOP).expect("a stop");
    let uid = db.emit("order.paid");
    receiver.wait_until("the request", |receiver| receiver.total() == 1, SOON);
    cluster.kill9_postmaster().expect("the fault");
    cluster.kill9(wal_writer).expect("the end of its children");
    receiver.set_mode(Mode::ok());
    receiver.shut_connections();
    cluster.start().expect("a restart");
    let mut db = Database::of(&cluster, "asynchronous");
    assert_eq!(
        db.text("select string_agg(uid::text, ' ') from herald.event"),
        uid
    );
    db.settle();
    assert_eq!(
        (receiver.attempts(&uid), receiver.distinct_ids().len()),
        (2, 1)
    );
}

fn commit_fault(cluster: &Cluster, fault: Fault) {
    let worker = || {
        eventually(SOON, "the worker", || {
            cluster.worker_pid("crash").ok().flatten()
        })
    };
    match fault {
        Fault::KillWorker => cluster.crash(worker()),
        Fault::KillPostmaster => cluster.kill9_postmaster().and_then(|()| cluster.start()),
        Fault::Immediate => cluster.restart(StopMode::Immediate).map(drop),
        Fault::Fast => cluster.restart(StopMode::Fast).map(drop),
        Fault::TerminateWorker => {
            let sql = format!("select pg_terminate_backend({})", worker());
            cluster.psql("crash", &sql).map(drop)
        }
    }
    .expect("the fault");
}

#[test]
fn a_crash_in_the_middle_of_a_large_window_that_matches_late_loses_nothing() {
    let cluster = Cluster::builder().start().unwrap();
    let (receiver, mut db) = subscribed(&cluster, "large", "types => '{order.*}'");
    let is_over = AtomicBool::new(false);
    let mut small = 0;
    thread::scope(|scope| {
        // Later windows match while the large one is read.
        let mut session = db.session(&cluster);
        let is_over = &is_over;
        let writer = scope.spawn(move || {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                // The crash also ends the session.
                if session
                    .batch_execute("select herald.emit('order.small', '{}')")
                    .is_ok()
                {
                    count += 1;
                }
                thread::sleep(Duration::from_millis(2));
            }
            count
        });
        db.run(
            "begin;
             select count(herald.emit('nobody', '{}')) from generate_series(1, 40000);
             select count(herald.emit('order.large', '{}')) from generate_series(1, 10);
             commit",
        );
        thread::sleep(Duration::from_millis(150));
        let worker = common::worker_of(&cluster, "large");
        is_over.store(true, Ordering::Relaxed);
        small = writer.join().unwrap();
        cluster.crash(worker).unwrap();
    });
    let mut db = Database::of(&cluster, "large");
    db.settle_within(SOON * 3);
    let of = |event_type| distinct_of(&receiver, event_type);
    assert_eq!((of("order.large"), of("order.small")), (10, small));
}

/// Returns how many different events of a type a receiver accepted.
fn distinct_of(receiver: &Receiver, event_type: &str) -> usize {
    let requests = receiver.requests();
    let ids: BTreeSet<&str> = requests
        .iter()
        .filter(|request| common::text_at(request, "/type") == event_type)
        .filter_map(|request| request.webhook_id.as_deref())
        .collect();
    ids.len()
}
