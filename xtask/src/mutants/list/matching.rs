//! Which events go where.

use crate::mutants::mutant::{EndToEnd, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "subscriptions-late",
        breaks: "A window is matched with the subscriptions of its own snapshot.",
        file: "crates/dispatch/src/reader.rs",
        from: "Some(view.changes(&subscriptions.snapshot)?)",
        to: "Some(view.changes(&look.snapshot)?)",
        killed_by: EndToEnd(
            "subscriptions a_subscription_gets_the_events_after_its_creation_also_in_its_own_transaction",
        ),
        says: "right: [\"begun.before\", \"long.after\", \"same.after\"]",
    },
    Mutant {
        name: "creation-ignored",
        breaks: "A subscription gets nothing that was visible before it was created.",
        file: "crates/dispatch/src/subscriptions.rs",
        from: ".filter(move |(loaded, _)| loaded.since.gets(logged, window))",
        to: ".filter(move |_| true)",
        killed_by: EndToEnd(
            "subscriptions a_subscription_gets_the_events_after_its_creation_also_in_its_own_transaction",
        ),
        says: "\"same.after\", \"same.before\"]",
    },
];
