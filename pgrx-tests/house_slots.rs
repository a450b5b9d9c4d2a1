//! Emptying slots: events that are unread or still needed outlive their retention.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, count, run, value};
    use pgrx::prelude::*;

    const EMPTY: &str = "select herald_internal.empty_event_slot(7::smallint, '1 day')";
    /// A transaction that every snapshot shows.
    const READ: &str = "'2'::xid8";
    /// Our own, which no snapshot of the worker shows.
    const UNREAD: &str = "pg_current_xact_id()";

    /// Keeps everybody else out of slot 7. Must come first: other tests read the whole log.
    fn lock_slot() {
        run("lock table herald_internal.event_7 in access exclusive mode");
    }

    /// Writes events of two days ago to slot 7, with these numbers and this transaction.
    fn old_events(numbers: &str, transaction: &str) {
        run(&format!(
            "insert into herald.event (seq, xid, origin, time, uid, size, slot, source, type)
             select n, {transaction}, herald_internal.origin(), at, herald_internal.uid_at(at), 0, 7, '/test', 'old'
             from unnest('{numbers}'::bigint[]) n, (select clock_timestamp() - interval '2 days') as t (at)"
        ));
    }

    #[pg_test]
    fn what_pending_and_dead_letters_need_is_held_when_its_slot_is_emptied() {
        lock_slot();
        old_events("{9000000001,9000000002,9000000003,9000000004}", READ);
        run(
            "insert into herald.pending (subscription_id, event_seq, event_slot, next_attempt_at)
             values (0, 9000000002, 7, 'infinity')",
        );
        run(
            "insert into herald_internal.dead_letter (subscription_id, subscription, event_seq, event_slot, event_id, type, event,
                                             subscription_config, reason, attempts, created_at, expires_at)
             values (0, 'shop', 9000000003, 7, 'old', 'old', '{}', '{}', 'exhausted', 1, now(), 'infinity')",
        );
        assert_eq!(value(EMPTY), "true");
        assert_eq!(count("herald_internal.event_7"), 0);
        assert_eq!(
            all("select seq from herald.held_event where seq > 9000000000 order by seq"),
            ["9000000002", "9000000003"]
        );
    }

    #[pg_test]
    fn a_slot_stays_until_it_was_read_to_its_end() {
        lock_slot();
        old_events("{9000000003,9000000004}", READ);
        old_events("{9000000002}", UNREAD);
        assert_eq!(value(EMPTY), "false", "an unread event is gone");
        assert_eq!(count("herald_internal.event_7"), 3);
        run("delete from herald_internal.event_7 where seq = 9000000002");
        assert_eq!(value(EMPTY), "true");
    }

    #[pg_test]
    fn a_slot_stays_while_its_newest_event_is_younger_than_the_retention() {
        lock_slot();
        old_events("{-1}", READ);
        let longer = "select herald_internal.empty_event_slot(7::smallint, '3 days')";
        assert_eq!(value(longer), "false");
        assert_eq!(value(EMPTY), "true");
    }

    #[pg_test]
    fn a_slot_that_was_taken_stays_taken_until_the_end_of_the_transaction() {
        // Other tests briefly read the log.
        while value("select herald_internal.try_lock('herald_internal.event_7')") == "false" {
            run("select pg_sleep(0.02)");
        }
        let held = "select count(*) from pg_locks l where l.pid = pg_backend_pid()
                    and l.relation = 'herald_internal.event_7'::regclass and l.mode = 'AccessExclusiveLock' and l.granted";
        assert_eq!(value(held), "1");
    }

    #[pg_test]
    fn a_slot_that_was_written_to_the_end_of_its_period_is_emptied_before_its_turn_comes_again() {
        run("set local herald.retention = '30d'");
        run("select herald_internal.keep_house(0)");
        let period = "extract(epoch from r.period)";
        let turn = format!("floor(extract(epoch from now()) / {period})");
        let slot = value(&format!(
            "select ({turn}::bigint + 2) % 32 from herald_internal.ring r where r.name = 'event'"
        ));
        run(&format!(
            "lock table herald_internal.event_{slot}, herald_internal.attempt_{slot} in access exclusive mode"
        ));
        // The slot after the next was last written 30 turns ago.
        let last = format!(
            "select to_timestamp(({turn} - 29) * {period}) - interval '1 ms' from herald_internal.ring r where r.name = 'event'"
        );
        run(&format!(
            "insert into herald.event (seq, xid, origin, time, uid, size, slot, source, type)
             select -1, {READ}, herald_internal.origin(), at, herald_internal.uid_at(at), 0, {slot}, '/test', 'last' from ({last}) as l (at)"
        ));
        run(&format!(
            "insert into herald_internal.attempt (slot, event_seq, event_slot, subscription_id, at, attempt, duration_ms, outcome)
             select {slot}, -1, {slot}, 0, at, 1, 0, 'delivered' from ({last}) as l (at)"
        ));
        let left = format!(
            "select (select count(*) from herald_internal.event_{slot}) + (select count(*) from herald_internal.attempt_{slot})"
        );
        assert_eq!(value(&left), "2");
        run("select herald_internal.keep_house(0)");
        assert_eq!(value(&left), "1");
        run("select herald_internal.keep_house(0)");
        assert_eq!(value(&left), "0");
    }
}
