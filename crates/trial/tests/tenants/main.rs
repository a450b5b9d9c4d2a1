//! Tenants: each sees and manages everything of its own, and only that. For the limits of their plans, see plans.rs.

#[path = "../common/mod.rs"]
mod common;
mod plans;

use std::sync::LazyLock;

use common::{Database, SECRET, receiver};
use herald_trial::{Cluster, Mode, Receiver};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    Cluster::builder()
        .fsync(false)
        .setting("herald.sender_threads", "8")
        .setting("herald.tenant_networks", "127.0.0.1")
        .start()
        .expect("a cluster starts")
});

/// Creates a tenant with its own login role. Both are called `<database>_<name>`, because roles belong to the cluster.
fn tenant(db: &mut Database, name: &str, plan: &str) -> (String, Database) {
    let name = format!("{}_{name}", db.name);
    db.run(&format!("create role {name} login"));
    db.run(&format!(
        "insert into herald.tenant (name, role, plan) values ('{name}', '{name}', '{plan}')"
    ));
    let session = db.session_as(&CLUSTER, &name);
    (name, session)
}

fn plan(db: &mut Database, name: &str, columns: &str, values: &str) {
    db.run(&format!(
        "insert into herald.plan (name, {columns}) values ('{name}', {values})"
    ));
}

fn emit(db: &mut Database, tenant: &str, word: &str) -> String {
    db.text(&format!(
        "select herald.emit('order.paid', '{{\"word\": \"{word}\"}}', id => '{tenant}-{word}', tenant => '{tenant}')"
    ))
}

/// A tenant with a subscription `shop` at this receiver, and with a delivered and a dead delivery.
struct Settled {
    name: String,
    session: Database,
    subscription_id: String,
    delivered: String,
    dead: String,
}

impl Settled {
    fn new(db: &mut Database, name: &str, receiver: &Receiver) -> Self {
        let (name, mut session) = tenant(db, name, "enterprise");
        let full = session.text(&format!(
            "select name from herald.subscribe('shop', url => '{}', secret => '{SECRET}', max_attempts => 1)",
            receiver.url("/")
        ));
        assert_eq!(full, format!("{name}/shop"));
        let delivered = emit(db, &name, "delivered");
        db.settle();
        receiver.set_mode(Mode::status(500));
        let dead = emit(db, &name, "dead");
        db.settle();
        receiver.set_mode(Mode::ok());
        let subscription_id = db.text(&format!(
            "select id from herald.subscription where name = '{full}'"
        ));
        Self {
            name,
            session,
            subscription_id,
            delivered,
            dead,
        }
    }
}

