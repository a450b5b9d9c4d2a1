//! Locks that other sessions hold on what the worker writes: a locked row delays only itself.

mod common;
mod shop;

use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use common::{Database, SOON, cluster_with, receiver_with, worker_of};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Mode};
use shop::{RECORDED, RETRY_SOON, Shop};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    cluster_with(&[
        ("herald.sender_threads", "8"),
        ("herald.tenant_networks", "127.0.0.0/8"),
        ("max_prepared_transactions", "10"),
        ("max_connections", "100"),
    ])
});

/// Creates a [`Shop`] in the shared cluster.
fn shop(database: &str) -> Shop<'static> {
    Shop::new(&CLUSTER, database)
}

#[test]
fn a_locked_delivery_holds_up_only_its_own_record() {
    let mut shop = shop("one_row");
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
    let mut shop = shop("prepared");
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
    let mut shop = shop("replayed");
    // The first answer takes a second; meanwhile a replay writes the row that the worker has to write.
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
fn an_index_that_a_dba_puts_in_the_place_of_a_known_one_does_no_harm() {
    let mut shop = shop("renamed");
    shop.db.run(
        "alter index herald.pending_pkey rename to pending_key;
         create index pending_pkey on herald.pending (error_class, event_seq)",
    );
    let worker = worker_of(&CLUSTER, &shop.db.name);
    let slow = Mode::Delayed(Duration::from_secs(1), Box::new(Mode::flaky(1, 2)));
    shop.receiver.set_mode(slow);
    shop.db.emit("held");
    shop.receiver
        .wait_until("the first attempt", |receiver| receiver.total() == 1, SOON);
    let mut writer = shop.session();
    writer.run(
        "begin; insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at, error_class)
         select s.id, e.slot, e.seq, now(), 'timeout' from herald_internal.subscription s, herald.event e where s.name = 'shop'",
    );
    for _ in 0..10 {
        shop.neighbour_is_served();
        thread::sleep(Duration::from_millis(200));
    }
    writer.run("commit");
    shop.db.until(RECORDED, "1");
    assert_eq!(worker_of(&CLUSTER, &shop.db.name), worker);
}

#[test]
fn hundreds_of_deliveries_that_are_being_replayed_are_waited_for_once_and_not_one_by_one() {
    let mut shop = shop("replayed_by_the_hundred");
    shop.receiver.set_mode(Mode::hang_before_answer());
    shop.db.run(
        "update herald.subscription set timeout = '1 s' where name = 'shop';
         select herald.emit('held') from generate_series(1, 400)",
    );
    shop.receiver
        .wait_until("a request", |receiver| receiver.total() >= 1, SOON);
    let mut replayer = shop.session();
    replayer.run("begin; select herald.replay('shop', since => now() - interval '1 hour')");
    // After a second the lane spills into the pending deliveries, where the replay has the rows.
    shop.db.until(
        "select count(*) from herald.doctor() where \"check\" = 'lock' and detail ~ 'herald.pending'",
        "1",
    );
    shop.worker_rarely_waits();
    for _ in 0..3 {
        shop.neighbour_is_served();
    }
    shop.receiver.set_mode(Mode::ok());
    replayer.run("rollback");
    shop.db.until(RECORDED, "400");
    shop.db.settle();
}

#[test]
fn a_locked_account_holds_up_only_its_own_tenant() {
    let mut db = Database::new(&CLUSTER, "account");
    db.run(
        "insert into herald.plan (name, events_per_month) values ('small', 1000);
         insert into herald.tenant (name, plan) values ('ten', 'small')",
    );
    let mut shop = Shop::of(
        &CLUSTER,
        db,
        "ten/shop",
        "tenant => 'ten', types => '{held}'",
    );
    shop.receiver.set_mode(Mode::ok());
    let emit = "select herald.emit('held', tenant => 'ten') from generate_series(1, 100)";
    shop.db.run(emit);
    shop.db.until(RECORDED, "100");
    let mut locker = shop.session();
    locker.run("begin; select from herald_internal.usage for update");
    shop.db.run(emit);
    shop.receiver.wait_for(200, SOON);
    shop.worker_rarely_waits();
    for _ in 0..3 {
        shop.neighbour_is_served();
    }
    assert_eq!(shop.db.text(RECORDED), "100");
    locker.run("commit");
    shop.db.until(RECORDED, "200");
    shop.db.settle();
    assert_eq!(shop.receiver.total(), 200, "nothing was sent again");
}

#[test]
fn what_was_set_aside_survives_a_crash() {
    let cluster = Cluster::builder().start().unwrap();
    let mut db = Database::new(&cluster, "crashed");
    let slow = Mode::Delayed(Duration::from_secs(1), Box::new(Mode::flaky(1, 2)));
    let receiver = receiver_with(slow);
    db.subscribe("shop", &receiver, RETRY_SOON);
    db.emit("held");
    receiver.wait_until("the first attempt", |receiver| receiver.total() == 1, SOON);
    let mut replayer = db.session(&cluster);
    replayer.run("begin; select herald.replay('shop', since => now() - interval '1 hour')");
    let said = "outcomes wait until other sessions release their locks";
    eventually(SOON, said, || cluster.log().contains(said).then_some(()));
    // Later windows are closed meanwhile.
    db.subscribe("other", &receiver, "types => '{other}'");
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
    let mut shop = shop("gone");
    shop.receiver.set_mode(Mode::status(410));
    let mut locker = shop.session();
    locker.run("begin; select from herald_internal.subscription where name = 'shop' for update");
    shop.db.emit("held");
    shop.db.until_dead("gone");
    // All subscriptions are reloaded, and this one is still active in the table.
    shop.db
        .run("select herald_internal.changed('subscription')");
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
    let mut shop = shop("unread");
    shop.fail_once(2);
    let mut locker = shop.session();
    locker.run("begin; lock table herald_internal.window in exclusive mode");
    shop.db.emit("other");
    shop.db.until(RECORDED, "2");
    assert_eq!(shop.neighbour.total(), 0, "its window cannot be opened");
    locker.run("commit");
    shop.neighbour.wait_for(1, SOON);
    shop.db.settle();
}

#[test]
fn a_table_that_is_being_indexed_holds_up_only_what_goes_into_it() {
    let mut shop = shop("indexed");
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
    let mut shop = shop("in_turn");
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
fn doctor_names_lock_holders_without_waiting_for_them() {
    let mut shop = shop("named");
    shop.fail_once(1);
    let mut locker = shop.session();
    let pid = locker.text("select pg_backend_pid()");
    locker.run("begin; select from herald.pending for update");
    let named = "select string_agg(detail, ' ') from herald.doctor() where \"check\" = 'lock'";
    eventually(SOON, "doctor names the session", || {
        shop.db.text(named).contains(&pid).then_some(())
    });
    locker.run(
        "commit; begin; lock table herald_internal.subscription, herald.tenant in access exclusive mode",
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

/// Asks every question that says what blocks, in a session that asks for the first time.
#[track_caller]
fn assert_named(asker: &mut Database, event: &str, pid: &str, locked: &str) {
    // Turns an endless wait into a failure.
    asker.run("set statement_timeout = '15 s'");
    let why = format!("herald.why('{event}')");
    for question in ["herald.doctor()", "herald.status()", &why] {
        let said = asker.texts(&format!("select q::text from {question} q"));
        assert!(
            said.iter()
                .any(|row| row.contains(&format!("process {pid}"))),
            "{locked} is locked, {question}: {said:?}"
        );
    }
}

#[test]
fn doctor_status_and_why_name_the_session_whatever_it_has_locked() {
    // All databases of a cluster share some of the locked relations.
    let cluster = common::cluster();
    let mut shop = Shop::new(&cluster, "catalogs");
    shop.db
        .run("create role on_call login; select herald.grant_access('on_call', 'operator')");
    let event = shop.db.emit("other");
    shop.db.settle();
    let mut locker = shop.session();
    let pid = locker.text("select pg_backend_pid()");
    for locked in [
        "herald.pending",
        "herald.tenant",
        "herald.subscription",
        "pg_authid",
        "pg_class",
    ] {
        // Connect before the lock; later sessions cannot.
        let askers = [shop.session(), shop.db.session_as(&cluster, "on_call")];
        locker.run(&format!(
            "begin; lock table {locked} in access exclusive mode"
        ));
        for mut asker in askers {
            assert_named(&mut asker, &event, &pid, locked);
        }
        locker.run("commit");
    }
    shop.db.settle();
}

#[test]
fn doctor_status_and_why_name_the_session_that_a_lock_waits_for() {
    let mut shop = shop("queued");
    let event = shop.db.emit("other");
    shop.db.settle();
    let mut reader = shop.session();
    let pid = reader.text("select pg_backend_pid()");
    reader.run("begin; select from herald.pending");
    let mut dba = shop.session();
    let waiting = thread::spawn(move || dba.run("begin; lock table herald.pending; commit"));
    shop.db.until(
        "select count(*) from pg_locks where relation = 'herald.pending'::regclass and not granted and mode = 'AccessExclusiveLock'",
        "1",
    );
    assert_named(&mut shop.session(), &event, &pid, "herald.pending");
    reader.run("commit");
    waiting.join().unwrap();
    shop.db.settle();
}
