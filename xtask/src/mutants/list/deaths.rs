//! Crashes of the worker itself.

use crate::mutants::mutant::{EndToEnd, Integration, Mutant, Test, Unit};

const KILLS: Test = EndToEnd(
    "deaths an_event_that_kills_the_worker_twice_is_a_dead_letter_and_all_others_get_through",
);
const OTHERS: Test = EndToEnd("deaths deaths_of_other_processes_do_not_count_as_worker_deaths");
const DELAY: Test =
    EndToEnd("deaths repeated_deaths_delay_the_next_start_and_start_worker_overrides");
const TABLE: Test =
    Unit("herald-dispatch deaths::tests::a_death_has_the_consequences_of_this_table");

const MAIN_TABLE: Test = Unit(
    "herald-dispatch deaths::tests::an_event_that_the_main_thread_dies_of_twice_is_convicted_whatever_is_sent_meanwhile",
);
const RECORD: Test = EndToEnd(
    "convictions a_delivery_whose_record_kills_the_worker_is_a_dead_letter_after_the_second_death",
);
const BURIAL: Test =
    EndToEnd("convictions an_event_whose_burial_kills_the_worker_is_buried_without_its_data");
const READING: Test = EndToEnd(
    "convictions an_event_whose_reading_kills_the_worker_is_a_dead_letter_and_those_around_it_are_read",
);

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "no-conviction",
        breaks: "A suspect that is alone at a second death is poison.",
        file: "crates/dispatch/src/deaths.rs",
        from: "            poison.push(culprit);\n",
        to: "",
        killed_by: TABLE,
        says: "1 [2, 7, 8] [1, 2, 3]",
    },
    Mutant {
        name: "no-delay",
        breaks: "Repeated deaths delay the next start.",
        file: "crates/dispatch/src/deaths.rs",
        from: "0 | 1 => Duration::ZERO,",
        to: "0..9 => Duration::ZERO,",
        killed_by: TABLE,
        says: "1 [2, 7, 8] [1, 2, 3]",
    },
    Mutant {
        name: "never-calm",
        breaks: "A worker that lived for an hour begins the count again.",
        file: "crates/dispatch/src/deaths.rs",
        from: "let deaths_before = if was_calm { 0 } else { life.deaths };",
        to: "let deaths_before = life.deaths;",
        killed_by: Unit("herald-dispatch deaths::tests::after_a_calm_hour_a_death_is_the_first"),
        says: "right: (1, 3600000000)",
    },
    Mutant {
        name: "never-ended",
        breaks: "What a thread has done is no suspect.",
        file: "crates/sender/src/thread.rs",
        from: "                P::ended(number);\n",
        to: "",
        killed_by: Integration(
            "herald-sender lifecycle::a_thread_notes_what_it_begins_and_that_it_ended_also_by_a_panic",
        ),
        says: "what thread 0 was at",
    },
    Mutant {
        name: "suspects-at-once",
        breaks: "Suspects are sent one at a time.",
        file: "crates/dispatch/src/suspects.rs",
        from: "        } else if self.on_trial.is_some() {",
        to: "        } else if false {",
        killed_by: KILLS,
        says: "2 times in a row.* in the step",
    },
    Mutant {
        name: "poison-sent-again",
        breaks: "What killed the worker twice is not sent again.",
        file: "crates/dispatch/src/suspects.rs",
        from: "        if self.poison.contains(&place) {",
        to: "        if false {",
        killed_by: KILLS,
        says: "right: \"bad poison\"",
    },
    Mutant {
        name: "poison-forgotten",
        breaks: "Poison that is moved into the pending deliveries stays poison.",
        file: "crates/dispatch/src/suspects.rs",
        from: "            let is_dead = record.is_dead();",
        to: "            let is_dead = record.is_dead() || record.is_pending();",
        killed_by: KILLS,
        says: "right: \"bad poison\"",
    },
    Mutant {
        name: "poison-for-ever",
        breaks: "A dead letter that is sent again by hand is a delivery like others.",
        file: "crates/dispatch/src/recording.rs",
        from: "        self.gate.suspects.recorded(written, self.effects);\n",
        to: "",
        killed_by: KILLS,
        says: "right: 3",
    },
    Mutant {
        name: "told-is-dead",
        breaks: "A worker that was told to quit did not die of itself.",
        file: "src/life.rs",
        from: "    quit::note_quit_signal(&words[AT_STATE]);\n",
        to: "",
        killed_by: OTHERS,
        says: "a killed backend",
    },
    Mutant {
        name: "alive-is-dead",
        breaks: "A worker that was killed with its whole server did not die of itself.",
        file: "crates/dispatch/src/deaths.rs",
        from: "    seems_alive && launcher_told_at >= started_at",
        to: "    seems_alive && (launcher_told_at >= started_at || started_at > 1_000_000_000)",
        killed_by: OTHERS,
        says: "a killed backend",
    },
    Mutant {
        name: "start-at-once",
        breaks: "The launcher waits after repeated deaths.",
        file: "src/launcher.rs",
        from: "            return wait;\n        }\n        let since",
        to: "            let _ = wait;\n        }\n        let since",
        killed_by: DELAY,
        says: "the next one did not wait",
    },
    Mutant {
        name: "main-thread-innocent",
        breaks: "What the main thread is at when it dies again is convicted.",
        file: "crates/dispatch/src/deaths.rs",
        from: "        return is_known.then_some(main);",
        to: "        let _ = is_known;",
        killed_by: MAIN_TABLE,
        says: "right: ([7, 8], [1])",
    },
    Mutant {
        name: "recording-unnoted",
        breaks: "The main thread notes whose attempt it records.",
        file: "src/store/record/attempts.rs",
        from: "        life::at_event(record.delivery.place());\n",
        to: "",
        killed_by: RECORD,
        says: "2 times in a row",
    },
    Mutant {
        name: "sent-is-cleared",
        breaks: "A suspect is one until it is recorded.",
        file: "crates/dispatch/src/settle.rs",
        from: "        for suspect in self.gate.finish(&work, self.lanes) {\n",
        to: "        self.gate.suspects = crate::suspects::Suspects::default();\n        let (suspects, poison) = (Vec::new(), Vec::new());\n        self.effects.push(Effect::Keep { suspects, poison });\n        for suspect in self.gate.finish(&work, self.lanes) {\n",
        killed_by: RECORD,
        says: "connection closed",
    },
    Mutant {
        name: "burial-unnoted",
        breaks: "The main thread notes whose dead letter it writes.",
        file: "src/deaths.rs",
        from: "    life::at_event(place);\n",
        to: "",
        killed_by: BURIAL,
        says: "select count(*) from herald.dead_letter",
    },
    Mutant {
        name: "letter-keeps-poison",
        breaks: "A dead letter that the worker died of twice keeps no data.",
        file: "sql/delivery/bury.sql",
        from: "$8 = 'everything' and b.deaths = 0 and",
        to: "$8 = 'everything' and",
        killed_by: BURIAL,
        says: "select count(*) from herald.dead_letter",
    },
    Mutant {
        name: "disabled-at-once",
        breaks: "What became visible before a subscription was disabled is for it, also after a crash.",
        file: "crates/dispatch/src/subscriptions.rs",
        from: "self.disabled_xid.is_some_and(|xid| window.to.shows(xid))",
        to: "self.disabled_xid.is_some()",
        killed_by: BURIAL,
        says: "waited",
    },
    Mutant {
        name: "reading-unnoted",
        breaks: "The main thread notes which event it reads.",
        file: "src/log/row.rs",
        from: "    life::at_event(Place::of_event(slot, seq));\n",
        to: "",
        killed_by: READING,
        says: "the worker at this event",
    },
    Mutant {
        name: "poison-read-again",
        breaks: "Of an event that killed the worker twice only what matching needs is read.",
        file: "crates/dispatch/src/reader.rs",
        from: "        let extent = extent.around(number, context.suspects.given_up());\n",
        to: "",
        killed_by: READING,
        says: "left: [\"bad\", \"order.1\", \"order.2\"]",
    },
];