#[test]
fn every_relation_shows_a_tenant_its_own_rows_and_every_function_knows_only_those() {
    let mut db = Database::new(&CLUSTER, "cross");
    let receiver = receiver();
    let mut own = Settled::new(&mut db, "one", &receiver);
    let other = Settled::new(&mut db, "other", &receiver);
    db.subscribe("platform", &receiver.url("/"), "");

    let relations: Vec<String> = db.texts(
        "select c.relname from pg_class c where c.relnamespace = 'herald'::regnamespace and c.relkind in ('r', 'p', 'v')
         and has_table_privilege('cross_one', c.oid, 'select, insert, update, delete, truncate') order by 1",
    );
    assert_eq!(
        relations,
        [
            "attempt",
            "dead_letter",
            "delivery",
            "subscription",
            "subscription_stats",
            "usage"
        ]
    );
    // A function in a tenant's query is never called with rows of others, however cheap it is.
    own.session.run(&format!(
        "create or replace function pg_temp.peep(name text, value text) returns boolean language plpgsql cost 0.0001 as
         'begin
             if value ~ ''cross_other'' or name = ''subscription_id'' and value = ''{}'' then raise ''leaked''; end if;
             return true;
          end'",
        other.subscription_id
    ));
    for relation in relations {
        let rows = own.session.texts(&format!(
            "select to_jsonb(r)::text from herald.{relation} r"
        ));
        assert!(!rows.is_empty(), "{relation}");
        for row in rows {
            assert!(
                row.contains("cross_one") && !row.contains("cross_other"),
                "{relation}: {row}"
            );
        }
        for column in db.texts(&format!(
            "select attname from pg_attribute where attrelid = 'herald.{relation}'::regclass and attnum > 0"
        )) {
            own.session.run(&format!(
                "select from herald.{relation} r where pg_temp.peep('{column}', r.{column}::text)"
            ));
        }
    }

    let functions: Vec<String> = db.texts(
        "select distinct p.proname from pg_proc p where p.pronamespace = 'herald'::regnamespace
         and has_function_privilege('cross_one', p.oid, 'execute') order by 1",
    );
    // Every role may call what views call.
    let of_views = db.texts(
        "select p.proname from pg_proc p where p.pronamespace = 'herald_internal'::regnamespace
         and has_function_privilege('cross_one', p.oid, 'execute') order by 1",
    );
    assert_eq!(
        of_views,
        [
            "expressions_of_watches",
            "own_attempt",
            "own_dead_letter",
            "own_delivery",
            "own_subscription",
            "own_subscription_stats",
            "own_usage",
            "readable_options",
            "sees_all",
            "show_worker"
        ]
    );
    assert_eq!(
        own.session
            .number("select count(*) from herald_internal.expressions_of_watches()"),
        0
    );
    for function in of_views.iter().filter(|name| name.starts_with("own_")) {
        let rows = own.session.texts(&format!(
            "select to_jsonb(r)::text from herald_internal.{function}() r"
        ));
        assert!(
            rows.iter()
                .all(|row| row.contains("cross_one") && !row.contains("cross_other")),
            "{rows:?}"
        );
    }
    assert_eq!(
        own.session
            .text("select herald_internal.sees_all('delivery')"),
        "false"
    );
    assert_eq!(
        own.session
            .number("select count(*) from herald_internal.show_worker()"),
        0
    );
    let (own_name, own_event) = (format!("{}/shop", own.name), own.delivered.clone());
    for function in &functions {
        for subscription in [
            format!("{}/shop", other.name),
            other.subscription_id.clone(),
            "platform".to_owned(),
        ] {
            for call in calls(function, &subscription, &own_event) {
                let refused = own.session.refusal(&call);
                assert_eq!(refused.code().code(), "42704", "{call}: {refused}");
                let words = format!("{refused:?}");
                assert!(
                    !words.contains(&format!("meant \\\"{}", other.name)),
                    "{words}"
                );
            }
        }
        for event in [&other.delivered, &other.dead] {
            for call in calls_with_event(function, "shop", event) {
                let refused = own.session.refusal(&call);
                assert_eq!(refused.code().code(), "42704", "{call}: {refused}");
            }
        }
        match function.as_str() {
            "status" => {
                let seen = own
                    .session
                    .texts("select subscription from herald.status()");
                assert_eq!(seen, [own_name.as_str()]);
            }
            "why" => {
                let sql = format!("select subscription from herald.why('{}')", own_event);
                assert_eq!(own.session.texts(&sql), [own_name.as_str()]);
            }
            "subscribe" => {
                for name in [format!("{}/new", other.name), "platform".into()] {
                    // It becomes the tenant's own.
                    let sql = format!(
                        "select name from herald.subscribe('{name}', url => 'https://example.com/')"
                    );
                    assert_eq!(own.session.text(&sql), format!("{}/{name}", own.name));
                    own.session
                        .run(&format!("select herald.unsubscribe('{name}')"));
                }
                let sql = format!(
                    "select herald.subscribe('new', url => 'https://example.com/', tenant => '{}')",
                    other.name
                );
                assert_eq!(own.session.refusal(&sql).code().code(), "42501");
            }
            "purge_dead_letters" => {
                own.session.run("select herald.purge_dead_letters('0')");
                let left = "select string_agg(subscription, ' ') from herald.dead_letter";
                assert_eq!(db.text(left), format!("{}/shop", other.name));
            }
            _ => assert!(
                !calls(function, "x", "y").is_empty(),
                "herald.{function} is granted to tenants: say here what it must not do"
            ),
        }
    }
    assert!(functions.len() >= 14, "{functions:?}");

    // Only functions make changes: a role that may UPDATE a view may lock everything below it.
    for sql in [
        "update herald.subscription set description = 'mine'",
        "delete from herald.subscription",
        "do $$ begin lock table herald.subscription in access exclusive mode; end $$",
        "select from herald.subscription for update",
    ] {
        assert_eq!(own.session.refusal(sql).code().code(), "42501", "{sql}");
    }
    own.session.run("select herald.unsubscribe('shop')");
    assert_eq!(db.number("select count(*) from herald.subscription"), 2);
}

