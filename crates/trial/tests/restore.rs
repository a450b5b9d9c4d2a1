//! Dumps of a database with work in every state, restored in every way, and decisions that a crash interrupts.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use common::{Database, SECRET, SOON, receiver, types};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Mode, Receiver, StopMode, at_size, figure};

const HEADER: &str = "canary-header";
const ORIGIN: &str =
    "select status || ': ' || detail from herald.doctor() where \"check\" = 'origin'";
const COPY: &str = "error: this is a copy of another database: a restore, an upgrade or a template";
/// One for each state in which a delivery can be when the database is copied.
const STATES: [&str; 6] = [
    "delivered",
    "retrying",
    "dead",
    "held",
    "pending",
    "sending",
];

/// A database `shop` with an event in every state, and one that was not read; the dumps of it.
struct Source {
    cluster: Cluster,
    receiver: Receiver,
    dumps: tempfile::TempDir,
}

static TARGET: LazyLock<Cluster> = LazyLock::new(common::cluster);

impl Source {
    fn prepare() -> Self {
        let receiver = receiver();
        let cluster = common::cluster();
        let mut db = Database::new(&cluster, "shop");
        db.watched_table();
        for state in STATES {
            let attempts = if state == "dead" { 1 } else { 5 };
            db.subscribe(
                state,
                &receiver.url(&format!("/{state}")),
                &format!(
                    r#"max_attempts => {attempts}, retry_schedule => '{{1 h,1 h,1 h,1 h}}', headers => '{{"X-Key": "{HEADER}"}}'"#
                ),
            );
        }
        for refusing in ["/retrying", "/dead"] {
            receiver.set_mode_at(refusing, Mode::status(500));
        }
        receiver.set_mode_at("/sending", Mode::hang_before_answer());
        db.run("select herald.pause('held'), herald.pause('pending')");
        db.run("insert into note values (1, 'open')");
        let states = "select string_agg(subscription || ' ' || state, ', ' order by subscription) from herald.delivery
                      where subscription <> 'sending'";
        db.until(
            states,
            "dead dead, delivered delivered, held held, pending held, retrying retrying",
        );
        receiver.wait_until("a hanging request", |receiver| receiver.total() == 4, SOON);
        db.run("select herald.stop_worker()");
        db.run("insert into note values (2, 'unread')");
        db.run("update herald._subscription set state = 'active', state_reason = null where name = 'pending'");
        receiver.set_mode(Mode::ok());
        for state in STATES {
            receiver.set_mode_at(&format!("/{state}"), Mode::ok());
        }
        receiver.shut_connections();
        let dumps = tempfile::tempdir().expect("a directory for dumps");
        Self {
            cluster,
            receiver,
            dumps,
        }
    }

    fn dump(&self, name: &str, options: &[&str]) -> PathBuf {
        let path = self.dumps.path().join(name);
        let file = path.display().to_string();
        let options = [options, &["--file", &file]].concat();
        self.cluster
            .run_client("pg_dump", "shop", &options)
            .expect("a dump");
        path
    }
}

fn load(cluster: &Cluster, database: &str, file: &Path) {
    let file = file.display().to_string();
    // What is restored has been captured before.
    let options = [
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-c",
        "set herald.capture = off",
        "-f",
        &file,
    ];
    cluster
        .run_client("psql", database, &options)
        .expect("a restore");
}

#[track_caller]
fn assert_no_secrets(script: &str) {
    assert!(script.contains("unread"), "this is no dump of the log");
    assert!(
        !script.contains(SECRET) && !script.contains(HEADER),
        "the dump has secrets"
    );
}

