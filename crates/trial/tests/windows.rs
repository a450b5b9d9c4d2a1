//! The log read by windows: open, prepared and large transactions, full rings. Nothing is lost, and nothing is early.

mod common;

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, cluster_with, receiver, subscribed, types};
use herald_trial::receiver::Keep;
use herald_trial::wait::{eventually, eventually_holds};
use herald_trial::{Cluster, Receiver};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    cluster_with(&[
        ("herald.sender_threads", "8"),
        ("herald.poll_interval", "200ms"),
    ])
});

/// Slots of one second.
static SHORT_RING: LazyLock<Cluster> = LazyLock::new(|| {
    cluster_with(&[
        ("herald.sender_threads", "8"),
        ("herald.retention", "10s"),
        ("herald.poll_interval", "200ms"),
    ])
});

#[test]
fn a_long_transaction_delays_only_its_own_events() {
    let (receiver, mut db) = subscribed(&CLUSTER, "long_transaction", "");
    let mut long = db.session(&CLUSTER);
    long.run("begin");
    long.emit("long.first");
    for n in 0..30 {
        db.emit(&format!("short.{n:02}"));
        if n == 15 {
            long.run("savepoint a");
            long.emit("long.second");
        }
    }
    receiver.wait_for(30, SOON);
    assert!(
        types(&receiver)
            .iter()
            .all(|event_type| event_type.starts_with("short."))
    );
    long.run("commit");
    receiver.wait_for(32, SOON);
    db.settle();
    assert_eq!(types(&receiver)[..2], ["long.first", "long.second"]);
    assert!(receiver.duplicates().is_empty());
}

#[test]
fn a_prepared_transaction_is_delivered_when_it_commits_and_never_when_it_is_rolled_back() {
    let (receiver, mut db) = subscribed(&CLUSTER, "prepared", "");
    for (event_type, name) in [("prepared.kept", "kept"), ("prepared.undone", "undone")] {
        db.run("begin");
        db.emit(event_type);
        db.run(&format!("prepare transaction '{name}'"));
    }
    db.emit("other");
    receiver.wait_for(1, SOON);
    // It also waits across a restart.
    db.run("select herald.restart_worker()");
    db.emit("other.again");
    receiver.wait_for(2, SOON);
    db.run("rollback prepared 'undone'");
    db.run("commit prepared 'kept'");
    receiver.wait_for(3, SOON);
    db.settle();
    assert_eq!(types(&receiver), ["other", "other.again", "prepared.kept"]);
    assert!(receiver.duplicates().is_empty());
}

#[test]
fn a_transaction_of_20000_rows_is_complete_and_in_order() {
    let receiver = Receiver::builder()
        .secret(common::SECRET)
        .keep(Keep::Everything)
        .start()
        .unwrap();
    let mut db = Database::new(&CLUSTER, "large_transaction");
    db.watched_table();
    db.subscribe_at("one", &receiver.url("/one"), "max_concurrency => 1");
    db.subscribe_at(
        "many",
        &receiver.url("/many"),
        "max_concurrency => 20, types => '{*.inserted}'",
    );
    db.run("insert into note select n, 'x' from generate_series(1, 20000) n");
    db.run("update note set words = 'y' where id = 20000");
    receiver.wait_until("all", |receiver| receiver.total() >= 40_001, SOON * 4);
    db.settle();
    let ids_at = |path: &str| -> Vec<i64> {
        let requests = receiver.requests();
        let at_path = requests.iter().filter(|request| request.path == path);
        at_path
            .map(|request| request.json()["data"]["record"]["id"].as_i64().unwrap())
            .collect()
    };
    let expected: Vec<i64> = (1..=20_000).collect();
    let many: BTreeSet<i64> = ids_at("/many").into_iter().collect();
    assert!(many.into_iter().eq(expected.iter().copied()));
    let mut arrived = ids_at("/one");
    // The update is in a newer window, which may be read before the older one ends.
    let update = arrived.iter().position(|id| *id == 20_000).unwrap();
    arrived.remove(update);
    assert!(arrived == expected, "not in order");
    assert_eq!(
        (receiver.total(), receiver.invalid_signatures()),
        (40_001, 0)
    );
}

