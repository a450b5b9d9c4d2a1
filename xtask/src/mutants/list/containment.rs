//! What one lock, one failure or one receiver must not hold up.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "lock-stops-recording",
        breaks: "A locked row holds up its own record and no other.",
        file: "src/record.rs",
        from: "Err(error) if error.fault() == Fault::Server => Recorded {",
        to: "Err(error) if error.fault() != Fault::Value => Recorded {",
        killed_by: Test::EndToEnd {
            file: "locks",
            name: "a_locked_delivery_holds_up_only_its_own_record",
        },
        says: "in vain for",
    },
    Mutant {
        name: "closed-without-set-aside",
        breaks: "A window stays open while a record of it is set aside.",
        file: "src/record/careful.rs",
        from: "windows.retain(|(number, _)| !missing.contains(number));",
        to: "drop(missing);",
        killed_by: Test::EndToEnd {
            file: "locks",
            name: "what_was_set_aside_survives_a_crash",
        },
        says: "in vain for 1 from",
    },
    Mutant {
        name: "gone-but-sent-to",
        breaks: "Nothing is sent to a receiver after its 410, also while that cannot be written down.",
        file: "src/dispatch/lanes.rs",
        from: "entry.is_gone || loaded.is_held()",
        to: "loaded.is_held()",
        killed_by: Test::EndToEnd {
            file: "locks",
            name: "a_receiver_that_is_gone_is_left_alone_although_its_subscription_is_locked",
        },
        says: "it said that it is gone",
    },
    Mutant {
        name: "steps-fail-together",
        breaks: "A log that cannot be read keeps no outcome from being recorded.",
        file: "src/dispatch/mod.rs",
        from: "if self.is_record_due() {",
        to: "if self.is_record_due() && !self.steps.rests(Step::Read, now) {",
        killed_by: Test::EndToEnd {
            file: "locks",
            name: "a_log_that_cannot_be_read_on_keeps_no_attempt_from_being_recorded",
        },
        says: "in vain for 2 from",
    },
    Mutant {
        name: "buried-at-once",
        breaks: "The backlog of a receiver that is gone is buried in slices.",
        file: "src/dispatch/bury.rs",
        from: "SliceSize::new(10, 1_000)",
        to: "SliceSize::new(1_000_000, 1_000_000)",
        killed_by: Test::EndToEnd {
            file: "gone",
            name: "a_resume_sends_what_is_not_buried_yet",
        },
        says: "buried",
    },
    Mutant {
        name: "everything-read-again",
        breaks: "A change of one subscription costs the same however many there are.",
        file: "src/dispatch/changes.rs",
        from: "(_, Some(id)) => drop(changes.wanted.ids.insert(id)),",
        to: "(_, Some(_)) => changes.wanted.everything = true,",
        killed_by: Test::EndToEnd {
            file: "changes",
            name: "a_change_of_one_subscription_reads_that_one",
        },
        says: "right: 1",
    },
    Mutant {
        name: "gap-at-the-start",
        breaks: "A subscription that starts from the log gets what was committed while it was made.",
        file: "sql/06_replay.sql",
        from: "and not pg_visible_in_snapshot(e.xid, s.created_snapshot)",
        to: "and false",
        killed_by: Test::EndToEnd {
            file: "start_from",
            name: "each_event_comes_once_however_many_are_written_while_subscriptions_start",
        },
        says: "subscription",
    },
    Mutant {
        name: "read-while-one-starts",
        breaks: "The log is not read on between the last look of a subscription that starts from it and its commit.",
        file: "sql/06_replay.sql",
        from: "update herald._subscription s set created_snapshot = pg_current_snapshot() where s.id = new.subscription_id",
        to: "select s.id from herald._subscription s where s.id = new.subscription_id",
        killed_by: Test::EndToEnd {
            file: "start_from",
            name: "each_event_comes_once_however_many_are_written_while_subscriptions_start",
        },
        says: "subscription",
    },
    Mutant {
        name: "damage-stops-reading",
        breaks: "A damaged event costs its own deliveries.",
        file: "src/pg/transaction.rs",
        from: "self.fault() == Fault::Value || self.sqlstate == \"58030\"",
        to: "false",
        killed_by: Test::EndToEnd {
            file: "damage",
            name: "a_damaged_event_is_buried_and_its_neighbours_are_delivered",
        },
        says: "still pending",
    },
    Mutant {
        name: "damage-stops-claiming",
        breaks: "A damaged event that is pending keeps no other from being claimed.",
        file: "src/dispatch/claim.rs",
        from: "self.claim_some(id, now, 1, Loading::Nothing)?;",
        to: "self.claim_some(id, now, 1, Loading::Events)?;",
        killed_by: Test::EndToEnd {
            file: "damage",
            name: "a_damaged_event_that_is_pending_is_buried_and_its_neighbours_are_delivered",
        },
        says: "still pending",
    },
    Mutant {
        name: "locked-table-holds-all",
        breaks: "A locked table holds up only what goes into it.",
        file: "src/record/locked.rs",
        from: "record.work.origin == Origin::Pending || matches!",
        to: "true || record.work.origin == Origin::Pending || matches!",
        killed_by: Test::EndToEnd {
            file: "locks",
            name: "a_table_that_is_being_indexed_holds_up_only_what_goes_into_it",
        },
        says: "in vain for",
    },
];
