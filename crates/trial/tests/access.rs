//! Access: each level allows exactly what it says, and every change is recorded.

mod common;

use std::sync::LazyLock;

use common::{Database, SECRET, SOON, receiver, rows};
use herald_trial::wait::eventually;
use herald_trial::{Cluster, Receiver};
use postgres::NoTls;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

const LEVELS: [&str; 4] = ["reader", "emitter", "operator", "admin"];

/// Each object of the extension's schemas with the roles that may use it, as `name: role role`.
const MATRIX: &str = "
    select format('%s: %s', o.name, coalesce(string_agg(o.role || o.how, ' ' order by o.position), '-')) as line
    from (
        select p.oid::regprocedure::text as name, r.role, r.position, '' as how
        from pg_proc p
        left join roles r on has_function_privilege(r.oid, p.oid, 'execute')
        where p.pronamespace = any ('{herald,herald_internal}'::regnamespace[])
        union all
        select format('%s %s', case c.relkind when 'v' then 'view' when 'S' then 'sequence' else 'table' end,
                      regexp_replace(c.oid::regclass::text, '_[0-9]+$', '_<slot>')),
               r.role, r.position, '(' || p.privileges || ')'
        from pg_class c
        left join lateral (
            select r.*, (select string_agg(x || case when c.relkind <> 'S' and not has_table_privilege(r.oid, c.oid, x)
                                               then ' of columns' else '' end, ',') from unnest(case c.relkind when 'S' then '{usage,select,update}'
                           else '{select,insert,update,delete,truncate,references,trigger}' end::text[]) x
                   where case c.relkind when 'S' then has_sequence_privilege(r.oid, c.oid, x)
                       else case when x in ('select', 'insert', 'update') then has_any_column_privilege(r.oid, c.oid, x)
                            else has_table_privilege(r.oid, c.oid, x) end end) as privileges
            from roles r
        ) p on p.privileges is not null
        left join roles r on r.oid = p.oid
        where c.relnamespace = any ('{herald,herald_internal}'::regnamespace[]) and c.relkind in ('r', 'p', 'v', 'S')
    ) o
    group by o.name";

/// Creates a database with a role for each level.
fn with_levels(name: &str) -> Database {
    let mut db = Database::new(&CLUSTER, name);
    for level in LEVELS {
        db.run(&format!("create role {name}_{level} login"));
        db.run(&format!(
            "select herald.grant_access('{name}_{level}', '{level}')"
        ));
    }
    db.run(&format!("create role {name}_nobody login"));
    db
}

#[test]
fn every_object_is_for_the_roles_of_the_matrix() {
    let mut db = with_levels("matrix");
    db.run("create role matrix_tenant");
    db.run("insert into herald.tenant (name, role) values ('one', 'matrix_tenant')");
    db.run(
        "create temp table roles as
         select r.oid, replace(r.rolname, 'matrix_', '') as role, n as position
         from unnest('{matrix_nobody,matrix_reader,matrix_emitter,matrix_operator,matrix_admin,matrix_tenant,pg_monitor}'::text[])
              with ordinality as u (rolname, n)
         join pg_roles r using (rolname)",
    );
    let matrix = db.text(&format!(
        "select string_agg(distinct line, chr(10) order by line) from ({MATRIX}) m"
    ));
    let golden = include_str!("golden/access.txt");
    if matrix.trim() != golden.trim() {
        let path = std::env::temp_dir().join("access.txt");
        std::fs::write(&path, format!("{matrix}\n")).expect("the matrix of now");
        panic!(
            "the matrix is another: compare tests/golden/access.txt with {}",
            path.display()
        );
    }
}

#[test]
fn each_level_allows_exactly_its_purpose() {
    let mut db = with_levels("levels");
    db.run(&format!(
        "select herald.subscribe('shop', url => 'https://example.com/', secret => '{SECRET}')"
    ));
    db.run("create table item (id int primary key); alter table item owner to levels_admin");
    let event = db.emit("order.paid");
    let preview =
        format!("select headers ->> 'webhook-signature' from herald.preview('shop', '{event}')");
    let rights = r"
        reader | may | select * from herald.status()
        reader | may | select * from herald.delivery
        reader | may | select * from herald.doctor()
        reader | must not | select herald.emit('x.y')
        reader | must not | select herald.pause('shop')
        reader | must not | select data from herald.event
        reader | must not | PREVIEW
        emitter | may | select herald.emit('x.y')
        emitter | must not | select * from herald.status()
        emitter | must not | select * from herald.subscription
        operator | may | select herald.pause('shop')
        operator | may | select herald.resume('shop')
        operator | may | select data from herald.event
        operator | may | PREVIEW
        operator | must not | select herald.subscribe('mine', url => 'https://example.com/')
        operator | must not | select herald.rotate_secret('shop')
        operator | must not | update herald.subscription set url = 'https://example.org/'
        operator | must not | select * from herald.secret
        operator | must not | select * from herald.audit
        admin | may | select herald.subscribe('mine', url => 'https://example.com/')
        admin | may | update herald.subscription set url = 'https://example.org/' where name = 'mine'
        admin | may | select herald.rotate_secret('mine')
        admin | may | select herald.watch('item')
        admin | may | select herald.unsubscribe('mine')
        admin | may | select * from herald.audit
        admin | must not | select * from herald.secret
        admin | must not | delete from herald.subscription
        admin | must not | do $$ begin lock table herald.subscription; end $$
        admin | must not | select herald.grant_access('levels_nobody', 'admin')
        admin | must not | select herald.resume_after_restore('skip')
        admin | must not | select herald.reencrypt_secrets()
    ";
    for [role, right, sql] in rows(rights) {
        let mut session = db.session_as(&CLUSTER, &format!("levels_{role}"));
        match sql.replace("PREVIEW", &preview) {
            sql if right == "may" => session.run(&sql),
            sql => assert_eq!(session.sqlstate(&sql), "42501", "{role}: {sql}"),
        }
    }
    let mut operator = db.session_as(&CLUSTER, "levels_operator");
    assert_eq!(operator.text(&preview), "***");
    db.run("select herald.revoke_access('levels_admin')");
    let mut admin = db.session_as(&CLUSTER, "levels_admin");
    assert_eq!(admin.sqlstate("select herald.status()"), "42501");
}

