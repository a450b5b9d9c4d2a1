//! When a slot may be emptied. These run inside PostgreSQL.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "held-events-not-kept",
        breaks: "What a pending delivery or a dead letter needs outlives its slot.",
        file: "sql/09_house.sql",
        from: "    perform herald._hold_events(slot, 2147483647);\n",
        to: "",
        killed_by: Test::InDatabase {
            name: "what_pending_and_dead_letters_need_is_held_when_its_slot_is_emptied",
        },
        says: "left: []",
    },
    Mutant {
        name: "emptied-unread",
        breaks: "No slot is emptied before it was read to its end.",
        file: "sql/09_house.sql",
        from: "and not pg_visible_in_snapshot(e.xid, $1) and e.origin = $2)",
        to: "and false and e.origin = $2)",
        killed_by: Test::InDatabase {
            name: "a_slot_stays_until_it_was_read_to_its_end",
        },
        says: "an unread event is gone",
    },
];
