//! Privileges and refusals: every refusal says how to do it right, and changes nothing.

mod common;

use std::sync::LazyLock;

use common::{Database, SECRET, SOON, hint, rows, subscribed};
use herald_trial::Cluster;
use postgres::NoTls;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Every object of the extension, as PostgreSQL describes it.
const MEMBERS: &str = "select m.classid, m.objid, pg_describe_object(m.classid, m.objid, 0) as name
    from pg_depend m join pg_extension x on m.refobjid = x.oid and m.refclassid = 'pg_extension'::regclass
    where x.extname = 'pg_herald' and m.deptype = 'e'";

#[test]
fn nothing_is_granted_to_public() {
    let mut db = Database::new(&CLUSTER, "public");
    let functions = format!(
        "select string_agg(name, ', ') from ({MEMBERS}) m join pg_proc p on p.oid = m.objid and m.classid = 'pg_proc'::regclass
         where has_function_privilege('public', p.oid, 'execute')
         -- What views call, whoever may read them. It takes the schema to call it otherwise.
         and not (p.pronamespace = 'herald_internal'::regnamespace
             and p.proname ~ '^(sees_all|show_worker|expressions_of_watches|readable_options|own_(usage|subscription|attempt|delivery|dead_letter|blocked_key|subscription_stats))$')"
    );
    assert_eq!(db.text(&functions), "-");
    let relations = format!(
        "select string_agg(name, ', ') from ({MEMBERS}) m join pg_class c on c.oid = m.objid and m.classid = 'pg_class'::regclass
         where c.relkind in ('r', 'p', 'v') and has_table_privilege('public', c.oid, 'select,insert,update,delete,truncate,references,trigger')
            or c.relkind = 'S' and has_sequence_privilege('public', c.oid, 'usage,select,update')"
    );
    assert_eq!(db.text(&relations), "-");
    for schema in ["herald", "herald_internal", "herald_watch"] {
        let granted = format!("select has_schema_privilege('public', '{schema}', 'usage,create')");
        assert_eq!(db.text(&granted), "false");
    }
}

#[test]
fn a_role_with_every_function_still_reads_no_secret() {
    let (_receiver, mut db) = subscribed(
        &CLUSTER,
        "secrets",
        r#"headers => '{"Authorization": "canary-header"}'"#,
    );
    let event = db.emit("order.paid");
    db.settle();
    db.run("create role secret_reader login; grant usage on schema herald, herald_internal to secret_reader;
            grant execute on all functions in schema herald, herald_internal to secret_reader;
            grant select on herald.subscription, herald.attempt, herald.delivery, herald.dead_letter, herald_internal.subscription to secret_reader");
    let mut reader = CLUSTER
        .config("secrets")
        .user("secret_reader")
        .connect(NoTls)
        .unwrap();
    let denied = reader
        .batch_execute("select * from herald.secret")
        .unwrap_err();
    assert_eq!(denied.code().unwrap().code(), "42501");
    for sql in [
        "select string_agg(s::text, '') from herald.subscription s",
        "select string_agg(s::text, '') from herald_internal.subscription s",
        "select string_agg(s::text, '') from herald.delivery s",
        &format!("select p::text from herald.preview('shop', '{event}') p"),
        "select string_agg(s::text, '') from herald.doctor() s",
    ] {
        let shown: String = reader.query_one(sql, &[]).unwrap().get(0);
        assert!(
            !shown.contains("canary") && !shown.contains("whsec_") && !shown.contains("v1,"),
            "{sql}: {shown}"
        );
    }
    assert!(!CLUSTER.log().contains(SECRET) && !CLUSTER.log().contains("canary-header"));
}

#[test]
fn a_writer_needs_no_privilege_on_herald() {
    let (receiver, mut db) = subscribed(&CLUSTER, "writer", "");
    db.watched_table();
    db.run("create role plain_writer login; grant insert on note to plain_writer");
    let mut writer = CLUSTER
        .config("writer")
        .user("plain_writer")
        .connect(NoTls)
        .unwrap();
    writer
        .batch_execute("insert into note values (1, 'by a plain role')")
        .unwrap();
    assert!(
        writer
            .batch_execute("select herald.emit('forged')")
            .is_err()
    );
    receiver.wait_for(1, SOON);
}

#[test]
fn every_object_that_a_user_meets_has_a_comment() {
    let mut db = Database::new(&CLUSTER, "comments");
    let without = format!(
        "select string_agg(m.name, ', ' order by m.name) from ({MEMBERS}) m
         where obj_description(m.objid, m.classid::regclass::name) is null
         and m.classid in ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)
         and m.name !~ '(herald_internal\\.|^index|^toast|herald_watch\\.)'"
    );
    assert_eq!(db.text(&without), "-");
    assert_eq!(
        db.text(
            "select string_agg(a.attrelid::regclass || '.' || a.attname, ', ') from pg_attribute a
             join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'v')
             where c.relnamespace = 'herald'::regnamespace and a.attnum > 0 and not a.attisdropped
             and col_description(a.attrelid, a.attnum) is null"
        ),
        "-"
    );
    assert_eq!(
        db.text(
            "select string_agg(o.name, ', ') from herald_internal.declared_options() o
             join pg_attribute a on a.attrelid = 'herald.subscription'::regclass and a.attname = o.name
             where o.is_option and (col_description(a.attrelid, a.attnum) ~ '^[A-Z`].*[^]][.]$') is not true"
        ),
        "-"
    );
}

