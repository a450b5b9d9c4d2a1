//! Watches beside other sessions, other commands and copies of their tables.

mod common;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::{Database, cluster_with, hint};
use herald_trial::{Cluster, at_size};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

#[test]
fn no_writer_notices_that_an_expression_changes() {
    let mut db = Database::new(&CLUSTER, "changing");
    // Subqueries are not inlined: each writer calls the functions themselves.
    let watch = |n: i64| {
        let decides = match n % 3 {
            0 => "type => 'fixed'".to_owned(),
            _ => format!("type_expression => $$(select 'computed.' || {n})$$"),
        };
        format!(
            "select herald.watch('orders', {decides}, condition => $$(select {n} >= 0 from public.shop)$$)"
        )
    };
    db.run("create table shop (id int); insert into shop values (1); create table orders (id int)");
    db.run(&watch(1));
    let is_over = AtomicBool::new(false);
    let written: i64 = thread::scope(|scope| {
        let write = || {
            let mut session = db_session();
            let mut written = 0;
            while !is_over.load(Ordering::SeqCst) {
                session.run("insert into orders values (1); insert into orders select 1 from generate_series(1, 9)");
                written += 10;
            }
            written
        };
        let writers = [scope.spawn(write), scope.spawn(write)];
        for n in 0..at_size(150, 3_000) {
            db.run(&watch(n));
        }
        is_over.store(true, Ordering::SeqCst);
        let written = writers.map(|writer| writer.join().expect("no write fails"));
        written.iter().sum()
    });
    assert_eq!(db.count("herald.event"), written);
    assert_eq!(
        db.text("select string_agg(distinct split_part(type, '.', 1), ' ') from herald.event"),
        "computed fixed"
    );
}

fn db_session() -> Database {
    Database::of(&CLUSTER, "changing")
}

#[test]
fn the_schemas_of_the_extension_keep_their_names() {
    let mut db = Database::new(&CLUSTER, "renaming");
    db.run("create role somebody; create schema other");
    for schema in ["herald", "herald_internal", "herald_watch"] {
        let refused = db.refusal(&format!("alter schema {schema} rename to elsewhere"));
        let expected = format!("cannot rename schema {schema}");
        assert_eq!(
            (refused.code().code(), refused.message()),
            ("0A000", &*expected)
        );
        assert!(hint(&refused).contains("drop extension pg_herald"));
    }
    db.run("alter schema herald_watch owner to somebody; alter schema other rename to another");
    db.run("drop extension pg_herald cascade; alter schema herald rename to elsewhere");
}

/// Dumps a database with these options, and loads the changed dump into another database.
fn restore(from: &str, options: &[&str], into: &str, change: impl Fn(String) -> String) {
    let dump = CLUSTER
        .run_client("pg_dump", from, options)
        .expect("a dump");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), change(dump)).expect("the dump is written");
    let path = file.path().display().to_string();
    let load = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", &*path];
    CLUSTER.run_client("psql", into, &load).expect("a restore");
}

#[test]
fn a_table_restored_elsewhere_captures_nothing_until_it_is_watched() {
    let mut db = Database::new(&CLUSTER, "original");
    db.run("create table orders (id int primary key); select herald.watch('orders'), herald.watch('orders', 'second')");
    let mut other = Database::new(&CLUSTER, "with_other_watches");
    other.run("create table customer (id int primary key); select herald.watch('customer')");
    Database::new(&CLUSTER, "without_watches");
    let only = ["-t", "orders"];
    restore("original", &only, "with_other_watches", |dump| dump);
    restore("original", &only, "without_watches", |dump| dump);
    db.run("create schema copy");
    restore("original", &only, "original", |dump| {
        dump.replace("public.", "copy.")
    });

    for (name, table) in [
        ("with_other_watches", "orders"),
        ("without_watches", "orders"),
        ("original", "copy.orders"),
    ] {
        let mut db = Database::of(&CLUSTER, name);
        let write = format!(
            "insert into {table} values (1); update {table} set id = 2; delete from {table}"
        );
        db.run(&write);
        assert_eq!(db.count("herald.event"), 0, "{name}");
        let strays = "select count(*) from herald.doctor() where detail like '%belongs to no watch of this table%'";
        assert_eq!(db.number(strays), 6, "{name}");
        db.run(&format!("select herald.watch('{table}')"));
        db.run(&write);
        assert_eq!(db.count("herald.event"), 3, "{name}");
        assert_eq!(db.number(strays), 0, "{name}");
    }
}

