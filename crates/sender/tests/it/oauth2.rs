//! OAuth 2.0 tokens: fetched once, replaced when they end or are refused, and shown only to the receiver.

mod endpoint;
mod life;
mod refusals;
mod secrecy;
mod timeouts;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use herald_core::attempt::outcome::Outcome;
use herald_core::request::HttpRequest;
use herald_core::signing::auth::{Auth, ClientCredentials};
use herald_sender::Settings;

use crate::support::*;

const TIMEOUT: Duration = Duration::from_millis(600);
/// For a busy machine. A failure would hang many times longer.
const EPSILON: Duration = Duration::from_millis(700);

/// Every secret of these tests contains it, and so do the tokens.
const CANARY: &str = "canary";
const CLIENT_SECRET: &str = "secret/canary";
/// `herald:secret%2Fcanary`: both parts are encoded as in a form (RFC 6749, section 2.3.1).
const BASIC: &str = "Basic aGVyYWxkOnNlY3JldCUyRmNhbmFyeQ==";

const UNAUTHORIZED: &[u8] = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
const SERVER_ERROR: &[u8] = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n";

/// A receiver, the endpoint of its tokens, and a sender.
struct Scene {
    token_endpoint: Endpoint,
    receiver: Endpoint,
    pool: Pool,
}

impl Scene {
    fn of(token_endpoint: Endpoint, receiver: Endpoint) -> Self {
        let settings = Settings {
            threads: 16,
            ..settings()
        };
        Self {
            token_endpoint,
            receiver,
            pool: Pool::start(settings),
        }
    }

    fn request(&self) -> HttpRequest {
        authorized(&self.receiver, &self.token_endpoint.url(), &[])
    }

    fn attempt(&self) -> Outcome {
        self.pool.attempt(self.request())
    }

    fn succeed(&self) {
        let outcome = self.attempt();
        assert!(outcome.is_success(), "{outcome:?}");
    }

    /// Makes `count` attempts, none of which sends anything until each has a thread.
    fn attempt_at_once(&self, count: usize) -> Vec<Outcome> {
        let all_have_a_thread = Arc::new(Barrier::new(count));
        for _ in 0..count {
            let (all_have_a_thread, request) = (Arc::clone(&all_have_a_thread), self.request());
            let work = Work::new(move || {
                all_have_a_thread.wait();
                Ok(request.clone())
            });
            self.pool.sender.send(work).expect("room for all");
        }
        let attempted = self.pool.gather(count).into_iter();
        attempted.map(|attempted| attempted.outcome).collect()
    }

    /// Returns the tokens that the receiver was shown, request by request.
    fn tokens(&self) -> Vec<String> {
        let requests = self.receiver.requests();
        requests.iter().map(|it| token_of(it).to_owned()).collect()
    }

    fn token_requests(&self) -> usize {
        self.token_endpoint.requests().len()
    }
}

/// Answers each request by its number, from 0, and its text.
fn numbering(answer: impl Fn(usize, &str) -> Vec<u8> + Send + Sync + 'static) -> Endpoint {
    let requests = AtomicUsize::new(0);
    Endpoint::serving(move |connection| {
        while let Some(request) = connection.read_request() {
            let number = requests.fetch_add(1, Ordering::SeqCst);
            if connection.write(&answer(number, &request)).is_none() {
                return;
            }
        }
    })
}

/// A token endpoint that gives `canary-0`, `canary-1` and so on, each for `expires_in` seconds.
fn giving_tokens_for(expires_in: u64) -> Endpoint {
    numbering(move |number, _| token_answer(number, expires_in))
}

fn giving_tokens() -> Endpoint {
    giving_tokens_for(3600)
}

/// A token endpoint that hangs once it is asked.
fn hanging_when_asked() -> Endpoint {
    Endpoint::serving(|connection| {
        connection.read_request();
        connection.hang();
    })
}

/// A receiver that takes a request by its number and its token, or answers 401.
fn taking(is_taken: impl Fn(usize, &str) -> bool + Send + Sync + 'static) -> Endpoint {
    numbering(
        move |number, request| match is_taken(number, token_of(request)) {
            true => OK.to_vec(),
            false => UNAUTHORIZED.to_vec(),
        },
    )
}

fn token_of(request: &str) -> &str {
    request
        .lines()
        .find_map(|line| line.strip_prefix("authorization: Bearer "))
        .unwrap_or("no token")
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
}

fn token_answer(number: usize, expires_in: u64) -> Vec<u8> {
    let token = format!(r#""access_token":"canary-{number}","token_type":"Bearer""#);
    answer(
        "200 OK",
        &format!(r#"{{{token},"expires_in":{expires_in}}}"#),
    )
}

fn credentials(token_url: &str, members: &[(&str, &str)]) -> Arc<ClientCredentials> {
    let defaults = [
        ("type", "oauth2"),
        ("token_url", token_url),
        ("client_id", "herald"),
        ("client_secret", CLIENT_SECRET),
    ];
    let members: BTreeMap<String, String> = defaults
        .iter()
        .chain(members)
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    match Auth::parse(&members, &policy("127.0.0.0/8")) {
        Ok(Auth::OAuth2(credentials)) => credentials,
        other => panic!("credentials, not {other:?}"),
    }
}

fn authorized(receiver: &Endpoint, token_url: &str, members: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        oauth2: Some(credentials(token_url, members)),
        ..request(&receiver.url())
    }
}

/// Returns the outcome of one request, with `TIMEOUT`, for which no token can be had. Checks that it comes in time and
/// says what failed, and that the receiver is never called.
fn attempt_without_token(token_url: &str, settings: Settings) -> Outcome {
    let receiver = Endpoint::answering(OK);
    let mut request = authorized(&receiver, token_url, &[]);
    request.timeout = TIMEOUT;
    let pool = Pool::start(settings);
    let started = Instant::now();
    let outcome = pool.attempt(request);
    assert!(started.elapsed() < TIMEOUT + EPSILON, "{outcome:?}");
    assert!(words(&outcome).starts_with("OAuth 2.0: "), "{outcome:?}");
    assert_eq!((outcome.status, outcome.response.as_str()), (None, ""));
    assert_eq!(receiver.connections(), 0, "{outcome:?}");
    outcome
}

/// Does the same with a token endpoint that behaves like this, and is called once.
fn attempt_with_token_endpoint(serve: impl Fn(&mut Connection) + Send + Sync + 'static) -> Outcome {
    let token_endpoint = Endpoint::serving(serve);
    let outcome = attempt_without_token(&token_endpoint.url(), settings());
    assert_eq!(token_endpoint.connections(), 1, "{outcome:?}");
    outcome
}

fn attempt_with_token_answer(bytes: Vec<u8>) -> Outcome {
    attempt_with_token_endpoint(move |connection| {
        connection.read_request();
        connection.write(&bytes);
    })
}
