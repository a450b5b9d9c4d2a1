//! OAuth 2.0 tokens: fetched once, replaced when they end or are refused, and shown only to the receiver.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use herald_core::attempt::outcome::{ErrorClass, Outcome};
use herald_core::egress::url_policy::UrlPolicy;
use herald_core::request::HttpRequest;
use herald_core::signing::auth::{Auth, ClientCredentials};
use herald_sender::Settings;
use http::header::AUTHORIZATION;

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
fn a_401_is_answered_with_a_new_token_at_once() {
    let receiver = taking(|number, token| number == 0 || token == "canary-1");
    let scene = Scene::of(giving_tokens(), receiver);
    for _ in 0..3 {
        let outcome = scene.attempt();
        assert_eq!((outcome.status, &outcome.error), (Some(200), &None));
    }
    let expected = ["canary-0", "canary-0", "canary-1", "canary-1"];
    assert_eq!(scene.tokens(), expected);
    for sent in scene.receiver.requests() {
        assert!(sent.ends_with("\r\n\r\n{\"n\":1}"), "{sent}");
    }
    assert_eq!(scene.token_requests(), 2);
}

#[test]
fn a_401_for_the_new_token_as_well_is_the_outcome() {
    let scene = Scene::of(giving_tokens(), taking(|number, _| number == 0));
    scene.succeed();
    let outcome = scene.attempt();
    assert_eq!(outcome.status, Some(401));
    assert_eq!(words(&outcome), "status 401");
    assert_eq!(scene.tokens()[1..], ["canary-0", "canary-1"]);
    assert_eq!(scene.token_requests(), 2);
}

#[test]
fn a_401_for_a_token_that_was_fetched_for_the_request_is_final() {
    let scene = Scene::of(giving_tokens(), taking(|_, _| false));
    let outcome = scene.attempt();
    assert_eq!(outcome.status, Some(401));
    assert_eq!(words(&outcome), "status 401");
    assert_eq!(scene.tokens(), ["canary-0"]);
}

#[test]
fn a_final_401_costs_no_second_token_and_stays_the_outcome() {
    let token_endpoint = numbering(|number, _| match number {
        0 => token_answer(0, 3600),
        _ => SERVER_ERROR.to_vec(),
    });
    let scene = Scene::of(token_endpoint, taking(|_, _| false));
    assert_eq!(words(&scene.attempt()), "status 401");
    assert_eq!(scene.token_requests(), 1);
}

#[test]
fn a_token_that_is_given_once_more_is_not_sent_again() {
    let token_endpoint = numbering(|_, _| token_answer(0, 3600));
    let scene = Scene::of(token_endpoint, taking(|number, _| number == 0));
    scene.succeed();
    assert_eq!(words(&scene.attempt()), "status 401");
    assert_eq!(scene.tokens(), ["canary-0"; 2]);
    assert_eq!(scene.token_requests(), 2);
}

#[test]
fn a_status_other_than_401_fetches_no_new_token() {
    let forbidden = numbering(|_, _| answer("403 Forbidden", ""));
    let scene = Scene::of(giving_tokens(), forbidden);
    for _ in 0..2 {
        assert_eq!(words(&scene.attempt()), "status 403");
    }
    assert_eq!(scene.tokens(), ["canary-0"; 2]);
    assert_eq!(scene.token_requests(), 1);
}

#[test]
fn many_threads_whose_token_is_refused_share_the_new_one() {
    let all_came = Barrier::new(16);
    let receiver = taking(move |number, token| {
        let is_taken = number == 0 || token == "canary-1";
        if !is_taken {
            all_came.wait();
        }
        is_taken
    });
    let scene = Scene::of(giving_tokens(), receiver);
    scene.succeed();
    let outcomes = scene.attempt_at_once(16);
    assert!(outcomes.iter().all(Outcome::is_success), "{outcomes:?}");
    assert_eq!(scene.receiver.requests().len(), 1 + 2 * 16);
    assert_eq!(scene.token_requests(), 2);
}

#[test]
fn a_new_token_that_cannot_be_had_is_the_outcome_and_the_refused_one_is_forgotten() {
    let token_endpoint = numbering(|number, _| match number {
        1 => SERVER_ERROR.to_vec(),
        _ => token_answer(number, 3600),
    });
    let scene = Scene::of(token_endpoint, taking(|number, _| number == 0));
    scene.succeed();
    assert_eq!(
        words(&scene.attempt()),
        "OAuth 2.0: the token endpoint answered with status 500"
    );
    scene.attempt();
    assert_eq!(scene.tokens(), ["canary-0", "canary-0", "canary-2"]);
}

#[test]
fn a_status_of_the_token_endpoint_other_than_200_is_the_outcome() {
    for status in [201, 400, 401, 403, 429, 500, 503] {
        let body = r#"{"access_token":"canary","error":"invalid_client"}"#;
        let outcome = attempt_with_token_answer(answer(&format!("{status} Canary"), body));
        assert_eq!(class(&outcome), Some(ErrorClass::Status));
        assert_eq!(
            words(&outcome),
            format!("OAuth 2.0: the token endpoint answered with status {status}")
        );
    }
}