/// A schema of the user's with those of the extension, and the extension itself: without it, pg_dump dies of a signal
/// as it looks for the parent of a partition that it has left out.
const CHOSEN: [&str; 10] = [
    "-n",
    "shop",
    "-n",
    "herald",
    "-n",
    "herald_internal",
    "-n",
    "herald_watch",
    "-e",
    "pg_herald",
];

#[test]
fn a_dump_of_some_schemas_restores_with_those_of_the_extension() {
    let mut db = Database::new(&CLUSTER, "dumped");
    db.run(
        "create schema shop; create table shop.orders (id int primary key);
         select herald.watch('shop.orders', condition => 'new.id > 0');
         create table shop.sale (id int primary key) partition by range (id);
         create table shop.sale_1 partition of shop.sale for values from (0) to (10);
         select herald.watch('shop.sale', replicated => true), herald.watch('shop.sale_1', 'part', type => 'part')",
    );
    db.emit("before");
    drop(CLUSTER.create_database("chosen"));
    restore("dumped", &CHOSEN, "chosen", |dump| dump);
    let mut chosen = Database::of(&CLUSTER, "chosen");
    chosen.run("insert into shop.orders values (1), (-1); insert into shop.sale values (1)");
    assert_eq!(
        chosen.text("select string_agg(type, ' ' order by seq) from herald.event"),
        "before shop.orders.inserted shop.sale.inserted part"
    );
    // Tables are followed again from the first command that finds the restore complete.
    chosen.run(
        "alter table shop.sale add column note text;
         create table shop.sale_2 partition of shop.sale for values from (10) to (20);
         insert into shop.sale values (10)",
    );
    assert_eq!(
        chosen.text("select type || ' ' || key from herald.event order by seq desc limit 1"),
        "shop.sale.inserted 10"
    );
    for options in [
        &["-t", "herald.*", "-t", "herald_internal.*"][..],
        &["-n", "herald", "-n", "herald_internal"],
    ] {
        let options = [options, &["-e", "pg_herald"]].concat();
        let dump = CLUSTER.run_client("pg_dump", "dumped", &options);
        assert!(dump.expect("a dump").contains("before"), "{options:?}");
    }
}

#[test]
fn what_a_subscription_of_logical_replication_writes_is_captured_on_request() {
    let cluster = cluster_with(&[("wal_level", "logical")]);
    let table = "create table orders (id int primary key, status text)";
    let mut publisher = Database::new(&cluster, "publisher");
    publisher.run(&format!(
        "{table}; create publication shop for table orders"
    ));
    publisher.run("select pg_create_logical_replication_slot('shop', 'pgoutput')");
    let mut db = Database::new(&cluster, "subscriber");
    db.run(&format!(
        "{table}; select herald.watch('orders', operations => '{{insert,update,delete,truncate}}')"
    ));
    let place = format!(
        "host={} port={} dbname=publisher user=postgres",
        cluster.socket_dir().display(),
        cluster.port()
    );
    db.run(&format!("create subscription shop connection '{place}' publication shop with (create_slot = false, copy_data = false)"));
    publisher.run("insert into orders values (1, 'new')");
    db.until("select count(*) from orders", "1");
    let gap = "select detail from herald.doctor() where \"check\" = 'replicated'";
    assert_eq!(
        db.text(gap),
        "watch \"default\" on public.orders does not capture what subscription \"shop\" writes"
    );

    db.run("select herald.watch('orders', replicated => true)");
    assert_eq!(db.text(gap), "-");
    db.run("insert into orders values (2, 'here')");
    publisher.run("insert into orders values (3, 'new'); update orders set status = 'paid'; delete from orders where id = 1");
    publisher.run("truncate orders");
    let events = "select string_agg(concat_ws(' ', data ->> 'operation', key), ', ' order by seq) from herald.event";
    db.until(
        events,
        "insert 2, insert 3, update 1, update 3, delete 1, truncate",
    );
    assert_eq!(
        db.text("select distinct data -> 'old_record' ->> 'id' from herald.event where type like '%deleted'"),
        "1"
    );

    db.run("select herald.watch('orders', replicated => false)");
    publisher.run("insert into orders values (4, 'new'); truncate orders");
    db.until("select count(*) from pg_stat_subscription where latest_end_lsn >= (select confirmed_flush_lsn from pg_replication_slots)", "1");
    db.until("select count(*) from orders", "0");
    db.run("insert into orders values (5, 'here')");
    db.until(
        events,
        "insert 2, insert 3, update 1, update 3, delete 1, truncate, insert 5",
    );
    assert_eq!(db.text("select string_agg(distinct tgenabled::text, '') from pg_trigger where tgname like 'pg\\_herald%'"), "O");
    db.run("alter subscription shop disable; alter subscription shop set (slot_name = none); drop subscription shop");
}
