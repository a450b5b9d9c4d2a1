//! Access: each level may do what it says and nothing else, and every change is on record.

mod common;

use std::sync::LazyLock;

use common::{Database, SECRET};
use herald_trial::Cluster;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

const LEVELS: [&str; 4] = ["reader", "emitter", "operator", "admin"];

/// Each object of the schema herald with the roles that may use it, as `name: role role`.
const MATRIX: &str = "
    select format('%s: %s', o.name, coalesce(string_agg(o.role || o.how, ' ' order by o.position), '-')) as line
    from (
        select p.oid::regprocedure::text as name, r.role, r.position, '' as how
        from pg_proc p
        left join roles r on has_function_privilege(r.oid, p.oid, 'execute')
        where p.pronamespace = 'herald'::regnamespace
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
        where c.relnamespace = 'herald'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
    ) o
    group by o.name";

/// A database in which there is a role for each level.
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
fn each_level_works_and_ends_with_what_it_is_for() {
    let mut db = with_levels("levels");
    db.run(&format!(
        "select herald.subscribe('shop', url => 'https://example.com/', secret => '{SECRET}')"
    ));
    db.run("create table item (id int primary key); alter table item owner to levels_admin");
    let event = db.emit("order.paid");
    let preview =
        format!("select headers ->> 'webhook-signature' from herald.preview('shop', '{event}')");
    for (role, allowed, denied) in [
        (
            "reader",
            vec![
                "select * from herald.status()",
                "select * from herald.delivery",
                "select * from herald.doctor()",
            ],
            vec![
                "select herald.emit('x.y')",
                "select herald.pause('shop')",
                "select data from herald.event",
                &preview,
            ],
        ),
        (
            "emitter",
            vec!["select herald.emit('x.y')"],
            vec![
                "select * from herald.status()",
                "select * from herald.subscription",
            ],
        ),
        (
            "operator",
            vec![
                "select herald.pause('shop')",
                "select herald.resume('shop')",
                "select data from herald.event",
                &preview,
            ],
            vec![
                "select herald.subscribe('mine', url => 'https://example.com/')",
                "select herald.rotate_secret('shop')",
                "update herald.subscription set url = 'https://example.org/'",
                "select * from herald.secret",
                "select * from herald.audit",
            ],
        ),
        (
            "admin",
            vec![
                "select herald.subscribe('mine', url => 'https://example.com/')",
                "update herald.subscription set url = 'https://example.org/' where name = 'mine'",
                "select herald.rotate_secret('mine')",
                "select herald.watch('item')",
                "select herald.unsubscribe('mine')",
                "select * from herald.audit",
            ],
            vec![
                "select * from herald.secret",
                "delete from herald.subscription",
                "do $$ begin lock table herald.subscription; end $$",
                "select herald.grant_access('levels_nobody', 'admin')",
                "select herald.resume_after_restore('skip')",
                "select herald.reencrypt_secrets()",
            ],
        ),
    ] {
        let mut session = db.session_as(&CLUSTER, &format!("levels_{role}"));
        for sql in allowed {
            session.run(sql);
        }
        for sql in denied {
            assert_eq!(session.refusal(sql).code().code(), "42501", "{role}: {sql}");
        }
    }
    let mut operator = db.session_as(&CLUSTER, "levels_operator");
    assert_eq!(operator.text(&preview), "***");
    db.run("select herald.revoke_access('levels_admin')");
    let mut admin = db.session_as(&CLUSTER, "levels_admin");
    assert_eq!(
        admin.refusal("select herald.status()").code().code(),
        "42501"
    );
}

#[test]
fn a_level_that_is_none_is_refused() {
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
    assert_eq!(
        session.refusal("select * from herald.event").code().code(),
        "42501"
    );
    assert_eq!(
        session
            .refusal("select * from herald.subscription")
            .code()
            .code(),
        "42501"
    );
}

#[test]
fn every_change_is_on_record_with_who_made_it_and_without_secrets() {
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
    db.subscribe("platform", "https://example.com/", "");
    db.run("create role some_columns login; grant usage on schema herald to some_columns");
    db.run("grant select (name, state) on herald.subscription to some_columns");
    let mut session = db.session_as(&CLUSTER, "some_columns");
    assert_eq!(
        session.text("select name || ' ' || state from herald.subscription"),
        "platform active"
    );
}
