//! Restarts and copies: what was recorded is not sent again, and a copy of a database sends nothing by itself.

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SECRET, SOON, receiver, receiver_with, types};
use herald_trial::{Cluster, Mode, Receiver, StopMode};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn restarts_send_nothing_again_and_lose_nothing() {
    let cluster = Cluster::builder()
        .setting("herald.sender_threads", "8")
        .start()
        .expect("a cluster");
    let receiver = receiver_with(Mode::delayed(Duration::from_millis(3)));
    let mut db = Database::new(&cluster, "restarts");
    db.subscribe("shop", &receiver.url("/"), "");
    let emit = "do $$ begin for n in 1..200 loop perform herald.emit('order.paid'); commit; end loop; end $$";
    for round in 0..5 {
        db.run(emit);
        match round {
            0 => db.run("select herald.restart_worker()"),
            1 => db.run("select pg_terminate_backend(herald._worker_pid())"),
            2 => {
                cluster.restart(StopMode::Fast).unwrap();
                db = Database::of(&cluster, "restarts");
            }
            3 => db.run("select herald.stop_worker()"),
            _ => {}
        }
        if round == 3 {
            db.run(emit);
            db.run("select herald.start_worker()");
        }
    }
    db.settle();
    assert_eq!(receiver.accepted(), 1_200);
    assert_eq!(
        receiver.total(),
        1_200,
        "an orderly stop waits for what is under way: {receiver:?}"
    );

    // A crash may repeat what was under way or not yet recorded, and nothing that was recorded on disk.
    db.run("checkpoint");
    cluster.restart(StopMode::Immediate).unwrap();
    let mut db = Database::of(&cluster, "restarts");
    db.emit("order.after");
    db.settle();
    receiver.wait_for(1_201, SOON);
    assert_eq!(receiver.total(), 1_201);
}

#[test]
fn a_restored_dump_is_paused_without_secrets_and_then_delivers_what_was_open() {
    let (receiver, mut copy) = dump_and_restore("restore_deliver");
    let done =
        "select format('%s %s', pending, skipped) from herald.resume_after_restore('deliver')";
    assert_eq!(copy.text(done), "3 0");
    copy.run(&format!(
        "select herald.rotate_secret(name, '{SECRET}') from herald.subscription"
    ));
    copy.settle();
    assert_eq!(
        types(&receiver),
        ["between", "closed", "open.1", "open.2", "open.3"]
    );
    assert_eq!(
        receiver.attempts(&copy.text("select uid from herald.event where type = 'closed'")),
        1
    );
    copy.emit("after.restore");
    copy.settle();
    assert_eq!(receiver.accepted(), 6);
    assert_eq!(receiver.invalid_signatures(), 0);
    assert!(receiver.duplicates().is_empty());
    assert_eq!(
        copy.text("select string_agg(reason, ' ') from herald.dead_letter"),
        "discarded"
    );
}

#[test]
fn a_restored_dump_that_skips_sends_only_what_is_new() {
    let (receiver, mut copy) = dump_and_restore("restore_skip");
    copy.run("select herald.resume_after_restore('skip')");
    copy.run(&format!(
        "select herald.rotate_secret(name, '{SECRET}') from herald.subscription"
    ));
    copy.emit("after.restore");
    copy.settle();
    assert_eq!(types(&receiver), ["after.restore", "between", "closed"]);
    // What was matched is on record; what the copy never saw is told by replay.
    let missing =
        "select herald.replay('shop', '-infinity', \"only\" => 'missing', dry_run => true)";
    assert_eq!(copy.number(missing), 4);
    let held = copy.refusal("select herald.resume_after_restore('skip')");
    assert_eq!(held.code().code(), "55000");
}

#[test]
fn a_copy_by_template_is_paused_and_the_original_goes_on() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "original");
    db.subscribe("shop", &receiver.url("/"), "");
    db.emit("before");
    db.settle();
    drop(db);
    CLUSTER
        .connect("postgres")
        .unwrap()
        .batch_execute("create database replica template original")
        .unwrap();
    let mut db = Database::of(&CLUSTER, "original");
    db.emit("in.the.original");
    db.settle();
    let mut copy = Database::of(&CLUSTER, "replica");
    copy.run("select herald.start_worker()");
    copy.emit("in.the.copy");
    let origin = "select status from herald.doctor() where \"check\" = 'origin'";
    assert_eq!(copy.text(origin), "error");
    assert!(!receiver.holds_within(Duration::from_millis(500), |receiver| receiver.total() > 2));
    assert_eq!(types(&receiver), ["before", "in.the.original"]);
    copy.run("select herald.resume_after_restore('deliver')");
    copy.until(origin, "ok");
    receiver.wait_for(3, SOON);
    copy.settle();
    assert_eq!(
        types(&receiver),
        ["before", "in.the.copy", "in.the.original"]
    );
    assert!(receiver.duplicates().is_empty());
}

/// A database with one delivered event, a discarded one, one pending and two not read yet, restored under another name.
fn dump_and_restore(name: &str) -> (Receiver, Database) {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, name);
    let canary = r#"headers => '{"Authorization": "canary-header"}'"#;
    db.subscribe("shop", &receiver.url("/"), canary);
    db.emit("closed");
    db.settle();
    db.run("select herald.pause('shop')");
    db.emit("discarded");
    db.until("select count(*) from herald.pending", "1");
    db.run("select herald.discard('shop')");
    db.emit("open.1");
    db.until("select count(*) from herald.pending", "1");
    db.run("select herald.stop_worker()");
    db.emit("open.2");
    db.emit("open.3");
    db.run("update herald._subscription set state = 'active', state_reason = null");
    let dump = CLUSTER.run_client("pg_dump", name, &[]).expect("a dump");
    assert!(
        !dump.contains(SECRET) && !dump.contains("canary-header"),
        "the dump has secrets"
    );
    assert!(dump.contains("open.2"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), dump).expect("the dump is written");
    let copy = format!("{name}_copy");
    CLUSTER.create_database(&copy).expect("a database");
    let path = file.path().display().to_string();
    CLUSTER
        .run_client(
            "psql",
            &copy,
            &["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", &path],
        )
        .expect("a restore");
    let mut copy = Database::of(&CLUSTER, &copy);
    copy.emit("between");
    let origin = "select detail from herald.doctor() where \"check\" = 'origin'";
    assert!(
        copy.text(origin).contains("copy of another database"),
        "{}",
        copy.text(origin)
    );
    assert!(!receiver.holds_within(Duration::from_millis(500), |receiver| receiver.total() > 1));
    assert_eq!(copy.number("select count(*) from herald.secret"), 0);
    (receiver, copy)
}
