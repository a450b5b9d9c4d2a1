//! What a tenant sees and names through relations, functions and what others made of them.

use crate::common::{Database, receiver};
use crate::{CLUSTER, Settled};

#[test]
fn every_relation_shows_a_tenant_its_own_rows_and_every_function_knows_only_those() {
    let mut db = Database::new(&CLUSTER, "cross");
    let receiver = receiver();
    let mut own = Settled::new(&mut db, "one", &receiver);
    let other = Settled::new(&mut db, "other", &receiver);
    db.subscribe("platform", &receiver, "");

    relations_show_only_own_rows(&mut db, &mut own, &other);
    functions_of_views_return_only_own_rows(&mut db, &mut own.session);

    let functions: Vec<String> = db.texts(
        "select distinct p.proname from pg_proc p where p.pronamespace = 'herald'::regnamespace
         and has_function_privilege('cross_one', p.oid, 'execute') order by 1",
    );
    for function in &functions {
        knows_nothing_of(function, &mut own, &other);
        does_only_its_own(function, &mut db, &mut own, &other);
    }
    assert!(functions.len() >= 14, "{functions:?}");

    // Only functions make changes: a role that may UPDATE a view may lock everything below it.
    for sql in [
        "update herald.subscription set description = 'mine'",
        "delete from herald.subscription",
        "do $$ begin lock table herald.subscription in access exclusive mode; end $$",
        "select from herald.subscription for update",
    ] {
        assert_eq!(own.session.sqlstate(sql), "42501", "{sql}");
    }
    own.session.run("select herald.unsubscribe('shop')");
    assert_eq!(db.count("herald.subscription"), 2);
}

/// Asserts that each relation that a tenant may read shows its rows, and none of others.
fn relations_show_only_own_rows(db: &mut Database, own: &mut Settled, other: &Settled) {
    let relations: Vec<String> = db.texts(
        "select c.relname from pg_class c where c.relnamespace = 'herald'::regnamespace and c.relkind in ('r', 'p', 'v')
         and has_table_privilege('cross_one', c.oid, 'select, insert, update, delete, truncate') order by 1",
    );
    assert_eq!(
        relations,
        [
            "attempt",
            "blocked_key",
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
}

/// Asserts the same of what views call, which every role may call.
fn functions_of_views_return_only_own_rows(db: &mut Database, session: &mut Database) {
    let of_views = db.texts(
        "select p.proname from pg_proc p where p.pronamespace = 'herald_internal'::regnamespace
         and has_function_privilege('cross_one', p.oid, 'execute') order by 1",
    );
    assert_eq!(
        of_views,
        [
            "expressions_of_watches",
            "own_attempt",
            "own_blocked_key",
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
    assert_eq!(session.count("herald_internal.expressions_of_watches()"), 0);
    for function in of_views.iter().filter(|name| name.starts_with("own_")) {
        let rows = session.texts(&format!(
            "select to_jsonb(r)::text from herald_internal.{function}() r"
        ));
        assert!(
            rows.iter()
                .all(|row| row.contains("cross_one") && !row.contains("cross_other")),
            "{rows:?}"
        );
    }
    assert_eq!(
        session.text("select herald_internal.sees_all('delivery')"),
        "false"
    );
    assert_eq!(session.count("herald_internal.show_worker()"), 0);
}

/// Asserts that a function takes nothing of another tenant's or the platform's.
fn knows_nothing_of(function: &str, own: &mut Settled, other: &Settled) {
    for subscription in [
        format!("{}/shop", other.name),
        other.subscription_id.clone(),
        "platform".to_owned(),
    ] {
        for call in calls(function, &subscription, &own.delivered) {
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
}

/// Asserts what a function that names no subscription of others may do.
fn does_only_its_own(function: &str, db: &mut Database, own: &mut Settled, other: &Settled) {
    let own_name = format!("{}/shop", own.name);
    match function {
        "status" => {
            let seen = own
                .session
                .texts("select subscription from herald.status()");
            assert_eq!(seen, [own_name.as_str()]);
        }
        "why" => {
            let sql = format!("select subscription from herald.why('{}')", own.delivered);
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
            assert_eq!(own.session.sqlstate(&sql), "42501");
        }
        "purge_dead_letters" => {
            own.session.run("select herald.purge_dead_letters('0')");
            let left = "select string_agg(subscription, ' ') from herald.dead_letter";
            assert_eq!(db.text(left), format!("{}/shop", other.name));
        }
        // It sees nothing but its arguments.
        "test_filter" => {
            let sql = r#"select matched from herald.test_filter('{"exact": {"type": "a"}}', '{"type": "a"}')"#;
            assert_eq!(own.session.text(sql), "true");
        }
        _ => assert!(
            !calls(function, "x", "y").is_empty(),
            "herald.{function} is granted to tenants: say here what it must not do"
        ),
    }
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
        "status" | "why" | "subscribe" | "test_filter" => return Vec::new(),
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
    db.subscribe("platform", &receiver, "");
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
