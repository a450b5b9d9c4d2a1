//! Outcomes that cannot be recorded for now, and stops in the middle of that.

use crate::mutants::mutant::{Mutant, Test};

const fn set_aside(name: &'static str) -> Test {
    Test::EndToEnd {
        file: "set_aside",
        name,
    }
}

const fn stops(name: &'static str) -> Test {
    Test::EndToEnd {
        file: "stops",
        name,
    }
}

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "slow-rows-first",
        breaks: "At a stop, slow rows leave time to record what was delivered.",
        file: "src/store/record/careful.rs",
        from: "record.end == End::Delivered && matches!(record.delivery.origin, Origin::Window(_))",
        to: "record.end == End::Delivered && record.delivery.origin == Origin::Pending",
        killed_by: Test::EndToEnd {
            file: "stops",
            name: "a_stop_while_no_row_can_be_recorded_in_time_records_what_can",
        },
        says: "it was recorded before the stop",
    },
    Mutant {
        name: "never-fewer-at-once",
        breaks: "Records that take long to be refused keep no others from ever being tried.",
        file: "crates/dispatch/src/set_aside.rs",
        from: "self.at_once.took_without_growth(count, micros);",
        to: "self.at_once = SliceSize::new(RECORD_SIZE, count.max(1), RECORD_SIZE);",
        killed_by: set_aside("a_trigger_that_sleeps_holds_up_only_what_fires_it"),
        says: "waiting for",
    },
    Mutant {
        name: "slow-half-takes-all",
        breaks: "Records that are slow to write leave time for others of their batch.",
        file: "src/store/record/careful.rs",
        from: "_ => (left / 2).max(LEAST),",
        to: "_ => left.max(LEAST),",
        killed_by: stops("a_stop_while_no_row_can_be_recorded_in_time_records_what_can"),
        says: "it was recorded before the stop",
    },
    Mutant {
        name: "recording-without-end",
        breaks: "A transaction that records has one deadline, whatever takes its time.",
        file: "src/store/record/write.rs",
        from: "const LONGEST: Duration = Duration::from_millis(500);",
        to: "const LONGEST: Duration = Duration::from_secs(500);",
        killed_by: set_aside("a_trigger_that_sleeps_holds_up_only_what_fires_it"),
        says: "waiting for",
    },
    Mutant {
        name: "written-twice",
        breaks: "A half that was committed is not written again.",
        file: "src/store/record/careful.rs",
        from: "                self.done.written.push(record);\n            }\n        }\n    }",
        to: "                self.done.set_aside.push(record);\n            }\n        }\n    }",
        killed_by: set_aside("an_attempt_that_is_refused_costs_no_other_a_second_record"),
        says: "waiting for",
    },
    Mutant {
        name: "answers-set-aside-for-nothing",
        breaks: "What receivers answered counts in the worker's memory while it is set aside.",
        file: "crates/dispatch/src/ledger.rs",
        from: "self.unrecorded_memory() + self.set_aside.memory()",
        to: "self.unrecorded_memory()",
        killed_by: set_aside("full_memory_stops_the_reading_and_not_the_sending"),
        says: "the log is read although the memory is full",
    },
    Mutant {
        name: "events-set-aside-for-nothing",
        breaks: "Attributes of events count in the worker's memory while their outcome is set aside.",
        file: "crates/dispatch/src/ledger.rs",
        from: ".saturating_sub(before - after);",
        to: ".saturating_sub(before);",
        killed_by: set_aside("full_memory_stops_the_reading_and_not_the_sending"),
        says: "the log is read although the memory is full",
    },
    Mutant {
        name: "full-memory-stops-sending",
        breaks: "Memory that is full of what is set aside stops the reading, not the sending.",
        file: "crates/dispatch/src/mind/turn.rs",
        from: "self.ledger.memory() < 2 * self.settings.memory",
        to: "self.ledger.memory() < self.settings.memory",
        killed_by: set_aside("full_memory_stops_the_reading_and_not_the_sending"),
        says: "waiting for",
    },
    Mutant {
        name: "stop-waits-for-statement",
        breaks: "A stop cancels the statement that runs.",
        file: "src/pg/process.rs",
        from: "AtomicBool = AtomicBool::new(true);",
        to: "AtomicBool = AtomicBool::new(false);",
        killed_by: stops("a_stop_cancels_the_statement_that_runs_and_records_what_is_done"),
        says: "the server does not stop",
    },
    Mutant {
        name: "burial-outlives-stop",
        breaks: "A stop waits for no burial.",
        file: "src/pg/process.rs",
        from: "std::ptr::write_volatile(&raw mut pg_sys::QueryCancelPending, 1);",
        to: "",
        killed_by: stops("a_stop_in_the_middle_of_a_burial_is_quick_and_the_rest_is_buried_later"),
        says: "the server does not stop",
    },
    Mutant {
        name: "nothing-recorded-at-the-end",
        breaks: "A stop records what is done and not locked.",
        file: "crates/dispatch/src/ledger.rs",
        from: "let mut records = std::mem::take(&mut self.ended);",
        to: "let mut records = Vec::new();",
        killed_by: stops("a_stop_waits_for_no_lock_and_records_what_is_not_locked"),
        says: "sent again: ",
    },
];
