//! Which requests share a connection, and what happens when an idle one was closed.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use herald_core::attempt::outcome::ErrorClass;
use herald_sender::{AgentKey, Settings};

use crate::support::*;

#[test]
fn many_sequential_requests_share_one_connection() {
    let endpoint = Endpoint::answering(OK);
    let pool = Pool::start(settings());
    for _ in 0..50 {
        assert!(pool.attempt(request(&endpoint.url())).is_success());
    }
    assert_eq!(endpoint.connections(), 1);
    assert_eq!(endpoint.requests().len(), 50);
}

#[test]
fn different_timeouts_share_a_connection() {
    let endpoint = Endpoint::answering(OK);
    let pool = Pool::start(settings());
    for seconds in 1..5 {
        let mut request = request(&endpoint.url());
        request.timeout = Duration::from_secs(seconds);
        assert!(pool.attempt(request).is_success());
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn a_response_with_a_body_beyond_the_cap_keeps_the_connection_when_little_is_left() {
    let body = "x".repeat(20_000);
    let response = format!("HTTP/1.1 200 OK\r\ncontent-length: 20000\r\n\r\n{body}");
    let endpoint = Endpoint::answering(response.leak().as_bytes());
    let pool = Pool::start(settings());
    for _ in 0..3 {
        assert!(pool.attempt(request(&endpoint.url())).is_success());
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn tenants_do_not_share_connections() {
    let endpoint = Endpoint::answering(OK);
    let pool = Pool::start(settings());
    for tenant in ["a", "b", "a", "b"] {
        let mut work = Work::from(request(&endpoint.url()));
        work.key = AgentKey {
            tenant: Some(Arc::from(tenant)),
            ..AgentKey::default()
        };
        assert!(pool.attempt(work).is_success());
    }
    assert_eq!(endpoint.connections(), 2);
}

#[test]
fn a_kept_connection_that_closes_without_an_answer_is_replaced_at_once() {
    let endpoint = Endpoint::serving(|connection| {
        // The first connection answers once and closes on the second request, as if a keep-alive had just run out.
        while connection.read_request().is_some() && connection.write(OK).is_some() {
            if connection.number == 0 {
                connection.read_request();
                return;
            }
        }
    });
    let pool = Pool::start(settings());
    assert!(pool.attempt(request(&endpoint.url())).is_success());
    assert!(pool.attempt(request(&endpoint.url())).is_success());
    assert_eq!(endpoint.connections(), 2);
    assert_eq!(endpoint.requests().len(), 3);
}

#[test]
fn the_second_try_takes_no_other_kept_connection() {
    let both = Barrier::new(2);
    let endpoint = Endpoint::serving(move |connection| {
        if connection.number < 2 {
            connection.read_request();
            // Neither is idle while the other is requested, so two are opened.
            both.wait();
            connection.write(OK);
            connection.read_request();
            return;
        }
        while connection.read_request().is_some() && connection.write(OK).is_some() {}
    });
    let pool = Pool::start(settings());
    for _ in 0..2 {
        let accepted = pool.sender.send(request(&endpoint.url()).into());
        accepted.expect("room for two");
    }
    pool.gather(2);
    let outcome = pool.attempt(request(&endpoint.url()));
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!(endpoint.connections(), 3);
}

#[test]
fn a_request_goes_out_twice_at_most() {
    let endpoint = Endpoint::serving(|connection| {
        connection.read_request();
        if connection.number == 0 {
            connection.write(OK);
            connection.read_request();
        }
    });
    let pool = Pool::start(settings());
    assert!(pool.attempt(request(&endpoint.url())).is_success());
    let outcome = pool.attempt(request(&endpoint.url()));
    assert_eq!(class(&outcome), Some(ErrorClass::Connect));
    assert_eq!(endpoint.requests().len(), 3);
}

#[test]
fn a_fresh_connection_that_closes_without_an_answer_is_a_failure() {
    let endpoint = Endpoint::serving(|connection| {
        connection.read_request();
    });
    let outcome = attempt(&endpoint.url());
    assert_eq!(class(&outcome), Some(ErrorClass::Connect));
    assert_eq!(
        words(&outcome),
        "response: connection closed before a status line"
    );
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn bytes_that_nobody_asked_for_are_never_taken_for_the_next_answer() {
    let endpoint = Endpoint::serving(|connection| {
        connection.read_request();
        connection.write(OK);
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged");
        connection.hang();
    });
    let pool = Pool::start(settings());
    for _ in 0..3 {
        assert_eq!(pool.attempt(request(&endpoint.url())).response, "ok");
    }
}

#[test]
fn a_connection_takes_no_file_descriptor_that_is_for_others() {
    let endpoint = Endpoint::serving(|connection| {
        connection.read_request();
        connection.write(OK);
    });
    let pool = Pool::start(Settings {
        max_descriptor: 3,
        ..settings()
    });
    let outcome = pool.attempt(request(&endpoint.url()));
    assert!(outcome.is_own_shortage());
    assert!(
        words(&outcome).starts_with("connect: no file descriptor is free on this server"),
        "{outcome:?}"
    );
    assert_eq!(endpoint.connections(), 0);
}