/// What every copy has to do: wait, send nothing, and after the decision deliver what was open, and that only.
fn decide_to_deliver(source: &Source, cluster: &Cluster, name: &str) {
    let mut copy = Database::of(cluster, name);
    let receiver = &source.receiver;
    receiver.forget();
    assert_eq!(copy.text(ORIGIN), COPY, "{name}");
    assert_eq!(
        copy.number("select count(*) from herald.secret"),
        0,
        "{name}"
    );
    copy.run("insert into note values (3, 'in the copy')");
    assert!(!receiver.holds_within(Duration::from_millis(200), |receiver| receiver.total() > 0));
    copy.run("select herald.resume_after_restore('deliver')");
    give_new_secrets(&mut copy);
    copy.run("update herald.pending set next_attempt_at = clock_timestamp(); select herald._changed('pending')");
    copy.settle();
    // The first event was done for "delivered" and "dead"; the others are for all.
    let expected = STATES.map(|state| {
        let is_done = ["delivered", "dead"].contains(&state);
        (format!("/{state}"), if is_done { 2 } else { 3 })
    });
    assert_eq!(
        requests_by_path(receiver),
        BTreeMap::from(expected),
        "{name}"
    );
    assert_eq!(
        copy.text("select string_agg(reason, ' ') from herald.dead_letter"),
        "exhausted"
    );
}

fn give_new_secrets(copy: &mut Database) {
    copy.run(&format!(
        "select herald.rotate_secret(name, '{SECRET}') from herald.subscription"
    ));
    copy.run("select herald.resume(name) from herald.subscription where state = 'paused'");
}

fn requests_by_path(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut paths = BTreeMap::new();
    for request in receiver.requests() {
        *paths.entry(request.path.clone()).or_default() += 1;
    }
    paths
}

#[test]
fn every_kind_of_dump_restores_work_in_every_state_and_has_no_secrets() {
    let source = Source::prepare();
    let began = std::time::Instant::now();
    let mut copies = vec!["plain", "custom"];

    let plain = source.dump("plain", &[]);
    assert_no_secrets(&std::fs::read_to_string(&plain).expect("the dump"));
    TARGET.create_database("plain").expect("a database");
    load(&TARGET, "plain", &plain);

    let mut archives = vec![("custom", source.dump("custom", &["--format=custom"]))];
    if at_size(false, true) {
        let options = ["--format=directory", "--jobs=2"];
        archives.push(("parallel", source.dump("parallel", &options)));
        copies.extend(["parallel", "in_two_steps"]);
        let schema = source.dump("schema", &["--schema-only"]);
        let data = source.dump("data", &["--data-only"]);
        assert_no_secrets(&std::fs::read_to_string(&data).expect("the dump"));
        TARGET.create_database("in_two_steps").expect("a database");
        load(&TARGET, "in_two_steps", &schema);
        load(&TARGET, "in_two_steps", &data);
    }
    for (name, archive) in archives {
        let archive = archive.display().to_string();
        let script = TARGET.run_client("pg_restore", "postgres", &["--file=-", &archive]);
        assert_no_secrets(&script.expect("a script"));
        TARGET.create_database(name).expect("a database");
        let options = ["--exit-on-error", "--jobs=2", "--dbname", name, &archive];
        TARGET
            .run_client("pg_restore", name, &options)
            .expect("a restore");
    }
    for copy in &copies {
        decide_to_deliver(&source, &TARGET, copy);
    }

    if at_size(false, true) {
        restore_everything(&source);
        copies.push("everything");
    }
    figure("dumps restored and delivered", copies.join(", "));
    figure(
        "dumps restored and delivered, in s",
        began.elapsed().as_secs(),
    );
    assert_eq!(source.receiver.invalid_signatures(), 0);
}

/// pg_dumpall, into a cluster of its own.
fn restore_everything(source: &Source) {
    let everything = source
        .cluster
        .run_client("pg_dumpall", "postgres", &[])
        .expect("a dump");
    assert_no_secrets(&everything);
    let file = source.dumps.path().join("everything");
    std::fs::write(&file, everything).expect("the dump is written");
    let cluster = common::cluster();
    // The role postgres is there already, so not every statement can succeed.
    let path = file.display().to_string();
    cluster
        .run_client("psql", "postgres", &["-X", "-q", "-f", &path])
        .expect("a restore");
    decide_to_deliver(source, &cluster, "shop");
}

