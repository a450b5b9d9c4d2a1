//! Watched tables are altered, emptied, renamed, dropped and recreated while clients write to them: the clients notice
//! no more than without a watch, and exactly what was committed is sent.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::{Database, SECRET};
use herald_trial::receiver::{Keep, Receiver, Request};
use herald_trial::wait::within;
use herald_trial::workload::{Change, committed_changes};
use herald_trial::{Cluster, Receipts, Verdict, Workload, at_size, figure};

/// The tables of one schema; `$` stands for its name.
const TABLES: &str = "
    create table $.flat (client int, seq bigint, note text);
    create table $.parted (client int, seq bigint, note text) partition by list (client);
    create table $.parted_even partition of $.parted for values in (0, 2, 100, 102);
    create table $.parted_odd partition of $.parted for values in (1, 3, 101, 103);
";

/// Commands on the flat table that end at commit, so that every statement of a client finds it complete.
const ON_FLAT: [&str; 7] = [
    "alter table $.flat add column if not exists extra int default 1",
    "alter table $.flat drop column if exists extra",
    "alter table $.flat rename to moved; alter table $.moved rename to flat",
    "alter table $.flat rename column note to remark; alter table $.flat rename column remark to note",
    "alter table $.flat alter column note type varchar(100); alter table $.flat alter column note type text",
    "truncate $.flat",
    "drop table $.flat; create table $.flat (client int, seq bigint, note text); @watch $.flat",
];

const ON_PARTED: [&str; 5] = [
    "alter table $.parted detach partition $.parted_odd;
     alter table $.parted attach partition $.parted_odd for values in (1, 3, 101, 103)",
    "drop table $.parted_even;
     create table $.parted_even partition of $.parted for values in (0, 2, 100, 102)",
    "alter table $.parted add column if not exists extra int default 1",
    "alter table $.parted drop column if exists extra",
    "truncate $.parted_odd",
];

/// The pause between two commands on a table.
const PAUSE: Duration = Duration::from_millis(20);

const DISABLE: &str = "alter table $.flat disable trigger user";
const ENABLE: &str = "alter table $.flat enable trigger user";

/// Runs the commands in a random order until told to stop; each in a transaction, as without a watch.
fn alter(mut db: Database, schema: &str, commands: &[&str], is_over: &AtomicBool) -> u64 {
    let (mut dice, mut done) = (1_u64, 0);
    while !is_over.load(Ordering::SeqCst) {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let command = commands[(dice >> 33) as usize % commands.len()];
        db.run(&format!("begin; {}; commit", in_schema(command, schema)));
        done += 1;
        // The clients need the tables as well.
        thread::sleep(PAUSE);
    }
    done
}

fn in_schema(sql: &str, schema: &str) -> String {
    let (watched, twin) = ("select herald.watch('$.flat')", "select");
    sql.replace(
        "@watch $.flat",
        if schema == "watched" { watched } else { twin },
    )
    .replace('$', schema)
}

/// Returns the change whose insert this request is about; its update is another event.
fn inserted(request: &Request) -> Option<Change> {
    let event = request.json();
    let is_insert = event.pointer("/data/operation")? == "insert";
    is_insert.then(|| Change::in_event(&event)).flatten()
}

fn writers(cluster: &Cluster, schema: &'static str) -> Workload {
    let workload = Workload::prepare(cluster, "altered").expect("tables");
    workload
        .clients(3)
        .endless()
        .rate(100.0)
        .change(move |Change { client, seq }| {
            let table = if seq % 2 == 0 { "flat" } else { "parted" };
            format!(
                "insert into {schema}.{table} (client, seq) values ({client}, {seq});
                 update {schema}.flat set seq = seq where client = {client} and seq = {seq}"
            )
        })
}

#[test]
fn clients_of_a_watched_table_do_not_notice_when_it_is_altered() {
    let cluster = common::cluster();
    let receipts = Receipts::default();
    let receiver = Receiver::builder()
        .secret(SECRET)
        .keep(Keep::Counts)
        .observe(receipts.observer_by(inserted))
        .start()
        .unwrap();
    let mut db = Database::new(&cluster, "altered");
    for schema in ["watched", "twin"] {
        db.run(&format!(
            "create schema {schema}; {}",
            in_schema(TABLES, schema)
        ));
    }
    db.run("select herald.watch('watched.flat'), herald.watch('watched.parted')");
    db.subscribe("shop", &receiver, "");
    let mut with_disabled: Vec<&str> = ON_FLAT.into();
    with_disabled.extend([DISABLE, ENABLE]);

    for (what, on_flat) in [("", &ON_FLAT[..]), (" and disabled", &with_disabled)] {
        // The writers renumber their changes in each phase.
        db.run("drop schema if exists trial cascade");
        receipts.forget();
        let is_over = AtomicBool::new(false);
        let (watched, twin) = (
            writers(&cluster, "watched").start(),
            writers(&cluster, "twin").first_client(100).start(),
        );
        let commands: u64 = thread::scope(|scope| {
            let altering: Vec<_> = ["watched", "twin"]
                .into_iter()
                .flat_map(|schema| [(schema, on_flat), (schema, &ON_PARTED[..])])
                .map(|(schema, commands)| {
                    let (session, is_over) = (db.session(&cluster), &is_over);
                    scope.spawn(move || alter(session, schema, commands, is_over))
                })
                .collect();
            let time = at_size(Duration::from_secs(2), Duration::from_secs(60));
            within(time, || {
                altering
                    .iter()
                    .any(|thread| thread.is_finished())
                    .then_some(())
            });
            is_over.store(true, Ordering::SeqCst);
            altering
                .into_iter()
                .map(|thread| thread.join().expect("no command is refused"))
                .sum()
        });
        let tally = twin.stop().expect("PostgreSQL itself refuses nothing here");
        let tally_watched = watched.stop().expect("nor does pg_herald");
        db.run(ENABLE.replace('$', "watched").as_str());
        db.settle();
        let mut committed = committed_changes(&mut db).unwrap();
        committed.retain(|change| change.client < 100);
        let verdict = Verdict::new(&committed, &receipts);
        figure(&format!("commands that altered{what}"), commands);
        figure(
            &format!("transactions, watched and twin, while altered{what}"),
            format!("{} and {}", tally_watched.committed, tally.committed),
        );
        figure(&format!("changes while altered{what}"), &verdict);
        assert!(
            verdict.phantom.is_empty() && verdict.duplicates == 0,
            "{verdict}"
        );
        if what.is_empty() {
            assert!(verdict.lost.is_empty(), "{verdict}: {:?}", verdict.lost);
        }
    }
}
