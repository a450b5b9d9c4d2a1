//! How the log is read.

use crate::mutants::mutant::{EndToEnd, Mutant, Unit};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "system-xmin",
        breaks: "A long transaction delays its own events and nothing else.",
        file: "sql/queries/read_window.sql",
        from: "pg_catalog.pg_visible_in_snapshot(e.xid, $4::pg_snapshot)
and not pg_catalog.pg_visible_in_snapshot(e.xid, $3::pg_snapshot)",
        to: "e.xid < pg_catalog.pg_snapshot_xmin($4::pg_snapshot)
and e.xid >= pg_catalog.pg_snapshot_xmin($3::pg_snapshot)",
        killed_by: EndToEnd("windows a_long_transaction_delays_only_its_own_events"),
        says: "waiting for 30 accepted webhook-ids",
    },
    Mutant {
        name: "naive-cursor",
        breaks: "An event is read although higher numbers were read before its transaction ended.",
        file: "crates/dispatch/src/floors.rs",
        from: "        listed.chain(unlisted).fold(self.newest(), Floor::min)
    }

    /// The lowest of all",
        to: "        drop(listed.chain(unlisted));
        self.newest()
    }

    /// The lowest of all",
        killed_by: EndToEnd("windows a_long_transaction_delays_only_its_own_events"),
        says: "waiting for 32 accepted webhook-ids",
    },
    Mutant {
        name: "unlisted-transactions",
        breaks: "A transaction that runs although no snapshot lists it keeps its floor.",
        file: "crates/dispatch/src/floors.rs",
        from: "_ => self.by_first_id.push_back((next_id, floor)),",
        to: "_ => self.by_first_id.push_back((to.xmax(), floor)),",
        killed_by: Unit(
            "herald-dispatch floors::tests::a_transaction_keeps_its_floor_when_it_becomes_listed",
        ),
        says: "right: Floor { seq: 3",
    },
];
