//! How much of shared resources one tenant, host or receiver may use: look-ups, test requests, questions.

use crate::mutants::mutant::{EndToEnd, Mutant, Test, Unit};

const PINGS: Test = EndToEnd("isolation pings_of_a_hanging_endpoint_leave_threads_to_deliveries");

const PLACES: Test = EndToEnd("pings pings_are_limited_per_database_and_cluster");

pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "no-share-of-look-ups",
        breaks: "Names that hang keep nobody else's from being looked up.",
        file: "crates/sender/src/shares.rs",
        from: "if self.running.get(share).copied().unwrap_or(0) >= most {",
        to: "if self.running.get(share).copied().unwrap_or(0) >= usize::MAX.min(most + 99) {",
        killed_by: Unit("herald-sender dns::tests::hanging_names_do_not_delay_other_shares"),
        says: "soon()).is_ok()",
    },
    Mutant {
        name: "no-half-for-proven-names",
        breaks: "Names that are in use are renewed although all others hang.",
        file: "crates/sender/src/shares.rs",
        from: "self.running_doubtful < self.threads.div_ceil(2)",
        to: "self.running_doubtful < self.threads",
        killed_by: Unit(
            "herald-sender dns::tests::names_that_answered_are_renewed_although_all_others_hang",
        ),
        says: "good.example",
    },
    Mutant {
        name: "unbounded-look-up-queue",
        breaks: "A share has at most 64 names waiting.",
        file: "crates/sender/src/shares.rs",
        from: "waiting >= MAX_WAITING_PER_SHARE",
        to: "waiting > MAX_WAITING_PER_SHARE",
        killed_by: Unit("herald-sender shares::tests::the_queues_are_bounded_for_each_and_for_all"),
        says: "!wait(\"bad\", MAX_WAITING_PER_SHARE)",
    },
    Mutant {
        name: "cache-of-one-share",
        breaks: "A share that fills the cache of names makes room from its own.",
        file: "crates/sender/src/dns.rs",
        from: ".filter(|(_, entry)| largest.is_none_or(|(share, _)| entry.share == *share))",
        to: ".filter(|_| largest.is_some())",
        killed_by: Unit(
            "herald-sender dns::tests::a_share_that_fills_the_cache_makes_room_from_its_own",
        ),
        says: "contains_key(\"good.example\")",
    },
    Mutant {
        name: "pings-of-a-subscription",
        breaks: "The pings of one subscription leave places for others.",
        file: "src/pg/mailbox.rs",
        from: "if taken(&is_of_this) >= BOXES_PER_SUBSCRIPTION",
        to: "if taken(&is_of_this) > BOXES",
        killed_by: PINGS,
        says: "the ping was not answered in time",
    },
    Mutant {
        name: "pings-of-a-role",
        breaks: "The pings of one role leave places for others.",
        file: "src/pg/mailbox.rs",
        from: "|| taken(&|mail| mail.role == role) >= BOXES_PER_ROLE",
        to: "|| taken(&|mail| mail.role == role) > BOXES",
        killed_by: PINGS,
        says: "healthy.0",
    },
    Mutant {
        name: "questions-without-connection",
        breaks: "Handshakes count for the connections of a tenant's plan.",
        file: "crates/dispatch/src/consent.rs",
        from: "                || !gate.has_connection(id, &whose)\n",
        to: "",
        killed_by: EndToEnd("handshake questions_count_for_the_connections_of_a_plan"),
        says: "Receiver",
    },
    Mutant {
        name: "questions-without-share",
        breaks: "Receivers that do not answer the handshake leave threads to deliveries.",
        file: "crates/dispatch/src/consent.rs",
        from: "    let all = (threads / SHARE).max(1);\n",
        to: "    let all = threads.max(SHARE);\n",
        killed_by: EndToEnd(
            "handshake receivers_that_do_not_answer_leave_others_to_be_asked_and_threads_to_deliveries",
        ),
        says: "Receiver",
    },
    Mutant {
        name: "questions-of-one-tenant",
        breaks: "A tenant whose receivers do not answer keeps no other from being asked.",
        file: "crates/dispatch/src/consent.rs",
        from: "                || *of_this >= most_of_a_tenant\n",
        to: "                || *of_this > most_of_a_tenant\n",
        killed_by: EndToEnd(
            "handshake a_tenant_whose_receivers_do_not_answer_keeps_no_other_from_being_asked",
        ),
        says: "waiting for a delivery",
    },
    Mutant {
        name: "pings-of-a-database",
        breaks: "The pings of one database leave places for others.",
        file: "src/pg/mailbox.rs",
        from: ">= BOXES_PER_DATABASE",
        to: "> BOXES_PER_DATABASE",
        killed_by: PLACES,
        says: "was not refused",
    },
    Mutant {
        name: "pings-of-all",
        breaks: "The cluster has places for 64 pings.",
        file: "src/pg/mailbox.rs",
        from: "const BOXES: usize = 64;",
        to: "const BOXES: usize = 65;",
        killed_by: PLACES,
        says: "was not refused",
    },
    Mutant {
        name: "questions-with-a-token-of-others",
        breaks: "A question gives back the thread that it took, and no other.",
        file: "crates/dispatch/src/consent.rs",
        from: "let token = tokens.give();",
        to: "let token = tokens.give() - 1;",
        killed_by: EndToEnd("handshake a_question_beside_a_delivery_leaves_no_thread_taken"),
        says: "waiting for six requests",
    },
    Mutant {
        name: "aged-unnoticed",
        breaks: "A lane that waits for a thread gets one as soon as a request is a second old.",
        file: "crates/dispatch/src/lanes.rs",
        from: "!self.ready.is_empty() || !self.parked.is_empty()",
        to: "false",
        killed_by: EndToEnd(
            "isolation a_lane_that_waits_for_a_thread_gets_one_when_a_request_is_a_second_old",
        ),
        says: "waiting for six requests",
    },
];
