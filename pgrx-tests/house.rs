//! Housekeeping: what it keeps, and that it obstructs nobody.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{count, run, value};
    use pgrx::prelude::*;

    /// Creates one event, pending for a subscription, in a slot that is no longer written.
    fn pending_event_of_an_older_slot(retention: &str) {
        run(&format!("set local herald.retention = '{retention}'"));
        run("update herald_internal.ring set period = '1 second'");
        run("select herald.subscribe('shop', url => 'https://example.com/', types => '{order.*}')");
        run("select herald.emit('order.paid')");
        run(
            "insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at)
             select s.id, e.slot, e.seq, now() from herald_internal.subscription s, herald.event e",
        );
        run("select pg_sleep(1.1)");
    }

    /// Other tests, which are rolled back, leave slots of attempts with only dead rows: each round empties one.
    fn keep_house_to_the_end() {
        let rounds = (0..64)
            .take_while(|_| value("select has_more from herald_internal.keep_house(0)") == "true");
        assert!(rounds.count() < 64);
    }

    #[pg_test]
    fn a_slot_within_its_retention_is_neither_copied_nor_locked() {
        pending_event_of_an_older_slot("30s");
        keep_house_to_the_end();
        assert_eq!(count("herald.held_event"), 0);
        let locks = "select count(*) from pg_locks l join pg_class c on c.oid = l.relation
                     where l.pid = pg_backend_pid() and l.mode = 'AccessExclusiveLock' and c.relname ~ '^event_\\d+$'";
        assert_eq!(value(locks), "0");
    }

    #[pg_test]
    fn what_a_subscription_matched_before_is_kept_while_a_window_may_ask_for_it() {
        let window = |number: i32, to: i32| {
            run(&format!(
                "insert into herald_internal.window
                     (number, origin, slot, state, from_snapshot, to_snapshot, floor_seq, upper_seq, next_seq, next_floor_seq)
                 values ({number}, herald_internal.origin(), 0, 'open', '1:1:', '{to}:{to}:', 0, 0, 0, 0)"
            ));
        };
        let left = || {
            run("select herald_internal.forget_former_matches(1000)");
            value(
                "select coalesce(string_agg(until_xid::text, ' ' order by id), '') from herald_internal.former_match",
            )
        };
        run("delete from herald_internal.window; delete from herald_internal.former_match");
        run(
            "insert into herald_internal.former_match (subscription_id, until_xid, types, options, state)
             values (1, '50', '{a}', '{}', 'active'), (1, '150', '{b}', '{}', 'active'), (1, '250', '{c}', '{}', 'active')",
        );
        assert_eq!(left(), "50 150 250");
        window(1, 100);
        window(2, 200);
        assert_eq!(left(), "150 250");
        run(
            "insert into herald_internal.window (number, origin, slot, state) values (1, herald_internal.origin(), 0, 'closed')",
        );
        assert_eq!(left(), "250");
        run(
            "insert into herald_internal.window (number, origin, slot, state) values (2, herald_internal.origin(), 0, 'closed')",
        );
        assert_eq!(left(), "250");
    }

    #[pg_test]
    fn a_slot_within_its_retention_costs_no_look_at_the_windows() {
        pending_event_of_an_older_slot("30s");
        run("create or replace function herald_internal.cursor(out snapshot pg_snapshot, out seq bigint) language plpgsql as $$
             begin raise 'the windows were looked at'; end $$");
        keep_house_to_the_end();
    }

    #[pg_test]
    fn what_is_not_over_is_not_even_looked_at() {
        run(
            "select set_config('herald.allow_networks', '127.0.0.0/8', true);
             select herald.subscribe('shop', url => 'https://127.0.0.1/');
             select herald.emit('order.paid', id => n::text) from generate_series(1, 300) n;
             select herald.redeliver('shop', n::text) from generate_series(1, 300) n;
             select herald.discard('shop');
             insert into herald.audit (role, session_role, application, action, kind, name)
             select 'r', 'r', '', 'changed', 'plan', n::text from generate_series(1, 300) n",
        );
        run("set local enable_seqscan = off; set local plan_cache_mode = force_generic_plan");
        let looked_at = |index: &str| {
            let read = format!("select pg_stat_get_xact_tuples_returned('{index}'::regclass)");
            value(&read).parse::<i64>().unwrap()
        };
        let indexes = [
            "herald_internal.dead_letter_expiry",
            "herald_internal.emitted_at",
            "herald.audit_at",
        ];
        let before = indexes.map(looked_at);
        keep_house_to_the_end();
        for (index, before) in indexes.into_iter().zip(before) {
            assert_eq!(looked_at(index) - before, 0, "entries of {index}");
        }
        for table in ["dead_letter", "emitted"] {
            assert_eq!(
                value(&format!("select count(*) from herald_internal.{table}")),
                "300"
            );
        }
    }

    #[pg_test]
    fn each_window_is_looked_at_once_although_nobody_analysed_them() {
        run("insert into herald_internal.window (number, origin, slot, state, from_snapshot, to_snapshot, floor_seq, upper_seq,
                                        next_seq, next_floor_seq)
             select n, herald_internal.origin(), 0, 'open', '3:3:', '5:5:', 0, 0, 0, 0 from generate_series(1, 1000) n");
        run(
            "insert into herald_internal.window (number, origin, slot, state)
             select n, herald_internal.origin(), 0, 'closed' from generate_series(1, 1000) n",
        );
        run("select herald_internal.cursor()");
        run("select herald_internal.empty_window_slot(0::smallint)");
        let looked_at =
            value("select pg_stat_get_xact_tuples_returned('herald_internal.window_0'::regclass)");
        assert!(
            looked_at.parse::<i64>().unwrap() < 20_000,
            "{looked_at} rows of 2000"
        );
    }

    #[pg_test]
    fn what_is_held_is_released_when_nothing_refers_to_it() {
        pending_event_of_an_older_slot("30s");
        let slot = value("select slot from herald.event");
        assert_eq!(
            value(&format!(
                "select herald_internal.hold_events({slot}::smallint, 10)"
            )),
            "1"
        );
        assert_eq!(
            value(
                "select released_to || ' ' || (select count(*) from herald.held_event) from herald_internal.keep_house(0)"
            ),
            "0 1"
        );
        run("delete from herald.pending");
        run("select herald_internal.keep_house(0)");
        assert_eq!(count("herald.held_event"), 0);
    }

    #[pg_test]
    fn held_events_are_looked_at_a_few_at_a_time() {
        pending_event_of_an_older_slot("30s");
        run("insert into herald.held_event select (jsonb_populate_record(e, jsonb_build_object('seq', n))).*
             from herald.event e, generate_series(1001, 1010) n");
        let look = |after: i64| {
            value(&format!(
                "select last_seq || ' ' || deleted from herald_internal.release_events({after}, 4)"
            ))
        };
        assert_eq!(look(0), "1004 4");
        assert_eq!(look(1004), "1008 4");
        assert_eq!(look(1008), "0 2");
    }

    #[pg_test]
    fn a_round_goes_on_where_its_time_ended() {
        keep_house_to_the_end();
        run("select herald.subscribe('shop', url => 'https://example.com/')");
        run("update herald.secret set expires_at = now() - interval '1 day'");
        let part = |first: i32| {
            value(&format!(
                "select next_part || ' ' || (select count(*) from herald.secret)
                 from herald_internal.keep_house(0, {first}, interval '0')"
            ))
        };
        let parts: Vec<String> = (0..4).map(part).collect();
        // Each call sees what the previous one deleted.
        assert_eq!(parts, ["1 1", "2 1", "3 1", "4 1"]);
        assert_eq!(part(36), "0 0");
    }
}
