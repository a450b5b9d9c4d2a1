//! Neither outcomes nor `Debug` tell a token or a client secret.

use herald_core::attempt::outcome::ErrorClass;

use super::*;

/// Returns the answers of an endpoint that wants a log to show what it was sent.
fn repeating(authorization: &str) -> Vec<Vec<u8>> {
    let body = format!(r#"{{"error":"{authorization}","access_token":7}}"#);
    let mut answers: Vec<_> = ["200 OK", "302 Found", "400 Bad Request", "500 Oops"]
        .iter()
        .map(|status| answer(&format!("{status} {authorization}"), &body))
        .collect();
    for malformed in [
        format!("{authorization}\r\n\r\n"),
        format!("HTTP/1.1 {authorization}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\n{authorization}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {authorization}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{authorization}\r\n"),
    ] {
        answers.push(malformed.into_bytes());
    }
    answers
}

fn assert_nothing_is_told(text: &str) {
    for secret in [CANARY, &BASIC["Basic ".len()..]] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn no_outcome_tells_the_token_or_the_client_secret() {
    for bytes in repeating(BASIC) {
        let outcome = attempt_with_token_answer(bytes);
        assert_nothing_is_told(&format!("{outcome:?}"));
    }
    for bytes in repeating("Bearer canary-0") {
        let receiver = Endpoint::serving(move |connection| {
            connection.read_request();
            connection.write(&bytes);
        });
        let outcome = Scene::of(giving_tokens(), receiver).attempt();
        // Besides the words, the beginning of the receiver's body is kept, whatever it is.
        assert_nothing_is_told(&format!("{:?}", outcome.error));
    }
    let scene = Scene::of(giving_tokens(), Endpoint::serving(Connection::hang));
    let mut request = scene.request();
    request.timeout = TIMEOUT;
    let outcome = scene.pool.attempt(request);
    assert_eq!(class(&outcome), Some(ErrorClass::Timeout));
    assert_nothing_is_told(&format!("{outcome:?}"));
}

#[test]
fn debug_tells_neither_the_client_secret_nor_the_address_of_the_token_endpoint() {
    let receiver = Endpoint::answering(OK);
    let request = authorized(&receiver, "http://127.0.0.1/token?key=canary", &[]);
    let credentials = request.oauth2.as_deref().expect("credentials");
    let token_request = credentials.token_request(TIMEOUT);
    assert_nothing_is_told(&format!("{request:?} {request:#?}"));
    assert_nothing_is_told(&format!("{credentials:?} {credentials:#?}"));
    assert_nothing_is_told(&format!("{token_request:?} {token_request:#?}"));
    let headers = format!("{:?}", token_request.headers);
    assert!(headers.contains("Sensitive"), "{headers}");
    assert_nothing_is_told(&headers);
}
