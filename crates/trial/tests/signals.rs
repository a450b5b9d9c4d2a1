//! Signals to the worker and the launcher: none wakes the wrong thread, swallows a wake-up or costs an event.
//!
//! The poll, which catches lost wake-ups, comes only once a minute, so an event that needs it is not there in time.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Database, SECRET, SOON, launcher_of, receiver, receiver_with, subscribed, worker_of};
use herald_trial::receiver::{Authority, Flaw, Receiver};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Mode, at_size, figure};
use nix::sys::signal::Signal;

static CLUSTER: LazyLock<Cluster> =
    LazyLock::new(|| slow_poll().start().expect("a cluster starts"));
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new().expect("an authority"));

fn slow_poll() -> herald_trial::cluster::Builder {
    Cluster::builder()
        .fsync(false)
        .setting("herald.poll_interval", "60s")
        .setting("herald.sender_threads", "8")
        .setting("herald.ca_file", &AUTHORITY.ca_file().display().to_string())
}

#[test]
fn storms_of_signals_cost_no_event_no_wakeup_and_no_process() {
    let (receiver, mut db) = subscribed(&CLUSTER, "storm", "");
    db.emit("proves.the.receiver");
    db.settle();
    let (worker, launcher) = (worker_of(&CLUSTER, "storm"), launcher_of(&CLUSTER));
    let storm = [
        Signal::SIGHUP,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGURG,
    ];
    let rounds = at_size(20, 200);
    let is_over = AtomicBool::new(false);
    let mut slowest = Duration::ZERO;
    let mut events = 1;
    let barriers = thread::scope(|scope| {
        let barriers = scope.spawn(|| {
            // Each DROP DATABASE waits until every process has answered a barrier.
            let mut postgres = Database::of(&CLUSTER, "postgres");
            let mut barriers = 0;
            while !is_over.load(Ordering::SeqCst) {
                postgres.run("create database barrier");
                postgres.run("drop database barrier");
                barriers += 1;
            }
            barriers
        });
        let signals = scope.spawn(|| {
            for _ in 0..rounds {
                for signal in storm {
                    CLUSTER.signal(worker, signal).expect("the worker lives");
                    CLUSTER
                        .signal(launcher, signal)
                        .expect("the launcher lives");
                    thread::yield_now();
                }
                // Makes the storm last as long as some deliveries.
                receiver.holds_within(Duration::from_millis(5), |_| false);
            }
        });
        while !signals.is_finished() {
            let emitted_at = Instant::now();
            db.emit("order.paid");
            events += 1;
            receiver.wait_for(events, SOON);
            slowest = slowest.max(emitted_at.elapsed());
        }
        is_over.store(true, Ordering::SeqCst);
        barriers.join().expect("barriers are answered")
    });
    db.settle();
    assert_eq!(receiver.total(), events as u64, "{receiver:?}");
    assert_eq!(worker_of(&CLUSTER, "storm"), worker);
    assert_eq!(launcher_of(&CLUSTER), launcher);
    figure(
        "signals to each of worker and launcher",
        rounds * storm.len(),
    );
    figure("barriers", barriers);
    figure("events emitted during the storm", events - 1);
    figure("slowest delivery during the storm, ms", slowest.as_millis());
}

#[test]
fn a_wakeup_while_the_worker_waits_for_a_lock_is_not_lost() {
    let receiver = receiver_with(Mode::delayed(Duration::from_millis(200)));
    let mut db = Database::subscribed(&CLUSTER, "lock_wait", &receiver, "");
    db.emit("proves.the.receiver");
    db.settle();
    let mut other = db.session(&CLUSTER);
    let waits = "select count(*) > 0 from pg_stat_activity where backend_type = 'pg_herald worker'
                 and datname = current_database() and wait_event_type = 'Lock'";
    let mut fastest = Duration::MAX;
    for round in 0..at_size(3, 30) {
        other.emit("order.first");
        // It counts as accepted before the answer is sent.
        receiver.wait_for(2 * round + 2, SOON);
        // Closing a window is the last thing that the worker writes before it rests.
        db.run("begin; lock table herald_internal.window in access exclusive mode");
        other.until(waits, "true");
        other.emit("order.second");
        db.run("commit");
        let free_at = Instant::now();
        receiver.wait_for(2 * round + 3, SOON);
        fastest = fastest.min(free_at.elapsed());
        db.settle();
    }
    figure("fastest delivery after the wait, ms", fastest.as_millis());
    // A second after the wait began, the timer of lock_timeout wakes the worker anyway.
    assert!(fastest < Duration::from_millis(200), "{fastest:?}");
}

