//! What a DBA adds to the log's tables: rows are written accordingly.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, event, events, fault, orders, run, value};
    use crate::log::append::KNOWN;
    use crate::pg::catalog;
    use crate::pg::heap::{Heap, Value};
    use crate::pg::layout::{Known, Layout};
    use crate::pg::transaction::subtransaction;
    use crate::store::record::ATTEMPT;
    use pgrx::prelude::*;
    use std::cell::Cell;

    fn layout(table: &str, known: &'static Known) -> Layout {
        Layout::of(catalog::relation(table).unwrap(), known)
    }

    #[pg_test]
    fn the_executor_is_left_out_where_there_are_plain_indexes_only() {
        let is_plain = || layout("herald_internal.event_7", &KNOWN).is_plain();
        assert!(is_plain() && layout("herald_internal.attempt_7", &ATTEMPT).is_plain());
        for plain in [
            "create index on herald.event (type, time)",
            "create index on herald_internal.event_7 using hash (key)",
            "create unique index on herald_internal.event_7 (seq) include (type)",
            "create index on herald.event using brin (time)",
            "alter table herald_internal.event_8 add check (source <> 'x')",
            "alter table herald.event alter column uid set not null",
        ] {
            run(plain);
            assert!(is_plain(), "{plain}");
        }
    }

    #[pg_test]
    fn the_executor_is_asked_where_there_is_more() {
        run(
            "create function public.pass() returns trigger language plpgsql as 'begin return new; end'",
        );
        for more in [
            "create index on herald.event ((data ->> 'order'))",
            "create index on herald_internal.event_7 (lower(type))",
            "create index on herald_internal.event_7 (type) where tenant is null",
            "alter table herald_internal.event_7 add exclude (uid with =)",
            "alter table herald_internal.event_7 add unique (seq) deferrable",
            "create trigger t before insert on herald_internal.event_7 for each row execute function public.pass()",
            "create trigger t after insert on herald.event for each row execute function public.pass()",
            "create trigger t after insert on herald.event execute function public.pass()",
            "alter table herald.event add check (source <> 'x')",
            "alter table herald_internal.event_7 add check (source <> 'x') not valid",
            "alter table herald_internal.event_7 alter column key set not null",
            "alter table herald.event add column region text default 'eu'",
            "alter table herald.event add column region text",
            "alter table herald.event add column half bigint generated always as (seq / 2) stored",
            "alter table herald.event alter column subject type varchar(80)",
            "alter table herald.event enable row level security",
            "alter table herald_internal.event_7 enable row level security",
            "create rule r as on insert to herald.event do also notify logged",
            "alter table herald.event detach partition herald_internal.event_7",
        ] {
            let is_plain = Cell::new(true);
            let undone = subtransaction(|| {
                run(more);
                is_plain.set(layout("herald_internal.event_7", &KNOWN).is_plain());
                pgrx::error!("undo");
            });
            assert_eq!(
                undone.map_err(|error| error.message),
                Err::<(), _>("undo".to_owned()),
                "{more}"
            );
            assert!(!is_plain.get(), "{more}");
            assert!(
                layout("herald_internal.event_7", &KNOWN).is_plain(),
                "without {more}"
            );
        }
        run("create index on herald_internal.attempt (outcome) where outcome = 'dead'");
        assert!(!layout("herald_internal.attempt_7", &ATTEMPT).is_plain());
    }

    #[pg_test]
    fn an_index_on_data_finds_captured_and_emitted_events() {
        orders("");
        run("create index on herald.event ((data ->> 'order'))");
        run("create index on herald.event ((data -> 'record' ->> 'id'))");
        run("insert into public.orders select generate_series(1, 3)");
        run(r#"select herald.emit('order.paid', '{"order": 7}')"#);
        run("set local enable_seqscan = off");
        let found = |condition| value(&format!("select type from herald.event where {condition}"));
        assert_eq!(
            found("data -> 'record' ->> 'id' = '2'"),
            "public.orders.inserted"
        );
        assert_eq!(found("data ->> 'order' = '7'"), "order.paid");
    }

    #[pg_test]
    fn a_partial_index_has_only_what_its_predicate_allows() {
        run("create index on herald.event (seq) where type = 'order.paid'");
        run("drop index herald.event_seq_index");
        run("select herald.emit(t) from unnest(array['order.made', 'order.paid', 'order.sent']) t");
        run("set local enable_seqscan = off; set local enable_bitmapscan = off");
        let paid = "select type from herald.event where type = 'order.paid' and seq > 0";
        assert_eq!(all(paid), ["order.paid"]);
    }

    #[pg_test]
    fn triggers_on_the_log_fire_and_may_change_an_event() {
        orders("");
        run("insert into public.orders values (0)");
        run("create table public.seen (what text, who text)");
        run(
            "create function public.see() returns trigger language plpgsql as $$
             begin
                 insert into public.seen values (tg_level, current_user);
                 if tg_level = 'ROW' then new.subject := 'changed'; end if;
                 return new;
             end $$",
        );
        run(
            "create trigger each_row before insert on herald.event for each row execute function public.see()",
        );
        run(
            "create trigger each_statement after insert on herald.event execute function public.see()",
        );
        run("create role writer; grant insert on public.orders to writer; set local role writer");
        run("insert into public.orders values (1)");
        run("reset role");
        assert_eq!(events("subject"), ["0", "changed"]);
        let owner =
            value("select relowner::regrole from pg_class where oid = 'herald.event'::regclass");
        let expected = [format!("ROW {owner}"), format!("STATEMENT {owner}")];
        assert_eq!(
            all("select what || ' ' || who from public.seen order by 1"),
            expected
        );
    }

    #[pg_test]
    fn constraints_and_defaults_on_the_log_are_kept() {
        orders("");
        run("alter table herald.event add column region text default 'eu'");
        run("alter table herald.event add constraint few check (key <> '2')");
        run("insert into public.orders values (1)");
        assert_eq!(event("region"), "eu");
        let refused = fault("insert into public.orders values (2)");
        assert_eq!(refused.sqlstate, "23514");
        run("alter table herald.event drop constraint few, drop column region");
        run("insert into public.orders values (2)");
        assert_eq!(events("key"), ["1", "2"]);
    }

    #[pg_test]
    fn an_index_of_any_kind_on_attempts_is_kept() {
        run("create index on herald_internal.attempt (event_seq) where outcome = 'dead'");
        run("drop index herald_internal.attempt_of_delivery");
        let layout = layout("herald_internal.attempt_3", &ATTEMPT);
        let mut heap = Heap::open(&layout);
        for (seq, outcome) in [(1, "dead"), (2, "delivered")] {
            heap.insert([
                Value::Int8(seq),
                Value::Int8(1),
                Value::Time(pgrx::datum::datetime_support::now()),
                Value::Int4(1),
                Value::Float4(1.5),
                Value::Int2(0),
                Value::Int2(3),
                Value::Null,
                Value::Text(outcome),
                Value::Null,
                Value::Text("refused"),
                Value::Null,
            ]);
        }
        drop(heap);
        run("set local enable_seqscan = off; set local enable_bitmapscan = off");
        let dead = "select event_seq from herald_internal.attempt where outcome = 'dead' and event_seq > 0";
        assert_eq!(all(dead), ["1"]);
        assert_eq!(
            value("select string_agg(error, ' ') from herald_internal.attempt"),
            "refused refused"
        );
    }
}
