//! Names, locks and what is kept of ended subscriptions.

#[pgrx::pg_schema]
mod tests {
    use crate::in_postgres::support::{all, count, fault, role, run, value};
    use crate::pg::shmem::{Demand, Registry};
    use pgrx::prelude::*;
    use std::sync::Barrier;

    fn subscriptions(how_many: i64) {
        run(&format!(
            "select herald.subscribe('shop.' || n, url => 'https://example.com/') from generate_series(1, {how_many}) n"
        ));
    }

    /// Returns the rows read so far. Rows found through an index are counted with the index.
    fn rows_read() -> i64 {
        let read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_all_tables
                    where relid = 'herald_internal.subscription'::regclass";
        value(read).parse().unwrap()
    }

    #[pg_test]
    fn a_subscription_is_found_by_its_name_and_its_id_without_a_look_at_others() {
        subscriptions(500);
        let id = value("select id from herald_internal.subscription where name = 'shop.250'");
        run("analyze herald_internal.subscription; set local enable_seqscan = off");
        for name in ["shop.250", &id] {
            run(&format!("select herald.pause('{name}')"));
            let before = rows_read();
            run(&format!("select herald.pause('{name}')"));
            let read = rows_read() - before;
            assert!(read < 50, "{read} rows for {name}");
        }
        assert_eq!(
            value("select state from herald.subscription where name = 'shop.250'"),
            "paused"
        );
        for unknown in ["shop.0", "0", "99999999999999999999", "-1"] {
            let refused = fault(&format!("select herald.pause('{unknown}')"));
            assert_eq!(refused.sqlstate, "42704", "{unknown}");
        }
    }

    #[pg_test]
    fn nothing_here_waits_for_a_lock_that_anybody_can_take() {
        role("lock_tenant");
        let held = |kind: &str| {
            value(&format!(
                "select count(*) from pg_locks where pid = pg_backend_pid() and locktype = '{kind}'
                 and (locktype = 'advisory' or classid = 'pg_extension'::regclass and objsubid < 0)"
            ))
        };
        let before = (held("advisory"), held("object"));
        run("select herald.emit('order.paid', key => '1', ordered => true)");
        run("select herald.subscribe('shop', url => 'https://example.com/')");
        run("insert into herald.tenant (name, role) values ('locked', 'lock_tenant')");
        run(
            "select herald.apply('{\"subscriptions\": [{\"name\": \"other\", \"url\": \"https://example.com/\"}]}')",
        );
        assert_eq!(held("advisory"), before.0);
        assert_eq!(held("object"), "4");
        assert_eq!(before.1, "0");
        let refused =
            fault("set local role lock_tenant; select herald_internal.lock('event /app 1')");
        assert_eq!(refused.sqlstate, "42501");
    }

    #[pg_test]
    fn concurrent_demands_make_one_entry() {
        let database = pg_sys::Oid::from(4711);
        for round in 0..2_000 {
            let registry = Registry::new();
            // Other databases come and go before it.
            registry.demand(pg_sys::Oid::from(1), Demand::Wanted);
            let barrier = Barrier::new(4);
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(|| {
                        barrier.wait();
                        assert!(registry.demand(database, Demand::Asked));
                    });
                }
                scope.spawn(|| {
                    barrier.wait();
                    if let Some(other) = registry.find(pg_sys::Oid::from(1)) {
                        other.release(pg_sys::Oid::from(1));
                    }
                });
            });
            let entries = registry
                .entries()
                .filter(|entry| entry.database() == database);
            assert_eq!(entries.count(), 1, "in round {round}");
        }
    }

    #[pg_test]
    fn no_successor_comes_where_somebody_wants_no_worker() {
        let registry = Registry::new();
        let database = pg_sys::Oid::from(4711);
        registry.ask_for_successor(database);
        assert!(registry.find(database).is_none());
        registry.demand(database, Demand::Wanted);
        registry.ask_for_successor(database);
        let entry = registry.find(database).expect("an entry");
        assert!(entry.take_asked(database));
        registry.demand(database, Demand::Stopped);
        registry.ask_for_successor(database);
        assert!(!entry.is_wanted());
    }

    #[pg_test]
    fn an_ended_subscription_is_kept_as_long_as_its_history() {
        run("set local herald.retention = '10d'");
        subscriptions(4);
        run("select herald.unsubscribe('shop.' || n) from generate_series(1, 3) n");
        run(
            "update herald_internal.subscription set removed_at = now() - interval '9 days' where name = 'shop.1'",
        );
        run(
            "update herald_internal.subscription set removed_at = now() - interval '11 days' where name in ('shop.2', 'shop.3')",
        );
        run(
            "insert into herald.pending (subscription_id, event_slot, event_seq, next_attempt_at)
             select id, 3, 1, now() from herald_internal.subscription where name = 'shop.3'",
        );
        run(
            "select herald_internal.bury_pending(id, 'unsubscribed') from herald_internal.subscription where name = 'shop.3'",
        );
        let audited = value("select count(*) from herald.audit");
        run("select herald_internal.keep_house(0)");
        assert_eq!(
            all("select name from herald_internal.subscription order by 1"),
            ["shop.1", "shop.3", "shop.4"]
        );
        assert_eq!(value("select count(*) from herald.audit"), audited);
        run("delete from herald_internal.dead_letter; select herald_internal.keep_house(0)");
        assert_eq!(count("herald_internal.subscription"), 2);
    }

    #[pg_test]
    fn the_audit_is_kept_for_400_days() {
        subscriptions(2);
        run(
            "update herald.audit set at = now() - case name when 'shop.1' then interval '401 days' else interval '399 days' end",
        );
        run("select herald_internal.keep_house(0)");
        assert_eq!(all("select distinct name from herald.audit"), ["shop.2"]);
    }

    #[pg_test]
    fn an_answer_for_a_former_url_does_not_count() {
        run("set local herald.request_origin = 'hooks.example.com'");
        run("select herald.subscribe('shop', url => 'https://example.com/', handshake => '{}')");
        let id = "(select id from herald_internal.subscription)";
        run("update herald.subscription set description = 'the same url' where name = 'shop'");
        assert_eq!(
            value("select generation from herald_internal.subscription"),
            "0"
        );
        run("update herald.subscription set url = 'https://example.com/new' where name = 'shop'");
        run("update herald.subscription set handshake = null where name = 'shop'");
        assert_eq!(
            value("select generation from herald_internal.subscription"),
            "2"
        );
        for generation in [0, 1] {
            run(&format!(
                "select herald_internal.note_consent({id}, 7, null, {generation})"
            ));
            run(&format!(
                "select herald_internal.disable({id}, 'the receiver answered 410', {generation})"
            ));
        }
        assert_eq!(
            value(
                "select concat_ws(' ', state, consented_at is null) from herald_internal.subscription"
            ),
            "active t"
        );
        run(&format!(
            "select herald_internal.note_consent({id}, 7, null, 2)"
        ));
        run(&format!(
            "select herald_internal.disable({id}, 'the receiver answered 410', 2)"
        ));
        assert_eq!(
            value("select concat_ws(' ', state, consent_rate) from herald_internal.subscription"),
            "disabled 7"
        );
    }
}
