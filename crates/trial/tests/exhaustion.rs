//! Exhaustion: when a resource runs out, pg_herald fails no commit, and nothing is missing afterwards.

mod common;
#[path = "exhaustion/ledger.rs"]
mod ledger;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Database, SECRET, SOON, cluster_with, receiver_with};
use herald_trial::cluster::SmallDisk;
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Mode, StopMode, at_size, figure};
use ledger::Ledger;

/// The time allowed after a crash or a start.
const LATER: Duration = Duration::from_secs(60);

/// Returns a disk that can be filled, or none where nothing can be measured.
fn small_disk(cluster: &Cluster, megabytes: u32) -> Option<SmallDisk> {
    match cluster.small_disk(megabytes) {
        Ok(disk) => Some(disk),
        Err(error) => {
            figure("not measured", error);
            None
        }
    }
}

#[test]
fn with_a_full_disk_accepted_commits_are_delivered_once_space_is_free() {
    let cluster = common::cluster();
    let Some(disk) = small_disk(&cluster, 96) else {
        return;
    };
    let path = disk.path().display();
    let mut postgres = Database::of(&cluster, "postgres");
    postgres.run(&format!("create tablespace small location '{path}'"));
    postgres.run("create database full_disk tablespace small");
    let mut db = Database::of(&cluster, "full_disk");
    db.run("create extension pg_herald");
    let mut ledger = Ledger::new(&cluster, &mut db);
    ledger.commit(10);
    ledger.settle();
    let worker = cluster.worker_pid("full_disk").unwrap();

    // The answers arrive when no space is left to record them.
    ledger
        .receiver
        .set_mode(Mode::delayed(Duration::from_millis(200)));
    ledger.commit(300);
    let sent_before = ledger.receiver.total();
    disk.fill().unwrap();
    ledger.commit(50);
    eventually(SOON, "the worker to notice", || {
        let log = cluster.log();
        let words = ["pg_herald: cannot", "No space left on device", "; retrying"];
        let mut lines = log.lines();
        lines
            .any(|line| words.iter().all(|part| line.contains(part)))
            .then_some(())
    });
    let sent_meanwhile = ledger.receiver.total() - sent_before;
    ledger.receiver.set_mode(Mode::ok());
    disk.free().unwrap();
    let freed_at = Instant::now();
    ledger.commit(10);
    ledger.settle();
    figure("full disk", "a tablespace on a tmpfs of 96 MB");
    figure("commits that PostgreSQL refused", ledger.refused());
    figure(
        "requests that were answered while nothing could be recorded",
        sent_meanwhile,
    );
    figure("ms until all is delivered", freed_at.elapsed().as_millis());
    assert!(ledger.refused() > 0);
    ledger.assert_refusals("53100");
    ledger.assert_nothing_lost();
    assert_eq!(cluster.worker_pid("full_disk").unwrap(), worker);
}

#[test]
fn with_no_room_for_wal_the_server_stops_and_all_that_was_committed_is_delivered_afterwards() {
    let cluster = cluster_with(&[("min_wal_size", "32MB"), ("max_wal_size", "48MB")]);
    let Some(disk) = small_disk(&cluster, 96) else {
        return;
    };
    cluster.stop(StopMode::Fast).unwrap();
    let wal = cluster.data_dir().join("pg_wal");
    let moved = Command::new("sh")
        .args([
            "-c",
            r#"cp -a "$1/." "$2/" && rm -r "$1" && ln -s "$2" "$1""#,
            "move",
        ])
        .args([&wal, disk.path()])
        .status();
    assert!(moved.unwrap().success());
    cluster.start().unwrap();
    let mut db = Database::new(&cluster, "full_wal");
    let mut ledger = Ledger::new(&cluster, &mut db);
    ledger.commit(10);
    ledger.settle();

    disk.fill().unwrap();
    eventually(LATER, "a server that has no room for WAL", || {
        ledger.commit(20);
        (ledger.unanswered() > 0).then_some(())
    });
    ledger.commit(5);
    disk.free().unwrap();
    let freed_at = Instant::now();
    cluster.start().unwrap();
    cluster.wait_until_ready().unwrap();
    ledger.reconnect();
    ledger.commit(10);
    ledger.settle();
    figure("commits without an answer", ledger.unanswered());
    figure("ms until all is delivered", freed_at.elapsed().as_millis());
    ledger.assert_nothing_lost();
}

