//! Outcomes that cannot be recorded wait in memory: they delay nothing else, no session is terminated for them, and
//! each is recorded once.

mod common;
mod shop;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, cluster_with, receiver, receiver_with};
use herald_trial::receiver::Answer;
use herald_trial::{Cluster, Mode};
use shop::{RECORDED, Shop};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    cluster_with(&[
        ("herald.sender_threads", "8"),
        ("herald.poll_interval", "1s"),
        ("herald.tenant_networks", "127.0.0.0/8"),
    ])
});

#[test]
fn a_tenant_with_an_open_transaction_is_never_ended() {
    let mut shop = Shop::new(&CLUSTER, "innocent");
    shop.db.run(
        "create role innocent login;
         insert into herald.plan (name) values ('any');
         insert into herald.tenant (name, role, plan) values ('innocent', 'innocent', 'any')",
    );
    shop.db.watched_table();
    shop.db.run("grant insert on note to innocent");
    let notes = receiver();
    shop.db
        .subscribe("notes", &notes, "types => '{public.note.*}'");
    shop.fail_once(3);
    // Outcomes wait for this lock, and more come in, while the tenant holds locks on the log.
    let mut locker = shop.session();
    locker.run("begin; select from herald.pending for update");
    let mut innocent = shop.db.session_as(&CLUSTER, "innocent");
    innocent.run("begin; insert into note values (1, 'first')");
    let age =
        "select now() - min(xact_start) > '5 s' from pg_stat_activity where usename = 'innocent'";
    let mut served = 0;
    while shop.db.text(age) == "false" {
        shop.neighbour_is_served();
        served += 1;
    }
    assert!(served > 0);
    assert_eq!(shop.db.text(RECORDED), "0");
    innocent.run("insert into note values (2, 'second'); commit");
    locker.run("commit");
    shop.db.until(RECORDED, "3");
    shop.db.settle();
    assert_eq!(notes.accepted(), 2);
}

#[test]
fn a_dead_letter_that_takes_a_second_to_write_is_written() {
    let receiver = receiver_with(Mode::status(500));
    let mut db = Database::subscribed(&CLUSTER, "slow_letter", &receiver, "max_attempts => 1");
    db.run(
        "create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(1); return new; end';
         create trigger slow before insert on herald_internal.dead_letter for each row execute function slow()",
    );
    db.emit("order.paid");
    db.until_dead("exhausted");
    db.settle();
}

#[test]
fn a_trigger_that_sleeps_holds_up_only_what_fires_it() {
    let mut shop = Shop::new(&CLUSTER, "sleeping");
    shop.fail_once(5);
    // Each row takes long, and not because of a lock.
    shop.db.run(
        "create function sleep() returns trigger language plpgsql as $$
         begin perform pg_sleep(60); return coalesce(new, old); end $$;
         create trigger sleep before insert or update or delete on herald.pending
         for each row execute function sleep()",
    );
    shop.receiver.wait_until(
        "the second attempts",
        |receiver| receiver.total() == 10,
        SOON,
    );
    for _ in 0..3 {
        shop.neighbour_is_served();
    }
    assert_eq!(shop.db.text(RECORDED), "0");
    shop.db.run("drop trigger sleep on herald.pending");
    shop.db.until(RECORDED, "5");
    shop.db.settle();
    assert_eq!(shop.receiver.total(), 10, "nothing was sent again");
}

#[test]
fn a_large_replay_that_stays_open_keeps_no_neighbour_from_being_recorded() {
    let mut db = Database::new(&CLUSTER, "replayed");
    for name in ["shop", "neighbour"] {
        db.subscribe_at(name, "http://127.0.0.1:1/", "");
    }
    db.run("select herald.pause('shop'); select herald.pause('neighbour')");
    // The worker reads the deliveries of both at once, and every second row waits for the replay.
    db.run("select herald.stop_worker()");
    db.run("select herald.emit('held') from generate_series(1, 60)");
    let mut replayer = db.session(&CLUSTER);
    replayer.run("begin; select herald.replay('shop', since => now() - interval '1 hour')");
    db.run("select herald.start_worker()");
    db.until("select count(*) from herald.pending", "60");
    replayer.run("rollback");
    db.until("select count(*) from herald.pending", "120");
}

