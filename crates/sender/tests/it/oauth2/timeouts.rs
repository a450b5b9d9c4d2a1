//! A request and its token have one timeout together.

use std::thread;

use herald_core::attempt::outcome::ErrorClass;

use super::*;

#[test]
fn a_token_endpoint_that_hangs_or_trickles_ends_with_the_timeout_of_the_request() {
    let hanging = attempt_with_token_endpoint(Connection::hang);
    let trickling = attempt_with_token_endpoint(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 200 OK\r\nx-padding: ");
        connection.trickle(&[b'x'; 1000], Duration::from_millis(50));
    });
    for outcome in [hanging, trickling] {
        assert_eq!(class(&outcome), Some(ErrorClass::Timeout));
        let expected = "OAuth 2.0: timeout: no answer within ";
        assert!(words(&outcome).starts_with(expected), "{outcome:?}");
    }
}

#[test]
fn a_timeout_of_the_token_endpoint_names_the_timeout_of_the_request() {
    let outcome = attempt_with_token_endpoint(Connection::hang);
    assert_eq!(
        words(&outcome),
        "OAuth 2.0: timeout: no answer within 600 ms"
    );
}

#[test]
fn a_token_answer_that_stops_halfway_ends_with_the_timeout() {
    let outcome = attempt_with_token_endpoint(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access_token\":");
        connection.hang();
    });
    assert_eq!(class(&outcome), Some(ErrorClass::Timeout), "{outcome:?}");
}

#[test]
fn the_token_and_the_request_have_one_timeout_together() {
    let token_endpoint = numbering(|number, _| {
        thread::sleep(Duration::from_millis(1200));
        token_answer(number, 3600)
    });
    let scene = Scene::of(token_endpoint, Endpoint::serving(Connection::hang));
    let mut request = scene.request();
    request.timeout = Duration::from_millis(1500);
    let limit = request.timeout + EPSILON;
    let outcome = scene.pool.attempt(request);
    assert_eq!(class(&outcome), Some(ErrorClass::Timeout));
    assert!(outcome.duration < limit, "{outcome:?}");
}

#[test]
fn a_401_that_came_late_leaves_the_rest_of_the_timeout_to_the_new_token() {
    let receiver = taking(|number, token| {
        let is_taken = number == 0 || token == "canary-1";
        if !is_taken {
            thread::sleep(Duration::from_millis(1200));
        }
        is_taken
    });
    let scene = Scene::of(giving_tokens(), receiver);
    scene.succeed();
    let mut request = scene.request();
    request.timeout = Duration::from_secs(2);
    let outcome = scene.pool.attempt(request);
    assert!(outcome.is_success(), "{outcome:?}");
}

#[test]
fn waiting_for_a_shared_token_ends_at_the_request_timeout() {
    const PATIENCE: Duration = Duration::from_secs(2);
    let scene = Scene::of(hanging_when_asked(), Endpoint::answering(OK));
    let send = |timeout| {
        let mut request = scene.request();
        request.timeout = timeout;
        scene.pool.sender.send(request.into()).expect("room for it");
    };
    send(PATIENCE);
    wait_until("a token is asked for", || scene.token_requests() == 1);
    send(TIMEOUT);
    for (attempted, timeout) in scene.pool.gather(2).iter().zip([TIMEOUT, PATIENCE]) {
        let outcome = &attempted.outcome;
        assert_eq!(class(outcome), Some(ErrorClass::Timeout));
        assert!(words(outcome).starts_with("OAuth 2.0: "), "{outcome:?}");
        assert!(outcome.duration < timeout + EPSILON, "{outcome:?}");
    }
    assert_eq!(scene.receiver.connections(), 0);
}

#[test]
fn threads_that_wait_for_a_token_do_not_hold_up_the_shutdown() {
    let scene = Scene::of(hanging_when_asked(), Endpoint::answering(OK));
    let held = Arc::new(());
    let all_have_a_thread = Arc::new(Barrier::new(16));
    for _ in 0..16 {
        let (held, all_have_a_thread) = (Arc::clone(&held), Arc::clone(&all_have_a_thread));
        let request = scene.request();
        let work = Work::new(move || {
            let _held = &held;
            all_have_a_thread.wait();
            Ok(request.clone())
        });
        scene.pool.sender.send(work).expect("room for all");
    }
    wait_until("a token is asked for", || scene.token_requests() == 1);
    let leftover = scene.pool.sender.shutdown(Instant::now());
    assert_eq!(leftover.abandoned, 16);
    let interrupted_at = Instant::now();
    wait_until("the threads end", || Arc::strong_count(&held) == 1);
    assert!(interrupted_at.elapsed() < Duration::from_secs(3));
    assert_eq!(scene.receiver.connections(), 0);
}
