//! Splits and samples: of the events that subscriptions want, those that each takes.

mod common;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use common::{Database, SOON, hint, receiver, receiver_with};
use herald_trial::{Cluster, Mode, Receiver, StopMode};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// Emits events of a type, numbered in their subject.
fn emit(db: &mut Database, event_type: &str, count: usize) {
    db.run(&format!(
        "select herald.emit('{event_type}', jsonb_build_object('n', n), subject => n::text) from generate_series(1, {count}) n"
    ));
}

/// Returns the subjects that a receiver got, each once.
fn subjects(receiver: &Receiver) -> BTreeSet<String> {
    let requests = receiver.requests();
    let subjects = requests.iter().map(|request| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        body["subject"].as_str().unwrap().to_owned()
    });
    subjects.collect()
}

#[test]
fn each_event_of_a_group_goes_to_one_member_and_why_names_it() {
    let (a, b, all) = (receiver(), receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "group");
    db.subscribe("a", &a, r#"split => '{"group": "ab", "weight": 20}'"#);
    db.subscribe("b", &b, r#"split => '{"group": "ab", "weight": 80}'"#);
    db.subscribe("all", &all, "");
    emit(&mut db, "order", 200);
    db.settle();
    assert_eq!(a.total() + b.total(), 200);
    assert!((15..70).contains(&a.total()), "{}", a.total());
    assert!(subjects(&a).is_disjoint(&subjects(&b)));
    assert_eq!(all.total(), 200);
    let subject = subjects(&b).pop_first().unwrap();
    let why = format!(
        "select string_agg(subscription || ' ' || matched, ' ' order by subscription) || ' ' || min(left(rule, 30))
         from herald.why((select id from herald.event where subject = '{subject}')) where subscription <> 'all'"
    );
    assert_eq!(
        db.text(&why),
        r#"a false b true split: of group "ab", "b" gets"#
    );
    assert_eq!(
        db.count(
            "herald.event e cross join lateral herald.why(e.uid::text) w where w.subscription in ('a', 'b') and w.matched
             and w.state is distinct from 'delivered'"
        ),
        0,
        "why decides as the worker does"
    );
}

#[test]
fn what_a_member_does_not_want_goes_to_the_others() {
    let (paid, rest, paused) = (receiver(), receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "wants");
    let member = |more: &str| format!(r#"split => '{{"group": "ab"}}', {more}"#);
    db.subscribe(
        "paid",
        &paid,
        &member(r#"types => '{order.paid}', filter => '{"data": {"n": "<= 10"}}'"#),
    );
    db.subscribe("rest", &rest, &member("types => '{*}'"));
    db.subscribe("paused", &paused, &member("types => '{*}'"));
    db.run("select herald.pause('paused')");
    emit(&mut db, "order.paid", 40);
    emit(&mut db, "order.sent", 40);
    db.settle();
    assert_eq!((paid.total() + rest.total(), paused.total()), (80, 0));
    assert!((1..=10).contains(&paid.total()));
    assert_eq!(
        db.count("herald.pending"),
        0,
        "an active member takes it all"
    );
    db.run("select herald.pause('rest')");
    emit(&mut db, "order.sent", 1);
    db.until("select count(*) from herald.pending", "1");
}

#[test]
fn a_sample_has_one_event_in_so_many_and_writes_nothing_of_the_others() {
    let receiver = receiver();
    let mut db = Database::new(&CLUSTER, "sample");
    db.subscribe("shop", &receiver, "sample => 4");
    emit(&mut db, "order", 200);
    db.settle();
    let taken = receiver.total();
    assert!((25..80).contains(&taken), "{taken}");
    for request in receiver.requests() {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        assert_eq!(body["sampledrate"], 4);
    }
    assert_eq!(db.count("herald.attempt"), taken as i64);
    assert_eq!(
        db.count("herald.pending") + db.count("herald.dead_letter"),
        0
    );
    let left_out = "select w.rule from herald.event e cross join lateral herald.why(e.uid::text) w
                    where not w.matched order by e.seq limit 1";
    assert_eq!(
        db.text(left_out),
        "sample: it gets one event in 4, and this is none of them"
    );
    let replayed =
        db.number("select herald.replay('shop', now() - interval '1 hour', dry_run => true)");
    assert_eq!(replayed, taken as i64);
}

#[test]
fn replays_of_all_members_send_each_event_once() {
    let (a, b, late) = (receiver(), receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "replays");
    db.subscribe("a", &a, r#"split => '{"group": "ab"}'"#);
    db.subscribe("b", &b, r#"split => '{"group": "ab"}'"#);
    emit(&mut db, "order", 100);
    db.settle();
    let before = (subjects(&a), subjects(&b));
    let replayed = db.number(
        "select herald.replay('a', now() - interval '1 hour') + herald.replay('b', now() - interval '1 hour')",
    );
    assert_eq!(replayed, 100);
    db.settle();
    assert_eq!(
        (subjects(&a), subjects(&b)),
        before,
        "each got its own again"
    );
    db.subscribe(
        "late",
        &late,
        r#"split => '{"group": "ab"}', start_from => now() - interval '1 hour'"#,
    );
    db.settle();
    assert!((15..55).contains(&late.total()), "{}", late.total());
    assert_eq!(
        a.total() + b.total(),
        200,
        "the past of the others stays as it is"
    );
}

#[test]
fn a_group_has_at_most_a_hundred_members() {
    let mut db = Database::new(&CLUSTER, "full");
    db.run("select herald.stop_worker()");
    let subscribe = |name: &str, group: &str| {
        format!(
            r#"herald.subscribe('{name}', url => 'https://example.com/', split => '{{"group": "{group}"}}')"#
        )
    };
    db.run(&format!(
        "do $$ begin for n in 1..100 loop perform {}; end loop; end $$",
        subscribe("", "ab").replace("''", "'s' || n")
    ));
    let refused = db.refusal(&format!("select {}", subscribe("one_more", "ab")));
    assert_eq!(refused.code().code(), "53400");
    assert_eq!(refused.message(), r#"group "ab" is full"#);
    assert!(hint(&refused).contains("unsubscribe"));
    db.run(&format!("select {}", subscribe("s1", "ab")));
    db.run(&format!("select {}", subscribe("other", "cd")));
    let refused = db.refusal(
        r#"update herald.subscription set split = '{"group": "ab"}' where name = 'other'"#,
    );
    assert_eq!(refused.message(), r#"group "ab" is full"#);
    db.run("select herald.unsubscribe('s7')");
    db.run(r#"update herald.subscription set split = '{"group": "ab"}' where name = 'other'"#);
}

#[test]
fn a_stored_split_that_cannot_be_read_holds_events_and_the_right_ones_go_out_once_mended() {
    let (a, b) = (receiver(), receiver());
    let mut db = Database::new(&CLUSTER, "unreadable_split");
    db.subscribe("a", &a, r#"split => '{"group": "ab"}'"#);
    db.subscribe("b", &b, r#"split => '{"group": "ab"}'"#);
    db.until("select herald_internal.worker_pid() is not null", "true");
    let store = |split: &str| {
        format!(
            "update herald_internal.subscription set options = jsonb_set(options, '{{split}}', '{split}') where name = 'a';
             select herald_internal.changed('subscription')"
        )
    };
    db.run(&store("7"));
    emit(&mut db, "order", 40);
    db.until("select count(*) from herald.pending", "40");
    db.run(&store(r#"{"group": "ab"}"#));
    db.settle();
    assert!((1..40).contains(&a.total()), "{}", a.total());
}

#[test]
fn an_event_keeps_its_member_after_a_pause_and_a_crash() {
    let cluster = common::cluster();
    let (a, b) = (
        receiver_with(Mode::hang_before_answer()),
        receiver_with(Mode::hang_before_answer()),
    );
    let mut db = Database::new(&cluster, "crash");
    let options = r#"split => '{"group": "ab"}', timeout => '5 min', max_concurrency => 100"#;
    db.subscribe("a", &a, options);
    db.subscribe("b", &b, options);
    emit(&mut db, "order", 40);
    for receiver in [&a, &b] {
        receiver.wait_until("a request", |receiver| receiver.total() == 1, SOON);
    }
    let (of_a, of_b) = (subjects(&a), subjects(&b));
    db.run("select herald.pause('a')");
    db.until("select count(*) > 0 from herald.pending", "true");
    cluster.stop(StopMode::Immediate).expect("a crash");
    for receiver in [&a, &b] {
        receiver.set_mode(Mode::ok());
    }
    cluster.start().expect("the server is back");
    let mut db = Database::of(&cluster, &db.name);
    db.run("select herald.resume('a')");
    db.settle();
    assert!(of_a.is_subset(&subjects(&a)) && of_b.is_subset(&subjects(&b)));
    assert!(subjects(&a).is_disjoint(&subjects(&b)));
    assert_eq!(subjects(&a).len() + subjects(&b).len(), 40);
}