#[test]
fn what_was_read_is_not_lost_when_a_later_step_of_the_worker_fails() {
    let (receiver, mut db) = subscribed(&CLUSTER, "later_step", "");
    db.emit("proves.the.receiver");
    db.settle();
    db.until("select count(*) from herald_internal.config_change", "0");
    // One look sees an event and a changed subscription, and a session keeps the worker from noting the latter.
    db.run("begin; select herald.subscribe('shop', description => 'changed')");
    db.emit("order.paid");
    let mut other = db.session(&CLUSTER);
    let locker = thread::spawn(move || {
        other.run("begin; lock table herald_internal.config_change in share mode");
        other
    });
    let waits = "select count(*) from pg_locks where mode = 'ShareLock' and not granted
                 and relation = 'herald_internal.config_change'::regclass";
    let mut watcher = db.session(&CLUSTER);
    watcher.until(waits, "1");
    db.run("commit");
    let mut locker = locker.join().unwrap();
    let tries = "select count(*) from pg_locks where mode = 'RowExclusiveLock' and not granted
                 and relation = 'herald_internal.config_change'::regclass";
    for worker_waits in ["1", "0"] {
        watcher.until(tries, worker_waits);
    }
    locker.run("commit");
    receiver.wait_for(2, SOON);
    db.settle();
}

#[test]
fn a_cancelled_worker_goes_on_and_a_terminated_one_comes_back() {
    let (receiver, mut db) = subscribed(&CLUSTER, "cancelled", "");
    db.emit("proves.the.receiver");
    db.settle();
    let first = worker_of(&CLUSTER, "cancelled");
    let mut events = 1;
    for _ in 0..at_size(10, 200) {
        // At rest: within a transaction a cancellation is a failure, after which the worker rests.
        db.settle();
        db.run(&format!("select pg_cancel_backend({first})"));
        db.emit("order.paid");
        events += 1;
        receiver.wait_for(events, SOON);
    }
    // At work.
    db.run("select herald.emit('order.' || n) from generate_series(1, 200) n");
    for sent in [10, 50, 100] {
        receiver.wait_for(events + sent, SOON);
        db.run(&format!("select pg_cancel_backend({first})"));
    }
    events += 200;
    receiver.wait_for(events, SOON);
    assert_eq!(worker_of(&CLUSTER, "cancelled"), first);
    db.settle();
    db.run(&format!("select pg_terminate_backend({first})"));
    let second = eventually(SOON, "another worker", || {
        Some(worker_of(&CLUSTER, "cancelled")).filter(|pid| *pid != first)
    });
    db.emit("order.paid");
    receiver.wait_for(events + 1, SOON);
    db.settle();
    assert_eq!(worker_of(&CLUSTER, "cancelled"), second);
    assert_eq!(receiver.total(), events as u64 + 1);
}

