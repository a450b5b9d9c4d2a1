//! Secrets: sealed in the database with a key stored outside it, and visible nowhere else.

mod common;

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use common::{Database, SECRET, SOON, receiver, receiver_with};
use herald_trial::receiver::{Answer, Mode};
use herald_trial::{Cluster, StopMode};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const NEXT_KEY: &str = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWY=";
/// The secret as the receivers know it, without its prefix, which others have too.
const CANARY: &str = "C2FVsBQIhrscChlQIMV";
const HEADER: &str = "header-canary";

/// A cluster with a key file that only its server may read.
struct Sealed {
    cluster: Cluster,
    key_file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Sealed {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("its mode");
        let key_file = directory.path().join("secret.keys");
        let cluster = Cluster::builder()
            .setting("herald.secret_key_file", &key_file.to_string_lossy())
            .setting("shared_preload_libraries", "pg_herald, pg_stat_statements")
            .setting("pg_stat_statements.track", "all")
            .setting("log_min_duration_statement", "0")
            .setting("log_parameter_max_length", "0")
            .setting("log_statement", "all")
            .start()
            .expect("a cluster");
        let sealed = Self {
            cluster,
            key_file,
            _directory: directory,
        };
        sealed.write_keys(&[KEY]);
        sealed
    }

    fn write_keys(&self, keys: &[&str]) {
        fs::write(&self.key_file, keys.join("\n")).expect("the key file");
        fs::set_permissions(&self.key_file, Permissions::from_mode(0o600)).expect("its mode");
        let server = fs::metadata(self.cluster.data_dir()).expect("the data directory");
        chown(&self.key_file, Some(server.uid()), Some(server.gid())).expect("its owner");
    }

    /// Subscribes as a client with a driver does: the secret is a parameter.
    fn subscribe(&self, db: &mut Database, name: &str, url: &str) {
        db.execute(
            "select herald.subscribe($1, url => $2, secret => $3, headers => jsonb_build_object('X-Key', $4::text))",
            &[&name, &url, &SECRET, &HEADER],
        )
        .expect("a subscription");
    }
}

/// Finds the files below `directory` that contain a canary.
fn files_with_canaries(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files_with_canaries(&path, found);
        } else if fs::read(&path).is_ok_and(|bytes| has_canary(&bytes)) {
            found.push(path);
        }
    }
}

fn has_canary(bytes: &[u8]) -> bool {
    [CANARY, HEADER].iter().any(|canary| {
        bytes
            .windows(canary.len())
            .any(|window| window == canary.as_bytes())
    })
}

#[test]
fn a_secret_is_in_no_file_no_dump_and_no_log() {
    let sealed = Sealed::new();
    let mut db = Database::new(&sealed.cluster, "sealed");
    db.run("create extension pg_stat_statements");
    let receiver = receiver();
    sealed.subscribe(&mut db, "shop", &receiver.url("/"));
    db.execute(
        "select herald.rotate_secret('shop', secret => $1)",
        &[&SECRET],
    )
    .expect("a rotation");
    db.emit("order.paid");
    db.settle();
    assert_eq!(receiver.requests()[0].header("x-key"), Some(HEADER));
    assert_eq!(
        (
            receiver.accepted(),
            db.number("select count(*) from herald.secret where key_id is not null")
        ),
        // Putting the same secret in front again does not add a second.
        (1, 2)
    );
    for view in ["pg_stat_activity", "pg_stat_statements"] {
        let shown = db.text(&format!("select string_agg(a::text, ' ') from {view} a"));
        assert!(
            shown.contains("herald") && !has_canary(shown.as_bytes()),
            "{shown}"
        );
    }
    let dump = sealed
        .cluster
        .run_client("pg_dump", "sealed", &[])
        .expect("a dump");
    assert!(dump.contains("herald") && !has_canary(dump.as_bytes()));
    db.run("checkpoint");
    sealed.cluster.stop(StopMode::Fast).expect("a stop");
    let mut found = Vec::new();
    files_with_canaries(sealed.cluster.data_dir(), &mut found);
    assert_eq!(found, Vec::<PathBuf>::new());
    assert!(!has_canary(sealed.cluster.log().as_bytes()));
}