/// Returns calls that name a subscription.
fn calls(function: &str, subscription: &str, event: &str) -> Vec<String> {
    let after = match function {
        "redeliver" | "preview" => format!(", '{event}'"),
        "replay" => ", since => now() - interval '1 day'".to_owned(),
        "purge_dead_letters" => {
            return vec![format!(
                "select herald.purge_dead_letters('0', '{subscription}')"
            )];
        }
        "status" | "why" | "subscribe" => return Vec::new(),
        _ => String::new(),
    };
    let mut calls = vec![format!("select herald.{function}('{subscription}'{after})")];
    if function == "replay" {
        calls.push(format!(
            "select herald.replay('shop', since => now() - interval '1 day', target => '{subscription}')"
        ));
    }
    calls
}

/// Returns calls that name an event.
fn calls_with_event(function: &str, subscription: &str, event: &str) -> Vec<String> {
    match function {
        "redeliver" | "preview" => vec![format!(
            "select herald.{function}('{subscription}', '{event}')"
        )],
        "why" => vec![format!("select herald.why('{event}')")],
        _ => Vec::new(),
    }
}

#[test]
fn nobody_sees_more_through_what_a_tenant_made() {
    let mut db = Database::new(&CLUSTER, "deputy");
    let receiver = receiver();
    let mut maker = Settled::new(&mut db, "one", &receiver);
    let _other = Settled::new(&mut db, "other", &receiver);
    db.subscribe("platform", &receiver.url("/"), "");
    db.run("create role deputy_web login noinherit; grant deputy_one to deputy_web");
    db.run("create schema shared; grant all on schema shared to deputy_one, deputy_web");
    for relation in [
        "attempt",
        "dead_letter",
        "delivery",
        "subscription",
        "subscription_stats",
        "usage",
    ] {
        maker.session.run(&format!(
            "create view shared.{relation} as select * from herald.{relation}; grant select on shared.{relation} to public"
        ));
    }
    maker.session.run(
        "create function shared.names() returns setof text language sql security definer as
             'select subscription from herald.status()';
         create function shared.spy() returns text language sql security definer as
             'select name from herald.subscribe(''spy'', url => ''https://example.com/'')'",
    );
    let mut web = db.session_as(&CLUSTER, "deputy_web");
    for relation in [
        "attempt",
        "dead_letter",
        "delivery",
        "subscription",
        "subscription_stats",
        "usage",
    ] {
        assert_eq!(
            web.number(&format!("select count(*) from shared.{relation}")),
            0,
            "{relation}"
        );
    }
    // Functions act for the owner of the function that calls them, even in a superuser's session.
    for session in [&mut web, &mut db] {
        let seen = session.texts("select shared.names()");
        assert!(
            seen.iter().all(|name| name.starts_with("deputy_one/")),
            "{seen:?}"
        );
        assert_eq!(session.text("select shared.spy()"), "deputy_one/spy");
    }
}

