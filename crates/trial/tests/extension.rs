//! The extension comes and goes, its worker with it, and nobody else notices.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Database, SOON, receiver, receiver_with, receiver_with_receipts, rows, worker_of};
use herald_trial::receiver::Receiver;
use herald_trial::wait::{eventually, eventually_holds};
use herald_trial::workload::committed_changes;
use herald_trial::{Cluster, Mode, Verdict, Workload, at_size, figure};
use postgres::Client;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn the_worker_starts_with_the_extension_and_not_when_that_is_rolled_back() {
    let mut db = CLUSTER.create_database("rolled_back_extension").unwrap();
    db.batch_execute("begin; create extension pg_herald; rollback")
        .unwrap();
    assert_eq!(CLUSTER.worker_pid("rolled_back_extension").unwrap(), None);
    drop(db);
    let mut db = Database::of(&CLUSTER, "rolled_back_extension");
    db.run("create extension pg_herald");
    let first = worker_of(&CLUSTER, "rolled_back_extension");
    db.run("drop extension pg_herald");
    assert_eq!(CLUSTER.worker_pid("rolled_back_extension").unwrap(), None);
    db.run("create extension pg_herald");
    assert_ne!(worker_of(&CLUSTER, "rolled_back_extension"), first);
}

#[test]
fn a_transaction_that_creates_the_extension_may_use_it_at_once() {
    let receiver = receiver();
    CLUSTER.create_database("migration").unwrap();
    let mut db = Database::of(&CLUSTER, "migration");
    db.run("begin; create table before_that ()");
    // Another transaction begins later and ends first: a snapshot then counts the transaction that takes it as over.
    Database::of(&CLUSTER, "postgres").run("create table elsewhere (); drop table elsewhere");
    db.run("create extension pg_herald");
    db.subscribe("shop", &receiver, "");
    db.watched_table();
    db.run("insert into note values (1, 'in the same transaction'); commit");
    receiver.wait_for(1, SOON);
}

/// deadlock_detected.
const DEADLOCK: &str = "40P01";

/// The errors of a client that repeats a statement, by SQLSTATE.
type Refusals = BTreeMap<String, u64>;

fn again_and_again(mut session: Client, sql: &str, is_over: &AtomicBool) -> (u64, Refusals) {
    let (mut done, mut refusals) = (0, Refusals::new());
    while !is_over.load(Ordering::SeqCst) {
        match session.batch_execute(sql) {
            Ok(()) => done += 1,
            Err(error) => {
                let code = error.code().expect("the server says no").code().to_owned();
                *refusals.entry(code).or_default() += 1;
            }
        }
        // Sessions that wait for the same locks get their turn.
        thread::sleep(Duration::from_millis(1));
    }
    (done, refusals)
}

