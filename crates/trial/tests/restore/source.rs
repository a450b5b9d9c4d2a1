//! A database with work in every state, its dumps, and what its copies must do.
#![allow(unreachable_pub)] // For the other files of this test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use herald_trial::{Cluster, Mode, Receiver};

use crate::common::{self, Database, SECRET, SOON, receiver};

pub const HEADER: &str = "canary-header";
pub const ORIGIN: &str =
    "select status || ': ' || detail from herald.doctor() where \"check\" = 'origin'";
pub const COPY: &str =
    "error: this is a copy of another database: a restore, an upgrade or a template";
/// Every state that a delivery can have when the database is copied.
pub const STATES: [&str; 6] = [
    "delivered",
    "retrying",
    "dead",
    "held",
    "pending",
    "sending",
];

/// A database `shop` with an event in every state and an unread one, and its dumps.
pub struct Source {
    pub cluster: Cluster,
    pub receiver: Receiver,
    pub dumps: tempfile::TempDir,
}

pub static TARGET: LazyLock<Cluster> = LazyLock::new(common::cluster);

impl Source {
    pub fn prepare() -> Self {
        let receiver = receiver();
        let cluster = common::cluster();
        let mut db = Database::new(&cluster, "shop");
        db.watched_table();
        for state in STATES {
            let attempts = if state == "dead" { 1 } else { 5 };
            db.subscribe_at(state, &receiver.url(&format!("/{state}")), &format!(
                    r#"max_attempts => {attempts}, retry_schedule => '{{1 h,1 h,1 h,1 h}}', headers => '{{"X-Key": "{HEADER}"}}'"#
                ));
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
        db.run("update herald_internal.subscription set state = 'active', state_reason = null where name = 'pending'");
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

    pub fn dump(&self, name: &str, options: &[&str]) -> PathBuf {
        let path = self.dumps.path().join(name);
        let file = path.display().to_string();
        let options = [options, &["--file", &file]].concat();
        self.cluster
            .run_client("pg_dump", "shop", &options)
            .expect("a dump");
        path
    }
}

pub fn load(cluster: &Cluster, database: &str, file: &Path) {
    let file = file.display().to_string();
    // The restored rows have been captured before.
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
pub fn assert_no_secrets(script: &str) {
    assert!(script.contains("unread"), "this is no dump of the log");
    assert!(
        !script.contains(SECRET) && !script.contains(HEADER),
        "the dump has secrets"
    );
}

/// Asserts what every copy must do: wait, send nothing, and after the decision deliver only what was open.
pub fn decide_to_deliver(source: &Source, cluster: &Cluster, name: &str) {
    let mut copy = Database::of(cluster, name);
    let receiver = &source.receiver;
    receiver.forget();
    assert_eq!(copy.text(ORIGIN), COPY, "{name}");
    assert_eq!(copy.count("herald.secret"), 0, "{name}");
    copy.run("insert into note values (3, 'in the copy')");
    assert!(!receiver.holds_within(Duration::from_millis(200), |receiver| receiver.total() > 0));
    copy.run("select herald.resume_after_restore('deliver')");
    give_new_secrets(&mut copy);
    copy.run("update herald.pending set next_attempt_at = clock_timestamp(); select herald_internal.changed('pending')");
    copy.settle();
    // For "delivered" and "dead", the first event was already done; the others are for all.
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

pub fn give_new_secrets(copy: &mut Database) {
    copy.run(&format!(
        "select herald.rotate_secret(name, '{SECRET}') from herald.subscription"
    ));
    // With only its secret, a subscription sends nothing without its former headers.
    assert!(
        copy.text("select string_agg(detail, ' ') from herald.doctor() where status = 'error'")
            .contains("the values of its headers")
    );
    copy.run(&format!(
        "update herald.subscription set headers = '{{\"X-Key\": \"{HEADER}\"}}'"
    ));
    copy.run("select herald.resume(name) from herald.subscription where state = 'paused'");
}

pub fn requests_by_path(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut paths = BTreeMap::new();
    for request in receiver.requests() {
        *paths.entry(request.path.clone()).or_default() += 1;
    }
    paths
}