#[test]
fn transactions_in_quick_succession_are_all_delivered() {
    let (receiver, mut db) = subscribed(&CLUSTER, "quick_succession", "");
    let mut other = db.session(&CLUSTER);
    // Each commit wakes the worker, which therefore looks while the next transaction is about to draw its number.
    let emit =
        "do $$ begin for n in 1..1500 loop perform herald.emit('quick'); commit; end loop; end $$";
    let beside = std::thread::spawn(move || other.run(emit));
    db.run(emit);
    beside.join().unwrap();
    db.settle();
    assert_eq!(receiver.accepted(), 3_000);
    assert!(receiver.duplicates().is_empty());
}

#[test]
fn a_transaction_that_draws_its_number_long_before_it_ends_is_delivered() {
    let (receiver, mut db) = subscribed(&CLUSTER, "early_number", "");
    // A slow session takes its time between the number and the rest of its row.
    db.run(
        "create function take_time() returns xid8 language plpgsql as $$ begin
             if current_setting('application_name') = 'slow' then perform pg_sleep(0.5); end if;
             return pg_current_xact_id();
         end $$;
         alter table herald.event alter column xid set default public.take_time()",
    );
    db.emit("first");
    let mut slow = db.session(&CLUSTER);
    slow.run("set application_name = 'slow'");
    let slow = std::thread::spawn(move || slow.emit("slow"));
    db.until("select last_value from herald_internal.event_seq", "2");
    db.emit("quick");
    receiver.wait_for(2, SOON);
    slow.join().unwrap();
    receiver.wait_for(3, SOON);
}

#[test]
fn a_paused_subscription_loses_nothing_over_two_turns_of_the_ring() {
    let (paused, active) = (receiver(), receiver());
    let mut db = Database::new(&SHORT_RING, "ring");
    db.subscribe("paused", &paused, "");
    db.subscribe("active", &active, "");
    db.until(
        "select period from herald_internal.ring where name = 'event'",
        "00:00:01",
    );
    db.run("select herald.pause('paused')");
    let mut session = db.session(&SHORT_RING);
    let mut emitted = 0;
    // Each slot is written for a second, so 32 slots are one turn.
    let first = db.number("select extract(epoch from clock_timestamp())::bigint");
    while db.number("select extract(epoch from clock_timestamp())::bigint") < first + 66 {
        session.emit("order.paid");
        emitted += 1;
        active.wait_for(emitted, SOON);
        std::thread::sleep(Duration::from_millis(100));
    }
    let in_log = db.number("select count(*) from herald.event");
    assert!(
        in_log < emitted as i64 / 2,
        "{in_log} of {emitted} events are still in the log"
    );
    assert!(db.number("select count(*) from herald.attempt") < emitted as i64 / 2);
    db.until("select count(*) from herald.pending", &emitted.to_string());
    assert!(db.number("select count(*) from herald.held_event") > emitted as i64 / 2);
    db.run("select herald.resume('paused')");
    db.settle();
    assert_eq!((paused.accepted(), active.accepted()), (emitted, emitted));
    assert_eq!(
        (paused.total(), active.total()),
        (emitted as u64, emitted as u64)
    );
    assert_eq!(paused.invalid_signatures(), 0);
    assert_eq!(db.count("herald.dead_letter"), 0);
    let left = "select (select count(*) from herald.event) || ' in the log, ' || (select count(*) from herald.held_event) || ' held'";
    eventually_holds(
        SOON * 2,
        "the end of retention",
        || db.text(left),
        |left| left == "0 in the log, 0 held",
    );
}

