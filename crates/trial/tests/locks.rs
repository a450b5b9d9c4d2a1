//! Locks that other sessions hold on what the worker writes: a locked row holds up itself and nothing else.

mod common;

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use common::{Database, SOON, receiver_with, worker_of};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Mode, Receiver, StopMode};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    Cluster::builder()
        .fsync(false)
        .setting("herald.sender_threads", "8")
        .setting("max_prepared_transactions", "10")
        .setting("max_connections", "100")
        .start()
        .expect("a cluster starts")
});

const RETRY_SOON: &str = "retry_schedule => '{300 ms}', retry_jitter => 0, types => '{held}'";

/// A database with a subscription `shop` for events of type `held`, each of which fails once, and a healthy neighbour for
/// all others.
struct Shop {
    db: Database,
    receiver: Receiver,
    neighbour: Receiver,
    events: usize,
}

impl Shop {
    fn new(name: &str) -> Self {
        let mut db = Database::new(&CLUSTER, name);
        let receiver = receiver_with(Mode::flaky(1, 2));
        let neighbour = common::receiver();
        db.subscribe("shop", &receiver.url("/"), RETRY_SOON);
        db.subscribe("neighbour", &neighbour.url("/"), "types => '{other}'");
        Self {
            db,
            receiver,
            neighbour,
            events: 0,
        }
    }

    /// An event of the neighbour's is delivered, and that is recorded.
    #[track_caller]
    fn neighbour_is_served(&mut self) {
        self.events += 1;
        self.db.emit("other");
        self.db.until(
            "select count(*) from herald.attempt where subscription = 'neighbour' and outcome = 'delivered'",
            &self.events.to_string(),
        );
        assert_eq!(self.neighbour.accepted(), self.events);
    }

    /// So many events wait for their second attempt.
    fn fail_once(&mut self, count: usize) {
        self.db.run(&format!(
            "select herald.emit('held') from generate_series(1, {count})"
        ));
        self.db
            .until("select count(*) from herald.pending", &count.to_string());
    }

    fn session(&self) -> Database {
        self.db.session(&CLUSTER)
    }
}

const RECORDED: &str =
    "select count(*) from herald.attempt where subscription = 'shop' and outcome = 'delivered'";

#[test]
fn a_locked_delivery_holds_up_only_its_own_record() {
    let mut shop = Shop::new("one_row");
    shop.fail_once(3);
    let mut locker = shop.session();
    locker.run(
        "begin; select from herald.pending p where p.event_seq = (select min(event_seq) from herald.pending) for update",
    );
    shop.receiver.wait_for(3, SOON);
    shop.db.until(RECORDED, "2");
    for _ in 0..3 {
        shop.neighbour_is_served();
    }
    assert_eq!(shop.db.text(RECORDED), "2");
    locker.run("commit");
    shop.db.until(RECORDED, "3");
    shop.db.settle();
    assert_eq!(shop.receiver.total(), 6, "nothing was sent again");
    shop.db.until("select count(*) from herald.pending", "0");
}

#[test]
fn a_delivery_that_a_prepared_transaction_holds_is_recorded_when_that_ends() {
    let mut shop = Shop::new("prepared");
    shop.fail_once(1);
    let mut locker = shop.session();
    locker.run("begin; select from herald.pending for update; prepare transaction 'held'");
    shop.receiver
        .wait_until("the second attempt", |receiver| receiver.total() == 2, SOON);
    shop.neighbour_is_served();
    locker.run("rollback prepared 'held'");
    shop.db.until(RECORDED, "1");
    shop.db.settle();
    assert_eq!(shop.receiver.total(), 2);
}

#[test]
fn a_delivery_that_is_being_replayed_holds_up_only_its_own_record() {
    let mut shop = Shop::new("replayed");
    // The first answer takes a second; meanwhile a replay writes the row that the worker wants to write.
    let slow = Mode::Delayed(Duration::from_secs(1), Box::new(Mode::flaky(1, 2)));
    shop.receiver.set_mode(slow);
    shop.db.emit("held");
    shop.receiver
        .wait_until("the first attempt", |receiver| receiver.total() == 1, SOON);
    let mut replayer = shop.session();
    replayer.run("begin; select herald.replay('shop', since => now() - interval '1 hour')");
    for _ in 0..10 {
        shop.neighbour_is_served();
        thread::sleep(Duration::from_millis(200));
    }
    replayer.run("commit");
    shop.db.until(RECORDED, "1");
    shop.db.settle();
}

#[test]
fn what_was_set_aside_survives_a_crash() {
    let cluster = Cluster::builder().start().unwrap();
    let mut db = Database::new(&cluster, "crashed");
    let slow = Mode::Delayed(Duration::from_secs(1), Box::new(Mode::flaky(1, 2)));
    let receiver = receiver_with(slow);
    db.subscribe("shop", &receiver.url("/"), RETRY_SOON);
    db.emit("held");
    receiver.wait_until("the first attempt", |receiver| receiver.total() == 1, SOON);
    let mut replayer = db.session(&cluster);
    replayer.run("begin; select herald.replay('shop', since => now() - interval '1 hour')");
    let said = "outcomes wait until other sessions release their locks";
    eventually(SOON, said, || cluster.log().contains(said).then_some(()));
    // Windows after it are closed meanwhile.
    db.subscribe("other", &receiver.url("/"), "types => '{other}'");
    db.emit("other");
    db.until(
        "select count(*) from herald.attempt where subscription = 'other'",
        "1",
    );
    cluster.crash(worker_of(&cluster, "crashed")).unwrap();
    let mut db = Database::of(&cluster, "crashed");
    db.until(RECORDED, "1");
    db.settle();
}

