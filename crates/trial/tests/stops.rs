//! Stops in the middle of the worker's work: no statement, lock or receiver makes a stop longer than promised, and what
//! was done by then is recorded.

mod common;
mod shop;

use std::time::Duration;

use common::{Database, SOON, cluster_with, receiver_with};
use herald_trial::{Cluster, Mode, StopMode, figure};
use shop::{RECORDED, Shop};

/// The longest that a stop of a worker may take.
const PROMISED: Duration = Duration::from_secs(3);

fn cluster() -> Cluster {
    cluster_with(&[
        ("herald.sender_threads", "8"),
        ("max_prepared_transactions", "10"),
    ])
}

/// Stops the server and starts it again. Returns a new session.
#[track_caller]
fn restart_in_time(cluster: &Cluster, db: Database) -> Database {
    let name = db.name.clone();
    drop(db);
    cluster.stop(StopMode::Fast).unwrap();
    let log = cluster.log();
    let took = stop_of_all_sessions(&log);
    figure(&format!("stop of {name}, ms"), took.as_millis());
    assert!(took < PROMISED, "{took:?}: {log}");
    cluster.start().unwrap();
    Database::of(cluster, &name)
}

/// Returns how long all processes but the checkpointer took to end in the last stop, according to the log. The disk's
/// time after that is not the worker's.
fn stop_of_all_sessions(log: &str) -> Duration {
    let said_at = |words: &str| {
        let line = log.lines().rev().find(|line| line.ends_with(words));
        let time = line
            .expect(words)
            .split_whitespace()
            .nth(1)
            .expect("a time");
        let seconds = time.split(':').map(|part| part.parse::<f64>().unwrap());
        seconds.fold(0.0, |sum, part| sum * 60.0 + part)
    };
    let took = said_at("LOG:  shutting down") - said_at("LOG:  received fast shutdown request");
    // Midnight may have passed.
    Duration::from_secs_f64(took.rem_euclid(86_400.0))
}

/// Makes each row that goes into this table take a minute, until [`hasten`].
fn slow_down(db: &mut Database, table: &str) {
    db.run(&format!(
        "create table slowness (seconds int);
         insert into slowness values (60);
         create function sleep() returns trigger language plpgsql as $$
         begin perform pg_sleep(seconds) from public.slowness; return new; end $$;
         create trigger sleep before insert or update on {table} for each row execute function sleep()"
    ));
}

/// Waits until the worker sleeps in a row, and lets all other rows pass.
fn hasten(db: &mut Database) {
    db.until(
        "select wait_event from pg_stat_activity where pid = herald_internal.worker_pid()",
        "PgSleep",
    );
    db.run("update slowness set seconds = 0");
}

#[test]
fn a_stop_cancels_the_statement_that_runs_and_records_what_is_done() {
    let cluster = cluster();
    let shop = Shop::new(&cluster, "slow_window");
    let (mut db, receiver, neighbour) = (shop.db, shop.receiver, shop.neighbour);
    // The answer comes while the worker runs the statement.
    receiver.set_mode(Mode::delayed(Duration::from_secs(1)));
    db.emit("held");
    receiver.wait_until("a request", |receiver| receiver.total() == 1, SOON);
    slow_down(&mut db, "herald_internal.window");
    db.emit("other");
    hasten(&mut db);
    receiver.wait_until("an answer", |receiver| receiver.accepted() == 1, SOON);
    let mut db = restart_in_time(&cluster, db);
    db.until(RECORDED, "1");
    neighbour.wait_for(1, SOON);
    db.settle();
    assert_eq!(receiver.total(), 1, "it was recorded before the stop");
}

#[test]
fn a_stop_in_the_middle_of_a_burial_is_quick_and_the_rest_is_buried_later() {
    let cluster = cluster();
    let shop = Shop::new(&cluster, "burial");
    let (mut db, receiver) = (shop.db, shop.receiver);
    db.run("select herald.pause('shop'); select herald.emit('held') from generate_series(1, 500)");
    db.until("select count(*) from herald.pending", "500");
    receiver.set_mode(Mode::status(410));
    slow_down(&mut db, "herald_internal.dead_letter");
    db.run("select herald.resume('shop')");
    db.until(
        "select state from herald.subscription where name = 'shop'",
        "disabled",
    );
    hasten(&mut db);
    let mut db = restart_in_time(&cluster, db);
    let buried = "select count(*) from herald.dead_letter where reason = 'gone'";
    db.until(buried, "500");
    db.settle();
    assert_eq!(db.count("herald.pending"), 0);
    assert_eq!(receiver.total(), 1, "it said that it is gone");
}