#[test]
fn without_a_free_connection_delivery_goes_on_and_the_worker_can_be_restarted() {
    let cluster = cluster_with(&[("max_connections", "8")]);
    let mut db = Database::new(&cluster, "crowded");
    let mut ledger = Ledger::new(&cluster, &mut db);
    let mut crowd = Vec::new();
    while let Ok(session) = cluster.connect("crowded") {
        crowd.push(session);
    }
    assert!(cluster.log().contains("too many clients already"));
    ledger.commit(20);
    ledger.settle();
    db.run("select herald.restart_worker()");
    ledger.commit(20);
    ledger.settle();
    figure("sessions that took all connections", crowd.len());
    ledger.assert_refusals("none");
    ledger.assert_nothing_lost();
}

#[test]
fn without_a_free_worker_slot_events_are_kept_and_delivery_starts_when_there_is_one() {
    let cluster = Cluster::builder()
        .fsync(false)
        // One slot for the launcher, one for a single worker.
        .setting("max_worker_processes", "2")
        .setting("max_logical_replication_workers", "0")
        .start()
        .unwrap();
    let first = Database::new(&cluster, "first");
    eventually(SOON, "the only worker", || {
        cluster.worker_pid("first").ok().flatten()
    });
    let mut db = Database::new(&cluster, "second");
    let mut ledger = Ledger::new(&cluster, &mut db);
    ledger.commit(20);
    let worker = "select detail || ' ' || hint from herald.doctor() where \"check\" = 'worker'";
    db.until(worker, "no background worker slot is free Raise max_worker_processes (now 2) and restart the server.");
    assert_eq!(cluster.worker_pid("second").unwrap(), None);
    drop(first);
    let freed_at = Instant::now();
    Database::of(&cluster, "first").run("drop extension pg_herald");
    ledger.settle();
    figure("ms until all is delivered", freed_at.elapsed().as_millis());
    let database = db.text("select oid from pg_database where datname = current_database()");
    let words = format!("no background worker slot is free for database {database};");
    let said = cluster.log().matches(&words).count();
    assert_eq!(said, 1, "{}", cluster.log());
    ledger.assert_refusals("none");
    ledger.assert_nothing_lost();
}

#[test]
fn without_room_for_even_the_launcher_commits_succeed_and_doctor_says_what_is_missing() {
    let cluster = cluster_with(&[("max_worker_processes", "0")]);
    let mut db = Database::new(&cluster, "none");
    let mut ledger = Ledger::new(&cluster, &mut db);
    ledger.commit(20);
    let worker = "select detail || ' ' || hint from herald.doctor() where \"check\" = 'worker'";
    db.until(worker, "no background worker slot is free Raise max_worker_processes (now 0) and restart the server.");
    let refused = db.refusal("select herald.start_worker()");
    assert!(
        common::hint(&refused).contains("max_worker_processes (now 0)"),
        "{refused:?}"
    );
    drop(db);
    cluster
        .psql("postgres", "alter system set max_worker_processes = 8")
        .unwrap();
    cluster.restart(StopMode::Fast).unwrap();
    ledger.reconnect();
    ledger.settle();
    ledger.assert_refusals("none");
    ledger.assert_nothing_lost();
}

