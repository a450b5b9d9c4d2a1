//! What errors tell users, and what the log says about them.

mod common;

use std::fs;

use common::Database;

#[test]
fn no_error_shows_a_backtrace_although_the_environment_asks_for_it() {
    let cluster = common::cluster();
    let postmaster = cluster.postmaster_pid().expect("a running server");
    let environment = fs::read(format!("/proc/{postmaster}/environ")).expect("its environment");
    let variables = String::from_utf8_lossy(&environment);
    assert!(
        variables
            .split('\0')
            .any(|variable| variable == "RUST_BACKTRACE=1"),
        "{variables}"
    );
    let mut db = Database::new(&cluster, "errors");

    db.run("create table ratio (id int primary key)");
    for (sql, detail) in [
        ("select herald.emit('')", "It is empty."),
        // From PostgreSQL, through Rust.
        (
            "select herald.watch('ratio', data => '1 +')",
            "data => 1 +\n           ^\nThe fault is at character 4 of line 1.",
        ),
        (
            "select herald.subscribe('shop', url => 'https://example.com/', secret => 'short')",
            "It begins with neither whsec_ nor whsk_.",
        ),
    ] {
        assert_eq!(db.refusal(sql).detail(), Some(detail), "{sql}");
    }
    // The worker has errors, too.
    db.run("select herald.subscribe('shop', url => 'http://127.0.0.1:9/')");
    db.run("alter table herald_internal.window rename to window_");
    db.run("select herald.emit('order.paid')");
    herald_trial::eventually(common::SOON, "an error of the worker", || {
        cluster
            .log()
            .contains("\"herald_internal.window\"")
            .then_some(())
    });
    assert_no_backtrace(Some(&cluster.log()));
}

#[track_caller]
fn assert_no_backtrace(text: Option<&str>) {
    let text = text.unwrap_or_default();
    assert!(!text.contains("  0: "), "{text}");
    assert!(!text.contains("backtrace"), "{text}");
}
