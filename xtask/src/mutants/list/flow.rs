//! How fast deliveries leave.

use crate::mutants::mutant::{Mutant, Test, Unit};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "rate-not-kept",
        breaks: "A lane keeps its rate.",
        file: "crates/dispatch/src/lane.rs",
        from: "self.in_flight >= self.concurrency(now) || self.paced_until(now).is_some()",
        to: "self.in_flight >= self.concurrency(now)",
        killed_by: Test::Simulation,
        says: "see: cargo xtask simulate --seed",
    },
    Mutant {
        name: "rate-of-plan-not-kept",
        breaks: "A tenant keeps the rate of its plan.",
        file: "crates/dispatch/src/gate.rs",
        from: "of_tenant.max(self.hosts.paced_until(whose.host.as_deref(), now.micros))",
        to: "self.hosts.paced_until(whose.host.as_deref(), now.micros).filter(|_| of_tenant != Some(0))",
        killed_by: Test::Simulation,
        says: "see: cargo xtask simulate --seed",
    },
    Mutant {
        name: "rate-of-host-not-counted",
        breaks: "Requests to a host count for its rate.",
        file: "crates/dispatch/src/hosts.rs",
        from: "pace.count(now);",
        to: "let _ = (pace, now);",
        killed_by: Unit("herald-dispatch hosts::tests::a_host_with_a_rate_takes_no_more"),
        says: "is_some()",
    },
    Mutant {
        name: "rate-holds-windows",
        breaks: "A lane at a rate moves what it cannot send within a second to pending, once.",
        file: "crates/dispatch/src/lane.rs",
        from: "(is_stuck || is_long) && !self.is_spilled",
        to: "is_stuck && !self.is_spilled || is_long && self.is_held",
        killed_by: Unit(
            "herald-dispatch lane::tests::what_a_rate_lets_go_of_in_over_a_second_is_spilled_once",
        ),
        says: "must_spill",
    },
    Mutant {
        name: "rate-claims-too-much",
        breaks: "A lane at a rate claims what it can use in two seconds.",
        file: "crates/dispatch/src/lanes/entry.rs",
        from: "REFILL_TO.min(usable)",
        to: "REFILL_TO.max(usable)",
        killed_by: Unit(
            "herald-dispatch lanes::entry::tests::a_lane_at_a_rate_claims_what_it_can_use_and_not_one_by_one",
        ),
        says: "right: 21",
    },
    Mutant {
        name: "rate-loses-lateness",
        breaks: "Being late costs nothing at a rate.",
        file: "crates/dispatch/src/pace.rs",
        from: "interval.saturating_mul(rest).saturating_add(interval / 2)",
        to: "interval.saturating_mul(rest)",
        killed_by: Unit(
            "herald-dispatch pace::tests::ten_in_a_second_are_never_twelve_and_nearly_all_of_them_leave",
        ),
        says: "every",
    },
    Mutant {
        name: "rate-after-clock-set-back",
        breaks: "A clock that is set back stops no lane.",
        file: "crates/dispatch/src/pace.rs",
        from: "self.even_nanos = self.even_nanos.min(latest);",
        to: "let _ = latest;",
        killed_by: Unit(
            "herald-dispatch pace::tests::a_clock_that_is_set_back_delays_by_an_interval_at_most",
        ),
        says: "right: Some(105000)",
    },
];