#[test]
fn a_receiver_that_is_gone_is_left_alone_although_its_subscription_is_locked() {
    let mut shop = Shop::new("gone");
    shop.receiver.set_mode(Mode::status(410));
    let mut locker = shop.session();
    locker.run("begin; select from herald._subscription where name = 'shop' for update");
    shop.db.emit("held");
    shop.db.until_dead("gone");
    // Subscriptions are loaded again, and this one is still active in the table.
    shop.db
        .run("update herald.subscription set description = 'new' where name = 'neighbour'");
    shop.neighbour_is_served();
    shop.db.emit("held");
    shop.neighbour_is_served();
    assert_eq!(shop.receiver.total(), 1, "it said that it is gone");
    locker.run("commit");
    shop.db.until(
        "select state from herald.subscription where name = 'shop'",
        "disabled",
    );
    shop.db.until_dead("gone gone");
    shop.db.settle();
    assert_eq!(shop.receiver.total(), 1);
}

#[test]
fn a_log_that_cannot_be_read_on_keeps_no_attempt_from_being_recorded() {
    let mut shop = Shop::new("unread");
    shop.fail_once(2);
    let mut locker = shop.session();
    locker.run("begin; lock table herald.window in exclusive mode");
    shop.db.emit("other");
    shop.db.until(RECORDED, "2");
    assert_eq!(shop.neighbour.total(), 0, "its window cannot be opened");
    locker.run("commit");
    shop.neighbour.wait_for(1, SOON);
    shop.db.settle();
}

#[test]
fn a_table_that_is_being_indexed_holds_up_only_what_goes_into_it() {
    let mut shop = Shop::new("indexed");
    shop.fail_once(2);
    let mut dba = shop.session();
    dba.run("begin; create index on herald.pending (created_at)");
    shop.receiver.wait_until(
        "the second attempts",
        |receiver| receiver.total() == 4,
        SOON,
    );
    for _ in 0..3 {
        shop.neighbour_is_served();
    }
    assert_eq!(shop.db.text(RECORDED), "0");
    dba.run("rollback");
    shop.db.until(RECORDED, "2");
    shop.db.settle();
    assert_eq!(shop.receiver.total(), 4, "nothing was sent again");
}

#[test]
fn sessions_that_hold_rows_in_turn_hold_up_only_these() {
    let mut shop = Shop::new("in_turn");
    shop.fail_once(20);
    let lockers: Vec<_> = (0..20)
        .map(|n| {
            let mut locker = shop.session();
            thread::spawn(move || {
                locker.run(&format!(
                    "begin; select from herald.pending
                     where event_seq = (select event_seq from herald.pending order by event_seq offset {n} limit 1) for update"
                ));
                thread::sleep(Duration::from_millis(900 + 100 * n));
                locker.run("commit");
            })
        })
        .collect();
    shop.receiver.wait_until(
        "the second attempts",
        |receiver| receiver.total() == 40,
        SOON,
    );
    for _ in 0..3 {
        shop.neighbour_is_served();
    }
    lockers
        .into_iter()
        .for_each(|locker| locker.join().unwrap());
    shop.db.until(RECORDED, "20");
    shop.db.settle();
    assert_eq!(shop.receiver.total(), 40, "nothing was sent again");
}

#[test]
fn doctor_names_who_holds_locks_and_nobody_who_asks_waits_for_them() {
    let mut shop = Shop::new("named");
    shop.fail_once(1);
    let mut locker = shop.session();
    let pid = locker.text("select pg_backend_pid()");
    locker.run("begin; select from herald.pending for update");
    let named = "select string_agg(detail, ' ') from herald.doctor() where \"check\" = 'lock'";
    eventually(SOON, "doctor names the session", || {
        shop.db.text(named).contains(&pid).then_some(())
    });
    locker.run(
        "commit; begin; lock table herald._subscription, herald.tenant in access exclusive mode",
    );
    let began_at = Instant::now();
    let said = shop
        .db
        .text("select string_agg(detail, ' ') from herald.doctor()");
    assert!(said.contains(&pid), "{said}");
    for question in ["herald.status()", "herald.why('x')"] {
        let said = shop.db.text(&format!(
            "select string_agg(q::text, ' ') from {question} q"
        ));
        assert!(said.contains(&pid), "{question}: {said}");
    }
    assert!(began_at.elapsed() < Duration::from_secs(10));
    locker.run("commit");
    shop.db.settle();
}

#[test]
fn a_stop_waits_for_no_lock_and_records_what_is_not_locked() {
    let cluster = Cluster::builder()
        .fsync(false)
        .setting("max_prepared_transactions", "10")
        .start()
        .unwrap();
    let mut db = Database::new(&cluster, "stopped");
    let receiver = receiver_with(Mode::flaky(1, 2));
    db.subscribe("shop", &receiver.url("/"), RETRY_SOON);
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
    let worker = worker_of(&cluster, "stopped");
    drop(db);
    let took = cluster.stop(StopMode::Fast).unwrap();
    cluster.start().unwrap();
    let mut db = Database::of(&cluster, "stopped");
    let log = cluster.log();
    assert!(!log.contains("cannot record"), "{log}");
    assert!(
        took < Duration::from_secs(6),
        "{took:?} for worker {worker}"
    );
    db.until(RECORDED, "2");
    db.run("rollback prepared 'held'");
    db.until(
        "select count(distinct event_id) from herald.attempt where outcome = 'delivered'",
        "3",
    );
    db.settle();
}
