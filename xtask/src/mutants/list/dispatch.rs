//! What the worker does next, as far as it is decided without a database.

use crate::mutants::mutant::{Mutant, Test};

const fn unit(name: &'static str) -> Test {
    Test::Unit {
        package: "herald-dispatch",
        name,
    }
}

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "suspects-together",
        breaks: "A suspect is on trial from the moment that it is sent.",
        file: "crates/dispatch/src/send.rs",
        from: "is_suspect: suspicion == Suspicion::Tried,",
        to: "is_suspect: false,",
        killed_by: unit("send::tests::poison_is_buried_and_suspects_wait_for_each_other"),
        says: "left: [1, 2, 4]",
    },
    Mutant {
        name: "sent-to-the-removed",
        breaks: "A subscription that is known to be removed is sent nothing.",
        file: "crates/dispatch/src/send.rs",
        from: "self.subscriptions.by_id(id)?;",
        to: "self.subscriptions.by_id(id).or_else(|| self.subscriptions.iter().next())?;",
        killed_by: unit("send::tests::a_subscription_that_is_known_to_be_removed_is_sent_nothing"),
        says: "left: 2",
    },
    Mutant {
        name: "sent-although-unrecorded",
        breaks: "Outcomes that cannot be recorded do not fill the memory without a bound.",
        file: "crates/dispatch/src/mind/turn.rs",
        from: "self.ledger.unrecorded_memory() < 2 * self.settings.memory",
        to: "self.ledger.unrecorded_memory() < usize::MAX",
        killed_by: unit(
            "mind::turn::tests::what_could_not_be_recorded_keeps_more_from_being_sent_when_it_fills_the_memory",
        ),
        says: "!mind.may_send()",
    },
    Mutant {
        name: "sent-by-former-options",
        breaks: "What waited in a lane goes by the options of now.",
        file: "crates/dispatch/src/send.rs",
        from: "        delivery.subscription = Arc::clone(&subscription.config);\n",
        to: "        let _ = Arc::clone(&subscription.config);\n",
        killed_by: unit("send::tests::what_waited_goes_by_the_options_of_now"),
        says: "left: 0",
    },
    Mutant {
        name: "untaken-and-lost",
        breaks: "What the sender does not take stays in its lane.",
        file: "crates/dispatch/src/send.rs",
        from: "                entry.lane.put_back(delivery, now.micros);\n            }\n            self.lanes.make_ready(id);\n            break;",
        to: "                drop((entry, delivery));\n            }\n            self.lanes.make_ready(id);\n            break;",
        killed_by: unit("send::tests::what_the_sender_does_not_take_stays_first_in_its_lane"),
        says: "left: [2]",
    },
    Mutant {
        name: "newer-before-older",
        breaks: "What could not be written comes before what ended meanwhile.",
        file: "crates/dispatch/src/ledger.rs",
        from: "            let newer = std::mem::replace(&mut self.ended, left);\n            self.ended.extend(newer);",
        to: "            self.ended.extend(left);",
        killed_by: unit("ledger::tests::what_was_not_written_comes_before_what_ended_meanwhile"),
        says: "left: [2, 1]",
    },
    Mutant {
        name: "position-before-commit",
        breaks: "A position moves only if the transaction commits.",
        file: "crates/dispatch/src/reader.rs",
        from: "        self.cursor = cursor;\n",
        to: "        drop(cursor);\n",
        killed_by: unit(
            "reader::tests::after_a_transaction_that_failed_the_same_events_are_found_again",
        ),
        says: "right: []",
    },
    Mutant {
        name: "asked-without-pause",
        breaks: "A receiver that does not consent is asked again after a pause.",
        file: "crates/dispatch/src/consent.rs",
        from: "asking.due = now.moment + asking.pause;",
        to: "asking.due = now.moment;",
        killed_by: unit(
            "consent::tests::a_receiver_that_does_not_consent_is_asked_again_after_longer_and_longer_pauses",
        ),
        says: "right: [10, 20, 40]",
    },
    Mutant {
        name: "shortage-as-an-attempt",
        breaks: "What was not sent for want of something of our own was not attempted.",
        file: "crates/dispatch/src/settle.rs",
        from: "        if outcome.is_own_shortage() {",
        to: "        if outcome.is_own_shortage() && delivery.attempts > 0 {",
        killed_by: unit(
            "settle::tests::what_was_not_sent_for_want_of_something_of_our_own_was_not_attempted",
        ),
        says: "record.attempt.is_none()",
    },
    Mutant {
        name: "part-after-part",
        breaks: "Housekeeping takes a quarter of the time, at most.",
        file: "crates/dispatch/src/house.rs",
        from: "            took * BURIAL_GAP\n        } else if",
        to: "            Duration::ZERO\n        } else if",
        killed_by: unit(
            "house::tests::the_parts_of_a_round_take_a_quarter_of_the_time_and_rounds_a_minute_where_nothing_is_to_do",
        ),
        says: "right: 6ms",
    },
    Mutant {
        name: "claimed-beyond-a-gap",
        breaks: "A claim goes on from the first delivery that it left.",
        file: "crates/dispatch/src/claim.rs",
        from: "            if found.next_due.is_none() {\n",
        to: "            {\n",
        killed_by: unit(
            "claim::tests::an_event_for_which_there_was_no_room_is_claimed_next_and_one_that_is_lost_is_buried",
        ),
        says: "right: (Some(10), (2, 2))",
    },
    Mutant {
        name: "wake-up-lost",
        breaks: "A commit wakes the worker as soon as it may look.",
        file: "crates/dispatch/src/mind/pause.rs",
        from: "(self.looks.is_wanted || store.is_woken())",
        to: "self.looks.is_wanted",
        killed_by: unit("mind::pause::tests::a_commit_wakes_the_worker_when_it_may_look_again"),
        says: "right: 150ms",
    },
    Mutant {
        name: "awake-for-a-step-that-rests",
        breaks: "A step that rests keeps nobody awake.",
        file: "crates/dispatch/src/mind/pause.rs",
        from: "pause.min(due.max(self.steps.rest(step, now)))",
        to: "pause.min(due.max(self.steps.rest(step, now).mul_f32(0.0)))",
        killed_by: unit("mind::pause::tests::a_step_that_rests_is_not_woken_for"),
        says: "right: 100ms",
    },
    Mutant {
        name: "retry-passed-over",
        breaks: "A retry that is recorded behind where claims go on is found all the same.",
        file: "crates/dispatch/src/recording.rs",
        from: "            if entry.claimed_to >= Some((at_micros, delivery.event.seq)) {",
        to: "            if false {",
        killed_by: unit("mind::pause::tests::a_retry_that_is_recorded_is_claimed_when_it_is_due"),
        says: "right: (Some(300000), None)",
    },
    Mutant {
        name: "quotas-of-a-failed-look",
        breaks: "What a failed look read of subscriptions and plans is read again.",
        file: "crates/dispatch/src/subscriptions.rs",
        from: "(self.snapshot, self.demanded) = (as_of.snapshot, as_of.demanded);",
        to: "drop(as_of);",
        killed_by: unit("subscriptions::tests::what_a_failed_transaction_read_is_read_again"),
        says: "subscriptions.wanted(0).everything",
    },
    Mutant {
        name: "rest-by-the-wall",
        breaks: "A clock that is set back makes no pause of a step longer.",
        file: "crates/dispatch/src/steps.rs",
        from: "|until| now.until(until))",
        to: "|until| until.since(Moment::after_start(Duration::from_micros(now.micros.max(0).unsigned_abs()))))",
        killed_by: unit("steps::tests::a_clock_that_is_set_back_makes_no_pause_longer"),
        says: "!steps.rests(Step::Read, set_back)",
    },
];
