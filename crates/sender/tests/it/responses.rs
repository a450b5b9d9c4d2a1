//! Answers of well-behaved endpoints, and their outcomes.

use std::net::IpAddr;

use herald_core::attempt::outcome::ErrorClass;

use crate::support::*;

#[test]
fn a_2xx_status_is_a_success_and_the_request_arrives_as_it_was_prepared() {
    let endpoint = Endpoint::answering(OK);
    let outcome = attempt(&endpoint.url());
    assert_eq!((outcome.status, &outcome.error), (Some(200), &None));
    assert_eq!(outcome.response, "ok");

    let sent = &endpoint.requests()[0];
    assert!(sent.starts_with("POST /hook HTTP/1.1\r\n"), "{sent}");
    assert!(sent.ends_with("\r\n\r\n{\"n\":1}"), "{sent}");
    assert!(
        sent.contains("content-type: application/json\r\n"),
        "{sent}"
    );
    assert!(sent.contains("accept-encoding: identity\r\n"), "{sent}");
    assert!(!sent.to_lowercase().contains("ureq"), "{sent}");
}

#[test]
fn a_status_that_is_no_success_keeps_its_response() {
    let endpoint = Endpoint::answering(
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 7\r\n\r\nsorry\0\n",
    );
    let outcome = attempt(&endpoint.url());
    assert_eq!(outcome.status, Some(503));
    assert_eq!(class(&outcome), Some(ErrorClass::Status));
    assert_eq!(outcome.response, "sorry\u{fffd} ");
}

#[test]
fn a_429_surfaces_with_its_retry_after() {
    let endpoint = Endpoint::answering(
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\ncontent-length: 0\r\n\r\n",
    );
    let outcome = attempt(&endpoint.url());
    assert_eq!(class(&outcome), Some(ErrorClass::RateLimited));
    assert_eq!(outcome.retry_after.as_deref(), Some("120"));
}

#[test]
fn a_redirect_is_not_followed() {
    let target = Endpoint::answering(OK);
    let location = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        target.url()
    );
    let endpoint = Endpoint::answering(location.leak().as_bytes());
    let outcome = attempt(&endpoint.url());
    assert_eq!(outcome.status, Some(307));
    assert_eq!(class(&outcome), Some(ErrorClass::Status));
    assert_eq!(target.connections(), 0);
}

#[test]
fn the_excerpt_ends_at_the_cap() {
    let body = "x".repeat(10_000);
    let response = format!("HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n{body}");
    let endpoint = Endpoint::answering(response.leak().as_bytes());
    let mut settings = settings();
    settings.response_cap = 100;
    let outcome = Pool::start(settings).attempt(request(&endpoint.url()));
    assert_eq!(outcome.response, "x".repeat(100));
}

#[test]
fn a_large_body_is_sent_whole() {
    let endpoint = Endpoint::answering(OK);
    let mut request = request(&endpoint.url());
    request.body = vec![b'y'; 300_000];
    let outcome = Pool::start(settings()).attempt(request);
    assert!(outcome.is_success(), "{outcome:?}");
    assert!(endpoint.requests()[0].ends_with(&"y".repeat(300_000)));
}

#[test]
fn informational_responses_before_the_answer_are_skipped() {
    let endpoint = Endpoint::answering(
        b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    assert_eq!(attempt(&endpoint.url()).status, Some(200));
}

#[test]
fn an_ipv6_literal_is_reached_without_a_look_up() {
    let address = "[::1]:0".parse().expect("an address");
    let endpoint = Endpoint::serving_at(address, |connection| {
        while connection.read_request().is_some() && connection.write(OK).is_some() {}
    });
    let mut settings = settings();
    settings.lookup = answer_with(&[]);
    let outcome = Pool::start(settings).attempt(request(&endpoint.url()));
    assert!(outcome.is_success(), "{outcome:?}");
}

#[test]
fn an_address_that_refuses_is_passed_over_for_the_next() {
    let endpoint = Endpoint::answering(OK);
    let mut settings = settings();
    settings.lookup = answer_with(&[IpAddr::from([127, 0, 0, 2]), IpAddr::from([127, 0, 0, 1])]);
    let url = format!("http://two.test:{}/", endpoint.address.port());
    let outcome = Pool::start(settings).attempt(request(&url));
    assert!(outcome.is_success(), "{outcome:?}");
}

#[test]
fn a_refused_connection_and_an_unknown_host_say_so() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let outcome = attempt(&format!("http://{closed}/"));
    assert_eq!(class(&outcome), Some(ErrorClass::Connect));
    assert!(
        words(&outcome).starts_with("connect: connection refused"),
        "{outcome:?}"
    );

    let mut settings = settings();
    settings.lookup = answer_with(&[]);
    let outcome = Pool::start(settings).attempt(request("http://nowhere.test/"));
    assert_eq!(class(&outcome), Some(ErrorClass::Dns));
    assert_eq!(words(&outcome), "DNS: no such host nowhere.test");
}
