//! pg_upgrade with open work, from the installation under trial to a newer one.

mod common;

use std::env;

use common::{Database, SOON, receiver, types};
use herald_trial::{Cluster, StopMode, figure};

/// Names the pg_config of a PostgreSQL 18 with the extension; `cargo xtask test --full` sets it.
const NEWER: &str = "HERALD_PG_CONFIG_18";
const ORIGIN: &str = "select status || ': ' || detail || coalesce(' ' || hint, '') from herald.doctor() where \"check\" = 'origin'";
const NEXT_XID: &str = "select pg_snapshot_xmax(pg_current_snapshot())";

#[test]
fn an_upgraded_cluster_waits_and_then_delivers_or_skips_what_was_open() {
    let Some(newer) = env::var_os(NEWER) else {
        println!("left out: {NEWER} names no PostgreSQL to upgrade to");
        return;
    };
    let old = Cluster::builder().fsync(false).start().expect("a cluster");
    // Starts beyond four billion transactions, so that the upper half of their ids counts.
    old.stop(StopMode::Fast).unwrap();
    old.run_on_files("pg_resetwal", &["--epoch=3"])
        .expect("a later epoch");
    old.start().unwrap();
    let modes = ["deliver", "skip"];
    let receivers = modes.map(|_| receiver());
    for (mode, receiver) in modes.iter().zip(&receivers) {
        let mut db = Database::new(&old, mode);
        db.watched_table();
        db.subscribe("shop", receiver, "");
        db.emit("done");
        db.settle();
        db.run("select herald.pause('shop')");
        db.emit("pending");
        db.until("select count(*) from herald.pending", "1");
        db.run("select herald.stop_worker()");
        db.run("update herald_internal.subscription set state = 'active', state_reason = null");
        db.run("insert into note values (1, 'not read')");
        forget_versions_of_columns(&mut db);
    }
    let next_xid = Database::of(&old, "deliver").number(NEXT_XID);
    assert!(next_xid > 3 << 32, "{next_xid}");

    let new = Cluster::builder()
        .fsync(false)
        .pg_config(newer)
        .upgrade(&old)
        .expect("an upgrade");
    new.start().expect("the new cluster");
    for (mode, receiver) in modes.iter().zip(&receivers) {
        let mut db = Database::of(&new, mode);
        assert!(db.number(NEXT_XID) >= next_xid);
        db.until(
            ORIGIN,
            "error: this is a copy of another database: a restore, an upgrade or a template \
             Decide, then run: select * from herald.resume_after_restore('deliver') or ('skip');",
        );
        db.run("insert into note values (2, 'after the upgrade')");
        assert_eq!(receiver.total(), 1, "{mode}");
        db.run(&format!("select herald.resume_after_restore('{mode}')"));
        db.settle();
        let expected: &[&str] = match *mode {
            "deliver" => &[
                "done",
                "pending",
                "public.note.inserted",
                "public.note.inserted",
            ],
            _ => &["done", "public.note.inserted"],
        };
        receiver.wait_for(expected.len(), SOON);
        assert_eq!(types(receiver), expected, "{mode}");
        assert!(receiver.duplicates().is_empty());
        assert_eq!(receiver.invalid_signatures(), 0, "secrets are in the files");
    }
    figure(
        "upgraded with open work",
        format!("{} to {}", old.major(), new.major()),
    );
}

/// Removes the version that minor releases from 15.20 on put on columns, which earlier minor releases of newer majors
/// cannot restore. The tables are then like those made by an earlier minor release of 15.
fn forget_versions_of_columns(db: &mut Database) {
    db.run(
        "set allow_system_table_mods = on;
         update pg_attribute set attoptions = null where attoptions::text ~ '^.pg_attver=[0-9]+.$'",
    );
}