#[test]
fn what_a_subscription_names_as_secrets_is_sent_and_never_shown() {
    let sealed = Sealed::new();
    let mut db = Database::new(&sealed.cluster, "named");
    // A receiver as indiscreet as possible.
    let receiver = receiver_with(Mode::answer_with(|request| Answer {
        status: 400,
        headers: Vec::new(),
        body: format!(
            "{} {:?}",
            request.path,
            String::from_utf8_lossy(&request.body)
        )
        .into_bytes(),
    }));
    let url = receiver.url("/services/{secret.path}");
    db.execute(
        "select herald.subscribe('shop', url => $1, secrets => jsonb_build_object('path', $2::text, 'key', $3::text),
             headers => '{\"X-Key\": \"Key {secret.key}\"}', max_attempts => 1, format => 'template',
             template => '{\"routing_key\": {{ secrets.key }}}')",
        &[&url, &CANARY, &HEADER],
    )
    .expect("a subscription");
    db.emit("order.paid");
    db.settle();
    let sent = &receiver.requests()[0];
    assert_eq!(sent.path, format!("/services/{CANARY}"));
    assert_eq!(sent.header("x-key"), Some(&*format!("Key {HEADER}")));
    assert_eq!(
        String::from_utf8_lossy(&sent.body),
        format!(r#"{{"routing_key": "{HEADER}"}}"#)
    );
    assert_eq!(
        db.text("select response from herald.attempt"),
        r#"/services/*** "{\"routing_key\": \"***\"}""#
    );
    let previewed = db.text(
        "select to_jsonb(p) - 'method' from herald.event e, herald.preview('shop', e.uid::text) p",
    );
    for part in [
        "/services/***\"",
        r#"{\"routing_key\": \"***\"}"#,
        r#""x-key": "***""#,
        r#""webhook-signature": "***""#,
    ] {
        assert!(previewed.contains(part), "{previewed}");
    }
    assert!(
        db.text("select url from herald.delivery")
            .ends_with("/services/{secret.path}")
    );
    let tables = db.texts(
        "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname in ('herald', 'herald_internal') and c.relkind in ('r', 'p', 'v')",
    );
    for table in tables {
        let rows = db.text(&format!("select string_agg(t::text, ' ') from {table} t"));
        assert!(!has_canary(rows.as_bytes()), "{table}: {rows}");
    }
    let error = db.refusal("update herald.subscription set url = url || '{secret.other}'");
    assert!(
        error
            .detail()
            .is_some_and(|detail| detail.contains("no secret \"other\"")),
        "{error}"
    );
    db.run("update herald.subscription set url = 'https://example.org/{secret.path}', secrets = '{\"path\": \"12345678\"}', template = null, format = 'data', headers = null");
    assert_eq!(
        db.text("select concat_ws(' ', kind, name, key_id is not null) from herald.secret where kind <> 'signing'"),
        "secrets path t"
    );
}

#[test]
fn keys_are_exchanged_without_a_break() {
    let sealed = Sealed::new();
    let mut db = Database::new(&sealed.cluster, "exchange");
    let receiver = receiver();
    sealed.subscribe(&mut db, "shop", &receiver.url("/"));
    let former = db.text("select min(key_id) from herald.secret");
    sealed.write_keys(&[NEXT_KEY, KEY]);
    assert_eq!(
        db.text(
            "select status || ': ' || detail from herald.doctor() where \"check\" = 'secret_key'"
        ),
        "warning: 2 secrets are not sealed with the current key"
    );
    assert_eq!(db.number("select herald.reencrypt_secrets()"), 2);
    sealed.write_keys(&[NEXT_KEY]);
    assert_ne!(db.text("select min(key_id) from herald.secret"), former);
    sealed.cluster.restart(StopMode::Fast).expect("a restart");
    let mut db = db.session(&sealed.cluster);
    db.emit("order.paid");
    db.settle();
    assert_eq!(receiver.accepted(), 1);
    // A header shown as *** keeps its value, even if written in another case.
    db.run("update herald.subscription set headers = '{\"x-key\": \"***\", \"X-More\": \"1\"}'");
    db.emit("order.paid");
    db.settle();
    let last = receiver.requests().pop().expect("a request");
    assert_eq!(
        (last.header("x-key"), last.header("x-more")),
        (Some(HEADER), Some("1"))
    );
}

#[test]
fn without_its_key_a_subscription_is_held_and_says_so() {
    let sealed = Sealed::new();
    let mut db = Database::new(&sealed.cluster, "without_key");
    let receiver = receiver();
    sealed.subscribe(&mut db, "shop", &receiver.url("/"));
    sealed.write_keys(&[NEXT_KEY]);
    db.run("select pg_reload_conf()");
    db.run("select herald.restart_worker()");
    let event = db.emit("order.paid");
    db.until("select count(*) from herald.pending", "1");
    let words = "cannot send: a secret cannot be opened: the key that sealed it is not in herald.secret_key_file";
    assert_eq!(
        db.text(&format!("select blocked_by from herald.why('{event}')")),
        words
    );
    assert!(
        db.text("select string_agg(detail, ' ') from herald.doctor() where status = 'error'")
            .contains("the key that sealed it")
    );
    assert_eq!(receiver.connections(), 0);
    sealed.write_keys(&[KEY]);
    db.run("select pg_reload_conf()");
    receiver.wait_for(1, SOON);
    assert_eq!(receiver.accepted(), 1);
}