#[test]
fn a_reader_of_windows_delays_their_cleanup_but_no_delivery() {
    let (receiver, mut db) = subscribed(&CLUSTER, "read_windows", "");
    db.emit("before");
    db.settle();
    // As after 25,000 windows: their first slot is due to be emptied.
    db.run(
        "select herald.stop_worker();
         insert into herald_internal.window (number, origin, slot, state, timeline, from_snapshot, to_snapshot, floor_seq, upper_seq,
                                    next_seq, next_floor_seq)
         select 25000, herald_internal.origin(), 2, 'open', herald_internal.timeline(), n.snapshot, n.snapshot, s.last_value, s.last_value,
                s.last_value, s.last_value
         from herald_internal.event_seq s, (select pg_current_snapshot()) as n (snapshot);
         insert into herald_internal.window (number, origin, slot, state) values (25000, herald_internal.origin(), 2, 'closed')",
    );
    let mut dump = db.session(&CLUSTER);
    dump.run("begin; select from herald_internal.window");
    let empty = "select herald_internal.empty_window_slot(0::smallint)";
    db.run("set statement_timeout = '10 s'");
    assert_eq!(db.text(empty), "false");
    db.run("select herald.start_worker()");
    for n in 0..12 {
        db.emit("during.the.dump");
        receiver.wait_for(n + 2, SOON);
    }
    dump.run("commit");
    assert_eq!(db.text(empty), "true");
}

#[test]
fn a_failure_of_housekeeping_delays_no_delivery() {
    let (receiver, mut db) = subscribed(&CLUSTER, "no_house", "");
    db.watched_table();
    // Captured events never touch this table, but housekeeping deletes from it.
    let mut other = db.session(&CLUSTER);
    other.run("begin; lock table herald_internal.emitted in access exclusive mode");
    db.run("select herald.restart_worker()");
    eventually(SOON, "housekeeping has met the lock", || {
        let worker = CLUSTER.worker_pid("no_house").unwrap()?;
        let said = format!("[{worker}] pg_herald worker  LOG:  pg_herald: cannot clean up");
        CLUSTER.log().contains(&said).then_some(())
    });
    for n in 0..12 {
        db.run(&format!("insert into note values ({n})"));
        receiver.wait_for(n + 1, SOON);
    }
    other.run("rollback");
}

#[test]
fn a_session_that_knows_only_the_former_period_of_the_ring_loses_nothing() {
    let (receiver, mut db) = subscribed(&CLUSTER, "former_period", "");
    db.emit("order.first");
    receiver.wait_for(1, SOON);
    // Twice, because by chance a slot of one period may also be a slot of the other.
    for (retention, so_far) in [("20d", 1), ("11d", 3)] {
        let period = "select period from herald_internal.ring where name = 'event'";
        let former = db.text(period);
        let mut admin = db.session(&CLUSTER);
        admin.run(&format!(
            "alter database former_period set herald.retention = '{retention}'; select herald.restart_worker()"
        ));
        eventually(SOON, "another period", || {
            (admin.text(period) != former).then_some(())
        });
        // The worker looks at the log once more, and uses the new period from here on.
        admin.emit("order.of.another.session");
        receiver.wait_for(so_far + 1, SOON);
        db.emit("order.by.the.former.period");
        receiver.wait_for(so_far + 2, SOON);
    }
}

#[test]
fn what_was_not_read_is_kept_beyond_its_retention() {
    let receiver = receiver();
    let mut read = Database::new(&SHORT_RING, "read");
    let mut unread = Database::new(&SHORT_RING, "unread");
    read.subscribe_at("shop", &receiver.url("/read"), "");
    unread.subscribe_at("shop", &receiver.url("/unread"), "");
    unread.run("alter database unread set herald.enabled = off; select herald.restart_worker()");
    let emit = "select herald.emit('order.' || n) from generate_series(1, 5) n";
    // An older transaction elsewhere in the cluster keeps nothing.
    let mut older = unread.session(&SHORT_RING);
    older.run("begin; select pg_current_xact_id()");
    unread.run(emit);
    read.run(emit);
    receiver.wait_for(5, SOON);
    let left = "select count(*) from herald.event";
    eventually(SOON * 2, "the end of retention", || {
        (read.number(left) == 0).then_some(())
    });
    // The housekeeping of the other database has had its turn by now, too.
    read.run(emit);
    eventually(SOON * 2, "the end of retention again", || {
        (read.number(left) == 0).then_some(())
    });
    assert_eq!(unread.number(left), 5);
    older.run("commit");
    unread.run("alter database unread reset herald.enabled; select herald.restart_worker()");
    receiver.wait_for(15, SOON);
}