#[test]
fn an_unknown_level_is_refused() {
    let mut db = with_levels("no_level");
    let refused = db.refusal("select herald.grant_access('no_level_nobody', 'opperator')");
    assert_eq!(refused.hint(), Some("Perhaps you meant \"operator\"."));
    assert_eq!(refused.code().code(), "22023");
}

#[test]
fn pg_monitor_sees_statistics_and_no_event() {
    let mut db = with_levels("monitor");
    db.run("grant pg_monitor to monitor_nobody");
    let mut session = db.session_as(&CLUSTER, "monitor_nobody");
    session.run("select * from herald.subscription_stats; select * from herald.status(); select * from herald.doctor()");
    assert_eq!(session.sqlstate("select * from herald.event"), "42501");
    assert_eq!(
        session.sqlstate("select * from herald.subscription"),
        "42501"
    );
}

#[test]
fn every_change_is_audited_with_its_role_and_without_secrets() {
    let mut db = with_levels("audit");
    db.run("create table item (id int primary key); alter table item owner to audit_admin");
    let mut admin = db.session_as(&CLUSTER, "audit_admin");
    admin.run("set application_name = 'migration'");
    admin.run(&format!(
        "select herald.subscribe('shop', url => 'https://example.com/', secret => '{SECRET}', headers => '{{\"X-Key\": \"canary\"}}')"
    ));
    admin.run("update herald.subscription set max_concurrency = 3 where name = 'shop'");
    admin.run("select herald.pause('shop')");
    admin.run("select herald.rotate_secret('shop')");
    admin.run("select herald.watch('item'); select herald.unwatch('item')");
    admin.run("begin; select herald.subscribe('gone', url => 'https://example.com/'); rollback");
    admin.run("select herald.unsubscribe('shop')");
    assert_eq!(
        db.text(
            "select string_agg(format('%s %s %s', action, kind, name), ', ' order by id) from herald.audit
             where kind <> 'secret'"
        ),
        "created subscription shop, changed subscription shop, changed subscription shop, \
         created watch default on public.item, removed watch default on public.item, removed subscription shop"
    );
    assert_eq!(
        db.text("select string_agg(distinct format('%s %s %s', role, session_role, application), ', ') from herald.audit"),
        "audit_admin audit_admin migration"
    );
    assert_eq!(
        db.text(
            "select before ->> 'max_concurrency' || ' ' || (after ->> 'max_concurrency') from herald.audit
             where action = 'changed' order by id limit 1"
        ),
        "10 3"
    );
    assert_eq!(
        db.text("select count(*) filter (where action = 'created') from herald.audit where kind = 'secret'"),
        "3"
    );
    let all = db.text("select string_agg(a::text, ' ') from herald.audit a");
    assert!(
        !all.contains("canary") && !all.contains("whsec_") && !all.contains("C2FVsBQI"),
        "{all}"
    );
}

#[test]
fn a_role_that_may_read_some_columns_reads_them() {
    let mut db = Database::new(&CLUSTER, "some");
    db.subscribe_at("platform", "https://example.com/", "");
    db.run("create role some_columns login; grant usage on schema herald to some_columns");
    db.run("grant select (name, state) on herald.subscription to some_columns");
    let mut session = db.session_as(&CLUSTER, "some_columns");
    assert_eq!(
        session.text("select name || ' ' || state from herald.subscription"),
        "platform active"
    );
}