#[test]
fn what_a_tenant_may_store_is_bounded() {
    let mut db = Database::new(&CLUSTER, "bounds");
    let (_, mut session) = tenant(&mut db, "one", "enterprise");
    session.subscribe("shop", "https://example.com/", "");
    for call in [
        "herald.rotate_secret('shop', grace => '2 years')".to_owned(),
        "herald.rotate_secret('shop', grace => timestamptz '294270-01-01' - now())".to_owned(),
        "herald.subscribe('shop', dead_letter_retention => '300000 years')".to_owned(),
        format!(
            "herald.subscribe('shop', description => '{}')",
            "x".repeat(1001)
        ),
    ] {
        let refused = session.refusal(&format!("select {call}"));
        assert_eq!(refused.code().code(), "22023", "{call}");
        assert!(refused.hint().is_some() && refused.detail().is_some());
    }
    session.run("begin isolation level repeatable read; select 1");
    let (_, mut limited) = tenant(&mut db, "two", "starter");
    limited.run("begin isolation level repeatable read");
    let refused = limited.refusal("select herald.subscribe('shop', url => 'https://example.com/')");
    assert_eq!(refused.code().code(), "25000");
}

#[test]
fn a_tenant_has_no_template_but_may_keep_the_platform_s() {
    let mut db = Database::new(&CLUSTER, "templates");
    let (name, mut session) = tenant(&mut db, "one", "enterprise");
    session.subscribe("shop", "https://example.com/", "");
    let template = "format => 'template', template => '{{ data }}'";
    let refused = session.refusal(&format!("select herald.subscribe('shop', {template})"));
    assert_eq!(refused.code().code(), "42501");
    assert_eq!(
        refused.hint(),
        Some("Let the platform set it, or use another format.")
    );
    db.run(&format!(
        "select herald.subscribe('{name}/shop', {template})"
    ));
    session.run("select herald.subscribe('shop', timeout => '5 s')");
}

#[test]
fn a_tenant_inherits_nothing_from_a_former_tenant_of_its_name() {
    let mut db = Database::new(&CLUSTER, "heirs");
    let receiver = receiver();
    let former = Settled::new(&mut db, "one", &receiver);
    let name = former.name.clone();
    let refused = db.refusal("update herald.subscription set tenant = null, name = 'mine'");
    assert_eq!(refused.code().code(), "0A000");
    db.run("select herald.unsubscribe(name) from herald.subscription");
    db.run("delete from herald.tenant");
    db.run(&format!(
        "insert into herald.tenant (name, role) values ('{name}', '{name}')"
    ));
    let mut heir = db.session_as(&CLUSTER, &name);
    for relation in ["attempt", "dead_letter", "delivery", "subscription"] {
        assert_eq!(
            heir.number(&format!("select count(*) from herald.{relation}")),
            0,
            "{relation}"
        );
    }
    assert_eq!(heir.number("select events from herald.usage"), 0);
    // Whatever has the name of a future tenant blocks its creation.
    db.run(
        "select herald.subscribe('label', url => 'https://example.com/', tenant => 'heirs_label')",
    );
    let refused = db.refusal("insert into herald.tenant (name) values ('heirs_label')");
    assert_eq!(refused.code().code(), "55006");
}

#[test]
fn a_name_says_whose_a_subscription_is() {
    let mut db = Database::new(&CLUSTER, "names");
    let (name, mut session) = tenant(&mut db, "one", "enterprise");
    let subscribe = |name: &str, more: &str| {
        format!("select herald.subscribe('{name}', url => 'https://example.com/'{more})")
    };
    for (call, hint) in [
        (
            subscribe("shop", &format!(", tenant => '{name}'")),
            format!("Call it {name}/shop."),
        ),
        (
            subscribe(&format!("{name}/shop"), ", tenant => 'another'"),
            format!("Use tenant => '{name}', or another name."),
        ),
    ] {
        let refused = db.refusal(&call);
        assert_eq!(refused.code().code(), "22023");
        assert_eq!(refused.hint(), Some(hint.as_str()));
    }
    // A tenant cannot take over a name that was taken before it existed.
    db.run(&subscribe("later/shop", ""));
    let refused = db.refusal("insert into herald.tenant (name) values ('later')");
    assert_eq!(refused.code().code(), "55006");
    db.run(&format!(
        "update herald_internal.subscription set name = '{name}/taken' where name = 'later/shop'"
    ));
    let refused = session.refusal(&subscribe("taken", ""));
    assert_eq!(refused.code().code(), "42501");
    db.run("delete from herald.subscription");
    db.run(&subscribe(&format!("{name}/shop"), ""));
    assert_eq!(db.text("select tenant from herald.subscription"), name);
    // A tenant without an account remains a label.
    db.run(&subscribe("other", ", tenant => 'label'"));
    let refused = db.refusal("delete from herald.tenant");
    assert_eq!(refused.code().code(), "2BP01");
}