#[test]
fn a_restored_dump_that_skips_sends_nothing_of_any_state() {
    let source = Source::prepare();
    let plain = source.dump("plain", &[]);
    TARGET.create_database("skipped").expect("a database");
    load(&TARGET, "skipped", &plain);
    source.receiver.forget();
    let mut copy = Database::of(&TARGET, "skipped");
    let skipped =
        "select format('%s %s', pending, skipped) from herald.resume_after_restore('skip')";
    assert_eq!(copy.text(skipped), "0 3");
    give_new_secrets(&mut copy);
    copy.run("insert into note values (3, 'in the copy')");
    copy.settle();
    let expected = STATES.map(|state| (format!("/{state}"), 1));
    assert_eq!(requests_by_path(&source.receiver), BTreeMap::from(expected));
    // What was pending is on record; what was not read, or was being sent, is told by replay.
    assert_eq!(
        copy.text("select string_agg(reason, ' ' order by reason) from herald.dead_letter"),
        "discarded discarded discarded exhausted"
    );
}

#[test]
fn a_copy_by_template_takes_open_work_along_with_its_secrets() {
    let source = Source::prepare();
    let mut postgres = Database::of(&source.cluster, "postgres");
    postgres.run("create database replica template shop");
    source.receiver.forget();
    let mut copy = Database::of(&source.cluster, "replica");
    copy.run("select herald.start_worker()");
    copy.until(ORIGIN, COPY);
    assert!(
        !source
            .receiver
            .holds_within(Duration::from_millis(200), |receiver| receiver.total() > 0)
    );
    copy.run("select herald.resume_after_restore('deliver')");
    copy.run("select herald.resume('held')");
    copy.run("update herald.pending set next_attempt_at = clock_timestamp(); select herald._changed('pending')");
    copy.settle();
    let expected = STATES.map(|state| {
        let is_done = ["delivered", "dead"].contains(&state);
        (format!("/{state}"), if is_done { 1 } else { 2 })
    });
    assert_eq!(requests_by_path(&source.receiver), BTreeMap::from(expected));
    assert_eq!(source.receiver.invalid_signatures(), 0);
}

#[test]
fn a_decision_that_a_crash_interrupts_is_made_wholly_or_not_at_all() {
    let source = Source::prepare();
    let plain = source.dump("plain", &[]);
    let cluster = Cluster::builder().fsync(false).start().expect("a cluster");
    cluster.create_database("restored").expect("a database");
    load(&cluster, "restored", &plain);
    let undecided = state_of_the_copy(&cluster, "restored");
    assert_eq!(undecided, format!("{COPY}, 3 pending, true"));

    // At the first lock, after everything that was open has become pending, and at the last statement.
    for (place, blocking) in [
        ("first", "lock table herald.event in row exclusive mode"),
        ("middle", "select from herald._subscription for update"),
        ("last", "lock table herald.config_change in share mode"),
    ] {
        let mut blocker = Database::of(&cluster, "restored");
        blocker.run(&format!("begin; {blocking}"));
        let mut watcher = Database::of(&cluster, "restored");
        let deciding = decide_in_background(&cluster, "restored");
        let waiting = "select max(pid) from pg_stat_activity where wait_event_type = 'Lock' and query like '%resume_after%'";
        let pid = eventually(SOON, place, || watcher.text(waiting).parse().ok());
        match place {
            "first" => cluster.restart(StopMode::Immediate).map(drop),
            "middle" => cluster.kill9(pid),
            _ => cluster.kill9_postmaster().and_then(|()| cluster.start()),
        }
        .expect("the fault");
        let _ = deciding.join();
        cluster.wait_until_ready().expect("the server is back");
        assert_eq!(
            state_of_the_copy(&cluster, "restored"),
            undecided,
            "{place}"
        );
    }

    let rounds = at_size(3, 20);
    let mut made = 0;
    for round in 0..rounds {
        Database::of(&cluster, "postgres").run("create database again template restored");
        let before = state_of_the_copy(&cluster, "again");
        let deciding = decide_in_background(&cluster, "again");
        thread::sleep(Duration::from_millis(round * 61 % 600));
        cluster.restart(StopMode::Immediate).expect("the fault");
        let _ = deciding.join();
        let decided = "ok: this database is where its log was written, 10 pending, false";
        let after = state_of_the_copy(&cluster, "again");
        if after == before {
            cluster
                .psql("again", "select herald.resume_after_restore('deliver')")
                .expect("a decision");
        } else {
            made += 1;
        }
        assert_eq!(
            state_of_the_copy(&cluster, "again"),
            decided,
            "round {round}: {after}"
        );
        Database::of(&cluster, "postgres").run("drop database again");
    }
    figure("decisions interrupted by a crash at some moment", rounds);
    figure("of them, made", made);
    decide_to_deliver(&source, &cluster, "restored");
}

