//! The worker's life: when it starts and stops, and that it blocks nobody.

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, launcher_of, receiver, subscribed, worker_of};
use herald_trial::Cluster;
use herald_trial::wait::eventually;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn two_workers_on_one_database_are_impossible() {
    let (receiver, mut db) = subscribed(&CLUSTER, "two_workers", "");
    let first = worker_of(&CLUSTER, "two_workers");
    for _ in 0..3 {
        db.run("select herald.start_worker()");
        db.emit("order.paid");
        db.settle();
    }
    // A failed transaction of the worker must not give its place away.
    db.run("begin; lock table herald_internal.attempt in access exclusive mode");
    let mut other = db.session(&CLUSTER);
    other.emit("order.late");
    receiver.wait_for(4, SOON);
    eventually(SOON, "a failure in the log", || {
        CLUSTER
            .log()
            .contains("outcomes wait until other sessions release their locks")
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
    let (receiver, mut db) = subscribed(&cluster, "switch", "");
    db.emit("before");
    db.settle();
    cluster.set("herald.enabled", "off").unwrap();
    db.until("select current_setting('herald.enabled')", "off");
    let pid = worker_of(&cluster, "switch");
    assert!(!receiver.holds_within(Duration::from_millis(300), |receiver| receiver.total() > 1));
    db.emit("meanwhile");
    assert!(!receiver.holds_within(Duration::from_millis(500), |receiver| receiver.total() > 1));
    // A ping is sent all the same, and at once.
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
fn a_restarted_worker_uses_settings_of_the_restarting_transaction() {
    let (receiver, mut db) = subscribed(&CLUSTER, "restarted", "");
    db.emit("before");
    db.settle();
    db.run(
        "begin; alter database restarted set herald.enabled = off; select herald.restart_worker()",
    );
    // It must not start before the setting is committed.
    assert!(!receiver.holds_within(Duration::from_millis(300), |_| {
        CLUSTER.worker_pid("restarted").unwrap().is_some()
    }));
    db.run("commit");
    worker_of(&CLUSTER, "restarted");
    db.emit("while.off");
    assert!(!receiver.holds_within(Duration::from_millis(300), |receiver| receiver.total() > 1));
    db.run("begin; alter database restarted reset herald.enabled; select herald.restart_worker(); rollback");
    worker_of(&CLUSTER, "restarted");
    db.run("alter database restarted reset herald.enabled; select herald.restart_worker()");
    receiver.wait_for(2, SOON);
}

#[test]
fn a_launcher_that_was_terminated_comes_back_and_leaves_stopped_workers_alone() {
    let cluster = common::cluster();
    let receiver = receiver();
    let mut stopped = Database::new(&cluster, "stopped");
    worker_of(&cluster, "stopped");
    stopped.run("select herald.stop_worker()");
    let mut db = Database::subscribed(&cluster, "running", &receiver, "");
    let worker = worker_of(&cluster, "running");
    let launcher = launcher_of(&cluster);
    db.run(&format!("select pg_terminate_backend({launcher})"));
    db.emit("while.there.is.no.launcher");
    receiver.wait_for(1, SOON);
    // The launcher has to start this worker when it is back.
    let mut late = Database::subscribed(&cluster, "late", &receiver, "");
    late.emit("late");
    receiver.wait_for(2, SOON);
    assert_ne!(launcher_of(&cluster), launcher);
    assert_eq!(worker_of(&cluster, "running"), worker);
    assert_eq!(cluster.worker_pid("stopped").unwrap(), None);

    // Killing it takes the whole server down, which comes back by itself.
    db.emit("before.the.kill");
    cluster.crash(launcher_of(&cluster)).unwrap();
    let mut db = Database::of(&cluster, "running");
    db.emit("after.the.kill");
    receiver.wait_for(4, SOON);
    db.settle();
}

#[test]
fn an_idle_worker_takes_no_transaction_id_and_writes_no_wal() {
    let cluster = Cluster::builder()
        .fsync(false)
        .setting("herald.poll_interval", "50ms")
        // Housekeeping looks every two seconds, and finds nothing during this test.
        .setting("herald.retention", "4min")
        .setting("autovacuum", "off")
        .setting("checkpoint_timeout", "1h")
        .start()
        .unwrap();
    let (_receiver, mut db) = subscribed(&cluster, "idle", "");
    db.emit("order.paid");
    db.settle();
    db.until("select count(*) from herald_internal.config_change", "0");
    let used = "select format('%s %s', pg_snapshot_xmax(pg_current_snapshot()), pg_current_wal_insert_lsn())";
    // The server itself occasionally logs its running transactions, so one quiet stretch of several is enough.
    eventually(SOON * 3, "five seconds without xid and WAL", || {
        let before = db.text(used);
        std::thread::sleep(Duration::from_secs(5));
        (db.text(used) == before).then_some(())
    });
}

#[test]
fn without_preload_the_worker_runs_when_it_is_asked_to() {
    let cluster = Cluster::builder()
        .fsync(false)
        .preload(false)
        .setting("herald.poll_interval", "100ms")
        .start()
        .unwrap();
    let (receiver, mut db) = subscribed(&cluster, "no_preload", "");
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
    // Without preload, only the lock keeps a second worker away.
    let cluster = Cluster::builder()
        .fsync(false)
        .preload(false)
        .setting("herald.poll_interval", "100ms")
        .setting("log_min_messages", "debug1")
        .start()
        .unwrap();
    let (receiver, mut db) = subscribed(&cluster, "beside", "");
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
