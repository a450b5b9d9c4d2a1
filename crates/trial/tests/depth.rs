//! Deep nesting and masses of data: refused with an error that leaves the session as it was, or cut.

mod common;

use std::sync::LazyLock;

use common::Database;
use herald_trial::Cluster;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Returns a document with this many levels.
fn nested(levels: usize) -> String {
    format!("(repeat('[', {levels}) || repeat(']', {levels}))::jsonb")
}

#[test]
fn options_that_are_nested_too_deep_are_refused() {
    let mut db = Database::new(&CLUSTER, "options");
    db.subscribe_at("shop", "https://example.com/", "");
    let pid = db.text("select pg_backend_pid()");
    let kept = "select md5(string_agg(s::text, '')) from herald_internal.subscription s";
    let before = db.text(kept);
    for levels in [129, 10_000] {
        let deep = nested(levels);
        let options = [
            (
                "signing",
                format!("jsonb_build_object('header', 'x-a', 'prefix', {deep})"),
            ),
            ("signing", deep.clone()),
            ("headers", format!("jsonb_build_object('x-a', {deep})")),
            ("headers", deep.clone()),
            (
                "auth",
                format!("jsonb_build_object('type', 'bearer', 'token', {deep})"),
            ),
            ("auth", deep.clone()),
            ("handshake", format!("jsonb_build_object('rate', {deep})")),
            ("tls", format!("jsonb_build_object('ca', {deep})")),
        ];
        for (option, value) in &options {
            for statement in [
                format!("select herald.subscribe('shop', {option} => {value})"),
                format!("update herald.subscription set {option} = {value}"),
                format!(
                    "select herald.apply(jsonb_build_object('subscriptions', jsonb_build_array(
                         jsonb_build_object('name', 'shop', 'url', 'https://example.com/', '{option}', {value}))))"
                ),
            ] {
                let error = db.refusal(&statement);
                assert_eq!(error.code().code(), "22023", "{statement}: {error}");
            }
        }
        let error = db.refusal(&format!("select herald.apply({deep})"));
        assert_eq!(error.code().code(), "22023", "{error}");
    }
    assert_eq!(db.text(kept), before);
    assert_eq!(db.text("select pg_backend_pid()"), pid);
}

#[test]
fn a_preview_of_data_that_is_too_deep_to_be_read_is_an_error_and_others_show_it() {
    let mut db = Database::new(&CLUSTER, "preview");
    let options = [
        (
            "template",
            r#"format => 'template', template => '{"x": 1}'"#,
            false,
        ),
        ("structured", "format => 'structured'", true),
        ("data", "format => 'data'", true),
    ];
    for (name, option, _) in options {
        db.subscribe_at(name, "https://example.com/", option);
    }
    db.run("select herald.pause(name) from herald.subscription");
    let pid = db.text("select pg_backend_pid()");
    let uid = db.text(&format!("select herald.emit('deep', {})", nested(10_000)));
    for (name, _, is_shown) in options {
        let preview = format!("select length(body::text) from herald.preview('{name}', '{uid}')");
        if is_shown {
            assert!(db.number(&preview) >= 20_000, "{name}");
        } else {
            let error = db.refusal(&preview);
            assert!(
                error.message().contains("nested in more than 128 levels"),
                "{error}"
            );
        }
    }
    assert_eq!(db.text("select pg_backend_pid()"), pid);
}

#[test]
fn a_huge_actor_is_cut_to_its_limit() {
    let mut db = Database::new(&CLUSTER, "actor");
    db.watched_table();
    db.run(
        "select set_config('herald.actor', string_agg(md5(random()::text), ''), false) from generate_series(1, 625000)",
    );
    db.run("insert into note values (0)");
    let before = db.text("select pg_current_wal_insert_lsn()");
    for first in [1, 11] {
        db.run(&format!(
            "insert into note select n from generate_series({first}, {first} + 9) n"
        ));
    }
    let written = db.number(&format!(
        "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '{before}')"
    ));
    assert_eq!(db.count("herald.event"), 21);
    // Each event has a kilobyte of the actor, and other databases of the cluster write, too: a single whole actor would
    // be 20 MB.
    assert!(written < 10_000_000, "{written} bytes");
}

#[test]
fn verify_and_why_obey_a_timeout_however_often_they_are_called() {
    let mut db = Database::new(&CLUSTER, "cancelled");
    db.subscribe_at("shop", "https://example.com/", "");
    let uid = db.emit("order.paid");
    db.run("set statement_timeout = '300 ms'");
    for call in [
        "herald.verify('github', 's', '{\"x-hub-signature-256\": \"sha256=00\"}', convert_to(repeat('y', 60000000), 'UTF8'))".to_owned(),
        format!("(select count(*) from herald.why('{uid}') where n.n > 0)"),
    ] {
        let error = db.refusal(&format!("select {call} from generate_series(1, 100000000) n"));
        assert_eq!(error.code().code(), "57014", "{call}: {error}");
    }
}