#[test]
fn with_few_file_descriptors_deliveries_wait_and_no_attempt_is_counted() {
    // PostgreSQL itself starts with 70 or so.
    let cluster = Cluster::builder()
        .fsync(false)
        .descriptors(80)
        .start()
        .unwrap();
    let mut db = Database::new(&cluster, "descriptors");
    let mut ledger = Ledger::new(&cluster, &mut db);
    ledger.commit(10);
    ledger.settle();
    let worker = cluster.worker_pid("descriptors").unwrap();
    let slow = receiver_with(Mode::delayed(Duration::from_millis(100)));
    db.run(&format!(
        "select herald.subscribe('slow.' || n, url => '{}', secret => '{SECRET}', types => '{{trial.change.*}}',
                                 max_attempts => 1)
         from generate_series(1, 12) n",
        slow.url("/")
    ));
    ledger.commit(at_size(5, 100));
    ledger.settle();
    // An attempt that counted would have been the last: max_attempts.
    let attempts =
        "select string_agg(distinct outcome || ' ' || attempt, ', ') from herald.attempt";
    assert_eq!(db.text(attempts), "delivered 1");
    let said = cluster.log().matches("no file descriptor is free").count();
    figure("times that the log speaks of descriptors", said);
    assert!(said > 0);
    assert_eq!(db.count("herald.dead_letter"), 0);
    assert_eq!(slow.accepted(), at_size(5, 100));
    assert_eq!(cluster.worker_pid("descriptors").unwrap(), worker);
    assert!(!cluster.log().contains("PANIC"), "{}", cluster.log());
    ledger.assert_refusals("none");
    ledger.assert_nothing_lost();
}

#[test]
fn a_worker_that_cannot_have_its_threads_says_so_and_is_started_again() {
    let cluster = cluster_with(&[("cluster_name", "here")]);
    let mut db = Database::new(&cluster, "threads");
    let mut ledger = Ledger::new(&cluster, &mut db);
    // A held worker has no threads yet.
    cluster.set("herald.instance", "elsewhere").unwrap();
    db.run("select herald.restart_worker()");
    let held = "select count(*) from pg_stat_activity where backend_type = 'pg_herald worker' and query like 'paused%'";
    db.until(held, "1");
    let worker = cluster.worker_pid("threads").unwrap().expect("a worker");
    limit(&cluster, worker, "--nproc=1");
    ledger.commit(20);
    cluster.set("herald.instance", "here").unwrap();
    ledger.settle();
    let said = cluster.log().matches("the worker cannot start").count();
    if said == 0 {
        figure("not measured", "a limit of threads does not bind this user");
    }
    figure("starts without threads", said);
    assert!(said == 0 || cluster.worker_pid("threads").unwrap() != Some(worker));
    ledger.assert_refusals("none");
    ledger.assert_nothing_lost();
}

#[test]
fn while_names_cannot_be_looked_up_deliveries_wait_and_arrive_when_they_can() {
    let names = tempfile::tempdir().unwrap();
    // A name server that does not exist.
    fs::write(
        names.path().join("resolv.conf"),
        "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
    )
    .unwrap();
    let hosts = names.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let cluster = Cluster::builder().fsync(false).names(names.path()).start();
    let Ok(cluster) = cluster else {
        figure("not measured", "a mount namespace cannot be made");
        return;
    };
    let mut db = Database::new(&cluster, "names");
    let mut ledger = Ledger::new(&cluster, &mut db);
    let port = ledger.receiver.port();
    db.run(&format!(
        "update herald.subscription set url = 'http://shop.example:{port}/', retry_schedule = array_fill(interval '200 ms', array[100])"
    ));
    ledger.commit(20);
    db.until(
        "select count(*) filter (where error_class = 'dns') >= 20 from herald.attempt",
        "true",
    );
    assert_eq!(ledger.receiver.total(), 0);
    fs::write(&hosts, "127.0.0.1 localhost shop.example\n").unwrap();
    let resolvable_at = Instant::now();
    ledger.settle();
    figure(
        "ms until all is delivered",
        resolvable_at.elapsed().as_millis(),
    );
    let failed =
        "select count(*) || ' ' || min(error) from herald.attempt where outcome <> 'delivered'";
    figure("attempts without an address", db.text(failed));
    assert_eq!(db.count("herald.attempt where error_class <> 'dns'"), 0);
    ledger.assert_refusals("none");
    ledger.assert_nothing_lost();
}

/// Lowers a limit of a running process of the server, in the syntax of `prlimit`.
fn limit(cluster: &Cluster, pid: i32, what: &str) {
    let owner = fs::metadata(cluster.data_dir()).expect("the data directory");
    let limited = Command::new("prlimit")
        .args(["--pid", &pid.to_string(), what])
        .uid(owner.uid())
        .gid(owner.gid())
        .status();
    assert!(limited.expect("prlimit").success());
}
