//! Who takes an event of those that want it, and what `subscribe` warns of.

use crate::mutants::mutant::{EndToEnd, Mutant, Unit};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "split-everybody",
        breaks: "Of a group, one member gets an event.",
        file: "crates/dispatch/src/split.rs",
        from: "is_taker && wanted.takes(event)",
        to: "(is_taker || true) && wanted.takes(event)",
        killed_by: Unit(
            "herald-dispatch split::tests::each_event_goes_to_one_member_and_to_everybody_outside",
        ),
        says: "takers.len() == 2",
    },
    Mutant {
        name: "split-newcomer",
        breaks: "A member takes no event from before its creation.",
        file: "crates/dispatch/src/split.rs",
        from: ".filter(|loaded| loaded.since.gets(logged, window))?;",
        to: ".filter(|_| window.number >= 0)?;",
        killed_by: Unit(
            "herald-dispatch split::tests::a_member_takes_nothing_from_before_its_creation",
        ),
        says: "right: [[1]",
    },
    Mutant {
        name: "split-across-tenants",
        breaks: "A tenant's group is its own.",
        file: "crates/dispatch/src/split.rs",
        from: "(loaded.agent.is_tenants, wanted.tenant.as_deref(), group)",
        to: "(loaded.agent.is_tenants && group.is_empty(), None, group)",
        killed_by: Unit(
            "herald-dispatch split::tests::tenants_and_the_platform_have_groups_of_their_own",
        ),
        says: "right: 3",
    },
    Mutant {
        name: "split-former-state",
        breaks: "A window that is read again divides its events as before, after a pause too.",
        file: "sql/subscription/tables.sql",
        from: "        or old.options ? 'split' and old.state <> new.state)",
        to: "        or false)",
        killed_by: EndToEnd("split an_event_keeps_its_member_after_a_pause_and_a_crash"),
        says: "assertion",
    },
    Mutant {
        name: "split-paused-takes",
        breaks: "A member that is not active leaves events to an active one.",
        file: "crates/core/src/subscription/split.rs",
        from: "let stands_back = !(member.split.is_active && member.is_decided);",
        to: "let stands_back = !member.is_decided;",
        killed_by: Unit(
            "herald-core subscription::split::tests::a_member_that_is_not_active_or_cannot_decide_stands_back",
        ),
        says: "right: [2",
    },
    Mutant {
        name: "split-by-event",
        breaks: "Events of a key go to one member.",
        file: "crates/core/src/subscription/split.rs",
        from: "event.key.as_deref().unwrap_or(&event.id)",
        to: "event.key.as_deref().map_or(&*event.id, |_| &event.id)",
        killed_by: Unit("herald-core subscription::split::tests::events_of_a_key_go_to_one_member"),
        says: "assertion",
    },
    Mutant {
        name: "split-without-bound",
        breaks: "A group has a bounded number of members.",
        file: "sql/subscription/save.sql",
        from: "and s.id <> entry.id and s.removed_at is null) >= most",
        to: "and s.id <> entry.id and s.removed_at is null) > most",
        killed_by: EndToEnd("split a_group_has_at_most_a_hundred_members"),
        says: "was not refused",
    },
    Mutant {
        name: "sample-without-rate",
        breaks: "A sampled event says how many it stands for.",
        file: "crates/core/src/request/style.rs",
        from: ".filter(|sample| sample.one_in() > 1),",
        to: ".filter(|sample| sample.one_in() == 1),",
        killed_by: EndToEnd(
            "split a_sample_has_one_event_in_so_many_and_writes_nothing_of_the_others",
        ),
        says: "right: 4",
    },
    Mutant {
        name: "sample-replayed-whole",
        breaks: "A replay goes by the sample.",
        file: "crates/core/src/subscription/selection.rs",
        from: "Ok(is_taker && wanted.takes(event))",
        to: "Ok(is_taker)",
        killed_by: Unit(
            "herald-core subscription::selection::tests::the_rule_that_decided_is_named",
        ),
        says: "Ok(false)",
    },
    Mutant {
        name: "unseen-absence",
        breaks: "A path that a filter wants to be absent is no slip.",
        file: "crates/core/src/filter/unseen.rs",
        from: "} if !condition.holds(&[]) => paths.push(path.clone()),",
        to: "} if condition.size() > 0 => paths.push(path.clone()),",
        killed_by: Unit(
            "herald-core filter::unseen::tests::a_path_that_no_event_has_is_found_in_every_dialect",
        ),
        says: "gone",
    },
    Mutant {
        name: "unseen-deep",
        breaks: "Data that cannot be read raises no warning.",
        file: "crates/core/src/filter/unseen.rs",
        from: "Err(_) => self.missing.clear(),",
        to: "Err(_) => {}",
        killed_by: Unit(
            "herald-core filter::unseen::tests::data_that_cannot_be_read_may_have_everything",
        ),
        says: "is_empty()",
    },
];
