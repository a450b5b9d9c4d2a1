//! What keeps tenants apart.

use crate::mutants::mutant::{EndToEnd, Integration, Mutant};

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "events-of-all",
        breaks: "A tenant finds its own events only.",
        file: "sql/subscription/find.sql",
        from: "    where m.id = event_id and (own is null or e.tenant = any (own));",
        to: "    where m.id = event_id;",
        killed_by: EndToEnd(
            "tenants sight::every_relation_shows_a_tenant_its_own_rows_and_every_function_knows_only_those",
        ),
        says: "was not refused",
    },
    Mutant {
        name: "tenant-left",
        breaks: "A tenant cannot make a subscription one of nobody's.",
        file: "sql/subscription/subscribe.sql",
        from: "(named is null or named <> all (own) or tenant is distinct from named)",
        to: "(named is null or named <> all (own))",
        killed_by: EndToEnd(
            "tenants sight::every_relation_shows_a_tenant_its_own_rows_and_every_function_knows_only_those",
        ),
        says: "left: \"22023\"",
    },
    Mutant {
        name: "deputy-by-view",
        breaks: "Nobody sees more through a view that a tenant made.",
        file: "sql/tenant/sight.sql",
        from: "\n        and has_any_column_privilege(herald_internal.viewer(), format('herald.%I', relation), 'select');",
        to: ";",
        killed_by: EndToEnd("tenants sight::nobody_sees_more_through_what_a_tenant_made"),
        says: "attempt",
    },
    Mutant {
        name: "deputy-by-function",
        breaks: "A function of a tenant's sees what the tenant sees, whoever calls it.",
        file: "src/compile.rs",
        from: "Ok(forward::caller().unwrap_or_else(user::outer_user))",
        to: "let _ = forward::caller();
    Ok(user::outer_user())",
        killed_by: EndToEnd("tenants sight::nobody_sees_more_through_what_a_tenant_made"),
        says: "deputy_other/shop",
    },
    Mutant {
        name: "replay-by-hand",
        breaks: "A plan without replays does not send again what was delivered.",
        file: "sql/repair/redeliver.sql",
        from: "perform herald_internal.check_replay(entry.tenant, herald_internal.recorded_at(event.uid));",
        to: "null;",
        killed_by: EndToEnd(
            "tenants plans::a_plan_limits_subscriptions_attempts_dead_letters_and_replays",
        ),
        says: "was not refused",
    },
    Mutant {
        name: "tenants-as-the-platform",
        breaks: "What goes for tenants goes for their requests.",
        file: "src/store/subscriptions/row.rs",
        from: "                is_tenants,\n",
        to: "                is_tenants: false,\n",
        killed_by: EndToEnd(
            "tenants bounds::tenants_reach_the_networks_of_tenants_and_are_told_no_more",
        ),
        says: "no such host",
    },
    Mutant {
        name: "inherited-past",
        breaks: "A tenant has nothing of who had its name before.",
        file: "sql/tenant/tenant.sql",
        from: "        update herald_internal.subscription s set tenant = null where s.tenant = old.name;\n",
        to: "",
        killed_by: EndToEnd(
            "tenants accounts::a_tenant_inherits_nothing_from_a_former_tenant_of_its_name",
        ),
        says: "attempt",
    },
    Mutant {
        name: "quota-without-what-is-under-way",
        breaks: "No quota is passed by what is under way.",
        file: "crates/dispatch/src/tenants.rs",
        from: "let events = self.quota.events + self.unrecorded;",
        to: "let events = self.quota.events;",
        killed_by: EndToEnd(
            "tenants plans::beyond_a_blocking_quota_deliveries_are_buried_and_retries_go_on",
        ),
        says: "right: (5, 10)",
    },
    Mutant {
        name: "tenants-inside",
        breaks: "Tenants reach what tenants may.",
        file: "crates/sender/src/agents.rs",
        from: "let resolver = if key.is_tenants {",
        to: "let resolver = if false {",
        killed_by: Integration(
            "herald-sender network_policy::a_tenant_reaches_what_tenants_may_and_learns_nothing_of_where_a_name_leads",
        ),
        says: "left: Some(Connect)",
    },
    Mutant {
        name: "retries-after-the-log",
        breaks: "A retry does not wait for the end of the log.",
        file: "crates/dispatch/src/lanes/entry.rs",
        from: "} else if self.claimed.len() < when_full / 2 {",
        to: "} else if false {",
        killed_by: EndToEnd(
            "delivery a_retry_does_not_wait_for_the_end_of_a_log_that_keeps_its_subscription_busy",
        ),
        says: "it was the",
    },
    Mutant {
        name: "obstacle-told-by-a-ping",
        breaks: "A ping does not tell a tenant which setting is in its way.",
        file: "sql/repair/try.sql",
        from: "when p.error like 'cannot send: %' and",
        to: "when p.error like 'nothing can be sent: %' and",
        killed_by: EndToEnd(
            "tenants bounds::tenants_reach_the_networks_of_tenants_and_are_told_no_more",
        ),
        says: "ask who runs the database",
    },
];