#[test]
fn a_frozen_worker_goes_on_where_it_was() {
    let receiver = receiver_with(Mode::delayed(Duration::from_millis(20)));
    let cluster = slow_poll().start().unwrap();
    let mut db = Database::subscribed(&cluster, "frozen", &receiver, "");
    db.emit("proves.the.receiver");
    db.settle();
    let worker = worker_of(&cluster, "frozen");
    let launcher = launcher_of(&cluster);
    db.run("select herald.emit('order.' || n) from generate_series(1, 100) n");
    receiver.wait_for(10, SOON);
    for pid in [worker, launcher] {
        cluster.signal(pid, Signal::SIGSTOP).unwrap();
    }
    let frozen_at = Instant::now();
    db.run("select herald.emit('order.' || n) from generate_series(101, 200) n");
    // Requests that the receiver already has are answered meanwhile; nothing new is sent.
    receiver.holds_within(
        at_size(Duration::from_secs(1), Duration::from_secs(10)),
        |_| false,
    );
    let while_frozen = receiver.accepted();
    assert!(while_frozen < 200, "{while_frozen}");
    for pid in [worker, launcher] {
        cluster.signal(pid, Signal::SIGCONT).unwrap();
    }
    figure("frozen for, ms", frozen_at.elapsed().as_millis());
    db.settle();
    assert_eq!(receiver.accepted(), 201);
    assert_eq!(worker_of(&cluster, "frozen"), worker);
    figure("requests beyond one for each event", receiver.total() - 201);
}

/// The threads beside the main thread: herald.sender_threads, the same number for slow requests, and those that look
/// names up. No library spawns any.
const THREADS: usize = 2 * 8 + 32;

/// Counts a process's threads by name, except its main thread. Asserts that each blocks all signals.
#[track_caller]
fn blocked_threads(pid: i32) -> BTreeMap<String, usize> {
    let mut threads = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).expect("the worker lives") {
        let task = task.expect("a thread").path();
        let (Ok(status), Ok(name)) = (
            fs::read_to_string(task.join("status")),
            fs::read_to_string(task.join("comm")),
        ) else {
            continue; // The thread has ended.
        };
        if task.ends_with(pid.to_string()) {
            continue;
        }
        let blocked = status
            .lines()
            .find_map(|line| line.strip_prefix("SigBlk:"))
            .expect("a signal mask");
        let blocked = u64::from_str_radix(blocked.trim(), 16).expect("hexadecimal digits");
        // All signals sent to processes, and that which sets latches: HUP, INT, QUIT, USR1, USR2, ALRM, TERM, CHLD,
        // URG.
        for signal in [1, 2, 3, 10, 12, 14, 15, 17, 23] {
            assert!(
                blocked >> (signal - 1) & 1 == 1,
                "signal {signal} is not blocked in {name}: {blocked:x}"
            );
        }
        let kind = name.trim().trim_end_matches(|c: char| c.is_ascii_digit());
        *threads.entry(kind.to_owned()).or_default() += 1;
    }
    threads
}

#[test]
fn all_threads_have_all_signals_blocked_whatever_they_do() {
    let plain = receiver();
    let by_tls = Receiver::builder()
        .secret(SECRET)
        .tls(AUTHORITY.server(Flaw::None).unwrap())
        .start()
        .unwrap();
    let hanging = receiver_with(Mode::hang_before_answer());
    let mut db = Database::new(&CLUSTER, "masks");
    db.subscribe("plain", &plain, "");
    db.subscribe_at(
        "by_name_and_tls",
        &by_tls.url("/").replace("127.0.0.1", "localhost"),
        "",
    );
    db.subscribe("hangs", &hanging, "");
    db.subscribe_at(
        "nowhere",
        "https://nowhere.invalid/",
        "retry_schedule => '{100 ms,100 ms,100 ms}'",
    );
    let mut looks = 0;
    for round in 1..=at_size(2, 10) {
        let worker = worker_of(&CLUSTER, "masks");
        db.run("select herald.emit('order.' || n) from generate_series(1, 20) n");
        eventually(SOON, "deliveries by TLS and otherwise", || {
            let threads = blocked_threads(worker);
            assert!(threads.values().sum::<usize>() <= THREADS, "{threads:?}");
            looks += 1;
            (plain.accepted() >= 20 * round && by_tls.accepted() >= 20 * round).then_some(())
        });
        hanging.wait_until("a request that hangs", |hanging| hanging.total() > 0, SOON);
        let threads = blocked_threads(worker);
        let ours = ["herald-send-", "herald-dns-"].map(|name| threads.get(name));
        assert_eq!(
            ours.into_iter().flatten().sum::<usize>(),
            THREADS,
            "{threads:?}"
        );
        db.run("select herald.restart_worker()");
    }
    figure("looks at all threads of a worker", looks);
}