#[test]
fn bad_subscriptions_are_refused_with_a_way_out() {
    let mut db = Database::new(&CLUSTER, "bad_subscriptions");
    db.run("set herald.allow_networks = ''; set herald.allow_http = off");
    db.run(&format!(
        "select herald.subscribe('orders', url => 'https://example.com/hook', secret => '{SECRET}')"
    ));
    let before = db.text("select md5(string_agg(s::text, '')) from herald_internal.subscription s");
    // Arguments, and a word of the hint.
    let refused = r#"
        'new' | url =>
        'new', url => 'ftp://example.com/' | http
        'new', url => 'not a url' | Percent-encode
        'new', url => 'https://10.0.0.1/' | herald.allow_networks
        'new', url => 'https://user:word@example.com/' | headers
        'new', url => 'https://example.com:8443/' | herald.allow_ports
        '', url => 'https://example.com/' | 1 to 63
        'new', url => 'https://example.com/', types => '{}' | types =>
        'new', url => 'https://example.com/', types => '{""}' | -
        'new', url => 'https://example.com/', headers => '[1]' | headers =>
        'new', url => 'https://example.com/', headers => '{"Host": "a"}' | -
        'new', url => 'https://example.com/', headers => '{"webhook-id": "a"}' | -
        'new', url => 'https://example.com/', headers => '{"X-A": "a\r\nX-B: b"}' | -
        'new', url => 'https://example.com/', headers => '{"X A": "a"}' | -
        'new', url => 'https://example.com/', secret => 'short' | whsec_
        'new', url => 'https://example.com/', retry_schedule => '{}' | max_attempts => 1
        'new', url => 'https://example.com/', retry_schedule => '{-1 s}' | longer than 0
        'new', url => 'https://example.com/', retry_schedule => '{1 s,NULL}' | -
        'new', url => 'https://example.com/', retry_jitter => 2 | retry_jitter
        'new', url => 'https://example.com/', max_attempts => 0 | max_attempts
        'new', url => 'https://example.com/', max_concurrency => 0 | -
        'new', url => 'https://example.com/', max_payload => 0 | -
        'new', url => 'https://example.com/', timeout => '0' | -
        'new', url => 'https://example.com/', max_age => '-1 s' | -
        'new', url => 'https://example.com/', dead_letter_retention => '0' | dead_letter_retention
        'orders', url => 'https://127.1.1.1/', types => '{}' | -
    "#;
    for [arguments, words] in rows(refused) {
        let error = db.refusal(&format!("select herald.subscribe({arguments})"));
        assert_eq!(error.code().code(), "22023", "{arguments}: {error:?}");
        let hint = hint(&error);
        assert!(
            !hint.is_empty() && hint.contains(words),
            "{arguments}: {error:?}"
        );
        assert!(
            !error.message().contains("short") && !format!("{error:?}").contains("user:word"),
            "{error:?}"
        );
    }
    let error = db.refusal("update herald.subscription set types = '{}'");
    assert_eq!(error.code().code(), "22023");
    let error = db
        .refusal("insert into herald.subscription (name, url) values ('a', 'https://b.example/')");
    assert!(
        hint(&error).contains("herald.subscribe('a', url => 'https://b.example/')"),
        "{error:?}"
    );
    assert_eq!(
        db.text("select md5(string_agg(s::text, '')) from herald_internal.subscription s"),
        before
    );
    assert_eq!(db.count("herald.secret"), 1);
}

