//! Every type of PostgreSQL and of contrib becomes valid JSON.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, count, event, events, forget_events, run, value};
    use pgrx::prelude::*;

    /// Returns the record of a row with one column `v` of this type and value.
    fn record(type_name: &str, value: &str) -> String {
        run(&format!("create table public.typed (v {type_name})"));
        run("select herald.watch('public.typed')");
        run(&format!("insert into public.typed values ({value})"));
        let record = event("data ->> 'record'");
        forget_events();
        run("drop table public.typed");
        let value = record
            .strip_prefix("{\"v\":")
            .and_then(|rest| rest.strip_suffix('}'));
        value
            .unwrap_or_else(|| panic!("no record of v: {record}"))
            .to_owned()
    }

    #[pg_test]
    fn every_type_gives_valid_json_for_null_and_for_a_value() {
        // Extensions that are missing, or need another library, are left out.
        run(r"do $$
            declare extension text;
            begin
                for extension in select name from pg_available_extensions where installed_version is null loop
                    begin
                        execute format('create extension %I cascade', extension);
                    exception when others then null;
                    end;
                end loop;
            end $$");
        run("create type public.mood as enum ('sad', 'ok');
             create type public.pair as (a int, b public.mood);
             create domain public.even as int check (value % 2 = 0);
             create domain public.jay as json;
             create type public.moods as range (subtype = public.mood)");
        run(r#"
            create function pg_temp.sample(type_name text) returns text language plpgsql as $$
            declare candidate text; found text;
            begin
                foreach candidate in array array['1', '2', 'a', '{}', '()', '(1,"")', '(,)', '(,,)', 'empty', '{"a":1}', '[1]', '101',
                    '(1,2)', '((0,0),(1,1))', '[(0,0),(1,1)]', '<(0,0),1>', '{1,2,3}', '2026-01-02', '2026-01-02 03:04:05', '1 day',
                    '0/0', '127.0.0.1', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', '(0,1)', '1:1:', '<a/>', 'sad', 'a.b', 'a=>1',
                    '00000000-0000-0000-0000-000000000001', 'postgres', 'pg_class', 'pg_catalog', 'english', 'simple', '1-0000-0000-0', 'M123456785', '9771144875007',
                    '0306406152', '036000291452', '+(int4,int4)', 'now()', 'now', '=', '12345678'] loop
                    begin
                        execute format('select (%L::%s)::text', candidate, type_name) into found;
                        return candidate;
                    exception when others then null;
                    end;
                end loop;
                return null;
            end $$"#);
        run(r"
            create function pg_temp.make(first int) returns int language plpgsql as $$
            declare type record; made int := 0; names text := ''; vals text := '';
            begin
                drop table if exists public.wide cascade;
                create table public.wide (id int primary key);
                for type in
                    select t.oid, t.oid::regtype::text as name
                    from pg_type t
                    where t.typtype <> 'p' and t.typname !~ '^_?(wide|event|_?attempt|window)' order by t.oid offset first limit 300
                loop
                    begin
                        execute format('alter table public.wide add column %I %s', 'c' || type.oid, type.name);
                        made := made + 1;
                        names := names || format(', %I', 'c' || type.oid);
                        vals := vals || format(', %L', pg_temp.sample(type.name));
                    exception when others then null;
                    end;
                end loop;
                perform herald.watch('public.wide');
                insert into public.wide values (1);
                execute format('insert into public.wide (id%s) values (2%s)', names, vals);
                update public.wide set id = -id;
                return made;
            end $$");
        let mut made = 0;
        for first in (0..).step_by(300) {
            forget_events();
            let columns: usize = value(&format!("select pg_temp.make({first})"))
                .parse()
                .unwrap();
            if columns == 0 {
                break;
            }
            made += columns;
            // The cast parses the text again; the column itself would take anything from us.
            let members =
                events("(select count(*) from json_object_keys(data::text::json -> 'record'))");
            assert_eq!(members, vec![(columns + 1).to_string(); 4]);
            assert_eq!(count("herald.event where data::text ~ E'[\\n\\t]'"), 0);
        }
        assert!(made > 500, "only {made} types");
    }

    #[pg_test]
    fn a_row_is_written_as_row_to_json_writes_it_whatever_the_session_has_set() {
        run("create domain public.positive as int check (value > 0);
             create domain public.name_of as public.positive");
        let values = r#"
            boolean: true | false | null
            smallint: -32768 | 0 | 32767
            int: -2147483648 | -1 | 2147483647
            bigint: -9223372036854775808 | 9223372036854775807
            real: 0.1 | -1e30 | 1e-30 | 'nan' | '-infinity' | 16777217
            double precision: 0.1 | 1e300 | -0.0 | 'nan' | 'infinity' | 1e15 | 1e16 | 123456789.123
            numeric: 0.10 | -1e20 | 'nan' | '-infinity' | -.5 | 1e-10
            numeric(12,4): -74.006 | null | 0
            text: e'a"b\\c\b\f\n\r\t\x01\x1f\x7fü€😀' | '' | repeat('long ', 5000) | null
            varchar(5): 'a/b' | 'ü'
            char(5): 'ab' | ''
            uuid: '018bcfe5-687b-7800-bfff-ffffffffffff'
            date: '2026-01-02' | '0044-03-15 BC' | 'infinity' | '10000-01-01'
            timestamp: '2026-01-02 03:04:05.006' | '-infinity' | '0044-03-15 01:02:03 BC'
            timestamptz: '2026-07-02 03:04:05.123456+05:30' | 'infinity' | '1900-01-01 00:00:00+00' | '0044-03-15 01:02:03+00 BC'
            json: '{"a":"b  c"}' | '[1.0,null]' | null
            jsonb: '1.00' | '"x y"'
            public.name_of: 7
            interval: '1 day 2 hours'
            bytea: '\x00ff'
            int[]: '{1,2}'
        "#;
        run("set local timezone = 'America/St_Johns'; set local datestyle = 'German';
             set local intervalstyle = 'iso_8601'; set local bytea_output = 'escape'; set local extra_float_digits = -5");
        for line in values.trim().lines() {
            let (type_name, values) = line.trim().split_once(": ").unwrap();
            run(&format!(
                "create table public.typed (id {type_name}, \"a \"\"column\" {type_name})"
            ));
            run("select herald.watch('public.typed')");
            for value in values.split(" | ") {
                run(&format!(
                    "insert into public.typed values ({value}, {value})"
                ));
            }
            let captured =
                events(r#"substring(data::text from '"record":(.*),"old_record":null}$')"#);
            run("set local timezone = 'UTC'; set local datestyle = 'ISO'; set local intervalstyle = 'postgres';
                 set local bytea_output = 'hex'; set local extra_float_digits = 1");
            let written = all("select row_to_json(t)::text from public.typed t");
            assert_eq!(captured, written, "{type_name}");
            run("set local timezone = 'America/St_Johns'; set local datestyle = 'German';
                 set local intervalstyle = 'iso_8601'; set local bytea_output = 'escape'; set local extra_float_digits = -5");
            forget_events();
            run("drop table public.typed");
        }
    }

    #[pg_test]
    fn numbers_that_json_does_not_have_are_strings() {
        assert_eq!(record("float8", "'NaN'"), r#""NaN""#);
        assert_eq!(record("float8", "'-Infinity'"), r#""-Infinity""#);
        assert_eq!(record("numeric", "'NaN'"), r#""NaN""#);
        assert_eq!(record("numeric", "1e100 + 0.1").len(), 103);
        assert_eq!(record("float4", "'1e-20'"), "1e-20");
        assert_eq!(record("money", "12.34").replace('$', ""), r#""12.34""#);
    }

    #[pg_test]
    fn times_out_of_the_ordinary_keep_their_form() {
        assert_eq!(record("timestamptz", "'infinity'"), r#""infinity""#);
        assert_eq!(record("date", "'-infinity'"), r#""-infinity""#);
        assert_eq!(
            record("timestamp", "'0044-03-15 12:00:00 BC'"),
            r#""0044-03-15T12:00:00 BC""#
        );
        assert_eq!(
            record("timestamptz", "'294276-12-31 23:59:59+00'"),
            r#""294276-12-31T23:59:59+00:00""#
        );
        assert_eq!(
            record("interval", "'-1 year 2 days'"),
            r#""-1 years +2 days""#
        );
    }

    #[pg_test]
    fn json_values_are_embedded_without_blanks_between_their_tokens() {
        assert_eq!(
            record("json", r#"'{ "a" : [1,  2], "b": "x  y" }'"#),
            r#"{"a":[1,2],"b":"x  y"}"#
        );
        assert_eq!(
            record("jsonb", r#"'{"a": {"b": null}}'"#),
            r#"{"a":{"b":null}}"#
        );
        assert_eq!(
            record("json[]", r#"array['{ "a" : 1 }'::json]"#),
            r#"[{"a":1}]"#
        );
    }

    #[pg_test]
    fn an_escape_that_is_no_text_is_kept_in_json() {
        run("create table public.typed (v json)");
        run("select herald.watch('public.typed')");
        run(r#"insert into public.typed values ('"a\u0000b"')"#);
        assert!(event("data").contains(r#""v":"a\u0000b""#));
    }

    #[pg_test]
    fn composites_arrays_ranges_and_domains_are_nested() {
        run("create type public.point3 as (x int, tags text[])");
        run("create domain public.short as text check (length(value) < 5)");
        assert_eq!(
            record("public.point3", "row(1, '{a,\"b c\"}')"),
            r#"{"x":1,"tags":["a","b c"]}"#
        );
        assert_eq!(
            record("public.point3[]", "array[row(1, null)]::public.point3[]"),
            r#"[{"x":1,"tags":null}]"#
        );
        assert_eq!(record("int[]", "'{{1},{2}}'"), "[[1],[2]]");
        assert_eq!(record("public.short", "'abc'"), r#""abc""#);
        assert_eq!(record("int4range", "'[1,5)'"), r#""[1,5)""#);
        assert_eq!(record("bytea", r"'\x00ff'"), r#""\\x00ff""#);
        assert_eq!(record("bit(3)", "'101'"), r#""101""#);
    }

    #[pg_test]
    fn text_is_escaped_and_bytes_that_are_no_utf8_are_replaced() {
        assert_eq!(
            record("text", r#"E'a"\\\n\t\x01é日'"#),
            r#""a\"\\\n\t\u0001é日""#
        );
        let byte = record(r#""char""#, r#"(-56)::int::"char""#);
        assert!(byte == "\"\u{fffd}\"" || byte == r#""\\310""#, "{byte}");
    }
}
