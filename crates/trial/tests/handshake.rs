//! Receivers that must consent before anything is delivered (CloudEvents webhooks, "Abuse Protection").

mod common;

use std::sync::LazyLock;
use std::time::Duration;

use common::{Database, SOON, cluster_with, hint, receiver_with};
use herald_trial::receiver::Answer;
use herald_trial::{Cluster, Mode, Receiver};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| {
    cluster_with(&[
        ("herald.request_origin", "db.example.com"),
        ("herald.tenant_networks", "127.0.0.0/8"),
    ])
});

/// Starts a receiver that answers the question with these headers.
fn asked(headers: &'static [(&'static str, &'static str)]) -> Receiver {
    receiver_with(Mode::answer_with(move |request| {
        let answer = Answer::new(if request.method == "OPTIONS" {
            204
        } else {
            200
        });
        let headers = headers.iter().filter(|_| request.method == "OPTIONS");
        headers.fold(answer, |answer, (name, value)| answer.header(name, value))
    }))
}

fn methods(receiver: &Receiver) -> Vec<String> {
    let requests = receiver.requests();
    requests
        .iter()
        .map(|request| request.method.clone())
        .collect()
}

#[test]
fn a_receiver_is_asked_first_and_each_delivery_names_its_origin() {
    let receiver = asked(&[
        ("WebHook-Allowed-Origin", "db.example.com"),
        ("WebHook-Allowed-Rate", "6000"),
    ]);
    let mut db = Database::new(&CLUSTER, "consent");
    db.subscribe_at(
        "shop",
        &receiver.url("/hook"),
        r#"handshake => '{"rate": 9000, "callback": "http://127.0.0.1:1/grant"}'"#,
    );
    db.emit("order.paid");
    db.settle();
    assert_eq!(methods(&receiver), ["OPTIONS", "POST"]);
    let requests = receiver.requests();
    assert_eq!(requests[0].path, "/hook");
    assert_eq!(requests[0].header("webhook-request-rate"), Some("9000"));
    assert_eq!(
        requests[0].header("webhook-request-callback"),
        Some("http://127.0.0.1:1/grant")
    );
    for request in requests {
        assert_eq!(
            request.header("webhook-request-origin"),
            Some("db.example.com")
        );
    }
    assert_eq!(
        db.text("select format('%s %s', consented_at is not null, consent_rate) from herald.subscription"),
        "t 6000"
    );
    // Another address is another receiver.
    db.run(&format!(
        "update herald.subscription set url = '{}'",
        receiver.url("/other")
    ));
    db.emit("order.paid");
    db.settle();
    assert_eq!(methods(&receiver), ["OPTIONS", "POST", "OPTIONS", "POST"]);
}

#[test]
fn without_consent_deliveries_are_held_until_it_is_given_by_another_way() {
    let receiver = asked(&[("Allow", "POST")]);
    let mut db = Database::subscribed(&CLUSTER, "no_consent", &receiver, "handshake => '{}'");
    db.emit("order.paid");
    db.until(
        "select consent_error from herald.subscription",
        "its answer has no WebHook-Allowed-Origin",
    );
    db.until("select count(*) from herald.pending", "1");
    let blocked =
        db.text("select w.blocked_by from herald.event e, lateral herald.why(e.uid::text) w");
    assert!(
        blocked.contains("herald.grant_delivery('shop')"),
        "{blocked}"
    );
    assert_eq!(
        db.text("select error from herald.ping('shop')"),
        "its receiver has not consented to deliveries"
    );
    assert_eq!(methods(&receiver), ["OPTIONS"]);
    db.run("select herald.grant_delivery('shop')");
    db.settle();
    assert_eq!(methods(&receiver), ["OPTIONS", "POST"]);
}

#[test]
fn consent_to_a_former_url_is_no_consent_to_the_new_one() {
    let former = receiver_with(Mode::Delayed(
        Duration::from_secs(1),
        Box::new(Mode::answer_with(|_| {
            Answer::new(204).header("WebHook-Allowed-Origin", "*")
        })),
    ));
    let new = asked(&[("Allow", "POST")]);
    let mut db = Database::subscribed(&CLUSTER, "former_consent", &former, "handshake => '{}'");
    former.wait_until("the question", |former| former.total() == 1, SOON);
    db.run(&format!(
        "update herald.subscription set url = '{}'",
        new.url("/")
    ));
    db.emit("order.paid");
    // The former receiver has answered by now.
    db.until(
        "select consent_error from herald.subscription",
        "its answer has no WebHook-Allowed-Origin",
    );
    assert_eq!(methods(&former), ["OPTIONS"]);
    assert!(
        methods(&new).iter().all(|method| method == "OPTIONS"),
        "{new:?}"
    );
    assert_eq!(
        db.text("select consented_at is null from herald.subscription"),
        "true"
    );
}

#[test]
fn the_rate_that_a_receiver_wants_is_kept() {
    let receiver = asked(&[
        ("WebHook-Allowed-Origin", "*"),
        ("WebHook-Allowed-Rate", "120"),
    ]);
    let mut db = Database::subscribed(&CLUSTER, "rate", &receiver, "handshake => '{}'");
    db.run("select herald.emit('order.paid') from generate_series(1, 7)");
    receiver.wait_for(7, SOON);
    let requests = receiver.requests();
    let delivered: Vec<_> = requests
        .iter()
        .filter(|request| request.method == "POST")
        .map(|request| request.at_micros)
        .collect();
    // Two per second, of which a second's worth may come at once.
    let took = delivered[6] - delivered[0];
    assert!(took >= 2_000_000, "7 deliveries in {took} us");
}