#[test]
fn a_sealed_value_does_not_open_for_another_subscription() {
    let sealed = Sealed::new();
    let mut db = Database::new(&sealed.cluster, "copied");
    let (source, target) = (receiver(), receiver());
    sealed.subscribe(&mut db, "one", &source.url("/"));
    sealed.subscribe(&mut db, "other", &target.url("/"));
    db.run(
        "update herald.secret o set value = x.value from herald.secret x
         where x.subscription_id < o.subscription_id and x.kind = o.kind",
    );
    db.run("select herald.restart_worker()");
    db.emit("order.paid");
    source.wait_for(1, SOON);
    db.until("select count(*) from herald.pending", "1");
    assert_eq!(target.connections(), 0);
}

#[test]
fn nothing_is_reencrypted_without_a_key() {
    let cluster = common::cluster();
    let mut db = Database::new(&cluster, "no_key");
    let refused = db.refusal("select herald.reencrypt_secrets()");
    assert_eq!(refused.code().code(), "55000");
    assert!(
        refused
            .hint()
            .is_some_and(|hint| hint.contains("herald.secret_key_file"))
    );
}

#[test]
fn a_readable_or_invalid_key_file_is_refused() {
    let sealed = Sealed::new();
    let mut db = Database::new(&sealed.cluster, "bad_file");
    let subscribe = "select herald.subscribe('shop', url => 'https://example.com/')";
    fs::set_permissions(&sealed.key_file, Permissions::from_mode(0o644)).unwrap();
    let refused = db.refusal(subscribe);
    assert_eq!(refused.code().code(), "F0000");
    assert!(
        refused
            .detail()
            .is_some_and(|detail| detail.contains("chmod 600")),
        "{refused:?}"
    );
    for contents in ["", "not a key", "bm90IGEga2V5"] {
        sealed.write_keys(&[contents]);
        let refused = db.refusal(subscribe);
        assert!(
            refused
                .detail()
                .is_some_and(|detail| detail.contains("openssl")),
            "{refused:?}"
        );
    }
    fs::remove_file(&sealed.key_file).unwrap();
    db.refusal(subscribe);
    assert_eq!(db.count("herald_internal.subscription"), 0);
}

#[test]
fn a_receiver_in_the_database_knows_what_was_signed() {
    let receiver = receiver();
    let cluster = common::cluster();
    let mut db = Database::subscribed(&cluster, "verifies", &receiver, "");
    db.emit("order.paid");
    db.settle();
    let request = receiver.requests().pop().expect("a request");
    let headers: serde_json::Map<String, serde_json::Value> = request
        .headers
        .iter()
        .map(|(name, value)| (name.to_uppercase(), value.as_str().into()))
        .collect();
    let headers = serde_json::Value::Object(headers).to_string();
    let mut verify = |secret: &str, headers: &str, body: &[u8], tolerance: &str| -> bool {
        db.row(
            "select herald.verify('standard', $1, $2::text::jsonb, $3, $4::text::interval)",
            &[&secret, &headers, &body, &tolerance],
        )
        .get(0)
    };
    assert!(verify(common::SECRET, &headers, &request.body, "300 s"));
    assert!(!verify(common::SECRET, &headers, b"{}", "300 s"));
    assert!(!verify(common::SECRET, "{}", &request.body, "300 s"));
    assert!(!verify(common::SECRET, "[]", &request.body, "300 s"));
    let other = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    assert!(!verify(other, &headers, &request.body, "300 s"));
    let nothing = "select herald.verify('standard', $1, null, null) is true";
    assert!(!db.row(nothing, &[&other]).get::<_, bool>(0));
    for call in [
        "herald.verify('other', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{}', '')",
        "herald.verify('standard', 'canary', '{}', '')",
        "herald.verify('standard', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '{}', '', '-1 s')",
    ] {
        let refused = db.refusal(&format!("select {call}"));
        assert_eq!(refused.code().code(), "22023", "{call}");
        assert!(refused.hint().is_some(), "{call}");
    }
}
