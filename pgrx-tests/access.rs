//! What privileges on herald must not give a role: locks, others' rows, and hidden values.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, count, fault, role, rows, run, run_as, value};
    use pgrx::prelude::*;

    const VIEWS: [&str; 6] = [
        "subscription",
        "attempt",
        "delivery",
        "dead_letter",
        "subscription_stats",
        "usage",
    ];

    #[pg_test]
    fn no_role_can_lock_what_is_not_its_own() {
        let levels = ["reader", "emitter", "operator", "admin"];
        for level in levels {
            role(&format!("lock_{level}"));
            run(&format!(
                "select herald.grant_access('lock_{level}', '{level}')"
            ));
        }
        role("lock_one");
        run("insert into herald.tenant (name, role) values ('one', 'lock_one')");
        let relations = all(
            "select oid::regclass::text from pg_class where relnamespace = any ('{herald,herald_internal}'::regnamespace[])
                             and relkind in ('r', 'p', 'v') and relname !~ '_[0-9]+$' order by 1",
        );
        assert!(relations.len() > 20, "{relations:?}");
        for role in [
            "lock_reader",
            "lock_emitter",
            "lock_operator",
            "lock_admin",
            "lock_one",
        ] {
            for relation in &relations {
                for mode in ["row share", "row exclusive", "share", "access exclusive"] {
                    let lock =
                        format!("set local role {role}; lock table {relation} in {mode} mode");
                    assert_eq!(fault(&lock).sqlstate, "42501", "{lock}");
                }
            }
        }
    }

    #[pg_test]
    fn no_function_is_compiled_just_in_time() {
        let compiled = "select string_agg(p.oid::regprocedure::text, ', ') from pg_proc p
                        join pg_language l on l.oid = p.prolang
                        where p.pronamespace = any ('{herald,herald_internal}'::regnamespace[])
                        and l.lanname = 'plpgsql' and ('jit=off' = any (p.proconfig)) is not true";
        assert_eq!(value(compiled), "null");
    }

    #[pg_test]
    fn no_view_reads_a_catalog() {
        let below = "select distinct v.relname || ' reads ' || c.relname
                     from pg_class v
                     join pg_rewrite r on r.ev_class = v.oid
                     join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
                     join pg_class c on c.oid = d.refobjid
                     where v.relnamespace = any ('{herald,herald_internal}'::regnamespace[]) and c.relnamespace <> all ('{herald,herald_internal}'::regnamespace[])";
        assert_eq!(all(below), Vec::<String>::new());
    }

    #[pg_test]
    fn an_admin_changes_plans_and_tenants_and_ends_them_by_functions() {
        for name in ["admin_of_tenants", "a_tenant"] {
            role(name);
        }
        run("select herald.grant_access('admin_of_tenants', 'admin')");
        run_as(
            "admin_of_tenants",
            "insert into herald.plan (name, endpoints) values ('pilot', 1);
             update herald.plan set endpoints = 2 where name = 'pilot';
             insert into herald.tenant (name, role, plan) values ('one', 'a_tenant', 'pilot');
             update herald.tenant set over_quota = 'blocked' where name = 'one'",
        );
        let as_admin = |sql: &str| fault(&format!("set local role admin_of_tenants; {sql}"));
        assert_eq!(
            as_admin("select herald.drop_plan('pilot')").sqlstate,
            "23503"
        );
        assert_eq!(
            as_admin("select herald.drop_tenant('onee')").hint,
            "Perhaps you meant \"one\"."
        );
        assert_eq!(as_admin("delete from herald.tenant").sqlstate, "42501");
        assert_eq!(
            as_admin("update herald.tenant set role_oid = 10").sqlstate,
            "42501"
        );
        run_as(
            "admin_of_tenants",
            "select herald.drop_tenant('one'); select herald.drop_plan('pilot')",
        );
        assert_eq!(count("herald.tenant"), 0);
    }

    /// Creates two tenants, each with a subscription, a delivered event and a dead one.
    fn two_tenants() {
        for name in ["own_one", "own_two"] {
            role(name);
            run(&format!(
                "insert into herald.tenant (name, role) values ('{name}', '{name}')"
            ));
            run(&format!(
                "select herald.subscribe('{name}/shop', url => 'https://example.com/')"
            ));
        }
        run(
            "select herald.emit('order.paid', id => t.name || n, tenant => t.name) from herald.tenant t, generate_series(1, 2) n",
        );
        run("insert into herald_internal.attempt (event_seq, subscription_id, at, attempt, duration_ms, event_slot, slot, outcome, error)
             select e.seq, s.id, now(), 1, 3, e.slot, e.slot, case right(e.id, 1) when '1' then 'delivered' else 'dead' end, e.tenant || ' fell'
             from herald.event e join herald_internal.subscription s on s.tenant = e.tenant");
        run("select herald_internal.bury(array_agg(s.id), array_agg(e.slot), array_agg(e.seq), array_agg('exhausted'::text), array_agg(1), array_agg(now()))
             from herald.event e join herald_internal.subscription s on s.tenant = e.tenant where e.id like '%2'");
        run(
            "analyze herald_internal.subscription, herald_internal.attempt, herald_internal.dead_letter, herald.tenant, herald_internal.usage",
        );
    }

    #[pg_test]
    fn what_a_tenant_can_count_is_its_own() {
        two_tenants();
        run("set local role own_one");
        for view in VIEWS {
            let own = all(&format!("select to_jsonb(v)::text from herald.{view} v"));
            assert!(!own.is_empty(), "{view}");
            assert!(
                own.iter().all(|row| !row.contains("own_two")),
                "{view}: {own:?}"
            );
            let plan = format!(
                "explain (analyze, timing off, summary off) select * from herald.{view} v where v::text > 'own_t'"
            );
            let lines: Vec<String> = Spi::connect_mut(|client| {
                let rows = client.update(plan.as_str(), None, &[]).unwrap();
                rows.map(|row| row.get::<String>(1).unwrap().unwrap())
                    .collect()
            });
            for line in &lines {
                let is_executed = line.contains("(actual");
                let is_own = line.contains("Function Scan on own_");
                let reads = line.contains("Scan");
                assert!(
                    !(is_executed && reads && !is_own),
                    "{view}: {line}\n{}",
                    lines.join("\n")
                );
            }
        }
        run("reset role");
    }

    #[pg_test]
    fn estimates_know_nothing_of_names_and_words() {
        two_tenants();
        let known = "select tablename || '.' || attname from pg_stats where schemaname in ('herald', 'herald_internal')
                     and (tablename ~ '^attempt' or tablename in ('subscription', 'dead_letter', 'tenant', 'usage'))
                     and (most_common_vals::text ~ 'own_|shop|fell' or histogram_bounds::text ~ 'own_|shop|fell')";
        assert_eq!(all(known), Vec::<String>::new());
        assert_ne!(
            value(
                "select count(*) from pg_stats where schemaname = 'herald_internal' and tablename = 'subscription'"
            ),
            "0"
        );
    }

    #[pg_test]
    fn stored_values_do_not_go_to_another_host() {
        role("values_admin");
        run("select herald.grant_access('values_admin', 'admin')");
        let subscribe = |more: &str| format!("select herald.subscribe('shop', {more})");
        run(&subscribe(
            "url => 'https://example.com/a', headers => '{\"X-Key\": \"k\"}', secrets => '{\"a\": \"12345678\"}', auth => '{\"type\": \"bearer\", \"token\": \"t\"}'",
        ));
        let oauth = |host: &str, secret: &str| {
            format!(
                "auth => '{{\"type\": \"oauth2\", \"token_url\": \"https://{host}/token\", \"client_id\": \"i\", \"client_secret\": \"{secret}\"}}'"
            )
        };
        let refusal = |sql: &str| fault(&format!("set local role values_admin; {sql}"));
        let moves = r#"
            update herald.subscription set url = 'https://example.org/a' | headers
            update herald.subscription set url = 'https://example.com:8443/a' | headers
            SUBSCRIBE headers => '{"X-Key": "***"}') | headers
            SUBSCRIBE headers => '{"X-Key": "new"}', auth => '{}') | secrets
            SUBSCRIBE headers => '{"X-Key": "new"}', secrets => '{}') | auth
            SUBSCRIBE headers => '{}') | auth
            SUBSCRIBE headers => '{}', auth => '{"type": "bearer", "token": "***"}') | auth
        "#;
        let moved = "select herald.subscribe('shop', url => 'https://example.org/',";
        for [sql, what] in rows(&moves.replace("SUBSCRIBE", moved)) {
            let refused = refusal(sql);
            assert_eq!(
                refused.message,
                format!("the stored values of {what} do not go to another host"),
                "{sql}"
            );
            assert_eq!(refused.sqlstate, "22023");
            assert!(refused.hint.contains(what));
        }
        run_as(
            "values_admin",
            "update herald.subscription set url = 'https://EXAMPLE.com:443/b'",
        );
        run_as(
            "values_admin",
            &subscribe(&format!(
                "url => 'https://example.org/', headers => '{{\"X-Key\": \"new\"}}', secrets => '{{}}', {}",
                oauth("a.example", "s")
            )),
        );
        assert!(
            refusal(&subscribe(&oauth("b.example", "***")))
                .message
                .contains("auth")
        );
        run_as("values_admin", &subscribe(&oauth("a.example", "***")));
        run_as("values_admin", &subscribe(&oauth("b.example", "again")));
        // Superusers may, as they read the values anyway.
        run("update herald.subscription set url = 'https://example.net/'");
        assert_eq!(
            all("select value from herald.secret where kind <> 'signing' order by 1"),
            ["again", "new"]
        );
    }

    #[pg_test]
    fn a_publication_that_takes_secrets_along_is_named() {
        let check = "select string_agg(concat_ws(' ', status, detail), '; ') from herald.doctor() d where d.\"check\" = 'publication'";
        run("create publication harmless for tables in schema public");
        assert_eq!(value(check), "null");
        run("create publication takes_all for all tables");
        assert_eq!(
            value(check),
            "warning publication \"takes_all\" publishes the tables of pg_herald"
        );
        run("select herald.subscribe('shop', url => 'https://example.com/')");
        assert_eq!(
            value(check),
            "error publication \"takes_all\" publishes the tables of pg_herald, and with them secrets in clear"
        );
        run("update herald.secret set key_id = 'k'");
        assert_eq!(
            value(check),
            "warning publication \"takes_all\" publishes the tables of pg_herald"
        );
        run("drop publication takes_all; alter publication harmless add table herald.event");
        assert_eq!(
            value(check),
            "warning publication \"harmless\" publishes the tables of pg_herald"
        );
    }

    #[pg_test]
    fn a_publication_of_all_tables_stops_nothing() {
        let unable = "select string_agg(c.relname, ' ') from pg_class c
                      where c.relnamespace = any ('{herald,herald_internal}'::regnamespace[]) and c.relkind = 'r' and c.relreplident = 'd'
                      and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)
                      and c.relname !~ '^(event|attempt|window)(_[0-9]+)?$'";
        assert_eq!(value(unable), "null");
    }

    #[pg_test]
    fn doctor_s_hint_ends_a_pause_and_a_sandbox() {
        run("select herald.subscribe('shop', url => 'https://example.com/')");
        let of_subscriptions = "from herald.doctor() where \"check\" = 'subscription'";
        for state in ["paused", "sandbox"] {
            run(&format!("update herald.subscription set state = '{state}'"));
            let hint = value(&format!("select hint {of_subscriptions}"));
            run(hint.strip_prefix("Run: ").unwrap());
            assert_eq!(value("select state from herald.subscription"), "active");
            assert_eq!(
                value(&format!(
                    "select count(*) {of_subscriptions} and status <> 'ok'"
                )),
                "0"
            );
        }
    }

    #[pg_test]
    fn a_check_that_fails_is_a_row_of_the_doctor() {
        run("create or replace function herald_internal.doctor_quota() returns table (\"check\" text, status text, detail text, hint text)
             language plpgsql as $$ begin raise 'no luck'; end $$");
        assert_eq!(
            value(
                "select concat_ws(' ', status, detail) from herald.doctor() d where d.\"check\" = 'quota'"
            ),
            "error this check failed: no luck"
        );
        assert_eq!(count("herald.doctor() d where d.\"check\" = 'log'"), 1);
    }

    #[pg_test]
    fn whose_a_subscription_is_does_not_change_with_the_row_of_its_tenant() {
        role("kept_role");
        run("select herald.subscribe('label', url => 'https://example.com/', tenant => 'other')");
        run("insert into herald.tenant (name, role) values ('kept', 'kept_role')");
        run("select herald.subscribe('kept/shop', url => 'https://example.com/')");
        let whose = "select string_agg(concat_ws(' ', name, is_tenants), ', ' order by name) from herald_internal.subscription";
        assert_eq!(value(whose), "kept/shop t, label f");
        run(
            "alter table herald.tenant disable trigger user; delete from herald.tenant; alter table herald.tenant enable trigger user",
        );
        assert_eq!(value(whose), "kept/shop t, label f");
        // Nor does a change of the subscription.
        run("update herald.subscription set description = 'changed'");
        assert_eq!(value(whose), "kept/shop t, label f");
        assert_eq!(
            value(
                "select concat_ws(' ', status, detail) from herald.doctor() d where d.\"check\" = 'tenant'"
            ),
            "error tenant \"kept\" is missing, so nothing is sent to its subscriptions"
        );
        // The networks that apply are those of tenants.
        run("set local herald.allow_networks = '127.0.0.0/8'");
        assert_eq!(
            fault(
                "update herald.subscription set url = 'https://127.0.0.1/' where name = 'kept/shop'"
            )
            .sqlstate,
            "22023"
        );
        run("update herald.subscription set url = 'https://127.0.0.1/' where name = 'label'");
        run("insert into herald.tenant (name, role) values ('kept', 'kept_role')");
        assert_eq!(count("herald.doctor() d where d.\"check\" = 'tenant'"), 0);
    }

    #[pg_test]
    fn the_role_of_a_tenant_is_the_role_and_not_its_name() {
        role("renamed_role");
        run("insert into herald.tenant (name, role) values ('one', 'renamed_role')");
        run("alter role renamed_role rename to renamed_later; create role renamed_role");
        assert_eq!(
            value("select herald_internal.tenants_of('renamed_role')"),
            "null"
        );
        assert_eq!(
            value("select herald_internal.tenants_of('renamed_later')"),
            "{one}"
        );
        run("select herald_internal.note_role_names()");
        assert_eq!(value("select role from herald.tenant"), "renamed_later");
        run("drop owned by renamed_later; drop role renamed_later");
        assert_eq!(
            value(
                "select concat_ws(' ', status, detail) from herald.doctor() d where d.\"check\" = 'tenant'"
            ),
            "error role \"renamed_later\" of tenant \"one\" is missing, so nothing is sent to its subscriptions"
        );
        assert_eq!(
            fault("insert into herald.tenant (name, role) values ('two', 'nobody_at_all')")
                .sqlstate,
            "42704"
        );
    }

    #[pg_test]
    fn a_missing_role_is_found_when_it_is_named_again() {
        run(
            "insert into herald.tenant (name, role, role_oid, role_cluster) values ('one', 'comes_later', null, 4711)",
        );
        let obstacle = "select herald_internal.tenant_obstacle('one')";
        assert_ne!(value(obstacle), "null");
        role("comes_later");
        assert_ne!(value(obstacle), "null");
        run("update herald.tenant set role = 'comes_later' where name = 'one'");
        assert_eq!(value(obstacle), "null");
        assert_eq!(
            value("select herald_internal.tenants_of('comes_later')"),
            "{one}"
        );
    }

    /// Inserts a tenant as from a dump, and returns the result.
    fn restored(role: &str, oid: &str, cluster: &str) -> String {
        run(&format!(
            "delete from herald.tenant; insert into herald.tenant (name, role, role_oid, role_cluster) values ('one', '{role}', {oid}, {cluster})"
        ));
        value(
            "select concat_ws(' ', role, role_oid is null, herald_internal.tenant_obstacle(name)) from herald.tenant",
        )
    }

    #[pg_test]
    fn a_restored_tenant_finds_its_role_by_oid_at_home_and_by_name_elsewhere() {
        role("restored_role");
        let oid = "'restored_role'::regrole::oid";
        assert_eq!(
            restored("former_name", oid, "herald_internal.cluster()"),
            "restored_role f"
        );
        let missing = "restored_role f role \"restored_role\" of tenant \"one\" is missing";
        assert_eq!(
            restored("restored_role", "4000000000", "herald_internal.cluster()"),
            missing
        );
        assert_eq!(
            restored("restored_role", "4000000000", "4711"),
            "restored_role f"
        );
        assert_eq!(
            restored("missing_role", oid, "4711"),
            "missing_role t role \"missing_role\" of tenant \"one\" is missing"
        );
        // A role that has the name by chance does not become the tenant's unless it may.
        assert_eq!(
            restored("postgres", oid, "4711"),
            "postgres t role \"postgres\" of tenant \"one\" is missing"
        );
    }
}