#[test]
fn questions_count_for_the_connections_of_a_plan() {
    let hanging = receiver_with(Mode::hang_before_answer());
    let mut db = Database::new(&CLUSTER, "connections");
    db.run(
        "create role thin;
         insert into herald.plan (name, max_connections) values ('thin', 2);
         insert into herald.tenant (name, role, plan) values ('thin', 'thin', 'thin')",
    );
    for n in 0..6 {
        let options = "handshake => '{}', tenant => 'thin', timeout => '1 min'";
        db.subscribe(&format!("thin/{n}"), &hanging, options);
    }
    hanging.wait_until("two questions", |hanging| hanging.total() == 2, SOON);
    let is_more = hanging.holds_within(Duration::from_millis(500), |hanging| hanging.total() > 2);
    assert!(!is_more, "{hanging:?}");
}

#[test]
fn receivers_that_do_not_answer_leave_others_to_be_asked_and_threads_to_deliveries() {
    let cluster = cluster_with(&[
        ("herald.request_origin", "db.example.com"),
        ("herald.sender_threads", "8"),
    ]);
    let hanging = receiver_with(Mode::hang_before_answer());
    let mut db = Database::new(&cluster, "shares");
    for n in 0..40 {
        let tenant = ["bad", "worse"][n % 2];
        let options = format!("handshake => '{{}}', tenant => '{tenant}', timeout => '1 min'");
        db.subscribe(&format!("hangs.{n}"), &hanging, &options);
    }
    // At most two of eight requests at once are questions.
    hanging.wait_until("two questions", |hanging| hanging.total() == 2, SOON);
    let is_more = hanging.holds_within(Duration::from_millis(500), |hanging| hanging.total() > 2);
    assert!(!is_more, "{hanging:?}");
    let healthy = common::receiver();
    db.subscribe("healthy", &healthy, "");
    db.emit("order.paid");
    healthy.wait_for(1, SOON);
}

#[test]
fn a_tenant_whose_receivers_do_not_answer_keeps_no_other_from_being_asked() {
    let cluster = cluster_with(&[
        ("herald.request_origin", "db.example.com"),
        ("herald.sender_threads", "8"),
    ]);
    let hanging = receiver_with(Mode::hang_before_answer());
    let mut db = Database::new(&cluster, "tenants");
    for n in 0..20 {
        let options = "handshake => '{}', tenant => 'bad', timeout => '1 min'";
        db.subscribe(&format!("hangs.{n}"), &hanging, options);
    }
    hanging.wait_until("a question", |hanging| hanging.total() >= 1, SOON);
    let consenting = asked(&[("WebHook-Allowed-Origin", "*")]);
    let options = "handshake => '{}', tenant => 'good'";
    db.subscribe("shop", &consenting, options);
    db.run("select herald.emit('order.paid', tenant => 'good')");
    consenting.wait_until("a delivery", |receiver| methods(receiver).len() == 2, SOON);
}

#[test]
fn a_question_beside_a_delivery_leaves_no_thread_taken() {
    let cluster = cluster_with(&[
        ("herald.request_origin", "db.example.com"),
        ("herald.sender_threads", "4"),
    ]);
    let refusing = asked(&[("Allow", "POST")]);
    let slow = receiver_with(Mode::delayed(Duration::from_millis(800)));
    let mut db = Database::new(&cluster, "threads");
    // Both requests are under way at the same time.
    let options = "types => '{slow}'";
    db.subscribe("slow", &slow, options);
    db.emit("slow");
    slow.wait_until("a delivery", |slow| slow.total() == 1, SOON);
    let options = "types => '{never}', handshake => '{}'";
    db.subscribe("asked", &refusing, options);
    refusing.wait_until("a question", |refusing| refusing.total() == 1, SOON);
    db.settle();
    // Receivers not heard from yet may have two young requests, and four of any age.
    let hanging = receiver_with(Mode::hang_before_answer());
    for n in 0..8 {
        let options = "types => '{hangs}', timeout => '1 min'";
        db.subscribe(&format!("hangs.{n}"), &hanging, options);
    }
    db.emit("hangs");
    hanging.wait_until("six requests", |hanging| hanging.total() == 6, SOON);
}

#[test]
fn a_handshake_needs_a_name_to_ask_in_and_a_grant_needs_a_handshake() {
    let mut db = Database::new(&CLUSTER, "refused");
    db.run("alter database refused set herald.request_origin = ''");
    let mut session = db.session(&CLUSTER);
    let error = session.refusal(
        "select herald.subscribe('shop', url => 'http://127.0.0.1:1/', handshake => '{}')",
    );
    assert_eq!(
        hint(&error),
        "Let a superuser set herald.request_origin to the DNS name that receivers know this system by."
    );
    session.subscribe_at("shop", "http://127.0.0.1:1/", "");
    let error = session.refusal("select herald.grant_delivery('shop')");
    assert_eq!(
        hint(&error),
        "Run: select * from herald.subscribe('shop', handshake => '{}');"
    );
    let error = db.refusal(r#"select herald.subscribe('shop', handshake => '{"rat": 5}')"#);
    assert_eq!(hint(&error), "Perhaps you meant \"rate\".");
}
