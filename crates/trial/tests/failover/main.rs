//! Failover: the primary dies under load, and its standby takes over. After each, what clients were told, what
//! receivers got and what the new primary has are compared.

mod chain;
#[path = "../common/mod.rs"]
mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use chain::Chain;
use common::{Database, SOON, cluster_with, promote, receiver};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Receiver, at_size};
use nix::sys::signal::Signal;

#[test]
fn failovers_to_a_synchronous_standby_under_load_lose_nothing_and_send_nothing_unknown() {
    // The clients of the last level ask not to wait for the standby, and do not.
    let levels = ["on", "remote_write", "remote_apply", "local"];
    let accounts = Chain::start().fail_over(at_size(2, 20), &levels, true);
    for (level, account) in levels[..3].iter().zip(&accounts) {
        assert!(account.acknowledged > 0, "{level}: {account:?}");
        let unknown = (account.forgotten, account.phantom, account.phantom_behind);
        assert_eq!(unknown, (0, 0, 0), "{level}");
    }
}

#[test]
fn failovers_to_an_asynchronous_standby_under_load_deliver_all_that_it_has() {
    let accounts = Chain::start().fail_over(at_size(2, 20), &["on"], false);
    // Half of the standbys were held up before the fault, so the test has something to show.
    assert!(accounts[0].phantom_behind > 0, "{accounts:?}");
}

fn primary() -> Cluster {
    cluster_with(&[("herald.sender_threads", "8")])
}

fn standby_of(primary: &Cluster) -> Cluster {
    let builder = Cluster::builder().fsync(false);
    builder.start_standby_of(primary).expect("a standby")
}

/// Makes each commit on the primary wait for its standby, as far as its session asks for that.
fn make_synchronous(primary: &Cluster) {
    primary.set("synchronous_standby_names", "*").unwrap();
    Database::of(primary, "postgres").until(
        "select string_agg(sync_state, ' ') from pg_stat_replication",
        "sync",
    );
}

/// Returns the process that feeds the standby: stopping it acts as a network failure.
fn wal_sender(primary: &Cluster) -> i32 {
    let sql = "select pid from pg_stat_activity where backend_type = 'walsender'";
    Database::of(primary, "postgres").number(sql) as i32
}

#[test]
fn events_wait_for_the_synchronous_standby_if_their_commit_does() {
    let receiver = receiver();
    let primary = primary();
    let mut db = Database::new(&primary, "shop");
    db.subscribe("shop", &receiver, "");
    db.emit("before");
    db.settle();
    let standby = standby_of(&primary);
    make_synchronous(&primary);
    let wal_sender = wal_sender(&primary);
    each_level_holds_its_events(&primary, &standby, &mut db, &receiver);

    // These events are sent although the standby will never know of them.
    primary.signal(wal_sender, Signal::SIGSTOP).unwrap();
    emit_in_background(&primary, "local").join().unwrap();
    receiver.wait_for(5, SOON);
    let cancelled = emit_in_background(&primary, "on");
    let lost = emit_in_background(&primary, "on");
    until_waiting_for_the_standby(&mut db, 2);
    db.run(
        "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep' order by backend_start limit 1",
    );
    receiver.wait_for(6, SOON);
    // Once the postmaster is gone, sessions stop waiting, and a worker that still runs can see what they committed: it
    // does not notice the death while it is being woken.
    let worker = primary.worker_pid("shop").unwrap().expect("a worker");
    primary.signal(worker, Signal::SIGSTOP).unwrap();
    primary.kill9_postmaster().unwrap();
    primary.kill9(wal_sender).unwrap();
    let _ = (cancelled.join(), lost.join());
    primary.signal(worker, Signal::SIGHUP).unwrap();
    primary.signal(worker, Signal::SIGCONT).unwrap();
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end && primary.signal(worker, Signal::SIGHUP).is_ok() {}
    until_gone(&primary);

    promote(&standby);
    let mut db = Database::of(&standby, "shop");
    db.emit("after");
    db.settle();
    let known: BTreeSet<String> = db
        .query("select uid::text from herald.event", &[])
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let sent = receiver.distinct_ids();
    assert_eq!(known.difference(&sent).count(), 0, "lost");
    assert_eq!(
        sent.difference(&known).count(),
        2,
        "one local, one cancelled"
    );
}

/// Asserts that each level waits for something else, and that events that still wait are not sent.
fn each_level_holds_its_events(
    primary: &Cluster,
    standby: &Cluster,
    db: &mut Database,
    receiver: &Receiver,
) {
    let wal_sender = wal_sender(primary);
    for (level, others) in [("on", 1), ("remote_write", 2), ("remote_apply", 3)] {
        let hold = |held: bool| match (level, held) {
            ("remote_apply", true) => standby.psql("postgres", "select pg_wal_replay_pause()"),
            ("remote_apply", false) => standby.psql("postgres", "select pg_wal_replay_resume()"),
            (_, true) => primary
                .signal(wal_sender, Signal::SIGSTOP)
                .map(|()| String::new()),
            (_, false) => primary
                .signal(wal_sender, Signal::SIGCONT)
                .map(|()| String::new()),
        };
        hold(true).expect("the standby is held up");
        let waiting = emit_in_background(primary, level);
        until_waiting_for_the_standby(db, 1);
        let is_sent = |receiver: &Receiver| receiver.total() > others;
        assert!(
            !receiver.holds_within(Duration::from_millis(200), is_sent),
            "{level}"
        );
        hold(false).expect("the standby goes on");
        waiting.join().expect("the commit returns");
        receiver.wait_until(level, is_sent, SOON);
    }
}

/// Emits one event at this level of `synchronous_commit`, in a separate session.
fn emit_in_background(primary: &Cluster, level: &str) -> thread::JoinHandle<()> {
    let mut session = Database::of(primary, "shop");
    session.run(&format!("set synchronous_commit = '{level}'"));
    let sql = format!("select herald.emit('level.{level}')");
    thread::spawn(move || drop(session.batch_execute(&sql)))
}

fn until_waiting_for_the_standby(db: &mut Database, sessions: u32) {
    db.until(
        "select count(*) from pg_stat_activity where wait_event = 'SyncRep'",
        &sessions.to_string(),
    );
}

/// Waits until a killed server has no process left that could look at its shared memory.
fn until_gone(cluster: &Cluster) {
    let data_dir = cluster.data_dir().to_owned();
    eventually(SOON, "the end of the old primary", || {
        (!is_used(&data_dir)).then_some(())
    });
}

fn is_used(data_dir: &Path) -> bool {
    std::fs::read_dir("/proc")
        .expect("processes")
        .flatten()
        .any(|process| {
            std::fs::read_link(process.path().join("cwd")).is_ok_and(|dir| dir == data_dir)
        })
}
