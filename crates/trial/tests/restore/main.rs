//! Dumps of a database with work in every state, restored in every way.

#[path = "../common/mod.rs"]
mod common;
mod decision;
mod source;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::Database;
use herald_trial::{at_size, figure};
use source::{
    COPY, ORIGIN, STATES, Source, TARGET, assert_no_secrets, decide_to_deliver, give_new_secrets,
    load, requests_by_path,
};

#[test]
fn every_kind_of_dump_restores_work_in_every_state_and_has_no_secrets() {
    let source = Source::prepare();
    let began = Instant::now();
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

/// Restores pg_dumpall into a separate cluster.
fn restore_everything(source: &Source) {
    let everything = source
        .cluster
        .run_client("pg_dumpall", "postgres", &[])
        .expect("a dump");
    assert_no_secrets(&everything);
    let file = source.dumps.path().join("everything");
    std::fs::write(&file, everything).expect("the dump is written");
    let cluster = common::cluster();
    // The role postgres already exists, so not every statement can succeed.
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
    // Pending deliveries are dead letters now; replay covers what was unread or being sent.
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
    copy.run("update herald.pending set next_attempt_at = clock_timestamp(); select herald_internal.changed('pending')");
    copy.settle();
    let expected = STATES.map(|state| {
        let is_done = ["delivered", "dead"].contains(&state);
        (format!("/{state}"), if is_done { 1 } else { 2 })
    });
    assert_eq!(requests_by_path(&source.receiver), BTreeMap::from(expected));
    assert_eq!(source.receiver.invalid_signatures(), 0);
}
