//! The decision about a copy: crashes in the middle of it, a worker that ran before, lower transaction ids.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use herald_trial::wait::eventually;
use herald_trial::{Cluster, StopMode, at_size, figure};

use crate::common::{Database, SOON, receiver, text_at, types};
use crate::source::{
    COPY, ORIGIN, STATES, Source, TARGET, decide_to_deliver, give_new_secrets, load,
    requests_by_path,
};

#[test]
fn a_decision_that_a_crash_interrupts_is_made_wholly_or_not_at_all() {
    let source = Source::prepare();
    let plain = source.dump("plain", &[]);
    let cluster = Cluster::builder().fsync(false).start().expect("a cluster");
    cluster.create_database("restored").expect("a database");
    load(&cluster, "restored", &plain);
    let undecided = state_of_the_copy(&cluster, "restored");
    assert_eq!(undecided, format!("{COPY}, 3 pending, true"));
    crash_at_locks(&cluster, &undecided);
    crash_at_some_moments(&cluster);
    decide_to_deliver(&source, &cluster, "restored");
}

/// Crashes while a decision waits for a lock, and asserts that nothing is decided.
fn crash_at_locks(cluster: &Cluster, undecided: &str) {
    // At the first lock, after all open work has become pending, and at the last statement.
    for (place, blocking) in [
        ("first", "lock table herald.event in row exclusive mode"),
        (
            "middle",
            "select from herald_internal.subscription for update",
        ),
        (
            "last",
            "lock table herald_internal.config_change in share mode",
        ),
    ] {
        let mut blocker = Database::of(cluster, "restored");
        blocker.run(&format!("begin; {blocking}"));
        let mut watcher = Database::of(cluster, "restored");
        let deciding = decide_in_background(cluster, "restored");
        let waiting = "select max(pid) from pg_stat_activity where wait_event_type = 'Lock' and query like '%resume_after%'";
        let pid = eventually(SOON, place, || watcher.text(waiting).parse().ok());
        match place {
            "first" => cluster.restart(StopMode::Immediate).map(drop),
            "middle" => cluster.crash(pid),
            _ => cluster.kill9_postmaster().and_then(|()| cluster.start()),
        }
        .expect("the fault");
        let _ = deciding.join();
        cluster.wait_until_ready().expect("the server is back");
        assert_eq!(state_of_the_copy(cluster, "restored"), undecided, "{place}");
    }
}

/// Crashes during decisions about copies, and asserts that each is made wholly, or can be made.
fn crash_at_some_moments(cluster: &Cluster) {
    // The first is left alone, and the others are struck at moments of the time that it took.
    let rounds = at_size(3, 20);
    let mut took = Duration::ZERO;
    let mut made = 0;
    for round in 0..rounds {
        Database::of(cluster, "postgres").run("create database again template restored");
        let before = state_of_the_copy(cluster, "again");
        let began_at = Instant::now();
        let deciding = decide_in_background(cluster, "again");
        if round == 0 {
            eventually(SOON, "a decision", || deciding.is_finished().then_some(()));
            took = began_at.elapsed();
        }
        thread::sleep(took * round / rounds * 5 / 4);
        cluster.restart(StopMode::Immediate).expect("the fault");
        let _ = deciding.join();
        let decided = "ok: this database is where its log was written, 10 pending, false";
        let after = state_of_the_copy(cluster, "again");
        if after == before {
            cluster
                .psql("again", "select herald.resume_after_restore('deliver')")
                .expect("a decision");
        } else {
            made += 1;
        }
        assert_eq!(
            state_of_the_copy(cluster, "again"),
            decided,
            "round {round}: {after}"
        );
        Database::of(cluster, "postgres").run("drop database again");
    }
    assert!(made > 0, "what was answered is made");
    figure("decisions struck by a crash at some moment", rounds);
    figure("of them, made", made);
}

fn decide_in_background(cluster: &Cluster, name: &str) -> thread::JoinHandle<()> {
    let mut session = Database::of(cluster, name);
    let decide = "select herald.resume_after_restore('deliver')";
    thread::spawn(move || drop(session.batch_execute(decide)))
}

/// Returns what doctor() says, what is pending, and whether windows of the original exist.
fn state_of_the_copy(cluster: &Cluster, name: &str) -> String {
    let mut db = Database::of(cluster, name);
    let origin = db.text(ORIGIN);
    let pending = db.number("select count(*) from herald.pending");
    let foreign = "select exists (select from herald_internal.window where origin <> herald_internal.origin())";
    format!("{origin}, {pending} pending, {}", db.text(foreign))
}

#[test]
fn a_worker_that_ran_before_the_restore_loses_nothing_of_what_came_before_the_decision() {
    let source = Source::prepare();
    let data = source.dump("data", &["--data-only"]);
    let mut db = Database::new(&TARGET, "running");
    db.run("create table note (id int primary key, words text)");
    let running = "select query from pg_stat_activity where backend_type = 'pg_herald worker' and datname = 'running'";
    db.until(running, "waiting for events");
    load(&TARGET, "running", &data);
    source.receiver.forget();
    db.emit("before.the.decision");
    // It sees the subscriptions now, and whose they are.
    db.until(&format!("select ({running}) like 'paused: %'"), "true");
    assert_eq!(source.receiver.total(), 0);
    db.run("select herald.resume_after_restore('skip')");
    give_new_secrets(&mut db);
    db.settle();
    let expected = STATES.map(|state| (format!("/{state}"), 1));
    assert_eq!(requests_by_path(&source.receiver), BTreeMap::from(expected));
}

