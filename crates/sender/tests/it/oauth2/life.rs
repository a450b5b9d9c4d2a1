//! How long a token serves, and whom.

use std::thread;

use http::header::AUTHORIZATION;

use super::*;

#[test]
fn one_token_serves_many_requests() {
    let scene = Scene::of(giving_tokens(), Endpoint::answering(OK));
    for _ in 0..20 {
        scene.succeed();
    }
    assert_eq!(scene.tokens(), ["canary-0"; 20]);
    assert_eq!(scene.token_requests(), 1);
}

#[test]
fn many_threads_that_want_a_token_at_the_same_moment_share_one() {
    let token_endpoint = numbering(|number, _| {
        // Time for each of the others to find that no token is held.
        thread::sleep(Duration::from_millis(100));
        token_answer(number, 3600)
    });
    // It answers none until it has all: once the token is there, no thread waits for another's request.
    let all_came = Barrier::new(16);
    let receiver = taking(move |_, _| {
        all_came.wait();
        true
    });
    let scene = Scene::of(token_endpoint, receiver);
    let outcomes = scene.attempt_at_once(16);
    assert!(outcomes.iter().all(Outcome::is_success), "{outcomes:?}");
    assert_eq!(scene.tokens(), ["canary-0"; 16]);
    assert_eq!(scene.token_requests(), 1);
}

#[test]
fn a_token_is_asked_for_with_a_form_and_basic_credentials() {
    let (token_endpoint, receiver) = (giving_tokens(), Endpoint::answering(OK));
    let scope = ("scope", "orders payments");
    let request = authorized(&receiver, &token_endpoint.url(), &[scope]);
    assert!(Pool::start(settings()).attempt(request).is_success());
    let asked = &token_endpoint.requests()[0];
    assert!(asked.starts_with("POST /hook HTTP/1.1\r\n"), "{asked}");
    for line in [
        "content-type: application/x-www-form-urlencoded".into(),
        "accept: application/json".into(),
        format!("authorization: {BASIC}"),
    ] {
        assert!(asked.lines().any(|it| it == line), "{line}: {asked}");
    }
    let body = "\r\n\r\ngrant_type=client_credentials&scope=orders+payments";
    assert!(asked.ends_with(body), "{asked}");
}

#[test]
fn the_receiver_gets_the_token_and_no_other_authorization() {
    let scene = Scene::of(giving_tokens(), Endpoint::answering(OK));
    let mut request = scene.request();
    let own = "Basic b3duOg==".parse().expect("a header");
    request.headers.push((AUTHORIZATION, own));
    assert!(scene.pool.attempt(request).is_success());
    let sent = &scene.receiver.requests()[0];
    let is_authorization = |line: &&str| line.to_lowercase().starts_with("authorization");
    let authorization: Vec<_> = sent.lines().filter(is_authorization).collect();
    assert_eq!(authorization, ["authorization: Bearer canary-0"]);
    assert!(sent.ends_with("\r\n\r\n{\"n\":1}"), "{sent}");
}

#[test]
fn a_token_is_used_until_it_ends_and_then_fetched_again() {
    // Half of the second is kept as a margin.
    let scene = Scene::of(giving_tokens_for(1), Endpoint::answering(OK));
    let began_at = Instant::now();
    wait_until("the token ends", || {
        scene.succeed();
        scene.token_requests() > 1
    });
    let took = began_at.elapsed();
    assert!(took >= Duration::from_millis(500), "{took:?}");
    let mut tokens = scene.tokens();
    tokens.dedup();
    assert_eq!(tokens, ["canary-0", "canary-1"]);
}

#[test]
fn a_token_without_a_life_serves_the_request_that_it_was_fetched_for() {
    let scene = Scene::of(giving_tokens_for(0), Endpoint::answering(OK));
    scene.succeed();
    scene.succeed();
    assert_eq!(scene.tokens(), ["canary-0", "canary-1"]);
}

#[test]
fn a_token_that_lives_for_ever_is_used() {
    let scene = Scene::of(giving_tokens_for(u64::MAX), Endpoint::answering(OK));
    scene.succeed();
    scene.succeed();
    assert_eq!(scene.tokens(), ["canary-0"; 2]);
}

#[test]
fn tenants_with_the_same_credentials_do_not_share_a_token() {
    let scene = Scene::of(giving_tokens(), Endpoint::answering(OK));
    let request = scene.request();
    for tenant in [Some("a"), Some("b"), None, Some("a"), Some("b"), None] {
        let mut work = Work::from(request.clone());
        work.key.tenant = tenant.map(Arc::from);
        assert!(scene.pool.attempt(work).is_success());
    }
    let expected = ["canary-0", "canary-1", "canary-2"];
    assert_eq!(scene.tokens(), [expected, expected].concat());
    assert_eq!(scene.token_requests(), 3);
}

#[test]
fn equal_credentials_share_a_token_and_different_ones_do_not() {
    let scene = Scene::of(giving_tokens(), Endpoint::answering(OK));
    let variants = [
        ("scope", ""),
        ("client_secret", "another canary"),
        ("client_id", "another"),
        ("scope", "orders"),
        ("audience", "https://api.test"),
    ];
    for member in variants.iter().chain(&variants) {
        let token_url = scene.token_endpoint.url();
        let request = authorized(&scene.receiver, &token_url, &[*member]);
        assert!(scene.pool.attempt(request).is_success());
    }
    let expected = ["canary-0", "canary-1", "canary-2", "canary-3", "canary-4"];
    assert_eq!(scene.tokens(), [expected, expected].concat());
    assert_eq!(scene.token_requests(), 5);
}

#[test]
fn a_client_keeps_its_token_beside_a_thousand_others() {
    const MAX_HELD: usize = 1024;
    let scene = Scene::of(giving_tokens(), Endpoint::answering(OK));
    let token_url = scene.token_endpoint.url();
    for number in (0..MAX_HELD).chain(0..2) {
        let client = format!("client {number}");
        let request = authorized(&scene.receiver, &token_url, &[("client_id", &client)]);
        assert!(scene.pool.attempt(request).is_success());
    }
    assert_eq!(scene.token_requests(), MAX_HELD);
}
