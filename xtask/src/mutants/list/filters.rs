//! What filters decide, and what they may take.

use crate::mutants::mutant::{EndToEnd, InDatabase, Mutant, Unit};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "filter-both-sides",
        breaks: "OR evaluates its right side only if the left one is false.",
        file: "crates/core/src/filter/cesql/eval.rs",
        from: "left.into_boolean()? || self.operand(right)?.into_boolean()?",
        to: "self.operand(right)?.into_boolean()? || left.into_boolean()?",
        killed_by: Unit(
            "herald-core filter::cesql::eval::tests::and_and_or_evaluate_their_right_side_only_if_it_decides",
        ),
        says: "TRUE OR missing",
    },
    Mutant {
        name: "filter-error-true",
        breaks: "No event passes a filter that fails.",
        file: "crates/core/src/filter/cesql/value.rs",
        from: "Type::Boolean => Value::Boolean(false),",
        to: "Type::Boolean => Value::Boolean(true),",
        killed_by: Unit(
            "herald-core filter::cesql::eval::tests::an_error_stands_beside_the_value_that_the_specification_demands",
        ),
        says: "NOT 'a'",
    },
    Mutant {
        name: "filter-nesting",
        breaks: "The nesting of a filter is bounded.",
        file: "crates/core/src/filter/cesql/parser.rs",
        from: "if self.levels == MAX_NESTING {",
        to: "if self.levels == MAX_NESTING + 1 {",
        killed_by: Unit(
            "herald-core filter::cesql::tests::nesting_may_have_the_limit_and_no_level_more",
        ),
        says: "on an `Ok` value",
    },
    Mutant {
        name: "filter-memory",
        breaks: "The memory of an evaluation is bounded.",
        file: "crates/core/src/filter/cesql/budget.rs",
        from: "self.bytes.checked_sub(bytes)",
        to: "self.bytes.checked_sub(0)",
        killed_by: Unit(
            "herald-core filter::cesql::tests::functions_build_up_to_the_limit_in_one_evaluation",
        ),
        says: "CONCAT(x, x",
    },
    Mutant {
        name: "filter-time",
        breaks: "The time of an evaluation is bounded.",
        file: "crates/core/src/filter/cesql/budget.rs",
        from: "self.characters.checked_sub(1)",
        to: "self.characters.checked_sub(0)",
        killed_by: Unit("herald-core filter::cesql::tests::comparing_takes_bounded_time"),
        says: "on a `None` value",
    },
    Mutant {
        name: "filter-index-misses",
        breaks: "The index proposes every filter that an event passes.",
        file: "crates/core/src/filter/index.rs",
        from: "proposed.extend(&self.any);\n        if !self.equal",
        to: "if !self.equal",
        killed_by: Unit(
            "herald-core subscription::matcher::tests::filters_decide_as_if_each_was_asked",
        ),
        says: "left",
    },
    Mutant {
        name: "filter-index-crowded",
        breaks: "A filter is filed under what the fewest others share.",
        file: "crates/core/src/filter/index.rs",
        from: "homes.min_by_key(|home| self.cost(home))",
        to: "homes.last()",
        killed_by: Unit(
            "herald-core subscription::matcher::tests::many_filters_cost_an_event_what_it_meets",
        ),
        says: "filters were asked",
    },
    Mutant {
        name: "filter-unreadable-refused",
        breaks: "An event whose data a filter cannot read is not dropped in silence.",
        file: "crates/core/src/subscription/matcher.rs",
        from: "Err(_) => undecided.push(index),",
        to: "Err(_) => {}",
        killed_by: Unit(
            "herald-core subscription::matcher::tests::an_event_whose_data_cannot_be_read_is_undecided_for_filters_that_need_it_and_its_types",
        ),
        says: "left: ([0], [])",
    },
    Mutant {
        name: "window-by-what-is-wanted-now",
        breaks: "A window that is read again goes by what subscriptions wanted then.",
        file: "crates/dispatch/src/former.rs",
        from: ".find(|former| !window.to.shows(former.until_xid))",
        to: ".find(|_| false)",
        killed_by: Unit(
            "herald-dispatch former::tests::a_window_goes_by_what_it_shows_of_a_subscription",
        ),
        says: "in a window up to 9",
    },
    Mutant {
        name: "sql-need-of-either",
        breaks: "An index leaves out no expression that may be true.",
        file: "crates/core/src/filter/cesql/need.rs",
        from: "                of_chain.clear();",
        to: "                of_chain.truncate(usize::MAX);",
        killed_by: Unit(
            "herald-core filter::cesql::need::tests::an_expression_is_true_only_if_its_needs_are_met",
        ),
        says: "minimal failing input",
    },
    Mutant {
        name: "former-match-not-stored",
        breaks: "A change of what a subscription wants is stored for windows that do not show it.",
        file: "sql/subscription/tables.sql",
        from: "    when ((old.types, old.tenant, herald_internal.selecting(old.options))\n",
        to: "    when (false and (old.types, old.tenant, herald_internal.selecting(old.options))\n",
        killed_by: EndToEnd(
            "filters what_was_read_before_a_change_keeps_its_subscriptions_after_a_crash",
        ),
        says: "before1",
    },
    Mutant {
        name: "former-match-forgotten",
        breaks: "What a subscription matched before is kept while an open window may ask for it.",
        file: "sql/house/house.sql",
        from: "            select min(pg_snapshot_xmin(w.to_snapshot))",
        to: "            select max(pg_snapshot_xmin(w.to_snapshot))",
        killed_by: InDatabase(
            "what_a_subscription_matched_before_is_kept_while_a_window_may_ask_for_it",
        ),
        says: "150 250",
    },
    Mutant {
        name: "former-match-without-bound",
        breaks: "A subscription that changes all the time keeps a bounded number of former states.",
        file: "sql/subscription/tables.sql",
        from: "f.subscription_id = old.id) < 100",
        to: "f.subscription_id = old.id) < 1000",
        killed_by: EndToEnd(
            "filters a_subscription_that_changes_all_the_time_keeps_a_bounded_number_of_former_states",
        ),
        says: "left: 300",
    },
    Mutant {
        name: "former-match-all-loaded",
        breaks: "Former states are loaded as far as a window may ask for them.",
        file: "crates/dispatch/src/reader.rs",
        from: ".min_by_key(|window| window.number)",
        to: ".next()",
        killed_by: Unit(
            "herald-dispatch reader::tests::what_subscriptions_wanted_before_is_loaded_as_far_as_a_window_may_ask_for_it",
        ),
        says: "right: [7]",
    },
    Mutant {
        name: "mended-filter-keeps-all",
        breaks: "Once an unreadable filter is mended, what does not pass it is removed.",
        file: "sql/subscription/matching.sql",
        from: "or not coalesce(herald_internal.gets(selection, e), true));",
        to: "or false);",
        killed_by: EndToEnd(
            "filters a_stored_filter_that_cannot_be_read_holds_events_and_passes_the_right_ones_once_mended",
        ),
        says: "left: 2",
    },
    Mutant {
        name: "sql-without-budget",
        breaks: "The expressions of all filters have a bounded time for one event.",
        file: "crates/core/src/filter/rule.rs",
        from: "view.work(evaluation.work as u64, 1)?;",
        to: "view.work(0, 1)?;",
        killed_by: Unit(
            "herald-core filter::tests::bounds::what_expressions_do_for_an_event_is_bounded",
        ),
        says: "TooLong",
    },
    Mutant {
        name: "filter-digits-lost",
        breaks: "A filter keeps all digits of its numbers.",
        file: "crates/core/src/subscription/options/value.rs",
        from: "        Ok(Json(json.to_owned()))",
        to: "        Self::read(\"\", &serde_json::from_str(json).unwrap_or_default())",
        killed_by: EndToEnd(
            "filters numbers_keep_all_their_digits_through_storage_update_and_apply",
        ),
        says: "digits",
    },
    Mutant {
        name: "filter-without-plan",
        breaks: "A tenant sets filters only if its plan has them.",
        file: "sql/subscription/save.sql",
        from: "where t.name = wanted ->> 'tenant' and not p.filters;",
        to: "where t.name = wanted ->> 'tenant' and false;",
        killed_by: EndToEnd("filters a_plan_may_withhold_filters_from_tenants"),
        says: "refus",
    },
];
