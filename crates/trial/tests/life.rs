//! The worker's life: when it starts and stops, and that it is in nobody's way.

mod common;

use std::fs;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{Database, SOON, receiver, receiver_with};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Mode, Receiver, StopMode};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// PostgreSQL itself waits 5 s for other sessions before it gives up.
const PROMPT: Duration = Duration::from_secs(4);

fn worker_of(cluster: &Cluster, database: &str) -> i32 {
    eventually(SOON, "the worker", || {
        cluster.worker_pid(database).ok().flatten()
    })
}

/// A database whose worker is busy: requests hang, and more are waiting.
fn busy_database(cluster: &Cluster, name: &str) -> Receiver {
    let receiver = receiver_with(Mode::hang_before_answer());
    let mut db = Database::new(cluster, name);
    for n in 0..4 {
        db.subscribe(&format!("hangs.{n}"), &receiver.url("/"), "");
    }
    db.run("select herald.emit('order.' || n) from generate_series(1, 50) n");
    receiver.wait_until("hanging requests", |receiver| receiver.total() >= 2, SOON);
    receiver
}

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
fn dropping_renaming_and_copying_a_busy_database_is_prompt() {
    let _receivers: Vec<Receiver> = [
        "busy_rename",
        "busy_template",
        "busy_drop",
        "busy_extension",
    ]
    .into_iter()
    .map(|name| busy_database(&CLUSTER, name))
    .collect();
    let mut postgres = Database::of(&CLUSTER, "postgres");
    let prompt = |db: &mut Database, sql: &str| {
        let began_at = Instant::now();
        db.run(sql);
        assert!(
            began_at.elapsed() < PROMPT,
            "{sql} took {:?}",
            began_at.elapsed()
        );
    };
    prompt(
        &mut postgres,
        "alter database busy_rename rename to renamed",
    );
    worker_of(&CLUSTER, "renamed");
    prompt(
        &mut postgres,
        "create database busy_copy template busy_template",
    );
    worker_of(&CLUSTER, "busy_template");
    prompt(&mut postgres, "drop database busy_drop");
    let mut db = Database::of(&CLUSTER, "busy_extension");
    prompt(&mut db, "drop extension pg_herald cascade");
    assert_eq!(CLUSTER.worker_pid("busy_extension").unwrap(), None);
    assert_eq!(
        db.number(
            "select count(*) from pg_class where relnamespace::regnamespace::text like 'herald%'"
        ),
        0
    );
    prompt(&mut postgres, "drop database renamed with (force)");
    // A command that fails leaves the worker where it was.
    db.run("create extension pg_herald");
    worker_of(&CLUSTER, "busy_extension");
    db.run("begin; drop extension pg_herald; rollback");
    worker_of(&CLUSTER, "busy_extension");
}

#[test]
fn two_workers_on_one_database_are_impossible() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "two_workers");
    db.subscribe("shop", &receiver.url("/"), "");
    let first = worker_of(&CLUSTER, "two_workers");
    for _ in 0..3 {
        db.run("select herald.start_worker()");
        db.emit("order.paid");
        db.settle();
    }
    // A failed transaction of the worker must not give its place away.
    db.run("begin; lock table herald._attempt in access exclusive mode");
    let mut other = db.session(&CLUSTER);
    other.emit("order.late");
    receiver.wait_for(4, SOON);
    eventually(SOON, "a failure in the log", || {
        CLUSTER
            .log()
            .contains("canceling statement due to lock timeout")
            .then_some(())
    });
    other.run("select herald.start_worker()");
    db.run("commit");
    db.settle();
    let workers = "select count(*) from pg_stat_activity where backend_type = 'pg_herald worker' and datname = current_database()";
    assert_eq!(db.number(workers), 1);
    assert_eq!(worker_of(&CLUSTER, "two_workers"), first);
    let locks = "select count(*) from pg_locks where classid = 'pg_extension'::regclass and mode = 'ExclusiveLock' and granted
                 and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(db.number(locks), 1);
    assert!(receiver.duplicates().is_empty());
}

#[test]
fn a_reload_switches_sending_off_and_on() {
    let cluster = common::cluster();
    let receiver = receiver();
    let mut db = Database::new(&cluster, "switch");
    db.subscribe("shop", &receiver.url("/"), "");
    db.emit("before");
    db.settle();
    cluster.set("herald.enabled", "off").unwrap();
    db.until("select current_setting('herald.enabled')", "off");
    let pid = worker_of(&cluster, "switch");
    assert!(!receiver.holds_within(Duration::from_millis(300), |receiver| receiver.total() > 1));
    db.emit("meanwhile");
    assert!(!receiver.holds_within(Duration::from_millis(500), |receiver| receiver.total() > 1));
    // A test request is sent all the same, and at once.
    for _ in 0..3 {
        let ping = "select outcome from herald.ping('shop', timeout => '1 s')";
        assert_eq!(db.text(ping), "delivered");
    }
    receiver.forget();
    cluster.set("herald.enabled", "on").unwrap();
    receiver.wait_for(1, SOON);
    assert_eq!(worker_of(&cluster, "switch"), pid);
}

