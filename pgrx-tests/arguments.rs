//! Arguments of functions: null means "not given", and errors name senseless values.

use super::support::{count, fault, role, rows, run, value};
use pgrx::prelude::*;

/// Creates a subscription, and an event for it that is a dead letter.
fn dead_letter() {
    run(
        "select set_config('herald.allow_networks', '127.0.0.0/8', true), set_config('herald.allow_http', 'on', true);
         select herald.subscribe('shop', url => 'https://127.0.0.1/');
         select herald.emit('order.paid', '{}', id => 'one');
         select herald.redeliver('shop', 'one');
         select herald.discard('shop')",
    );
}

#[pg_schema]
mod tests {
    use super::*;

    #[pg_test]
    fn a_stored_interval_is_read_as_postgresql_counts_it() {
        let rows = "select i::text || '=' || herald_internal.micros(i)
            from generate_series(-40, 40) n,
            lateral (values
                (make_interval(months => n * 7, days => n * 3, secs => n * 12345.678901)),
                (make_interval(months => -n, days => n * 100)), (make_interval(secs => n * 0.000001)),
                (make_interval(years => n * 4000000, hours => -n)), (make_interval(days => n * 50000000))) v (i)";
        let texts =
            Spi::get_one::<Vec<String>>(&format!("select array_agg(t) from ({rows}) r (t)"));
        for text in texts.unwrap().unwrap() {
            let (interval, micros) = text.split_once('=').unwrap();
            let read = herald_core::subscription::options::interval_micros(interval);
            assert_eq!(read, micros.parse().ok(), "{interval}");
        }
    }

    #[pg_test]
    fn a_null_for_an_argument_that_has_a_default_means_not_given() {
        dead_letter();
        let calls = r#"
            herald.redeliver_dead_letters('shop', since => null, until => null, reason => null) | 1
            herald.discard('shop', until => null, reason => null) | 1
            herald.replay('shop', '2000-01-01', null, null, null, null, null) | 1
            herald.backoff('1 s', multiplier => null, cap => null, retries => null) = herald.backoff('1 s') | true
            herald.generate_secret(null) like 'whsec_%' | true
            herald.rotate_secret('shop', null, null) like 'whsec_%' | true
            herald.emit('order.paid', priority => null, ordered => null) is not null | true
            (select priority from herald.event order by seq desc limit 1) | normal
            herald.verify('standard', 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD', '{}', '', null, null, null) | false
            (select secret is not null from herald.apply('{"subscriptions": [{"name": "new", "url": "https://127.0.0.1/"}]}', dry_run => null)) | true
        "#;
        for [call, expected] in rows(calls) {
            assert_eq!(value(&format!("select {call}")), expected, "{call}");
        }
        assert_eq!(
            count("herald.secret where expires_at > now() + interval '23 hours'"),
            1
        );
    }

    #[pg_test]
    fn preview_names_the_obstacle() {
        dead_letter();
        run("delete from herald.secret");
        let fault = fault("select herald.preview('shop', 'one')");
        assert_eq!(
            (fault.sqlstate.as_str(), fault.message.as_str()),
            (
                "55000",
                "cannot send to subscription \"shop\": it has no secret; run herald.rotate_secret()"
            )
        );
    }

    #[pg_test]
    fn an_odd_value_is_refused_by_name_and_with_what_is_allowed() {
        dead_letter();
        role("odd_tenant");
        run(
            "insert into herald.tenant (name, role) values ('acme', 'odd_tenant'); create table public.odd (id int primary key)",
        );
        let refused = r#"
            select herald.grant_access(null, 'reader') | 22004 | role is null
            select herald.grant_access(4294967295::regrole, 'reader') | 42704 | role 4294967295 does not exist
            select herald.grant_access('pg_monitor', null) | 22023 | there is no level ""
            select herald.revoke_access('odd_tenant') | 22023 | role odd_tenant is a tenant's
            insert into herald.plan (name, replay_window) values ('odd', '300000 years') | 22023 | replay_window of a plan is out of range
            insert into herald.plan (name, endpoints) values ('odd', -1) | 22023 | endpoints of a plan is out of range
            insert into herald.plan (name) values (null) | 22023 | name of a plan is out of range
            insert into herald.tenant (name) values ('a/b') | 22023 | invalid tenant name "a/b"
            insert into herald.tenant (name, plan) values ('b', 'entreprise') | 42704 | plan "entreprise" does not exist
            update herald.tenant set over_quota = null where name = 'acme' | 22023 | unknown over_quota ""
            select herald.watch('public.odd', include_columns => '{{id},{id}}') | 22023 | include_columns has more than one dimension
            select herald.watch('public.odd', operations => '{{insert},{update}}') | 22023 | operations has more than one dimension
            update herald.subscription set name = null | 22004 | name of a subscription is null
            select herald.subscribe('shop', preset => 'github', signing => '"stripe"') | 22023 | signing and preset exclude each other
            select herald.subscribe('shop', preset => 'githup') | 22023 | invalid signing
        "#;
        for [statement, sqlstate, message] in rows(refused) {
            let fault = fault(statement);
            assert_eq!(
                (fault.sqlstate.as_str(), fault.message.as_str()),
                (sqlstate, message),
                "{statement}"
            );
            assert!(!fault.hint.is_empty(), "{statement}");
        }
        run("select herald.subscribe('shop', preset => 'github')");
        assert_eq!(
            value("select signing from herald.subscription"),
            r#""github""#
        );
    }

    #[pg_test]
    fn digits_alone_are_an_id_and_no_name() {
        dead_letter();
        let id = value("select id from herald.subscription");
        assert_eq!(
            value(&format!("select name from herald.pause('{id}')")),
            "shop"
        );
        let named = format!("update herald.subscription set name = '{id}1'");
        assert_eq!(fault(&named).sqlstate, "22023");
        let subscribed = format!("select herald.subscribe('{id}1', url => 'https://127.0.0.1/')");
        assert_eq!(fault(&subscribed).sqlstate, "22023");
    }

    #[pg_test]
    fn a_span_that_makes_no_sense_is_refused_and_deletes_nothing() {
        dead_letter();
        let refused = r"
            purge_dead_letters('-30 days') | older_than
            purge_dead_letters('200000 years') | older_than
            rotate_secret('shop', grace => '-1 s') | grace
            wait(timeout => '-1 s') | timeout
            wait(timeout => '200000 years') | timeout
            stop_worker('200000 years') | timeout
            ping('shop', '-1 s') | timeout
            verify('standard', 'whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD', '{}', '', '-1 s') | tolerance
        ";
        for [call, argument] in rows(refused) {
            let fault = fault(&format!("select herald.{call}"));
            assert_eq!(
                (fault.sqlstate.as_str(), fault.message),
                ("22023", format!("{argument} is out of range")),
                "{call}"
            );
        }
        assert_eq!(count("herald.dead_letter"), 1);
        assert_eq!(value("select herald.purge_dead_letters('0')"), "1");
    }
}