#[test]
fn a_publication_that_takes_tables_of_pg_herald_along_is_warned_of() {
    let mut db = Database::new(&CLUSTER, "published");
    let (told, heard) = std::sync::mpsc::channel();
    let client = CLUSTER
        .config("published")
        .notice_callback(move |notice| {
            let detail = notice.detail().unwrap_or_default();
            let _ = told.send(format!(
                "{} {}: {detail}",
                notice.severity(),
                notice.message()
            ));
        })
        .connect(NoTls);
    let mut dba = Database::with("published", client.expect("a session"));
    let all = r#"WARNING publication "p" publishes the tables of pg_herald: Subscribers get the secrets of webhooks, in clear unless herald.secret_key_file is set, and a subscriber that has pg_herald gets conflicts."#;
    let some = r#"WARNING publication "p" publishes the tables of pg_herald: A subscriber that has pg_herald gets conflicts."#;
    for (command, warnings) in [
        ("create publication p for all tables", vec![all]),
        ("alter publication p set (publish = 'insert')", vec![all]),
        ("drop publication p", vec![]),
        ("create publication p for tables in schema public", vec![]),
        ("alter publication p add tables in schema herald", vec![all]),
        ("alter publication p drop tables in schema herald", vec![]),
        ("alter publication p add table herald.event", vec![some]),
        (
            "drop publication p; create publication p for tables in schema herald",
            vec![all],
        ),
    ] {
        dba.run(command);
        // Whether the server replicates by rows now does not matter here.
        let said = heard.try_iter().filter(|said| !said.contains("wal_level"));
        assert_eq!(said.collect::<Vec<_>>(), warnings, "{command}");
    }
    // A fault of ours must not fail a command.
    db.run("alter function herald_internal.publications() rename to gone");
    dba.run("alter publication p set (publish = 'insert')");
    let warnings: Vec<_> = heard.try_iter().collect();
    assert!(
        warnings.len() == 1 && warnings[0].contains("could not look at this publication"),
        "{warnings:?}"
    );
}

/// What a subscription's requests carry but its admins are not shown.
const HIDDEN: &str = "canary";

#[track_caller]
fn assert_told_nothing(receiver: &Receiver, case: &str) {
    for request in receiver.requests() {
        let carried = format!("{:?} {}", request.headers, request.text());
        assert!(!carried.contains(HIDDEN), "{case}: {carried}");
    }
}

#[test]
fn a_ping_takes_stored_values_to_no_other_scheme_host_port_or_token_endpoint() {
    let own = receiver();
    let other = receiver();
    let mut db = with_levels("moved");
    let oauth = |token_url: &str, secret: &str| {
        format!(
            r#"{{"type": "oauth2", "token_url": "{token_url}", "client_id": "i", "client_secret": "{secret}"}}"#
        )
    };
    let bearer = |token: &str| format!(r#"{{"type": "bearer", "token": "{token}"}}"#);
    for (name, auth) in [
        ("shop", bearer(HIDDEN)),
        ("oauth", oauth(&own.url("/token"), HIDDEN)),
    ] {
        let headers = format!(r#"headers => '{{"X-Key": "{HIDDEN}"}}', auth => '{auth}'"#);
        db.subscribe(name, &own, &headers);
    }
    let mut admin = db.session_as(&CLUSTER, "moved_admin");
    let ping = |admin: &mut Database, name: &str| {
        admin.text(&format!(
            "select concat_ws(' ', outcome, error) from herald.ping('{name}', timeout => '20 s')"
        ))
    };
    // Wait until the worker knows the subscriptions.
    eventually(SOON, "a ping", || {
        (ping(&mut admin, "shop") == "delivered").then_some(())
    });
    let refused = |admin: &mut Database, sql: &str| {
        assert_eq!(admin.sqlstate(sql), "22023", "{sql}");
        assert_eq!(ping(admin, "shop"), "delivered", "{sql}");
        // No receiver here issues tokens.
        assert!(!ping(admin, "oauth").starts_with("delivered"), "{sql}");
    };
    let moved = [
        own.url("/").replace("http:", "https:"),
        own.url("/").replace("127.0.0.1", "localhost"),
        other.url("/"),
    ];
    for url in moved {
        let update = format!("update herald.subscription set url = '{url}'");
        refused(&mut admin, &update);
        // If only the headers changed, the token would go along.
        let headers = r#"headers => '{"X-Key": "own"}'"#;
        refused(
            &mut admin,
            &format!("select herald.subscribe('shop', url => '{url}', {headers})"),
        );
    }
    let auth = oauth(&other.url("/token"), "***");
    refused(
        &mut admin,
        &format!("update herald.subscription set auth = '{auth}' where name = 'oauth'"),
    );
    assert_eq!(other.total(), 0);
    assert!(own.total() > 0);

    let values = format!(
        r#"headers => '{{"X-Key": "own"}}', auth => '{}'"#,
        bearer("own")
    );
    admin.run(&format!(
        "select herald.subscribe('shop', url => '{}', {values})",
        other.url("/")
    ));
    let auth = oauth(&other.url("/token"), "own");
    admin.run(&format!(
        "select herald.subscribe('oauth', auth => '{auth}')"
    ));
    eventually(SOON, "the new values", || {
        ping(&mut admin, "shop");
        ping(&mut admin, "oauth");
        let paths: Vec<_> = other
            .requests()
            .iter()
            .map(|request| request.path.clone())
            .collect();
        ["/", "/token"]
            .iter()
            .all(|path| paths.iter().any(|got| got == path))
            .then_some(())
    });
    assert_told_nothing(&other, "given anew");
}
