//! Commands on whole databases: the worker blocks nobody, and every database that should have a worker has one.

mod common;

use std::path::Path;
use std::sync::LazyLock;
use std::thread;
use std::time::Instant;

use common::{Database, SOON, cluster_with, receiver, receiver_with, subscribed, worker_of};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Mode, Receiver, at_size, figure};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Creates a database whose worker is busy: requests hang, and more wait.
fn busy_database(name: &str) -> Receiver {
    let receiver = receiver_with(Mode::hang_before_answer());
    let mut db = Database::new(&CLUSTER, name);
    for n in 0..4 {
        db.subscribe(&format!("hangs.{n}"), &receiver, "");
    }
    db.run("select herald.emit('order.' || n) from generate_series(1, 50) n");
    receiver.wait_until("hanging requests", |receiver| receiver.total() >= 2, SOON);
    receiver
}

/// Runs the command and reports how long it took. PostgreSQL refuses it if another session does not leave within 5 s.
#[track_caller]
fn timed(db: &mut Database, sql: &str) {
    let began_at = Instant::now();
    db.run(sql);
    let took = began_at.elapsed();
    figure(&format!("{sql}, ms"), took.as_millis());
}

#[test]
fn the_source_is_a_uri_whatever_a_database_is_called() {
    let mut db = Database::new(&CLUSTER, "Übung 100%/a");
    db.watched_table();
    db.run("insert into note values (1, 'x')");
    db.emit("order.paid");
    assert_eq!(
        db.text("select string_agg(source, ' ' order by seq) from herald.event"),
        "/%C3%9Cbung%20100%25%2Fa /%C3%9Cbung%20100%25%2Fa"
    );
}

#[test]
fn a_busy_database_can_be_dropped_renamed_moved_and_copied() {
    let names = ["rename", "template", "drop", "extension", "tablespace"];
    let _receivers: Vec<Receiver> = names
        .map(|name| busy_database(&format!("busy_{name}")))
        .into();
    let mut postgres = Database::of(&CLUSTER, "postgres");
    timed(
        &mut postgres,
        "alter database busy_rename rename to renamed",
    );
    worker_of(&CLUSTER, "renamed");
    timed(
        &mut postgres,
        "create database busy_copy template busy_template",
    );
    worker_of(&CLUSTER, "busy_template");
    timed(&mut postgres, "drop database busy_drop");
    let elsewhere = directory_of_the_server("tablespace");
    postgres.run(&format!(
        "create tablespace elsewhere location '{elsewhere}'"
    ));
    timed(
        &mut postgres,
        "alter database busy_tablespace set tablespace elsewhere",
    );
    worker_of(&CLUSTER, "busy_tablespace");
    timed(&mut postgres, "drop database renamed with (force)");
    timed(&mut postgres, "drop database busy_tablespace");
    let mut db = Database::of(&CLUSTER, "busy_extension");
    timed(&mut db, "drop extension pg_herald cascade");
    assert_eq!(CLUSTER.worker_pid("busy_extension").unwrap(), None);
    assert_eq!(
        db.count("pg_class where relnamespace::regnamespace::text like 'herald%'"),
        0
    );
}

/// Creates a directory that the server may use, next to its data.
fn directory_of_the_server(name: &str) -> String {
    let dir = CLUSTER.data_dir().with_file_name(name);
    let owner = std::fs::metadata(CLUSTER.data_dir()).expect("the data directory");
    std::fs::create_dir(&dir).expect("a directory");
    use std::os::unix::fs::{MetadataExt, chown};
    chown(&dir, Some(owner.uid()), Some(owner.gid())).expect("the server's directory");
    Path::new(&dir).display().to_string()
}

#[test]
fn a_command_that_fails_leaves_the_worker_working() {
    let receiver = receiver();
    let mut postgres = Database::of(&CLUSTER, "postgres");
    let mut db = Database::subscribed(&CLUSTER, "survivor", &receiver, "");
    db.emit("proves.the.receiver");
    db.settle();
    let mut delivered = 1;
    let mut still_delivers = |db: &mut Database| {
        delivered += 1;
        db.emit("order.paid");
        receiver.wait_for(delivered, SOON);
    };
    db.run("begin; drop extension pg_herald; rollback");
    still_delivers(&mut db);
    // A session cannot drop its own database, even after the worker has stopped for it.
    assert_eq!(db.sqlstate("drop database survivor"), "55006");
    still_delivers(&mut db);
    postgres.run("begin");
    let refusal = postgres.refusal("drop database survivor");
    postgres.run("rollback");
    assert_eq!(refusal.code().code(), "25001");
    still_delivers(&mut db);
    // PostgreSQL waits for other sessions and gives up: here because of this session.
    let refusals = [
        "drop database survivor",
        "alter database survivor rename to other",
    ]
    .map(|sql| {
        thread::spawn(move || {
            Database::of(&CLUSTER, "postgres")
                .refusal(sql)
                .code()
                .code()
                .to_owned()
        })
    });
    for refusal in refusals {
        assert_eq!(refusal.join().expect("a refusal"), "55006");
    }
    still_delivers(&mut db);
    // A prepared transaction, which even force cannot end.
    db.run("begin; create table t (); prepare transaction 'in the way'");
    let refusal = postgres.refusal("drop database survivor with (force)");
    assert_eq!(refusal.code().code(), "55006");
    let mut db = Database::of(&CLUSTER, "survivor");
    still_delivers(&mut db);
    db.run("rollback prepared 'in the way'");
    db.settle();
}

