//! What is sent, and where to.

use crate::mutants::mutant::{Mutant, Test};

pub const MUTANTS: &[Mutant] = &[
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
        file: "src/dispatch/recording.rs",
        from: "            entry.expect_due(now);\n",
        to: "",
        killed_by: Test::EndToEnd {
            file: "subscriptions",
            name: "a_subscription_that_has_caught_up_gets_its_events_from_the_log_again",
        },
        says: "in vain for five events in a row from the log",
    },
];