#[test]
fn creating_and_dropping_the_extension_under_load_harms_nobody() {
    let (receiver, receipts) = receiver_with_receipts(Mode::ok());
    let mut steady = Database::new(&CLUSTER, "steady");
    let workload = Workload::prepare(&CLUSTER, "steady").unwrap();
    steady.run("select herald.watch('trial.change')");
    steady.subscribe("shop", &receiver, "");
    let steady_worker = worker_of(&CLUSTER, "steady");
    let launcher = CLUSTER.launcher_pid().unwrap().expect("a launcher");
    let files_of_launcher = || {
        fs::read_dir(format!("/proc/{launcher}/fd"))
            .unwrap()
            .count()
    };
    let files_before = files_of_launcher();

    CLUSTER.create_database("comes_and_goes").unwrap();
    let mut db = Database::of(&CLUSTER, "comes_and_goes");
    db.run("create table plain (n bigint); create table note (n bigint)");
    let rounds = at_size(3, 100);
    let is_over = AtomicBool::new(false);
    let (log_before, began_at) = (CLUSTER.log().len(), Instant::now());
    let running = workload.clients(2).endless().rate(50.0).start();
    let (longest, plain, watched) = thread::scope(|scope| {
        let client = |sql: &'static str| {
            let (session, is_over) = (CLUSTER.connect("comes_and_goes").unwrap(), &is_over);
            scope.spawn(move || again_and_again(session, sql, is_over))
        };
        let plain = client("insert into plain values (1)");
        let watched = client("insert into note values (1)");
        let mut longest = Longest::default();
        for _ in 0..rounds {
            longest.come_and_go(&mut db, &receiver);
        }
        is_over.store(true, Ordering::SeqCst);
        (longest, plain.join().unwrap(), watched.join().unwrap())
    });
    let minutes = began_at.elapsed().as_secs_f64() / 60.0;
    let log = CLUSTER.log()[log_before..].lines().count();
    eventually(SOON, "no worker without extension", || {
        CLUSTER
            .worker_pid("comes_and_goes")
            .unwrap()
            .is_none()
            .then_some(())
    });
    running.stop().unwrap();
    steady.settle();
    let verdict = Verdict::new(&committed_changes(&mut steady).unwrap(), &receipts);
    assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict}");
    assert_eq!(worker_of(&CLUSTER, "steady"), steady_worker);
    assert_eq!(plain.1, Refusals::new());
    // Writers to a watched table and DROP EXTENSION take the same locks in different orders.
    assert!(watched.1.keys().all(|code| code == DEADLOCK), "{watched:?}");
    assert!(longest.drop < Duration::from_secs(10), "{longest:?}");
    eventually_holds(
        SOON,
        "no more open files than before",
        files_of_launcher,
        |files| *files <= files_before,
    );
    figure("rounds", rounds);
    figure("longest DROP EXTENSION, ms", longest.drop.as_millis());
    figure("longest CREATE EXTENSION, ms", longest.create.as_millis());
    figure(
        "DROP EXTENSION tried again after a deadlock",
        longest.tried_again,
    );
    figure("statements on other tables of the database", plain.0);
    figure(
        "refusals of writers to the watched table",
        format!("{:?} of {}", watched.1, watched.0),
    );
    figure("lines of log a minute", (log as f64 / minutes).round());
    figure("the other database", verdict);
}

/// How long the statements of some rounds took at most.
#[derive(Debug, Default)]
struct Longest {
    create: Duration,
    drop: Duration,
    /// How often DROP EXTENSION was tried again after a deadlock.
    tried_again: u32,
}

impl Longest {
    /// Creates the extension, subscribes and watches, and drops it again.
    fn come_and_go(&mut self, db: &mut Database, receiver: &Receiver) {
        let created_at = Instant::now();
        db.run("create extension pg_herald");
        self.create = self.create.max(created_at.elapsed());
        worker_of(&CLUSTER, "comes_and_goes");
        db.subscribe_at("shop", &receiver.url("/other"), "");
        db.run("select herald.watch('note')");
        let dropped_at = Instant::now();
        while let Err(error) = db.batch_execute("drop extension pg_herald cascade") {
            assert_eq!(error.code().expect("the server says no").code(), DEADLOCK);
            self.tried_again += 1;
        }
        self.drop = self.drop.max(dropped_at.elapsed());
    }
}

#[test]
fn extensions_that_come_back_at_once_have_their_worker() {
    let mut db = Database::new(&CLUSTER, "at_once");
    for _ in 0..at_size(4, 100) {
        db.run("drop extension pg_herald");
        db.run("create extension pg_herald");
    }
    worker_of(&CLUSTER, "at_once");
}

