//! Crashes of the worker itself.

use crate::mutants::mutant::{Mutant, Test};

const KILLS: Test = Test::EndToEnd {
    file: "deaths",
    name: "an_event_that_kills_the_worker_twice_is_a_dead_letter_and_all_others_get_through",
};
const OTHERS: Test = Test::EndToEnd {
    file: "deaths",
    name: "what_kills_others_or_the_whole_server_is_no_death_of_the_worker",
};
const DELAY: Test = Test::EndToEnd {
    file: "deaths",
    name: "repeated_deaths_delay_the_next_start_and_start_worker_overrides",
};
const TABLE: Test = Test::Unit {
    package: "herald-core",
    name: "deaths::tests::a_death_has_the_consequences_of_this_table",
};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "no-conviction",
        breaks: "A suspect that is alone at a second death is poison.",
        file: "crates/core/src/deaths.rs",
        from: "            poison.push(culprit);\n",
        to: "",
        killed_by: TABLE,
        says: "1 [2, 7, 8] [1, 2, 3]",
    },
    Mutant {
        name: "no-delay",
        breaks: "Repeated deaths delay the next start.",
        file: "crates/core/src/deaths.rs",
        from: "0 | 1 => Duration::ZERO,",
        to: "0..9 => Duration::ZERO,",
        killed_by: TABLE,
        says: "1 [2, 7, 8] [1, 2, 3]",
    },
    Mutant {
        name: "never-calm",
        breaks: "A worker that lived for an hour begins the count again.",
        file: "crates/core/src/deaths.rs",
        from: "let deaths_before = if was_calm { 0 } else { life.deaths };",
        to: "let deaths_before = life.deaths;",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "deaths::tests::after_a_calm_hour_a_death_is_the_first",
        },
        says: "right: (1, 3600000000)",
    },
    Mutant {
        name: "never-ended",
        breaks: "What a thread has done is no suspect.",
        file: "crates/sender/src/thread.rs",
        from: "                P::ended(number);\n",
        to: "",
        killed_by: Test::Integration {
            package: "herald-sender",
            name: "lifecycle::a_thread_notes_what_it_begins_and_that_it_ended_also_by_a_panic",
        },
        says: "what thread 0 was at",
    },
    Mutant {
        name: "suspects-at-once",
        breaks: "Suspects are sent one at a time.",
        file: "src/dispatch/suspects.rs",
        from: "        } else if self.on_trial.is_some() {",
        to: "        } else if false {",
        killed_by: KILLS,
        says: "2 times in a row.* in the step",
    },
    Mutant {
        name: "poison-sent-again",
        breaks: "What killed the worker twice is not sent again.",
        file: "src/dispatch/suspects.rs",
        from: "        if self.poison.contains(&place) {",
        to: "        if false {",
        killed_by: KILLS,
        says: "right: \"bad poison\"",
    },
    Mutant {
        name: "poison-forgotten",
        breaks: "Poison that is moved into the pending deliveries stays poison.",
        file: "src/dispatch/suspects.rs",
        from: "            if matches!(record.end, End::Dead(_)) {",
        to: "            if matches!(record.end, End::Dead(_) | End::Pending { .. }) {",
        killed_by: KILLS,
        says: "right: \"bad poison\"",
    },
    Mutant {
        name: "poison-for-ever",
        breaks: "A dead letter that is sent again by hand is a delivery like others.",
        file: "src/dispatch/recording.rs",
        from: "        self.suspects.recorded(&recorded.written);\n",
        to: "",
        killed_by: KILLS,
        says: "right: 3",
    },
    Mutant {
        name: "told-is-dead",
        breaks: "A worker that was told to quit did not die of itself.",
        file: "src/life.rs",
        from: "    quit::note_when_told(&words[AT_STATE]);\n",
        to: "",
        killed_by: OTHERS,
        says: "a killed backend",
    },
    Mutant {
        name: "alive-is-dead",
        breaks: "A worker that was killed with its whole server did not die of itself.",
        file: "crates/core/src/deaths.rs",
        from: "    seems_alive && launcher_told_at >= started_at",
        to: "    seems_alive && (launcher_told_at >= started_at || started_at > 1_000_000_000)",
        killed_by: OTHERS,
        says: "a killed backend",
    },
    Mutant {
        name: "start-at-once",
        breaks: "The launcher waits after repeated deaths.",
        file: "src/launcher.rs",
        from: "            next = next.min(wait);\n            continue;\n        }\n        let since",
        to: "            next = next.min(wait);\n        }\n        let since",
        killed_by: DELAY,
        says: "the next one did not wait",
    },
];
