//! Giving deliveries up: any events, in any number.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, count, fault, run, value};
    use pgrx::prelude::*;

    const SUBSCRIPTION: &str = "(select id from herald_internal.subscription)";

    fn subscription() {
        run("select herald.subscribe('shop', url => 'https://example.com/')");
    }

    /// Creates pending deliveries of these numbers, in slot 3, without events unless these were logged.
    fn pending(seqs: &str) {
        run(&format!(
            "insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at)
             select {SUBSCRIPTION}, 3, n, now() from {seqs} n"
        ));
    }

    fn log(seq: i64, size: i64, data: &str) {
        run(&format!(
            "insert into herald.event (seq, xid, origin, time, uid, size, slot, source, type, subject, data)
             values ({seq}, '3', herald_internal.origin(), now(), gen_random_uuid(), {size}, 3, '/shop', 'order.paid', 'it', {data})"
        ));
    }

    fn letters(expression: &str) -> Vec<String> {
        all(&format!(
            "select {expression} from herald_internal.dead_letter order by event_seq"
        ))
    }

    #[pg_test]
    fn attempts_are_looked_for_in_the_slots_that_may_have_them() {
        run("update herald_internal.ring set period = '1 day', changed_at = null");
        let slots = |since: &str| {
            value(&format!(
                "select array_to_string(herald_internal.attempt_slots({since}), ',')"
            ))
        };
        let of_days = |days: &str| {
            value(&format!(
                "select string_agg((floor(extract(epoch from clock_timestamp()) / 86400)::bigint - n)::bigint % 32 || '', ',')
                 from unnest('{{{days}}}'::int[]) n"
            ))
        };
        assert_eq!(slots("clock_timestamp()"), of_days("1,0,-1"));
        assert_eq!(
            slots("clock_timestamp() - interval '2 days'"),
            of_days("3,2,1,0,-1")
        );
        let all = (0..32)
            .map(|slot| slot.to_string())
            .collect::<Vec<_>>()
            .join(",");
        for since in [
            "clock_timestamp() - interval '29 days'",
            "clock_timestamp() + interval '1 day'",
            "'-infinity'",
            "'infinity'",
            "'1960-01-01'",
            "'200000-01-01'",
        ] {
            assert_eq!(slots(since), all, "{since}");
        }
        run("update herald_internal.ring set changed_at = clock_timestamp() - interval '3 days'");
        assert_eq!(
            slots("clock_timestamp() - interval '1 day'"),
            of_days("2,1,0,-1")
        );
        assert_eq!(slots("clock_timestamp() - interval '60 hours'"), all);
        run("delete from herald_internal.ring");
        assert_eq!(slots("clock_timestamp()"), all);
    }

    #[pg_test]
    fn a_slot_that_does_not_exist_keeps_no_delivery_from_being_buried() {
        subscription();
        run(&format!(
            "insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at)
             values ({SUBSCRIPTION}, 99, 7, now())"
        ));
        run(&format!(
            "select herald_internal.bury_pending({SUBSCRIPTION}, 'discarded')"
        ));
        assert_eq!(letters("event_slot || event_id"), ["99?"]);
    }

    #[pg_test]
    fn large_events_and_their_dead_letters_are_compressed_with_lz4() {
        subscription();
        pending("generate_series(7, 7)");
        let text = "(select string_agg(md5(i::text), '') from generate_series(1, 1000) i)";
        run(&format!(
            "create table public.document (body text); select herald.watch('document');
             insert into public.document values ({text} || {text} || {text})"
        ));
        assert_eq!(
            value("select pg_column_compression(data) from herald.event"),
            "lz4"
        );
        log(
            7,
            100_000,
            "json_build_object('body', repeat('word ', 20000))",
        );
        run(&format!(
            "select herald_internal.bury_pending({SUBSCRIPTION}, 'discarded')"
        ));
        assert_eq!(letters("pg_column_compression(event)"), ["lz4"]);
    }

    #[pg_test]
    fn a_backlog_of_several_slices_is_buried_whole_up_to_a_time() {
        subscription();
        pending("generate_series(1, 20001)");
        run(
            "update herald.pending set created_at = now() + interval '1 hour' where event_seq in (7, 20001)",
        );
        let bury = format!(
            "select herald_internal.bury_pending({SUBSCRIPTION}, 'discarded', now() + interval '1 minute', 'words')"
        );
        assert_eq!(value(&bury), "19999");
        assert_eq!(
            all("select event_seq from herald.pending order by 1"),
            ["7", "20001"]
        );
        assert_eq!(
            count(
                "herald_internal.dead_letter where reason = 'discarded' and note = 'words' and event_id = '?'"
            ),
            19999
        );
    }

    #[pg_test]
    fn a_backlog_is_walked_in_steps_and_its_excess_buried_in_slices() {
        subscription();
        run("update herald.subscription set max_backlog = 5002");
        pending("generate_series(1, 5005)");
        let step = |passed, after| {
            value(&format!(
                "select concat_ws(' ', passed, last_seq, buried, is_over)
                 from herald_internal.shed_backlog({SUBSCRIPTION}, {passed}, {after}, 2)"
            ))
        };
        assert_eq!(step(0, -1), "5000 5000 0 f");
        assert_eq!(step(5000, 5000), "5002 5002 0 f");
        assert_eq!(step(5002, 5002), "5002 5004 2 f");
        assert_eq!(step(5002, 5004), "5002 5005 1 t");
        assert_eq!(letters("event_seq"), ["5003", "5004", "5005"]);
        assert_eq!(step(0, -1), "5000 5000 0 f");
        run("delete from herald.pending where event_seq > 4999");
        assert_eq!(step(0, -1), "4999 4999 0 t");
    }

    #[pg_test]
    fn a_slice_is_as_large_as_it_may_be() {
        subscription();
        pending("generate_series(1, 3)");
        let slice = |after: i32| {
            format!(
                "select concat_ws(' ', buried, last_seq) from herald_internal.bury_slice({SUBSCRIPTION}, 'gone', {after}, 2)"
            )
        };
        assert_eq!(
            [value(&slice(-1)), value(&slice(2)), value(&slice(3))],
            ["2 2", "1 3", "0 3"]
        );
        assert_eq!(letters("reason"), ["gone", "gone", "gone"]);
    }

    #[pg_test]
    fn a_slice_goes_on_after_the_one_before() {
        subscription();
        pending("generate_series(1, 4)");
        let slice = format!(
            "select concat_ws(' ', buried, last_seq) from herald_internal.bury_slice({SUBSCRIPTION}, 'gone', 2, 10)"
        );
        assert_eq!(value(&slice), "2 4");
        assert_eq!(letters("event_seq"), ["3", "4"]);
    }

    #[pg_test]
    fn a_letter_has_its_event_and_the_attempts_of_its_delivery() {
        subscription();
        log(1, 9, "'{\"half\": \"\\ud800\", \"n\": null}'");
        run(&format!(
            "insert into herald_internal.attempt (event_seq, subscription_id, at, attempt, duration_ms, event_slot, slot, outcome, response)
             select 1, {SUBSCRIPTION}, now() + n * interval '1 s', n, 3, 3, slot, 'retrying', repeat('x', 2000)
             from generate_series(1, 2) n, unnest((herald_internal.attempt_slots(now()))[1:1]) slot"
        ));
        pending("generate_series(1, 2)");
        run("update herald.pending set attempts = 2 where event_seq = 1");
        run(&format!(
            "select herald_internal.bury_pending({SUBSCRIPTION}, 'gone')"
        ));
        let event = letters("event::text").remove(0);
        assert!(event.contains(r#""subject":"it","time":""#), "{event}");
        assert!(
            event.ends_with(r#","data":{"half": "\ud800", "n": null}}"#),
            "{event}"
        );
        assert_eq!(letters("jsonb_array_length(attempt_log)"), ["2", "0"]);
        assert_eq!(
            letters("length(attempt_log -> 1 ->> 'response')")[0],
            "1000"
        );
        assert_eq!(letters("last_attempt_at is null"), ["false", "true"]);
        assert_eq!(letters("event::text")[1], "{}");
    }

    #[pg_test]
    fn data_that_cannot_be_read_with_ease_is_left_out_of_a_letter() {
        subscription();
        let nested = |levels| format!("(repeat('[', {levels}) || repeat(']', {levels}))::json");
        log(1, 10, &nested(128));
        log(2, 10, &nested(129));
        log(3, 131_072, "'{}'");
        log(4, 131_073, "'{}'");
        log(
            5,
            10,
            "(repeat('[', 6000) || '\"' || repeat('x', 300000) || '\"' || repeat(']', 6000))::json",
        );
        log(6, 10, "null");
        pending("generate_series(1, 6)");
        run(&format!(
            "select herald_internal.bury_pending({SUBSCRIPTION}, 'gone')"
        ));
        let kept = "concat_ws(' ', event::jsonb ? 'data', event ->> 'dataomitted')";
        assert_eq!(
            letters(kept),
            [
                "t",
                "f it is nested more than 128 levels deep",
                "t",
                "f its 131073 bytes are more than 131072",
                "f it is nested more than 128 levels deep",
                "f"
            ]
        );
    }

    #[pg_test]
    fn a_letter_of_what_was_too_large_has_no_data() {
        subscription();
        log(1, 10, "'{}'");
        pending("generate_series(1, 1)");
        run(&format!(
            "select herald_internal.bury_pending({SUBSCRIPTION}, 'too_large')"
        ));
        assert_eq!(
            letters("event ->> 'dataomitted'"),
            ["its 10 bytes are not kept in a dead letter"]
        );
    }

    #[pg_test]
    fn an_event_that_cannot_be_read_costs_its_own_letter_its_data() {
        subscription();
        run("create extension pg_surgery");
        let large = "(select json_agg(md5(n::text)) from generate_series(1, 2000) n)";
        for seq in 1..=5 {
            log(seq, 10, large);
        }
        run("do $$ declare
                 toast regclass := (select reltoastrelid from pg_class where oid = 'herald_internal.event_3'::regclass);
                 place tid;
             begin
                 execute format('select min(ctid) from %s where chunk_seq = 0 and chunk_id = (select max(chunk_id) from %1$s)', toast) into place;
                 perform heap_force_kill(toast, array[place]);
             end $$");
        assert!(
            fault("select sum(length(data::text)) from herald_internal.event_3")
                .message
                .contains("chunk")
        );
        pending("generate_series(1, 5)");
        assert_eq!(
            value(&format!(
                "select herald_internal.bury_pending({SUBSCRIPTION}, 'gone')"
            )),
            "5"
        );
        assert_eq!(
            letters("event::jsonb ? 'data'"),
            ["true", "true", "true", "true", "false"]
        );
        assert_eq!(letters("event ->> 'subject'")[4], "it");
    }

    #[pg_test]
    fn a_delivery_that_is_given_up_twice_at_once_is_one_letter() {
        subscription();
        run(&format!(
            "select herald_internal.bury(array[{SUBSCRIPTION}, {SUBSCRIPTION}], '{{3,3}}', '{{9,9}}', '{{gone,poison}}', '{{1,4}}', array[now(), now()])"
        ));
        assert_eq!(letters("reason || ' ' || attempts"), ["poison 4"]);
    }

    #[pg_test]
    fn the_reason_of_a_discard_is_bounded() {
        subscription();
        pending("generate_series(1, 1)");
        let discard =
            |length| format!("select herald.discard('shop', reason => repeat('é', {length}))");
        let refused = fault(&discard(201));
        assert_eq!(refused.sqlstate, "22023");
        assert_eq!(
            refused.detail,
            "It has 201 characters; at most 200 are allowed."
        );
        assert_eq!(value(&discard(200)), "1");
    }
}