#[test]
fn an_attempt_that_is_refused_costs_no_other_a_second_record() {
    let mut db = Database::new(&CLUSTER, "refused");
    let receiver = receiver();
    let recorded = "select count(*) from herald.attempt where outcome = 'delivered'";
    db.run(
        "create role ten;
         insert into herald.plan (name) values ('counted');
         insert into herald.tenant (name, role, plan) values ('ten', 'ten', 'counted')",
    );
    db.subscribe("ten/shop", &receiver, "tenant => 'ten'");
    db.run(
        "select herald.pause('ten/shop');
         select herald.emit('held', tenant => 'ten') from generate_series(1, 16)",
    );
    db.until("select count(*) from herald.pending", "16");
    // A sequence also counts what is rolled back.
    db.run(
        "create sequence tries;
         create function refuse() returns trigger language plpgsql as $$
         begin perform nextval('public.tries'); raise check_violation; end $$;
         do $$ begin execute format(
             'create trigger refuse before insert on herald_internal.attempt for each row when (new.event_seq = %s)
              execute function refuse()', (select event_seq from herald.pending order by event_seq offset 7 limit 1));
         end $$;
         select herald.resume('ten/shop')",
    );
    db.until(recorded, "15");
    db.until("select last_value >= 10 from tries", "true");
    db.run("drop trigger refuse on herald_internal.attempt");
    db.until(recorded, "16");
    db.settle();
    assert_eq!(receiver.total(), 16);
    assert_eq!(
        db.text("select format('%s %s', count(*), max(attempt)) from herald_internal.attempt"),
        "16 1"
    );
    assert_eq!(
        db.text(
            "select format('%s %s %s', events, attempts, delivered) from herald_internal.usage"
        ),
        "16 16 16"
    );
}

/// Fills 64 MB together with the receivers' answers, but neither does alone; few enough to be claimed.
const LARGE: usize = 4_000;
const LARGE_EVENTS: &str =
    "select herald.emit('large', '{}', key => repeat('k', 1024), subject => repeat('s', 1024),
            dataschema => 'https://example.com/' || repeat('d', 2000),
            extensions => jsonb_build_object('large', repeat('e', 8000)))
     from generate_series(1, 4000)";

#[test]
fn full_memory_stops_the_reading_and_not_the_sending() {
    let mut shop = Shop::new(&CLUSTER, "full");
    let answer = "r".repeat(8 << 10);
    let large = receiver_with(Mode::answer_with(move |_| {
        Answer::new(200).body(answer.clone())
    }));
    shop.db
        .subscribe("large", &large, "types => '{large}', max_concurrency => 16");
    shop.db.run("select herald.pause('large')");
    shop.db.run(LARGE_EVENTS);
    let pending = "select count(*) from herald.pending";
    shop.db.until(pending, &LARGE.to_string());
    let mut locker = shop.session();
    locker.run("begin; select from herald.pending for update");
    // Due later, and not locked.
    shop.db
        .run("update herald.subscription set retry_schedule = '{1 hour}' where name = 'shop'");
    shop.db.emit("held");
    shop.db.until(pending, &(LARGE + 1).to_string());
    shop.db.run("select herald.resume('large')");
    large.wait_until(
        "all large ones",
        |large| large.accepted() == LARGE,
        4 * SOON,
    );
    shop.db.emit("other");
    let unread = shop
        .neighbour
        .holds_within(Duration::from_secs(2), |neighbour| neighbour.total() > 0);
    assert!(!unread, "the log is read although the memory is full");
    shop.db.run("update herald.pending set next_attempt_at = now() where subscription_id = (select id from herald.subscription where name = 'shop')");
    shop.db.until(RECORDED, "1");
    assert_eq!(shop.neighbour.total(), 0);
    locker.run("commit");
    shop.neighbour.wait_for(1, SOON);
    shop.db.settle_within(4 * SOON);
    assert_eq!(large.total(), LARGE as u64, "nothing was sent again");
    let recorded = "select format('%s %s', count(*), count(distinct event_id)) from herald.attempt where subscription = 'large'";
    assert_eq!(shop.db.text(recorded), format!("{LARGE} {LARGE}"));
}
