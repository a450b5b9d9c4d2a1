//! Scheduled events, and those that expire.

use crate::mutants::mutant::{EndToEnd, Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "scheduled-sent-at-once",
        breaks: "A scheduled event is not sent before its time.",
        file: "crates/dispatch/src/reading.rs",
        from: "_ if delivery.scheduled_for.is_some() => {",
        to: "_ if delivery.scheduled_for == Some(0) => {",
        killed_by: Test::Simulation,
        says: "its time has not come",
    },
    Mutant {
        name: "scheduled-forgotten",
        breaks: "A scheduled event is sent at its time.",
        file: "crates/dispatch/src/recording.rs",
        from: "self.scheduled.expect(at);",
        to: "let _ = at;",
        killed_by: Test::Simulation,
        says: "see: cargo xtask simulate --seed",
    },
    Mutant {
        name: "cancelled-and-sent",
        breaks: "What is cancelled is not sent.",
        file: "sql/delivery/schedule.sql",
        from: "delete from herald.pending p where p.event_seq = event.seq and p.deliver_at is not null;",
        to: "delete from herald_internal.cancelled c where c.event_seq = event.seq;",
        killed_by: EndToEnd(
            "schedule a_cancelled_event_is_not_sent_and_one_whose_time_has_come_is_not_cancelled",
        ),
        says: "panicked",
    },
    Mutant {
        name: "cancelled-too-late",
        breaks: "After its time, an event is not cancelled.",
        file: "sql/delivery/schedule.sql",
        from: "if clock_timestamp() >= event.deliver_at\n        or exists (select from herald.pending p where p.event_seq = event.seq and p.deliver_at is null)\n        or exists (select from herald_internal.attempt a where a.event_seq = event.seq)\n",
        to: "if clock_timestamp() >= event.deliver_at + interval '1 min'\n",
        killed_by: EndToEnd("schedule what_cancel_says_is_true_also_in_the_second_before"),
        says: "panicked",
    },
    Mutant {
        name: "cancellation-not-waited-for",
        breaks: "A cancellation that is not committed yet delays the event.",
        file: "sql/delivery/schedule.sql",
        from: "free := herald_internal.try_take_lock('scheduled ' || one.event_seq);",
        to: "free := true;",
        killed_by: EndToEnd(
            "schedule a_cancellation_that_is_not_committed_yet_delays_the_event_and_nothing_else",
        ),
        says: "panicked",
    },
    Mutant {
        name: "expired-sent",
        breaks: "An event that has expired is not sent.",
        file: "crates/core/src/event/mod.rs",
        from: "self.expires_at().is_some_and(|at| at <= now_micros)",
        to: "self.expires_at().is_some_and(|at| at <= now_micros - 3_600_000_000)",
        killed_by: EndToEnd("schedule an_event_that_has_expired_is_not_sent"),
        says: "too_late",
    },
    Mutant {
        name: "scheduled-replayed-early",
        breaks: "What is scheduled is not replayed before its time.",
        file: "sql/repair/redeliver.sql",
        from: "case when v.deliver_at > clock_timestamp() then v.deliver_at end) w",
        to: "case when v.deliver_at < '-infinity' then v.deliver_at end) w",
        killed_by: EndToEnd(
            "schedule what_is_scheduled_is_not_replayed_before_its_time_and_stays_cancelled",
        ),
        says: "panicked",
    },
];