#[test]
fn a_redirect_of_the_token_endpoint_is_not_followed() {
    let elsewhere = giving_tokens();
    for status in [302, 307] {
        let line = format!("{status} Elsewhere\r\nlocation: {}", elsewhere.url());
        let outcome = attempt_with_token_answer(answer(&line, ""));
        assert_eq!(
            words(&outcome),
            format!("OAuth 2.0: the token endpoint answered with status {status}")
        );
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn an_answer_without_a_usable_token_is_the_outcome() {
    let (no_token, no_bearer_token, no_header) = (
        "answered without an access_token in JSON",
        "gave a token that is no bearer token",
        "gave a token that a header cannot carry",
    );
    let mac = r#"{"access_token":"canary","token_type":"mac"}"#;
    for (body, expected) in [
        ("", no_token),
        ("<html>canary</html>", no_token),
        (r#"{"token":"canary"}"#, no_token),
        (mac, no_bearer_token),
        (r#"{"access_token":""}"#, no_header),
        (r#"{"access_token":"canary\r\nx-smuggled: 1"}"#, no_header),
    ] {
        let outcome = attempt_with_token_answer(answer("200 OK", body));
        assert_eq!(class(&outcome), Some(ErrorClass::Status), "{body}");
        let expected = format!("OAuth 2.0: the token endpoint {expected}");
        assert_eq!(words(&outcome), expected, "{body}");
    }
}

#[test]
fn a_token_answer_without_an_end_is_read_to_a_limit() {
    let outcome = attempt_with_token_endpoint(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"access_token\":\"");
        while connection.write(&[b'x'; 64 * 1024]).is_some() {}
    });
    assert_eq!(class(&outcome), Some(ErrorClass::Status));
    let took = outcome.duration;
    assert!(took < TIMEOUT, "not the limit ended it: {took:?}");
}

#[test]
fn a_token_endpoint_that_speaks_no_http_or_closes_is_the_outcome() {
    for bytes in [
        "",
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-",
    ] {
        let outcome = attempt_with_token_answer(bytes.into());
        assert_eq!(class(&outcome), Some(ErrorClass::Connect));
        let expected = "OAuth 2.0: response: ";
        assert!(words(&outcome).starts_with(expected), "{outcome:?}");
    }
}

#[test]
fn a_token_endpoint_that_refuses_connections_or_has_no_address_is_the_outcome() {
    // No other test uses ports of this address.
    let closed = TcpListener::bind("127.0.0.3:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port");
    let outcome = attempt_without_token(&format!("http://{closed}/"), settings());
    assert_eq!(class(&outcome), Some(ErrorClass::Connect));
    let expected = "OAuth 2.0: connect: connection refused";
    assert!(words(&outcome).starts_with(expected), "{outcome:?}");

    let nowhere = Settings {
        lookup: Some(Arc::new(|_: &str| Err(io::ErrorKind::NotFound.into()))),
        ..settings()
    };
    let outcome = attempt_without_token("http://id.test/", nowhere);
    assert_eq!(class(&outcome), Some(ErrorClass::Dns));
    assert!(words(&outcome).ends_with(" for id.test"), "{outcome:?}");
}

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
fn a_token_that_could_not_be_had_is_asked_for_again_by_the_next_request() {
    let token_endpoint = numbering(|number, _| match number {
        0 => SERVER_ERROR.to_vec(),
        _ => token_answer(number, 3600),
    });
    let scene = Scene::of(token_endpoint, Endpoint::answering(OK));
    assert_eq!(class(&scene.attempt()), Some(ErrorClass::Status));
    assert_eq!(scene.token_requests(), 1);
    scene.succeed();
    assert_eq!(scene.tokens(), ["canary-1"]);
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

#[test]
fn a_token_endpoint_in_a_denied_network_is_blocked_and_never_called() {
    const ALLOWED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    let token_endpoint = giving_tokens();
    let receiver = Endpoint::serving_at(SocketAddr::new(ALLOWED, 0), |connection| {
        while connection.read_request().is_some() && connection.write(OK).is_some() {}
    });
    let mut settings = settings();
    settings.url_policy = policy("127.0.0.2");
    settings.lookup = answer_with(&[token_endpoint.address.ip()]);
    let pool = Pool::start(settings);
    assert!(pool.attempt(request(&receiver.url())).is_success());

    let port = token_endpoint.address.port();
    for (host, subject) in [
        ("127.0.0.1", "127.0.0.1"),
        ("id.test", "127.0.0.1, which id.test leads to,"),
    ] {
        let token_url = format!("http://{host}:{port}/");
        let outcome = pool.attempt(authorized(&receiver, &token_url, &[]));
        assert_eq!(class(&outcome), Some(ErrorClass::Blocked));
        let reason = "is this machine itself (herald.allow_networks)";
        let expected = format!("OAuth 2.0: blocked: {subject} {reason}");
        assert_eq!(words(&outcome), expected);
    }
    assert_eq!(token_endpoint.connections(), 0);
    assert_eq!(receiver.requests().len(), 1);
}

#[test]
fn a_tenant_learns_nothing_of_where_the_name_of_a_token_endpoint_leads() {
    let (token_endpoint, receiver) = (giving_tokens(), Endpoint::answering(OK));
    let address = token_endpoint.address;
    let mut settings = settings();
    settings.tenant_url_policy =
        UrlPolicy::parse_for_tenants(true, "127.0.0.2", "").expect("valid settings");
    settings.lookup = Some(Arc::new(move |host: &str| match host {
        "inside.test" => Ok(vec![address.ip()]),
        _ => Err(io::ErrorKind::NotFound.into()),
    }));
    let pool = Pool::start(settings);
    for host in ["inside.test", "nowhere.test", "127.0.0.1"] {
        let token_url = format!("http://{host}:{}/", address.port());
        let mut work = Work::from(authorized(&receiver, &token_url, &[]));
        work.key.is_tenants = true;
        let outcome = pool.attempt(work);
        assert_eq!(class(&outcome), Some(ErrorClass::Dns));
        let expected = format!("OAuth 2.0: DNS: {host} has no address that may be called");
        assert_eq!(words(&outcome), expected);
        assert_eq!(outcome.duration, Duration::from_secs(1));
    }
    assert_eq!(token_endpoint.connections(), 0);
    assert_eq!(receiver.connections(), 0);
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
