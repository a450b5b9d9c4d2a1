//! What a role gets by the privileges that it has, and what it must not get by them. And dead letters of whatever there is.

use crate::mutants::mutant::{Mutant, Test};

const fn in_database(name: &'static str) -> Test {
    Test::InDatabase { name }
}

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "rows-of-all",
        breaks: "What a tenant can count is its own.",
        file: "sql/07_insight.sql",
        from: " where (select herald._sees_all(%1$L))",
        to: "",
        killed_by: in_database("what_a_tenant_can_count_is_its_own"),
        says: "own_two",
    },
    Mutant {
        name: "estimates-of-names",
        breaks: "What the planner expects tells no names.",
        file: "sql/07_insight.sql",
        from: "y.typcategory not in ('N', 'D', 'T', 'B')",
        to: "false",
        killed_by: in_database("estimates_know_nothing_of_names_and_words"),
        says: "_subscription.name",
    },
    Mutant {
        name: "locked-by-an-admin",
        breaks: "No role can lock what lies below what it may write.",
        file: "sql/09_access.sql",
        from: "string_agg(format('%s (%s)', p, c.names), ', ')",
        to: "string_agg(p, ', ')",
        killed_by: in_database("no_role_can_lock_what_is_not_its_own"),
        says: "it does not fail",
    },
    Mutant {
        name: "lock-of-anybody",
        breaks: "Nobody but pg_herald takes a lock that others wait for.",
        file: "sql/05_delivery.sql",
        from: "perform herald._lock('event ' || wanted_source || ' ' || emit.key);",
        to: "perform pg_advisory_xact_lock(hashtextextended(wanted_source || ' ' || emit.key, 7349));",
        killed_by: in_database("nothing_here_waits_for_a_lock_that_anybody_can_take"),
        says: "assertion `left == right` failed",
    },
    Mutant {
        name: "values-for-another-host",
        breaks: "Stored values go to nobody but whom they were given for.",
        file: "sql/04_save_subscription.sql",
        from: "perform herald._check_values_stay(entry, headers, tls, auth);",
        to: "null;",
        killed_by: in_database("stored_values_do_not_go_to_another_host"),
        says: "it does not fail",
    },
    Mutant {
        name: "platform-by-a-lost-row",
        breaks: "A tenant's subscription never becomes the platform's.",
        file: "sql/04_save_subscription.sql",
        from: "        entry.is_tenants);",
        to: "        exists (select from herald.tenant t where t.name = entry.tenant));",
        killed_by: in_database(
            "whose_a_subscription_is_does_not_change_with_the_row_of_its_tenant",
        ),
        says: "it does not fail",
    },
    Mutant {
        name: "tenant-by-a-name",
        breaks: "A tenant's role is a role, whatever it is called.",
        file: "sql/02_tenant.sql",
        from: "where pg_has_role($1::oid, t.role_oid, 'usage')",
        to: "where pg_has_role($1::oid, to_regrole(t.role::text)::oid, 'usage')",
        killed_by: in_database("the_role_of_a_tenant_is_the_role_and_not_its_name"),
        says: "left: \"{one}\"",
    },
    Mutant {
        name: "name-of-another-cluster",
        breaks: "A name in a dump is looked for in another cluster only.",
        file: "sql/02_tenant.sql",
        from: "if new.role_cluster <> herald._cluster() then",
        to: "if true then",
        killed_by: in_database(
            "a_restored_tenant_finds_its_role_by_oid_at_home_and_by_name_elsewhere",
        ),
        says: "former_name t",
    },
    Mutant {
        name: "deep-letters",
        breaks: "A dead letter can be read.",
        file: "sql/05_bury.sql",
        from: "when herald._is_too_deep(data::text) then",
        to: "when false then",
        killed_by: in_database("data_that_cannot_be_read_with_ease_is_left_out_of_a_letter"),
        says: "assertion `left == right` failed",
    },
    Mutant {
        name: "letters-lost-together",
        breaks: "An event that cannot be read costs its own letter its data, and no other.",
        file: "sql/05_bury.sql",
        from: "if how_many > 1 then",
        to: "if false then",
        killed_by: in_database("an_event_that_cannot_be_read_costs_its_own_letter_its_data"),
        says: "left: [\"false\"",
    },
    Mutant {
        name: "doctor-falls-ill",
        breaks: "A check that fails costs its own row.",
        file: "sql/07_doctor.sql",
        from: "            when others then\n                return query values (current_check",
        to: "            when assert_failure then\n                return query values (current_check",
        killed_by: in_database("a_check_that_fails_is_a_row_of_the_doctor"),
        says: "left: \"null\"",
    },
    Mutant {
        name: "names-by-scan",
        breaks: "A subscription is found without a look at others.",
        file: "sql/06_find.sql",
        from: "s.id = subscription::bigint",
        to: "s.id::text = subscription",
        killed_by: in_database(
            "a_subscription_is_found_by_its_name_and_its_id_without_a_look_at_others",
        ),
        says: "rows for",
    },
    Mutant {
        name: "history-without-a-name",
        breaks: "An ended subscription is there as long as its dead letters.",
        file: "sql/09_house.sql",
        from: "        and not exists (select from herald._dead_letter d where d.subscription_id = r.id)\n",
        to: "",
        killed_by: in_database("an_ended_subscription_is_kept_as_long_as_its_history"),
        says: "left: [\"shop.1\", \"shop.4\"]",
    },
];