#[test]
fn unknown_names_are_answered_with_the_nearest() {
    let mut db = Database::new(&CLUSTER, "nearest");
    db.run("select herald.subscribe('orders', url => 'https://example.com/hook')");
    db.run("select herald.emit('order.paid', id => 'order-17')");
    for call in [
        "pause('ordrs')",
        "resume('ordrs')",
        "unsubscribe('ordrs')",
        "ping('ordrs')",
        "rotate_secret('ordrs')",
        "discard('ordrs')",
        "redeliver('ordrs', 'order-17')",
        "replay('ordrs', now())",
    ] {
        let error = db.refusal(&format!("select herald.{call}"));
        assert_eq!(
            (error.code().code(), hint(&error)),
            ("42704", "Perhaps you meant \"orders\"."),
            "{call}"
        );
    }
    let error = db.refusal("select herald.pause('something else')");
    assert_eq!(hint(&error), "See: select * from herald.status();");
    for call in [
        "why('order-71')",
        "redeliver('orders', 'order-71')",
        "preview('orders', 'order-71')",
        "wait('order-71')",
    ] {
        let error = db.refusal(&format!("select herald.{call}"));
        assert_eq!(
            (error.code().code(), hint(&error)),
            ("42704", "Perhaps you meant \"order-17\"."),
            "{call}"
        );
    }
    db.run("select herald.emit('order.paid', id => 'order-17', source => '/other')");
    let error = db.refusal("select herald.why('order-17')");
    assert!(
        error.detail().unwrap().contains("\"/nearest\", \"/other\""),
        "{error:?}"
    );
}

#[test]
fn bad_events_are_refused_and_the_same_id_is_one_event() {
    let mut db = Database::new(&CLUSTER, "bad_events");
    for (arguments, sqlstate) in [
        ("null", "22004"),
        ("''", "22023"),
        ("'herald.mine'", "42939"),
        ("'a', to_jsonb(repeat('x', 262144))", "54000"),
        ("'a', source => 'not a uri'", "22023"),
        ("'a', id => ''", "22023"),
        ("'a', subject => ''", "22023"),
        ("'a', dataschema => 'relative'", "22023"),
        ("'a', priority => 'urgent'", "22023"),
        ("'a', occurred_at => 'infinity'", "22023"),
        ("'a', ordered => true", "22023"),
        ("'a', extensions => '[1]'", "22023"),
        ("'a', extensions => '{\"id\": \"a\"}'", "22023"),
        ("'a', extensions => '{\"Upper\": \"a\"}'", "22023"),
        ("'a', extensions => '{\"nested\": {}}'", "22023"),
    ] {
        let error = db.refusal(&format!("select herald.emit({arguments})"));
        assert_eq!(error.code().code(), sqlstate, "{arguments}: {error:?}");
        assert!(!hint(&error).is_empty(), "{arguments}: {error:?}");
    }
    assert_eq!(db.count("herald.event"), 0);
    let emit = "select herald.emit('a', '{\"n\": 1}', id => 'one')";
    assert_eq!(
        (db.text(emit), db.text(emit)),
        ("one".to_owned(), "one".to_owned())
    );
    assert_eq!(db.count("herald.event"), 1);
    let error = db.refusal("select herald.emit('a', '{\"n\": 2}', id => 'one')");
    assert_eq!(error.code().code(), "23505");
}