#[test]
fn sessions_that_end_during_a_ping_leave_room_for_others() {
    let receiver = receiver_with(Mode::hang_before_answer());
    let mut db = Database::subscribed(&CLUSTER, "pings", &receiver, "");
    // A ping is refused until the worker has announced itself.
    db.until("select herald_internal.worker_pid() is not null", "true");
    let pinging = "select count(*) from pg_stat_activity where query like 'select herald.ping%'";
    let waiting = format!("{pinging} and wait_event = 'Extension'");
    // More sessions than there are places, but none beside sessions that are about to leave.
    for _ in 0..4 {
        let sessions: Vec<_> = (0..4)
            .map(|_| {
                thread::spawn(|| {
                    let mut session = CLUSTER.connect("pings").unwrap();
                    session.batch_execute("select herald.ping('shop', timeout => '1 min')")
                })
            })
            .collect();
        db.until(&waiting, "4");
        db.run(
            "select pg_terminate_backend(pid) from pg_stat_activity where query like 'select herald.ping%'",
        );
        for session in sessions {
            let _ = session.join().unwrap();
        }
        db.until(pinging, "0");
        // Frees the worker's threads for the next round.
        receiver.shut_connections();
    }
    receiver.set_mode(Mode::ok());
    let ping = "select outcome from herald.ping('shop', timeout => '20 s')";
    assert_eq!(db.text(ping), "delivered");
}

/// Creates the extension, or returns the error's message and detail.
fn create_extension(db: &mut Client) -> Result<(), (String, String)> {
    db.batch_execute("create extension pg_herald")
        .map_err(|error| {
            let error = error.as_db_error().unwrap();
            (
                error.message().to_owned(),
                error.detail().unwrap_or_default().to_owned(),
            )
        })
}

#[test]
fn a_schema_that_somebody_else_made_is_refused() {
    let mut db = CLUSTER.create_database("squatted").unwrap();
    db.batch_execute(
        "create role squatter; create role friend; grant create on database squatted to squatter",
    )
    .unwrap();
    let refused = r"
        herald | set role squatter; create schema herald; reset role | It belongs to squatter, who is no superuser.
        herald | create schema herald authorization squatter | It belongs to squatter, who is no superuser.
        herald | create schema herald; create function herald.emit() returns text language sql return 'mine' | It is not empty.
        herald | create schema herald; create table herald.t () | It is not empty.
        herald | create schema herald; grant create on schema herald to friend | friend may create objects in it.
        herald | create schema herald; grant all on schema herald to public | public may create objects in it.
        herald_watch | create schema herald_watch authorization squatter | It belongs to squatter, who is no superuser.
        herald_internal | create schema herald_internal authorization squatter | It belongs to squatter, who is no superuser.
        herald_internal | create schema herald_internal; create function herald_internal.perhaps(text, text[]) returns text language sql return 'mine' | It is not empty.
        herald_watch | create schema herald_watch; create table herald_watch.t () | It is not empty.
    ";
    for [schema, made, why] in rows(refused) {
        db.batch_execute(made).unwrap();
        let refused = create_extension(&mut db).unwrap_err();
        assert_eq!(
            (refused.0.as_str(), refused.1.as_str()),
            (
                &*format!("schema \"{schema}\" exists and cannot be trusted"),
                why
            ),
            "{made}"
        );
        db.batch_execute(&format!("drop schema {schema} cascade"))
            .unwrap();
    }
    // As left by a restore or by DROP EXTENSION.
    db.batch_execute(
        "create schema herald; create schema herald_internal; create schema herald_watch",
    )
    .unwrap();
    create_extension(&mut db).unwrap();
    db.batch_execute("drop extension pg_herald").unwrap();
    create_extension(&mut db).unwrap();
}

#[test]
fn without_preload_a_worker_ends_with_its_extension() {
    let cluster = Cluster::builder()
        .preload(false)
        .fsync(false)
        .setting("herald.poll_interval", "200ms")
        .start()
        .expect("a cluster starts");
    let receiver = receiver();
    let mut db = Database::with(
        "again",
        cluster.create_database("again").expect("a database"),
    );
    let workers = "select count(*) from pg_stat_activity where backend_type = 'pg_herald worker'";
    for open_for in [0, 0, 1] {
        // The worker starts before the extension is committed.
        db.run(&format!(
            "create extension pg_herald; select herald.start_worker(); select pg_sleep({open_for})"
        ));
        db.until(workers, "1");
        db.subscribe("shop", &receiver, "");
        db.emit("order.paid");
        db.settle();
        db.run("drop extension pg_herald cascade");
    }
    db.until(workers, "0");
    assert_eq!(receiver.distinct_ids().len(), 3);
}