#[test]
fn a_stop_with_64_hanging_requests_takes_less_than_3_s() {
    let cluster = Cluster::builder()
        .fsync(false)
        .setting("herald.sender_threads", "64")
        .start()
        .unwrap();
    let receiver = receiver_with(Mode::ok());
    let mut db = Database::new(&cluster, "hanging");
    for n in 0..8 {
        db.subscribe(
            &format!("shop.{n}"),
            &receiver.url("/"),
            "max_concurrency => 8",
        );
    }
    db.emit("proves.the.receiver");
    db.settle();
    receiver.set_mode(Mode::hang_before_answer());
    db.run("select herald.emit('order.' || n) from generate_series(1, 20) n");
    receiver.wait_until(
        "64 hanging requests",
        |receiver| receiver.total() >= 8 + 64,
        SOON,
    );
    drop(db);
    let took = cluster.stop(StopMode::Fast).unwrap();
    assert!(took < Duration::from_secs(3), "{took:?}");
    receiver.set_mode(Mode::ok());
    receiver.shut_connections();
    cluster.start().unwrap();
    let mut db = Database::of(&cluster, "hanging");
    db.settle();
    assert_eq!(receiver.accepted(), 21);
    assert_eq!(
        db.number("select count(*) from herald.attempt where outcome = 'delivered'"),
        8 * 21
    );
}

#[test]
fn an_idle_worker_takes_no_transaction_id_and_writes_no_wal() {
    let cluster = Cluster::builder()
        .fsync(false)
        .setting("herald.poll_interval", "50ms")
        .setting("autovacuum", "off")
        .setting("checkpoint_timeout", "1h")
        .start()
        .unwrap();
    let receiver = receiver();
    let mut db = Database::new(&cluster, "idle");
    db.subscribe("shop", &receiver.url("/"), "");
    db.emit("order.paid");
    db.settle();
    db.until("select count(*) from herald.config_change", "0");
    let used = "select format('%s %s', pg_snapshot_xmax(pg_current_snapshot()), pg_current_wal_insert_lsn())";
    // The server itself logs its running transactions now and then, so one quiet stretch of several is enough.
    eventually(SOON * 3, "a second without xid and WAL", || {
        let before = db.text(used);
        std::thread::sleep(Duration::from_secs(1));
        (db.text(used) == before).then_some(())
    });
}

#[test]
fn all_threads_have_all_signals_blocked() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "signals");
    db.subscribe("shop", &receiver.url("/"), "");
    db.emit("order.paid");
    db.settle();
    let pid = worker_of(&CLUSTER, "signals");
    let mut threads = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let task = task.unwrap();
        if task.file_name().to_string_lossy() == pid.to_string() {
            continue;
        }
        let status = fs::read_to_string(task.path().join("status")).unwrap();
        let blocked = status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:"))
            .unwrap();
        let blocked = u64::from_str_radix(blocked.trim(), 16).unwrap();
        // All that a process can be sent: HUP, INT, QUIT, USR1, USR2, ALRM, TERM, CHLD.
        for signal in [1, 2, 3, 10, 12, 14, 15, 17] {
            assert!(
                blocked >> (signal - 1) & 1 == 1,
                "signal {signal} is not blocked: {blocked:x}"
            );
        }
        threads += 1;
    }
    assert!(threads >= 16, "{threads} threads");
}

#[test]
fn without_preload_the_worker_runs_when_it_is_asked_to() {
    let cluster = Cluster::builder()
        .fsync(false)
        .preload(false)
        .setting("herald.poll_interval", "100ms")
        .start()
        .unwrap();
    let receiver = receiver();
    let mut db = Database::new(&cluster, "no_preload");
    db.subscribe("shop", &receiver.url("/"), "");
    db.emit("order.paid");
    db.run("select herald.start_worker()");
    receiver.wait_for(1, SOON);
    db.emit("order.again");
    receiver.wait_for(2, SOON);
    let ping = db.refusal("select herald.ping('shop')");
    assert!(
        common::hint(&ping).contains("restart the server"),
        "{ping:?}"
    );
    db.run("select herald.stop_worker()");
    assert_eq!(cluster.worker_pid("no_preload").unwrap(), None);
    db.run("drop extension pg_herald");
}

#[test]
fn a_worker_that_is_started_beside_another_leaves_it_the_database() {
    // Without preload, nothing but the lock keeps a second worker away.
    let cluster = Cluster::builder()
        .fsync(false)
        .preload(false)
        .setting("herald.poll_interval", "100ms")
        .setting("log_min_messages", "debug1")
        .start()
        .unwrap();
    let receiver = receiver();
    let mut db = Database::new(&cluster, "beside");
    db.subscribe("shop", &receiver.url("/"), "");
    db.run("select herald.start_worker()");
    db.emit("order.paid");
    receiver.wait_for(1, SOON);
    let first = worker_of(&cluster, "beside");
    for _ in 0..2 {
        db.run("select herald.start_worker()");
    }
    eventually(SOON, "two more workers to leave", || {
        let log = cluster.log();
        let left = log.lines().filter(|line| {
            line.contains("\"pg_herald worker\" (PID") && line.contains("exited with exit code 0")
        });
        (left.count() == 2).then_some(())
    });
    db.emit("order.again");
    db.settle();
    assert_eq!(worker_of(&cluster, "beside"), first);
    assert_eq!(receiver.total(), 2);
}
