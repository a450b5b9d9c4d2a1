//! The mutants. A new promise gets its mutant here, with the test that it must not survive.
//!
//! Those whose tests run inside PostgreSQL come last: going to and fro costs a compilation of pgrx each time.

use super::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
    // Reading the log.
    Mutant {
        name: "system-xmin",
        breaks: "A long transaction delays its own events and nothing else.",
        file: "sql/queries/read_window.sql",
        from: "pg_catalog.pg_visible_in_snapshot(e.xid, $4::pg_snapshot)
and not pg_catalog.pg_visible_in_snapshot(e.xid, $3::pg_snapshot)",
        to: "e.xid < pg_catalog.pg_snapshot_xmin($4::pg_snapshot)
and e.xid >= pg_catalog.pg_snapshot_xmin($3::pg_snapshot)",
        killed_by: Test::EndToEnd {
            file: "windows",
            name: "a_long_transaction_delays_only_its_own_events",
        },
        says: "in vain for 30 accepted webhook-ids",
    },
    Mutant {
        name: "naive-cursor",
        breaks: "An event is read although higher numbers were read before its transaction ended.",
        file: "crates/core/src/floors.rs",
        from: "        listed.chain(unlisted).fold(self.newest(), Floor::min)
    }

    /// The lowest of all",
        to: "        drop(listed.chain(unlisted));
        self.newest()
    }

    /// The lowest of all",
        killed_by: Test::EndToEnd {
            file: "windows",
            name: "a_long_transaction_delays_only_its_own_events",
        },
        says: "in vain for 32 accepted webhook-ids",
    },
    Mutant {
        name: "unlisted-transactions",
        breaks: "A transaction that runs although no snapshot lists it keeps its floor.",
        file: "crates/core/src/floors.rs",
        from: "_ => self.by_first_id.push_back((next_id, floor)),",
        to: "_ => self.by_first_id.push_back((to.xmax(), floor)),",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "floors::tests::a_transaction_keeps_its_floor_when_it_becomes_listed",
        },
        says: "right: Floor { seq: 3",
    },
    // What is sent.
    Mutant {
        name: "dots-in-a-path",
        breaks: "No event climbs out of the path of its url.",
        file: "crates/core/src/placeholders.rs",
        from: "if value.bytes().all(|byte| byte == b'.') {",
        to: "if value.is_empty() {",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "placeholders::tests::a_value_of_nothing_but_dots_is_refused_in_a_url",
        },
        says: "called `Result::unwrap_err()` on an `Ok` value",
    },
    Mutant {
        name: "host-of-an-event",
        breaks: "Which server is called never depends on an event.",
        file: "crates/core/src/target.rs",
        from: "if origin.contains(MARK) {",
        to: "if origin.is_empty() {",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "target::tests::the_host_is_never_an_event_s",
        },
        says: "https://{subject}",
    },
    Mutant {
        name: "inexact-numbers",
        breaks: "No number is changed in silence to be signed.",
        file: "crates/core/src/ecmascript/number.rs",
        from: ".filter(|shortest| *shortest == value)",
        to: ".filter(|_| true)",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "request::tests::numbers_go_as_ecmascript_writes_them_or_not_at_all",
        },
        says: "called `Result::unwrap_err()` on an `Ok` value",
    },
    Mutant {
        name: "values-without-quotes",
        breaks: "No data breaks out of its place in a template's JSON.",
        file: "crates/core/src/format/template.rs",
        from: "media if is_json(&media) => \"template.json\",",
        to: "media if is_json(&media) => \"template.txt\",",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "format::template::tests::no_data_can_break_out_of_its_place",
        },
        says: "made no JSON",
    },
    Mutant {
        name: "consent-to-another",
        breaks: "A receiver consents to us, and not to anybody.",
        file: "crates/core/src/handshake.rs",
        from: "Some(_) => return Err(\"its WebHook-Allowed-Origin is another\".into()),",
        to: "Some(_) => {}",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "handshake::tests::only_the_headers_say_yes",
        },
        says: "other.example.com",
    },
    Mutant {
        name: "faster-than-granted",
        breaks: "A receiver gets no more a minute than it consented to.",
        file: "crates/core/src/lane.rs",
        from: "self.delayed_until = self.delayed_until.max(until);
        }
        Some(delivery)",
        to: "drop(until);
        }
        Some(delivery)",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "lane::tests::a_rate_is_kept_however_much_is_there_and_however_quick_the_receiver_is",
        },
        says: " of 1",
    },
    Mutant {
        name: "template-of-a-tenant",
        breaks: "A tenant runs no program in the server.",
        file: "sql/04_save_subscription.sql",
        from: "if herald._tenants_of(herald._caller()) is not null
        and entry.template",
        to: "if false and entry.template",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "a_tenant_has_no_template_but_may_keep_the_platform_s",
        },
        says: "was not refused",
    },
    Mutant {
        name: "sandbox-that-sends",
        breaks: "A sandbox sends nothing.",
        file: "src/dispatch/work.rs",
        from: "self.subscription.state == State::Sandbox",
        to: "self.subscription.state == State::Disabled",
        killed_by: Test::EndToEnd {
            file: "apply",
            name: "a_sandbox_is_matched_signed_and_recorded_and_sends_nothing",
        },
        says: "left: \"delivered 200 ",
    },
    // Crashes.
    Mutant {
        name: "window-closed-early",
        breaks: "A window is closed with or after the records of its deliveries, never before.",
        file: "src/dispatch/windows.rs",
        from: "progress.is_read && progress.outstanding == 0",
        to: "progress.is_read",
        killed_by: Test::EndToEnd {
            file: "crash",
            name: "a_window_that_is_read_again_sends_only_what_was_not_recorded",
        },
        says: "right: (11, 10)",
    },
    Mutant {
        name: "no-flush",
        breaks: "Nothing is sent before what it tells of is flushed.",
        file: "src/dispatch/reader.rs",
        from: "                    flush_at_commit();\n",
        to: "",
        killed_by: Test::EndToEnd {
            file: "crash",
            name: "what_was_sent_survives_a_crash_although_its_commit_was_asynchronous",
        },
        says: "left: \"-\"",
    },
    Mutant {
        name: "no-anti-join",
        breaks: "What was recorded before a crash is not sent again.",
        file: "src/dispatch/reader.rs",
        from: "let done = if window.is_recovered {",
        to: "let done = if false {",
        killed_by: Test::EndToEnd {
            file: "crash",
            name: "a_window_that_is_read_again_sends_only_what_was_not_recorded",
        },
        says: "left: (20, 10)",
    },
    Mutant {
        name: "no-lease",
        breaks: "There is one worker for each database.",
        file: "src/pg/lock.rs",
        from: "    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL",
        to: "    let _ = result;\n    true",
        killed_by: Test::EndToEnd {
            file: "life",
            name: "a_worker_that_is_started_beside_another_leaves_it_the_database",
        },
        says: "in vain for two more workers to leave",
    },
    Mutant {
        name: "lease-lost-on-error",
        breaks: "The only worker stays the only one when a transaction of its own fails.",
        file: "src/pg/lock.rs",
        from: "pg_sys::USER_LOCKMETHOD as u8",
        to: "pg_sys::DEFAULT_LOCKMETHOD as u8",
        killed_by: Test::EndToEnd {
            file: "life",
            name: "two_workers_on_one_database_are_impossible",
        },
        says: "left: 0",
    },
    // Matching.
    Mutant {
        name: "subscriptions-late",
        breaks: "A window is matched with the subscriptions of its own snapshot.",
        file: "src/dispatch/reader.rs",
        from: "        let subscriptions = reloaded.as_ref().unwrap_or(subscriptions);\n",
        to: "",
        killed_by: Test::EndToEnd {
            file: "subscriptions",
            name: "a_subscription_gets_the_events_after_its_creation_also_in_its_own_transaction",
        },
        says: "right: [\"begun.before\", \"long.after\", \"same.after\"]",
    },
    Mutant {
        name: "creation-ignored",
        breaks: "A subscription gets nothing that was visible before it was created.",
        file: "src/dispatch/subscriptions.rs",
        from: ".filter(move |one| one.was_there_for(logged, window))",
        to: ".filter(move |_| true)",
        killed_by: Test::EndToEnd {
            file: "subscriptions",
            name: "a_subscription_gets_the_events_after_its_creation_also_in_its_own_transaction",
        },
        says: "\"same.after\", \"same.before\"]",
    },
    // What is sent, where to, and when it counts.
    Mutant {
        name: "signature-of-other-bytes",
        breaks: "The signature is over the bytes that are sent.",
        file: "crates/core/src/request.rs",
        from: "&event.uid, now_unix, &body)?",
        to: "&event.uid, now_unix, event.data.as_deref().unwrap_or_default().as_bytes())?",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "request::tests::the_reference_library_accepts_the_body_as_it_is_sent_with_either_secret",
        },
        says: "assertion failed: webhook.verify(&request.body, &headers).is_ok()",
    },
    Mutant {
        name: "signature-without-time",
        breaks: "A request cannot be sent again under another time.",
        file: "crates/core/src/signature.rs",
        from: "[id.as_bytes(), b\".\", timestamp.as_bytes(), b\".\", body]",
        to: "[id.as_bytes(), b\".\", b\"\", b\"\", body]",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "signature::tests::published_vectors_are_reproduced",
        },
        says: "right: \"v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=\"",
    },
    Mutant {
        name: "redirect-is-success",
        breaks: "Only a 2xx status is a success.",
        file: "crates/core/src/outcome.rs",
        from: "fault_of(status, (200..=299).contains(&status))",
        to: "fault_of(status, (200..=399).contains(&status))",
        killed_by: Test::Unit {
            package: "herald-core",
            name: "outcome::tests::only_2xx_is_a_success",
        },
        says: "failed: 300",
    },
    Mutant {
        name: "no-address-filter",
        breaks: "No private address is dialled unless a setting allows it.",
        file: "crates/sender/src/resolver.rs",
        from: "if let Err(reason) = self.url_policy.check_address_of(host, address) {",
        to: "if let Err(reason) = self.url_policy.check_address_of(host, address) && false {",
        killed_by: Test::Integration {
            package: "herald-sender",
            name: "network_policy::private_addresses_are_blocked_by_default",
        },
        says: "127.0.0.1: Outcome { status: Some(200)",
    },
    Mutant {
        name: "own-port-open",
        breaks: "No webhook talks to the database server that sends it.",
        file: "crates/core/src/url_policy.rs",
        from: "self.own_port == Some(port)",
        to: "self.own_port == Some(port) && false",
        killed_by: Test::EndToEnd {
            file: "egress",
            name: "the_server_s_own_port_is_closed_whatever_is_allowed",
        },
        says: "was not refused",
    },
    Mutant {
        name: "spilled-for-want-of-a-thread",
        breaks: "Who only waits for a thread does not go through pending.",
        file: "crates/core/src/lane.rs",
        from: "let is_stuck = is_unanswered && self.is_slow(now);",
        to: "let is_stuck = is_unanswered || self.is_slow(now);",
        killed_by: Test::EndToEnd {
            file: "isolation",
            name: "who_only_waits_for_a_thread_does_not_go_through_pending",
        },
        says: "right: 0",
    },
    Mutant {
        name: "never-caught-up",
        breaks: "A subscription that has caught up is fed from the log again.",
        file: "src/dispatch/mod.rs",
        from: "                entry.expect_due(now);\n",
        to: "",
        killed_by: Test::EndToEnd {
            file: "subscriptions",
            name: "a_subscription_that_has_caught_up_gets_its_events_from_the_log_again",
        },
        says: "in vain for five events in a row from the log",
    },
    // Tenants.
    Mutant {
        name: "barrier-open",
        breaks: "No function of a tenant's is asked about rows of another.",
        file: "sql/07_insight.sql",
        from: "create view herald.attempt with (security_barrier) as",
        to: "create view herald.attempt as",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "every_relation_shows_a_tenant_its_own_rows_and_every_function_knows_only_those",
        },
        says: "leaked",
    },
    Mutant {
        name: "events-of-all",
        breaks: "A tenant finds its own events only.",
        file: "sql/06_find.sql",
        from: "    where m.id = event_id and (own is null or e.tenant = any (own));",
        to: "    where m.id = event_id;",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "every_relation_shows_a_tenant_its_own_rows_and_every_function_knows_only_those",
        },
        says: "was not refused",
    },
    Mutant {
        name: "tenant-left",
        breaks: "A tenant cannot make a subscription one of nobody's.",
        file: "sql/04_subscribe.sql",
        from: "(named is null or named <> all (own) or tenant is distinct from named)",
        to: "(named is null or named <> all (own))",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "every_relation_shows_a_tenant_its_own_rows_and_every_function_knows_only_those",
        },
        says: "left: \"22023\"",
    },
    Mutant {
        name: "deputy-by-view",
        breaks: "Nobody sees more through a view that a tenant made.",
        file: "sql/02_tenant.sql",
        from: "pg_catalog.has_any_column_privilege(c.oid, 'select') as is_readable",
        to: "true as is_readable",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "nobody_sees_more_through_what_a_tenant_made",
        },
        says: "attempt",
    },
    Mutant {
        name: "deputy-by-function",
        breaks: "A function of a tenant's sees what the tenant sees, whoever calls it.",
        file: "src/compile.rs",
        from: "Ok(forward::caller().unwrap_or_else(user::outer_user))",
        to: "let _ = forward::caller();
    Ok(user::outer_user())",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "nobody_sees_more_through_what_a_tenant_made",
        },
        says: "deputy_other/shop",
    },
    Mutant {
        name: "replay-by-hand",
        breaks: "A plan without replays does not send again what was delivered.",
        file: "sql/06_redeliver.sql",
        from: "perform herald._check_replay(entry.tenant, herald._recorded_at(event.uid));",
        to: "null;",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "plans::a_plan_limits_subscriptions_attempts_dead_letters_and_replays",
        },
        says: "was not refused",
    },
    Mutant {
        name: "tenants-as-the-platform",
        breaks: "What goes for tenants goes for their requests.",
        file: "src/dispatch/subscriptions.rs",
        from: "                is_tenants,\n",
        to: "                is_tenants: false,\n",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "tenants_reach_the_networks_of_tenants_and_are_told_no_more",
        },
        says: "no such host",
    },
    Mutant {
        name: "inherited-past",
        breaks: "A tenant has nothing of who had its name before.",
        file: "sql/02_tenant.sql",
        from: "        update herald._subscription s set tenant = null where s.tenant = old.name;\n",
        to: "",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "a_tenant_has_nothing_of_who_had_its_name_and_a_subscription_keeps_its_tenant",
        },
        says: "attempt",
    },
    Mutant {
        name: "quota-without-what-is-under-way",
        breaks: "No quota is passed by what is under way.",
        file: "crates/core/src/tenants.rs",
        from: "let events = self.quota.events + self.unrecorded;",
        to: "let events = self.quota.events;",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "plans::beyond_a_blocking_quota_deliveries_are_buried_and_retries_go_on",
        },
        says: "right: (5, 10)",
    },
    Mutant {
        name: "tenants-wait",
        breaks: "A tenant's open transaction keeps nobody waiting.",
        file: "src/dispatch/mod.rs",
        from: "if error.sqlstate == \"55P03\" {",
        to: "if false {",
        killed_by: Test::EndToEnd {
            file: "tenants",
            name: "plans::a_tenant_that_leaves_a_transaction_open_keeps_nobody_waiting",
        },
        says: "still pending",
    },
    Mutant {
        name: "tenants-inside",
        breaks: "Tenants reach what tenants may.",
        file: "crates/sender/src/agents.rs",
        from: "let resolver = if key.is_tenants {",
        to: "let resolver = if false {",
        killed_by: Test::Integration {
            package: "herald-sender",
            name: "network_policy::a_tenant_reaches_what_tenants_may_and_learns_nothing_of_where_a_name_leads",
        },
        says: "left: Some(Connect)",
    },
    Mutant {
        name: "retries-after-the-log",
        breaks: "A retry does not wait for the end of the log.",
        file: "src/dispatch/lanes.rs",
        from: "} else if self.claimed.len() < BESIDE_THE_LOG / 2 {",
        to: "} else if false {",
        killed_by: Test::EndToEnd {
            file: "delivery",
            name: "a_retry_does_not_wait_for_the_end_of_a_log_that_keeps_its_subscription_busy",
        },
        says: "it was the",
    },
    // Capture.
    Mutant {
        name: "paired-by-position",
        breaks: "A new row is never shown with the old row of another.",
        file: "src/capture/mod.rs",
        from: "(Some(old), Some(new)) if old.len() != new.len() => self.walk_unpaired(old, new),",
        to: "(Some(old), Some(new)) if false => self.walk_unpaired(old, new),",
        killed_by: Test::InDatabase {
            name: "a_suppressed_move_never_pairs_a_row_with_another_s_old_row",
        },
        says: "s/3 from 2",
    },
    // Emptying slots.
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
