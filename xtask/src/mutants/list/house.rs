//! When a slot may be emptied. These tests run inside PostgreSQL.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "all-dead-letters-looked-at",
        breaks: "Housekeeping looks at what is over, and at nothing else.",
        file: "sql/house/house.sql",
        from: "l.expires_at < began_at\n",
        to: "l.expires_at < clock_timestamp()\n",
        killed_by: Test::InDatabase {
            name: "what_is_not_over_is_not_even_looked_at",
        },
        says: "entries of dead_letter_expiry",
    },
    Mutant {
        name: "start-before-the-commit",
        breaks: "Without preload, a worker that is started together with its extension waits for the commit.",
        file: "src/worker/mod.rs",
        from: "const COMMITTED_BY: Duration = Duration::from_secs(10);",
        to: "const COMMITTED_BY: Duration = Duration::from_secs(0);",
        killed_by: Test::EndToEnd {
            file: "extension",
            name: "without_preload_a_worker_ends_with_its_extension",
        },
        says: "waited",
    },
    Mutant {
        name: "stale-egress",
        breaks: "A running worker goes by the settings of its connections soon after a reload.",
        file: "src/worker/configuration.rs",
        from: "Ok(settings) if settings.sending != *sending => {",
        to: "Ok(settings) if false && settings.sending != *sending => {",
        killed_by: Test::EndToEnd {
            file: "settings",
            name: "connections_that_are_made_after_a_reload_are_made_as_it_says",
        },
        says: "where attempts > 0",
    },
    Mutant {
        name: "settings-of-a-database",
        breaks: "What ALTER DATABASE sets reaches a running worker.",
        file: "src/store/configuration.rs",
        from: "} else if set != self.0 {",
        to: "} else if set.is_none() {",
        killed_by: Test::EndToEnd {
            file: "settings",
            name: "what_is_set_for_a_database_reaches_its_running_worker",
        },
        says: "paused from select state from herald.worker",
    },
    Mutant {
        name: "unchecked-settings",
        breaks: "A setting that cannot be is refused.",
        file: "src/pg/guc.rs",
        from: "        result.is_ok()\n",
        to: "        true\n",
        killed_by: Test::EndToEnd {
            file: "settings",
            name: "a_value_that_cannot_be_is_refused_wherever_it_is_set",
        },
        says: "was not refused",
    },
    Mutant {
        name: "role-of-a-database",
        breaks: "ALTER DATABASE ... SET role keeps no worker from working.",
        file: "src/worker/mod.rs",
        from: "        (\"role\", \"none\"),\n",
        to: "",
        killed_by: Test::EndToEnd {
            file: "settings",
            name: "no_setting_of_a_database_keeps_its_worker_from_working",
        },
        says: "still pending",
    },
    Mutant {
        name: "copy-by-windows-alone",
        breaks: "A copy is known by its subscriptions, whatever of a dump came first.",
        file: "sql/worker/restore.sql",
        from: "\n        or exists (select from herald_internal.subscription s where s.origin < own)\n        or exists (select from herald_internal.subscription s where s.origin > own);",
        to: ";",
        killed_by: Test::EndToEnd {
            file: "restore",
            name: "a_worker_knows_a_copy_by_its_subscriptions_alone",
        },
        says: "paused: ",
    },
    Mutant {
        name: "ping-of-an-event",
        breaks: "A ping never has the webhook-id of an event.",
        file: "crates/dispatch/src/work.rs",
        from: "Some(event) => Event { uid, ..event },",
        to: "Some(event) => event,",
        killed_by: Test::EndToEnd {
            file: "diagnosis",
            name: "a_ping_sends_an_event_of_the_log_under_an_id_of_its_own",
        },
        says: "assertion `left != right` failed",
    },
    Mutant {
        name: "retry-spares-nobody",
        breaks: "A retry spares a receiver that asked for it.",
        file: "sql/repair/retry.sql",
        from: "p.next_attempt_at > greatest(clock_timestamp(), p.spare_until) + interval '1 second'",
        to: "p.next_attempt_at > clock_timestamp()",
        killed_by: Test::EndToEnd {
            file: "diagnosis",
            name: "a_retry_makes_waiting_deliveries_due_except_after_retry_after",
        },
        says: "assertion `left == right` failed",
    },
    Mutant {
        name: "two-entries-for-a-database",
        breaks: "Two that ask for a worker at once make one entry of the registry.",
        file: "src/pg/shmem.rs",
        from: "while self.is_making.swap(true, SeqCst) {",
        to: "while false {",
        killed_by: Test::InDatabase {
            name: "concurrent_demands_make_one_entry",
        },
        says: "in round",
    },
    Mutant {
        name: "held-events-not-kept",
        breaks: "What a pending delivery or a dead letter needs outlives its slot.",
        file: "sql/house/slots.sql",
        from: "    perform herald_internal.hold_events(slot, 2147483647);\n",
        to: "",
        killed_by: Test::InDatabase {
            name: "what_pending_and_dead_letters_need_is_held_when_its_slot_is_emptied",
        },
        says: "left: []",
    },
    Mutant {
        name: "emptied-unread",
        breaks: "No slot is emptied before it was read to its end.",
        file: "sql/house/slots.sql",
        from: "and not pg_visible_in_snapshot(e.xid, $1)\n             and e.origin = $2)",
        to: "and false and e.origin = $2)",
        killed_by: Test::InDatabase {
            name: "a_slot_stays_until_it_was_read_to_its_end",
        },
        says: "an unread event is gone",
    },
    Mutant {
        name: "house-in-one-go",
        breaks: "A round of housekeeping takes a few milliseconds at a time.",
        file: "sql/house/house.sql",
        from: "if clock_timestamp() - began_at > within and part < last_part then",
        to: "if false then",
        killed_by: Test::InDatabase {
            name: "a_round_goes_on_where_its_time_ended",
        },
        says: "left == right",
    },
];
