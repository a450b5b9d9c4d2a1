//! The role of `admin.rs` as the owner of watched tables: its code runs in triggers, domains and expressions, and it
//! changes its tables in every way.

use super::attack::Attack;
use super::evidence::LEFT_OUT;
use super::statement::{fails, succeeds};
use super::values::one_of;

/// The body of a function of carol's, which records calls with another role's rights.
const TRAPPING: &str = "
    begin
        if current_user <> 'carol' then insert into public.trap values ('ran as ' || current_user || ': ' || current_query()); end if;
    exception when others then null;
    end;";

pub(super) const ATTACKS: &[Attack] = &[
    Attack {
        name: "forges operational events",
        statements: |_, dice| {
            let watch = [
                fails("select herald.watch('carol.people', 'forged', type => 'herald.quota.exceeded')"),
                fails("select herald.watch('carol.people', 'forged', type => 'herald.forged')"),
                "select herald.watch('carol.people', 'forged', type_expression => '''herald.forged''', on_error => 'capture')".to_owned(),
                "select herald.watch('carol.people', 'forged', type_expression => '''herald.forged''', on_error => 'abort')".to_owned(),
            ];
            people(&[
                watch[dice.below(4) as usize].clone(),
                "insert into carol.people (words) values ('forged')".to_owned(),
                fails("select herald.emit('herald.forged')"),
            ])
        },
    },
    Attack {
        name: "sends columns that are left out",
        statements: |_, dice| {
            let lists = one_of(
                &["exclude_columns => '{ssn}'", "include_columns => '{id}'"],
                dice,
            );
            let watch =
                |options: &str| format!("select herald.watch('carol.patients', 'left', {options})");
            let insert = format!(
                "insert into carol.patients (words, ssn) values ('left out', '{LEFT_OUT}')"
            );
            patients(&[
                fails(&watch(&format!("{lists}, data => 'to_jsonb(new)'"))),
                insert.clone(),
                watch(lists),
                insert.clone(),
                fails(&watch("data => 'to_jsonb(new)'")),
                insert,
            ])
        },
    },
    Attack {
        name: "loses the condition of a watch and makes another",
        statements: |_, _| {
            let function = "do $$ declare id bigint; begin
                for id in select w.id from herald.watch w loop
                    begin
                        execute format('create function herald_watch._%s_condition(\"new\" carol.people, \"old\" carol.people, operation text)
                                        returns boolean language plpgsql as %L', id, 'begin return true; end');
                        raise exception using errcode = 'P0001', message = 'open';
                    exception when insufficient_privilege then null;
                    end;
                end loop;
            end $$";
            people(&[
                "select herald.watch('carol.people', 'lost', condition => 'new.words > ''a''')"
                    .to_owned(),
                succeeds("alter table carol.people drop column words cascade"),
                succeeds(function),
                "insert into carol.people (ssn) values ('1')".to_owned(),
                succeeds("alter table carol.people add column words text"),
            ])
        },
    },
    Attack {
        name: "watches with code that runs while it is compiled",
        statements: |_, _| {
            let check = "create or replace function carol.check(text) returns boolean language plpgsql as $check$
                begin
                    if current_user <> 'carol' or has_schema_privilege('herald_watch', 'create')
                        or has_schema_privilege('herald', 'create')
                    then insert into public.trap values ('compiled with the rights of ' || current_user);
                    end if;
                    begin execute 'alter role carol superuser'; exception when others then null; end;
                    begin execute 'grant postgres to carol'; exception when others then null; end;
                    return true;
                end $check$";
            people(&[
                check.to_owned(),
                "create domain carol.checked as text check (carol.check(value))".to_owned(),
                "select herald.watch('carol.people', 'checked', subject => '(''{a}''::carol.checked[])[1]', data => 'carol.check(new.words)')"
                    .to_owned(),
                "insert into carol.people (words) values ('checked')".to_owned(),
                "select herald.unwatch('carol.people', 'checked')".to_owned(),
            ])
        },
    },
    Attack {
        name: "puts functions in the way of own ones",
        statements: |_, _| {
            let function = |signature: &str, result: &str| {
                format!(
                    "create or replace function carol_way.{signature} returns {result} language plpgsql as $f$ begin {TRAPPING} return null; end $f$"
                )
            };
            vec![
                "create schema if not exists carol_way".to_owned(),
                function("format(text, text)", "text"),
                function("_perhaps(text, text)", "text"),
                function("_perhaps(text, text[])", "text"),
                function("jsonb_build_object(text, text)", "jsonb"),
                function("now()", "timestamptz"),
                function("equals(text, text)", "boolean"),
                "create operator carol_way.= (leftarg = text, rightarg = text, function = carol_way.equals)".to_owned(),
                "set search_path = carol_way, pg_catalog, herald".to_owned(),
                "select herald.subscribe('passing.admin', url => 'https://example.com/')".to_owned(),
                "select herald.pause('passing.amdin')".to_owned(),
                "select * from herald.status()".to_owned(),
                "select * from herald.doctor()".to_owned(),
                "select herald.watch('carol.people')".to_owned(),
                "select herald.unsubscribe('passing.admin')".to_owned(),
                fails("create function herald_internal.perhaps(text, text) returns text language sql return 'mine'"),
                fails("create table herald_watch.mine ()"),
                fails("create schema herald_watch"),
                fails("alter function herald_internal.perhaps(text, text[]) owner to carol"),
            ]
        },
    },
    Attack {
        name: "renames triggers of a watch and changes the table",
        statements: |_, _| {
            people(&[
                "select herald.watch('carol.people', 'renamed')".to_owned(),
                "do $$ declare name name; begin
                     for name in select tgname from pg_trigger where tgrelid = 'carol.people'::regclass and not tgisinternal loop
                         execute format('alter trigger %I on carol.people rename to pg_herald_x_insert', name); exit;
                     end loop;
                 end $$".to_owned(),
                succeeds("alter table carol.people add column more text"),
                succeeds("alter table carol.people drop column more"),
                succeeds("create index on carol.people (id)"),
            ])
        },
    },
];

/// Returns statements about a new table of carol's.
fn people(statements: &[String]) -> Vec<String> {
    let mut all = vec![
        "drop table if exists carol.people cascade".to_owned(),
        "create table carol.people (id bigserial primary key, words text, ssn text)".to_owned(),
    ];
    all.extend_from_slice(statements);
    all
}

/// Returns the same for a table that no other watch is on, not even a leftover: its contents must never be sent.
fn patients(statements: &[String]) -> Vec<String> {
    people(statements)
        .into_iter()
        .map(|statement| statement.replace("carol.people", "carol.patients"))
        .collect()
}