#[test]
fn a_privileged_role_cannot_become_a_tenant_role() {
    let mut db = Database::new(&CLUSTER, "roles");
    db.run("create role roles_reader; select herald.grant_access('roles_reader', 'reader')");
    db.run("create role roles_emitter; select herald.grant_access('roles_emitter', 'emitter')");
    db.run("create role roles_super superuser");
    for role in ["roles_reader", "roles_emitter", "roles_super"] {
        let refused = db.refusal(&format!(
            "insert into herald.tenant (name, role) values ('t', '{role}')"
        ));
        assert_eq!(refused.code().code(), "22023");
        assert!(refused.hint().is_some());
    }
    let (name, _) = tenant(&mut db, "one", "enterprise");
    let refused = db.refusal(&format!("select herald.grant_access('{name}', 'operator')"));
    assert_eq!(refused.code().code(), "22023");
    db.run("delete from herald.tenant");
    assert!(!db.truth(&format!(
        "select has_schema_privilege('{name}', 'herald', 'usage')"
    )));
    assert_eq!(
        db.text("select string_agg(action || ' ' || kind || ' ' || name, ', ' order by id) from herald.audit where kind = 'tenant'"),
        format!("created tenant {name}, removed tenant {name}")
    );
}

#[test]
fn tenants_plans_and_accounts_are_in_a_dump_and_work_where_it_is_restored() {
    let mut db = Database::new(&CLUSTER, "dumped");
    let receiver = receiver();
    plan(&mut db, "pilot", "endpoints, events_per_month", "1, 7");
    let (name, mut session) = tenant(&mut db, "one", "pilot");
    session.subscribe("shop", &receiver.url("/"), "");
    emit(&mut db, &name, "before");
    db.settle();

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("dump").display().to_string();
    let dump = ["--file", file.as_str()];
    CLUSTER
        .run_client("pg_dump", "dumped", &dump)
        .expect("a dump");
    CLUSTER.create_database("restored").expect("a database");
    let load = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file.as_str()];
    CLUSTER
        .run_client("psql", "restored", &load)
        .expect("a restore");

    let copy = Database::of(&CLUSTER, "restored");
    let mut there = copy.session_as(&CLUSTER, &name);
    assert_eq!(
        there.text(
            "select concat_ws(' ', tenant, plan, events, events_per_month) from herald.usage"
        ),
        format!("{name} pilot 1 7")
    );
    assert_eq!(
        there.text("select subscription from herald.delivery"),
        format!("{name}/shop")
    );
    let more = "select herald.subscribe('more', url => 'https://example.com/')";
    assert_eq!(there.refusal(more).code().code(), "53400");
}

