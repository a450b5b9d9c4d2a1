//! What is too long for an event: emit refuses it, but capture makes it fit, as it must not fail a statement.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{count, event, events, fault, orders, run, value};
    use herald_core::limits;
    use pgrx::prelude::*;

    const FAULTS: &str = "coalesce(extensions ->> 'captureerror', '')";

    #[pg_test]
    fn a_key_beyond_its_limit_is_hashed_and_a_subject_cut() {
        run("create table public.names (name text primary key)");
        run("select herald.watch('public.names')");
        run(
            "insert into public.names select repeat('x', n) from unnest(array[1024, 1025, 200000]) n",
        );
        assert_eq!(events("octet_length(subject)"), ["1024", "1024", "1024"]);
        assert_eq!(events("right(subject, 1)"), ["x", "…", "…"]);
        assert_eq!(events("octet_length(key)"), ["1024", "71", "71"]);
        assert_eq!(value("select count(distinct key) from herald.event"), "3");
        let both = "the subject has more than 1024 bytes and was cut; the key has more than 1024 bytes and was hashed";
        assert_eq!(events(FAULTS), ["", both, both]);
        assert_eq!(
            events("length(data -> 'record' ->> 'name')"),
            ["1024", "1025", "200000"]
        );
        assert_eq!(events("size = octet_length(data::text)"), ["true"; 3]);
    }

    #[pg_test]
    fn what_expressions_make_too_long_is_cut_and_hashed_too() {
        orders(", subject => 'repeat(E''\\t'', 500) || new.note', key => 'new.note'");
        run("insert into public.orders (id, note) values (1, ''), (2, repeat('x', 100000000))");
        assert_eq!(events("octet_length(subject)"), ["1023", "1023"]);
        assert_eq!(
            events("coalesce(octet_length(key)::text, 'null')"),
            ["null", "71"]
        );
        assert!(events(FAULTS)[0].starts_with("the subject has more than 1024 bytes and was cut"));
    }

    #[pg_test]
    fn a_setting_of_the_session_beyond_its_limit_is_cut() {
        orders("");
        for (setting, limit) in [
            ("actor", 1_024),
            ("traceparent", 255),
            ("tracestate", 1_024),
        ] {
            run("delete from herald.event");
            run(&format!(
                "set local herald.{setting} = '{}'",
                "x".repeat(limit)
            ));
            run(&format!(
                "insert into public.orders values ({limit}); delete from public.orders"
            ));
            run(&format!(
                "set local herald.{setting} = '{}'",
                "x".repeat(50_000_000)
            ));
            run("insert into public.orders values (1), (2); delete from public.orders");
            run("truncate public.orders");
            run(&format!("set local herald.{setting} = ''"));
            let lengths = events(&format!("octet_length(context ->> '{setting}')"));
            assert!(
                lengths.iter().all(|length| *length == limit.to_string()),
                "{lengths:?}"
            );
            let cut = format!("herald.{setting} was cut to {limit} bytes");
            assert_eq!(events(FAULTS)[..3], ["", "", &*cut]);
            assert_eq!(events(FAULTS).last(), Some(&cut));
        }
    }

    #[pg_test]
    fn a_source_beyond_its_limit_is_left_out() {
        orders("");
        run(&format!(
            "set local herald.source = '/{}'",
            "x".repeat(1_024)
        ));
        run("insert into public.orders values (1)");
        assert_eq!(event("source = '/' || current_database()"), "true");
        assert_eq!(
            event(FAULTS),
            "herald.source was left out: it must be a URI-reference of at most 1024 bytes"
        );
    }

    #[pg_test]
    fn a_tenant_or_a_type_beyond_its_limit_is_a_fault_of_its_expression() {
        for (option, limit) in [("tenant", 255), ("type_expression", 1_024)] {
            run("drop table if exists public.orders; delete from herald.event");
            orders(&format!(", {option} => 'new.note'"));
            run(&format!(
                "insert into public.orders (id, note) values (1, repeat('x', {limit}))"
            ));
            let longer = format!(
                "insert into public.orders (id, note) values (2, repeat('x', {limit} + 1))"
            );
            let refused = fault(&longer);
            assert_eq!(refused.sqlstate, "22023", "{refused:?}");
            run("select herald.watch('public.orders', on_error => 'capture')");
            run(&longer);
            let name = option.trim_end_matches("_expression");
            assert_eq!(events("coalesce(tenant, '')")[1], "");
            assert_eq!(events("type")[1], "public.orders.inserted");
            assert_eq!(
                events(FAULTS)[1],
                format!(
                    "invalid {name}: The {name} has {} bytes, the limit is {limit}.",
                    limit + 1
                )
            );
        }
    }

    #[pg_test]
    fn rows_that_are_larger_than_any_data_are_captured_without_it() {
        orders("");
        let insert = |id: i32, bytes: usize| {
            run(&format!(
                "insert into public.orders (id, note) values ({id}, repeat('x', {bytes}))"
            ));
        };
        insert(1, limits::ROWS);
        insert(2, limits::ROWS + 1);
        assert_eq!(events("key"), ["1", "2"]);
        assert_eq!(events("data is null"), ["false", "true"]);
        assert_eq!(
            events(FAULTS)[1],
            "the rows have more than 128 MB, so the event has no data"
        );
        run("select herald.watch('public.orders', exclude_columns => '{note}')");
        run("update public.orders set total = 1 where id = 2");
        assert_eq!(events("data #>> '{record,total}'")[2], "1");
    }

    #[pg_test]
    fn unpaired_rows_are_captured_in_batches() {
        run(
            "create table public.parts (id bigint, part int, primary key (id, part)) partition by list (part)",
        );
        run("create table public.one partition of public.parts for values in (1)");
        run("create table public.two partition of public.parts for values in (2)");
        run(
            "create function public.keep() returns trigger language plpgsql as 'begin return null; end'",
        );
        run(
            "create trigger keep before delete on public.one for each row when (old.id = 1) execute function public.keep()",
        );
        run("insert into public.parts select n, 1 from generate_series(1, 3) n");
        run("insert into public.parts select n, 2 from generate_series(11, 2000) n");
        run("select herald.watch('public.parts')");
        run("update public.parts set part = 2 where part = 1 or id > 100");
        assert_eq!(count("herald.event where type like '%updated'"), 1902);
    }

    #[pg_test]
    fn emit_refuses_what_is_longer_than_its_limit() {
        for (argument, limit) in [
            ("subject", 1_024),
            ("id", 1_024),
            ("key", 1_024),
            ("source", 1_024),
            ("tenant", 255),
        ] {
            let emit = |bytes: usize| {
                format!("select herald.emit('order.paid', {argument} => repeat('x', {bytes}))")
            };
            run(&emit(limit));
            for bytes in [limit + 1, 120_000_000] {
                let refused = fault(&emit(bytes));
                assert_eq!(refused.sqlstate, "22023");
                assert_eq!(refused.message, format!("invalid {argument}"));
                assert_eq!(
                    refused.detail,
                    format!("The {argument} has {bytes} bytes, the limit is {limit}.")
                );
                assert!(refused.hint.starts_with("Shorten the "));
            }
        }
        run("select herald.emit(repeat('x', 1024))");
        assert_eq!(
            fault("select herald.emit(repeat('x', 1025))").message,
            "invalid type"
        );
        let with_extension = |bytes: usize| {
            format!(
                "select herald.emit('a', extensions => jsonb_build_object('a', repeat('x', {bytes} - 9)))"
            )
        };
        run(&with_extension(8_192));
        assert_eq!(fault(&with_extension(8_193)).message, "invalid extensions");
        let long_id = "repeat(md5('1'), 32), source => repeat(md5('2'), 32)";
        run(&format!("select herald.emit('a', id => {long_id})"));
    }

    #[pg_test]
    fn emit_refuses_a_context_beyond_its_limit() {
        run(&format!("set local herald.actor = '{}'", "x".repeat(1_024)));
        run("select herald.emit('a')");
        run(&format!("set local herald.actor = '{}'", "x".repeat(1_025)));
        let refused = fault("select herald.emit('a')");
        assert_eq!(refused.message, "invalid herald.actor");
        assert_eq!(
            refused.detail,
            "The herald.actor has 1025 bytes, the limit is 1024."
        );
    }

    #[pg_test]
    fn a_type_of_pg_herald_s_own_is_refused() {
        run("create table public.orders (id bigint primary key, note text)");
        let refused =
            fault("select herald.watch('public.orders', type => 'herald.quota.exceeded')");
        assert_eq!(
            (&*refused.sqlstate, &*refused.message),
            (
                "42939",
                "the event type \"herald.quota.exceeded\" is reserved"
            )
        );
        run("select herald.watch('public.orders', type_expression => 'new.note')");
        let forged = "insert into public.orders values (1, 'herald.quota.exceeded')";
        assert_eq!(fault(forged).sqlstate, "42939");
        run("select herald.watch('public.orders', on_error => 'capture')");
        run(forged);
        assert_eq!(event("type"), "public.orders.inserted");
        assert!(event(FAULTS).contains("is reserved"));
        run(r#"create schema "herald.quota"; alter table public.orders set schema "herald.quota""#);
        run("delete from herald.event");
        run(r#"insert into "herald.quota".orders values (2)"#);
        assert_eq!(event("type"), "_herald.quota.orders.inserted");
    }
}