fn decide_in_background(cluster: &Cluster, name: &str) -> thread::JoinHandle<()> {
    let mut session = Database::of(cluster, name);
    let decide = "select herald.resume_after_restore('deliver')";
    thread::spawn(move || drop(session.batch_execute(decide)))
}

/// What doctor() says, what is pending, and whether there are windows of the original.
fn state_of_the_copy(cluster: &Cluster, name: &str) -> String {
    let mut db = Database::of(cluster, name);
    let origin = db.text(ORIGIN);
    let pending = db.number("select count(*) from herald.pending");
    let foreign = "select exists (select from herald.window where origin <> herald._origin())";
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
    assert!(
        !source
            .receiver
            .holds_within(Duration::from_millis(500), |receiver| receiver.total() > 0)
    );
    assert_eq!(db.text(running), "waiting for events");
    db.run("select herald.resume_after_restore('skip')");
    give_new_secrets(&mut db);
    db.settle();
    let expected = STATES.map(|state| (format!("/{state}"), 1));
    assert_eq!(requests_by_path(&source.receiver), BTreeMap::from(expected));
}

#[test]
fn a_log_that_was_read_further_than_the_transaction_ids_have_got_waits_and_then_loses_nothing() {
    let receiver = receiver();
    for mode in ["deliver", "skip"] {
        receiver.forget();
        let mut db = Database::new(&TARGET, &format!("backwards_{mode}"));
        db.subscribe("shop", &receiver.url("/"), "");
        db.emit("done");
        db.settle();
        db.run("select herald.stop_worker()");
        db.emit("open");
        // As if a newer log had been put into a cluster that was recovered to an older state.
        db.run(
            "create function later(s pg_snapshot) returns pg_snapshot return
                 (pg_snapshot_xmin(s)::text::bigint + 1000000 || ':' || (pg_snapshot_xmax(s)::text::bigint + 1000000) || ':')::pg_snapshot;
             update herald.event set xid = (xid::text::bigint + 1000000)::text::xid8;
             update herald.window set from_snapshot = later(from_snapshot), to_snapshot = later(to_snapshot);
             update herald._subscription set created_xid = (created_xid::text::bigint + 1000000)::text::xid8,
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
        db.run(&format!("select herald.resume_after_restore('{mode}')"));
        db.until(ORIGIN, "ok: this database is where its log was written");
        db.emit("after");
        db.settle();
        let expected: &[&str] = match mode {
            "deliver" => &["after", "done", "open", "while.it.waits"],
            _ => &["after", "done"],
        };
        assert_eq!(types(&receiver), expected);
        assert!(receiver.duplicates().is_empty());
    }
}