#[test]
fn a_tenant_is_never_the_platform_where_its_role_is_missing() {
    let mut db = Database::new(&CLUSTER, "homeless");
    let receiver = receiver();
    let (name, mut session) = tenant(&mut db, "one", "starter");
    session.subscribe("shop", &receiver.url("/"), "");
    db.subscribe("label", &receiver.url("/"), "tenant => 'nobody'");
    // Another role is dropped before the dump, with its grants.
    let (dropped, mut other) = tenant(&mut db, "two", "starter");
    other.subscribe("shop", &receiver.url("/"), "");
    drop(other);
    db.run(&format!("drop owned by {dropped}; drop role {dropped}"));

    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("dump").display().to_string();
    let dump = ["--format=custom", "--file", file.as_str()];
    CLUSTER
        .run_client("pg_dump", "homeless", &dump)
        .expect("a dump");
    let elsewhere = Cluster::builder()
        .fsync(false)
        .setting("herald.allow_networks", "127.0.0.1")
        .start()
        .expect("another cluster");
    for cluster in [&elsewhere, &*CLUSTER] {
        cluster.create_database("home").expect("a database");
        let options = [
            "--no-owner",
            "--no-privileges",
            "--exit-on-error",
            file.as_str(),
        ];
        cluster
            .run_client(
                "pg_restore",
                "home",
                &[&["--dbname=home"], &options[..]].concat(),
            )
            .expect("a restore");
    }

    let mut there = Database::of(&elsewhere, "home");
    let whose = "select string_agg(concat_ws(' ', name, is_tenants), ', ' order by name) from herald_internal.subscription";
    let expected = format!("{name}/shop t, {dropped}/shop t, label f");
    assert_eq!(there.text(whose), expected);
    let missing = |names: [&str; 2]| {
        names.map(|name| format!("role \"{name}\" of tenant \"{name}\" is missing, so nothing is sent to its subscriptions"))
    };
    let named = "select detail from herald.doctor() where \"check\" = 'tenant' order by 1";
    assert_eq!(there.texts(named), missing([&name, &dropped]));
    there.run("select herald.resume_after_restore('deliver')");
    there.run("select herald.rotate_secret(name) from herald.subscription");
    for tenant in [&name, &dropped, "nobody"] {
        there.run(&format!(
            "select herald.emit('order.paid', tenant => '{tenant}')"
        ));
    }
    receiver.wait_for(1, common::SOON);
    let states = "select string_agg(concat_ws(' ', subscription, state), ', ' order by subscription) from herald.delivery";
    let held = format!("{name}/shop pending, {dropped}/shop pending, label delivered");
    there.until(states, &held);
    assert_eq!(receiver.total(), 1);
    let why = format!(
        "select blocked_by from herald.why((select uid::text from herald.event where tenant = '{name}')) where matched"
    );
    assert!(
        there.text(&why).contains("is missing"),
        "{}",
        there.text(&why)
    );
    // With a role it is a tenant as before: it cannot use the platform's networks.
    there.run(&format!(
        "create role {name} login; update herald.tenant set role = '{name}' where name = '{name}'"
    ));
    assert_eq!(there.texts(named), missing([&name, &dropped])[1..]);
    there.until(&why, "cannot send: the url leads to a blocked address: 127.0.0.1 (127.0.0.1 is this machine itself.)");

    // At home it finds its role, and no other role with the name of a dropped one.
    let mut home = Database::of(&CLUSTER, "home");
    assert_eq!(home.text(whose), expected);
    assert_eq!(home.texts(named), missing([&name, &dropped])[1..]);
    let mut session = home.session_as(&CLUSTER, &name);
    assert_eq!(
        session.text("select count(*) from herald.subscription"),
        "1"
    );
}

#[test]
fn tenants_reach_the_networks_of_tenants_and_are_told_no_more() {
    let mut db = Database::new(&CLUSTER, "networks");
    let (name, mut session) = tenant(&mut db, "one", "enterprise");
    let subscribe = "select herald.subscribe('shop', url => 'http://127.0.0.2:81/')";
    let refused = session.refusal(subscribe);
    assert_eq!(refused.code().code(), "22023");
    assert!(
        refused
            .hint()
            .is_some_and(|hint| hint.contains("herald.tenant_networks"))
    );
    // The platform's operator may.
    db.run(subscribe);
    db.run("select herald.unsubscribe('shop')");

    session.subscribe("shop", "http://nowhere.invalid/", "");
    // Wait until the worker knows it.
    session.until(
        "select error_class || ', ' || error from herald.ping('shop')",
        "dns, DNS: nowhere.invalid has no address that may be called",
    );
    // A url accepted earlier is held, and the tenant is not told by which setting.
    db.run("update herald_internal.subscription set url = 'http://127.0.0.2:81/'; select herald_internal.changed('subscription')");
    let event = emit(&mut db, &name, "held");
    db.until("select count(*) from herald.pending", "1");
    let why = format!("select blocked_by from herald.why('{event}')");
    assert_eq!(session.text(&why), "cannot send: ask who runs the database");
    assert!(db.text(&why).contains("127.0.0.2"));
}