#[test]
fn options_without_a_value_are_no_fault() {
    let mut postgres = Database::of(&CLUSTER, "postgres");
    postgres.run("create database without_value template = default");
    postgres.run("alter database without_value reset all");
    postgres.run("drop database without_value");
}

#[test]
fn an_unprivileged_drop_database_does_not_stop_the_worker() {
    let mut db = Database::new(&CLUSTER, "not_yours");
    let worker = worker_of(&CLUSTER, "not_yours");
    db.run("create role stranger createdb login");
    for sql in [
        "drop database not_yours",
        "alter database not_yours rename to mine",
        "alter database not_yours set tablespace pg_default",
        "create database mine template not_yours",
    ] {
        let mut stranger = Database::of(&CLUSTER, "postgres");
        stranger.run("set role stranger");
        assert_eq!(stranger.sqlstate(sql), "42501", "{sql}");
        assert_eq!(worker_of(&CLUSTER, "not_yours"), worker, "{sql}");
    }
    db.run("set role stranger");
    assert_eq!(db.sqlstate("drop extension pg_herald"), "42501");
    assert_eq!(worker_of(&CLUSTER, "not_yours"), worker);
}

#[test]
fn a_copy_of_a_database_has_a_worker_that_waits_for_a_decision() {
    let (receiver, mut db) = subscribed(&CLUSTER, "copied", "");
    db.emit("before");
    db.settle();
    drop(db);
    let mut postgres = Database::of(&CLUSTER, "postgres");
    postgres.run("create database copy template copied");
    worker_of(&CLUSTER, "copy");
    let mut copy = Database::of(&CLUSTER, "copy");
    copy.emit("in.the.copy");
    let paused = "select query like 'paused: %' from pg_stat_activity where backend_type = 'pg_herald worker' and datname = 'copy'";
    copy.until(paused, "true");
    assert_eq!(receiver.total(), 1);
    copy.run("select herald.resume_after_restore('deliver')");
    receiver.wait_for(2, SOON);
    // The same holds for a copy of a template that has the extension but, as a template, no worker.
    postgres.run("create database pattern template copied");
    postgres.run("alter database pattern is_template true");
    postgres.run("create database from_pattern template pattern");
    worker_of(&CLUSTER, "from_pattern");
    // A database without the extension needs no worker, and looking for the extension blocks nobody.
    for _ in 0..at_size(3, 30) {
        postgres.run("create database plain");
        timed(&mut postgres, "drop database plain");
    }
    assert_eq!(CLUSTER.worker_pid("plain").unwrap(), None);
}

#[test]
fn each_of_many_databases_delivers_and_those_without_a_process_slot_wait_for_one() {
    let databases = at_size(3, 50);
    let waiting = at_size(1, 2);
    // The launcher takes one slot, PostgreSQL's own logical replication launcher another.
    let slots = 2 + databases - waiting;
    let cluster = cluster_with(&[
        ("herald.sender_threads", "2"),
        ("max_connections", "200"),
        ("max_worker_processes", &slots.to_string()),
    ]);
    let receiver = receiver();
    let names: Vec<String> = (0..databases).map(|n| format!("many_{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let mut db = Database::new(&cluster, name);
        db.subscribe("shop", &receiver, "");
        db.emit("order.paid");
        receiver.wait_for((n + 1).min(databases - waiting), SOON);
    }
    let has_none: Vec<&String> = names[databases - waiting..].iter().collect();
    let worker = "select status || ' ' || detail || ' ' || hint from herald.doctor() where \"check\" = 'worker'";
    for name in &has_none {
        let said = format!(
            "error no background worker slot is free Raise max_worker_processes (now {slots}) and restart the server."
        );
        Database::of(&cluster, name).until(worker, &said);
    }
    assert_eq!(receiver.accepted(), databases - waiting);
    let mut postgres = Database::of(&cluster, "postgres");
    let freed_at = Instant::now();
    for name in &names[..waiting] {
        postgres.run(&format!("drop database {name}"));
    }
    receiver.wait_for(databases, SOON);
    figure(
        "waited for a freed slot, ms",
        freed_at.elapsed().as_millis(),
    );
    for name in &names[waiting..] {
        let mut db = Database::of(&cluster, name);
        db.emit("order.again");
        db.settle();
    }
    assert_eq!(receiver.total() as usize, 2 * databases - waiting);
    let said = cluster
        .log()
        .matches("no background worker slot is free for database")
        .count();
    assert_eq!(said, waiting, "it is said once for each");
    figure("databases", databases);
}

#[test]
fn a_dropped_database_leaves_its_place_to_another() {
    // More rounds than places; a few rounds prove little.
    let rounds = at_size(3, 300);
    let mut postgres = Database::of(&CLUSTER, "postgres");
    let mut db = Database::new(&CLUSTER, "place_template");
    db.run("select herald.stop_worker()");
    drop(db);
    for _ in 0..rounds {
        postgres.run("create database place template place_template");
        Database::of(&CLUSTER, "place").run("select herald.stop_worker()");
        postgres.run("drop database place");
    }
    let (receiver, mut db) = subscribed(&CLUSTER, "last_place", "");
    db.emit("order.paid");
    receiver.wait_for(1, SOON);
    eventually(SOON, "its worker", || {
        CLUSTER.worker_pid("last_place").unwrap()
    });
}