#[test]
fn a_stop_waits_for_no_lock_and_records_what_is_not_locked() {
    let cluster = cluster();
    let shop = Shop::new(&cluster, "locked");
    let (mut db, receiver) = (shop.db, shop.receiver);
    db.run("select herald.emit('held') from generate_series(1, 3)");
    db.until("select count(*) from herald.pending", "3");
    receiver.set_mode(Mode::delayed(Duration::from_millis(1_500)));
    // A lock that outlives the stop of all sessions.
    db.run(
        "begin; select from herald.pending where event_seq = (select min(event_seq) from herald.pending) for update; \
         prepare transaction 'held'",
    );
    receiver.wait_until(
        "the second attempts",
        |receiver| receiver.total() >= 5,
        SOON,
    );
    let mut db = restart_in_time(&cluster, db);
    let log = cluster.log();
    assert!(!log.contains("cannot record"), "{log}");
    db.until(RECORDED, "2");
    db.run("rollback prepared 'held'");
    db.until(
        "select count(distinct event_id) from herald.attempt where outcome = 'delivered'",
        "3",
    );
    db.settle();
    // Three first attempts, three second ones, and the locked delivery's again.
    assert!(receiver.total() <= 7, "sent again: {receiver:?}");
}

#[test]
fn a_stop_beside_locked_tables_and_a_receiver_that_hangs_is_in_time() {
    let cluster = cluster();
    let shop = Shop::new(&cluster, "tables");
    let (mut db, receiver, neighbour) = (shop.db, shop.receiver, shop.neighbour);
    let hanging = receiver_with(Mode::hang_before_answer());
    // The next worker may send it one more request before it answers.
    db.subscribe("hangs", &hanging, "types => '{hangs}', timeout => '5 s'");
    db.emit("hangs");
    hanging.wait_until("a request", |hanging| hanging.total() == 1, SOON);
    // Both are sent, and one is answered with a failure: its row cannot be written.
    let answer_late = Duration::from_secs(1);
    receiver.set_mode(Mode::Delayed(answer_late, Box::new(Mode::flaky(1, 2))));
    neighbour.set_mode(Mode::delayed(answer_late));
    db.run("select herald.emit('held'), herald.emit('other')");
    neighbour.wait_until("a request", |neighbour| neighbour.total() == 1, SOON);
    receiver.wait_until("a request", |receiver| receiver.total() == 1, SOON);
    db.run(
        "begin; lock table herald.pending, herald_internal.window in share mode; prepare transaction 'held'",
    );
    let mut db = restart_in_time(&cluster, db);
    db.until(
        "select count(*) from herald.attempt where subscription = 'neighbour' and outcome = 'delivered'",
        "1",
    );
    db.run("rollback prepared 'held'");
    hanging.set_mode(Mode::ok());
    db.until(RECORDED, "1");
    db.settle();
    assert_eq!(neighbour.total(), 1, "it was recorded before the stop");
}

#[test]
fn a_stop_while_no_row_can_be_recorded_in_time_records_what_can() {
    let cluster = cluster();
    let shop = Shop::new(&cluster, "slow_rows");
    let (mut db, receiver, neighbour) = (shop.db, shop.receiver, shop.neighbour);
    let hanging = receiver_with(Mode::hang_before_answer());
    db.subscribe("hangs", &hanging, "types => '{hangs}'");
    db.emit("hangs");
    hanging.wait_until("a request", |hanging| hanging.total() == 1, SOON);
    slow_down(&mut db, "herald.pending");
    receiver.set_mode(Mode::flaky(1, 1_000));
    db.run("select herald.emit('held') from generate_series(1, 5)");
    db.until(
        "select wait_event from pg_stat_activity where pid = herald_internal.worker_pid()",
        "PgSleep",
    );
    neighbour.set_mode(Mode::delayed(Duration::from_secs(1)));
    db.emit("other");
    neighbour.wait_until("a request", |neighbour| neighbour.total() == 1, SOON);
    let mut db = restart_in_time(&cluster, db);
    db.run("drop trigger sleep on herald.pending");
    hanging.set_mode(Mode::ok());
    receiver.set_mode(Mode::ok());
    db.settle();
    assert_eq!(neighbour.total(), 1, "it was recorded before the stop");
}