/// A restore fills table after table, each in a separate transaction.
#[test]
fn a_worker_knows_a_copy_by_its_subscriptions_alone() {
    let source = Source::prepare();
    let data = source.dump("by_table", &["--data-only"]);
    let text = std::fs::read_to_string(&data).expect("the dump");
    let from = text
        .find("COPY herald_internal.subscription ")
        .expect("the subscriptions");
    let end = from + text[from..].find("\n\\.\n").expect("their end") + 4;
    let first = source.dumps.path().join("first");
    std::fs::write(&first, &text[from..end]).expect("it is written");
    let mut db = Database::new(&TARGET, "by_table");
    db.run("create table note (id int primary key, words text)");
    let running = "select query from pg_stat_activity where backend_type = 'pg_herald worker' and datname = 'by_table'";
    db.until(running, "waiting for events");
    load(&TARGET, "by_table", &first);
    source.receiver.forget();
    give_new_secrets(&mut db);
    db.emit("before.the.decision");
    db.until(&format!("select ({running}) like 'paused: %'"), "true");
    assert_eq!(source.receiver.total(), 0);
}

#[test]
fn what_a_worker_recorded_between_the_restore_and_the_decision_is_not_sent_again() {
    let source = Source::prepare();
    let data = source.dump("recorded", &["--data-only"]);
    let mut db = Database::new(&TARGET, "recorded");
    db.run("create table note (id int primary key, words text)");
    load(&TARGET, "recorded", &data);
    source.receiver.forget();
    // As a worker that read the subscriptions before it could see that the log is another database's.
    db.run("select herald.stop_worker()");
    let delivered = db.emit("delivered.meanwhile");
    let pending = db.emit("pending.meanwhile");
    db.run(
        "insert into herald_internal.attempt (slot, event_slot, event_seq, subscription_id, attempt, at, duration_ms, outcome)
         select e.slot, e.slot, e.seq, s.id, 1, now(), 1, 'delivered'
         from herald.event e, herald_internal.subscription s where e.type = 'delivered.meanwhile';
         insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at)
         select s.id, e.slot, e.seq, now()
         from herald.event e, herald_internal.subscription s where e.type = 'pending.meanwhile'",
    );
    db.run("select herald.resume_after_restore('deliver')");
    give_new_secrets(&mut db);
    for event in [delivered, pending] {
        let wait = format!("select herald.wait('{event}', '20 s')");
        assert_eq!(db.text(&wait), "true");
    }
    let count = |event_type: &str| {
        let requests = source.receiver.requests();
        let of_type = requests
            .iter()
            .filter(|request| text_at(request, "/type") == event_type);
        of_type.count()
    };
    assert_eq!(count("delivered.meanwhile"), 0);
    assert_eq!(count("pending.meanwhile"), STATES.len());
}

#[test]
fn a_log_that_was_read_further_than_the_transaction_ids_have_got_waits_and_then_loses_nothing() {
    let receiver = receiver();
    for mode in ["deliver", "skip"] {
        receiver.forget();
        let mut db = Database::new(&TARGET, &format!("backwards_{mode}"));
        db.subscribe("shop", &receiver, "");
        db.emit("done");
        db.settle();
        db.run("select herald.stop_worker()");
        db.emit("open");
        // As if a newer log had been loaded into a cluster recovered to an older state.
        db.run(
            "create function later(s pg_snapshot) returns pg_snapshot return
                 (pg_snapshot_xmin(s)::text::bigint + 1000000 || ':' || (pg_snapshot_xmax(s)::text::bigint + 1000000) || ':')::pg_snapshot;
             update herald.event set xid = (xid::text::bigint + 1000000)::text::xid8;
             update herald_internal.window set from_snapshot = later(from_snapshot), to_snapshot = later(to_snapshot);
             update herald_internal.subscription set created_xid = (created_xid::text::bigint + 1000000)::text::xid8,
                                             created_snapshot = later(created_snapshot)",
        );
        db.run("select herald.start_worker()");
        db.until(
            ORIGIN,
            "error: transaction ids are lower than when the log was last read",
        );
        db.emit("while.it.waits");
        assert!(
            !receiver.holds_within(Duration::from_millis(200), |receiver| receiver.total() > 1)
        );
        // The deciding transaction's own writes are new, even if a later transaction ends first.
        db.run("begin; select pg_current_xact_id()");
        db.session(&TARGET).run("select pg_current_xact_id()");
        db.run(&format!("select herald.resume_after_restore('{mode}')"));
        db.emit("with.the.decision");
        db.run("commit");
        db.until(ORIGIN, "ok: this database is where its log was written");
        db.emit("after");
        db.settle();
        let expected: &[&str] = match mode {
            "deliver" => &[
                "after",
                "done",
                "open",
                "while.it.waits",
                "with.the.decision",
            ],
            _ => &["after", "done", "with.the.decision"],
        };
        assert_eq!(types(&receiver), expected);
        assert!(receiver.duplicates().is_empty());
    }
}
