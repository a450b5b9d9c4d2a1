//! One request, from prepared to outcome.
//!
//! All timeouts derive from the request's, which bounds everything from the look-up to the last byte read. The body of
//! the response is read to the cap and, if little is left, to its end, so that the connection can be used again; if
//! more is left, the connection is closed instead. Once the status is known, a body that breaks off or trickles changes
//! nothing.
//!
//! If a connection that has served before is closed before a byte of the answer comes, it was most likely closed while
//! idle. The request is then sent once more, at once, on a fresh connection and within the same timeout. In rare cases
//! the receiver sees it twice, with the same `webhook-id`, as after any lost response.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use herald_core::attempt::outcome::{ErrorClass, Outcome, sanitise};
use herald_core::request::HttpRequest;
use herald_core::signing::auth::{ClientCredentials, Token};
use herald_core::subscription::secrets::NamedSecrets;
use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use ureq::{Agent, Body, Timeout};

use crate::agents::Agents;
use crate::failure::Failure;
use crate::tokens::Tokens;
use herald_core::egress::agent::AgentKey;

const MAX_RESOLVE_TIME: Duration = Duration::from_secs(3);
const MAX_CONNECT_TIME: Duration = Duration::from_secs(10);
const MAX_BODY_TIME: Duration = Duration::from_secs(5);
/// A tenant's request to a name without callable addresses ends after this, whatever the name servers say, and when.
const VAGUE_FOR: Duration = Duration::from_secs(1);
/// At most this much beyond the cap is read and thrown away, to keep the connection.
const MAX_DISCARDED: u64 = 32 * 1024;
/// No token is longer.
const MAX_TOKEN_ANSWER: u64 = 64 * 1024;
/// A Retry-After longer than any date is noise.
const MAX_RETRY_AFTER: usize = 64;

/// Sends the request and waits for the outcome. `started` is when the attempt began.
pub(crate) fn send(
    agents: &Agents,
    tokens: &Tokens,
    key: &AgentKey,
    request: &HttpRequest,
    started: Instant,
    response_cap: usize,
) -> Outcome {
    let exchanged = agents.agent(key, started).and_then(|agent| {
        let exchange = |request: &HttpRequest, token: Option<&HeaderValue>| {
            exchange(&agent, request, token, started)
        };
        match &request.oauth2 {
            None => exchange(request, None),
            Some(credentials) => with_token(tokens, key, credentials, request, started, exchange),
        }
    });
    let outcome = match exchanged {
        Ok(response) => {
            // Consent is given in headers.
            let is_asked = request.method == Method::OPTIONS;
            let headers = is_asked.then(|| Box::new(response.headers().clone()));
            Outcome {
                consent_headers: headers,
                ..answered(response, started, response_cap, &request.secrets)
            }
        }
        // The duration of the look-up would tell a tenant what the words do not.
        Err(failure) if key.is_tenants && failure.class == ErrorClass::Dns => {
            thread::sleep(VAGUE_FOR.saturating_sub(started.elapsed()));
            Outcome::failed(failure.class, failure.words, VAGUE_FOR)
        }
        Err(failure) => Outcome::failed(failure.class, failure.words, started.elapsed()),
    };
    Outcome {
        request: request.keeps.then(|| request.kept().into()),
        ..outcome
    }
}

/// Sends the request with a token, fetched first unless one is at hand. A token that the receiver no longer takes is
/// replaced by a new one, at once and only once.
fn with_token(
    tokens: &Tokens,
    key: &AgentKey,
    credentials: &Arc<ClientCredentials>,
    request: &HttpRequest,
    started: Instant,
    exchange: impl Fn(&HttpRequest, Option<&HeaderValue>) -> Result<Response<Body>, Failure>,
) -> Result<Response<Body>, Failure> {
    // Its timeout is the request's: `exchange` subtracts the elapsed time.
    let fetch = || {
        read_token(
            exchange(&credentials.token_request(request.timeout), None)?,
            request.timeout,
        )
    };
    let too_late = || Failure::from_ureq(ureq::Error::Timeout(Timeout::Global), request.timeout);
    let token = |refused| {
        let time = request.timeout.saturating_sub(started.elapsed());
        tokens
            .get(key, credentials, refused, time, fetch)
            .unwrap_or_else(|| Err(too_late()))
            .map_err(|failure| failure.of("OAuth 2.0"))
    };
    let first = token(None)?;
    let response = exchange(request, Some(&first.header))?;
    if first.is_fresh || response.status() != StatusCode::UNAUTHORIZED {
        return Ok(response);
    }
    let second = token(Some(&first.header))?;
    if second.header == first.header {
        return Ok(response);
    }
    exchange(request, Some(&second.header))
}

/// Reads the token from an answer. An answer that breaks off is a failure of the connection, not of the endpoint.
fn read_token(response: Response<Body>, timeout: Duration) -> Result<Token, Failure> {
    let (status, mut answer) = (response.status().as_u16(), Vec::new());
    let mut reader = response.into_body().into_reader().take(MAX_TOKEN_ANSWER);
    let read = reader.read_to_end(&mut answer);
    if status == StatusCode::OK {
        read.map_err(|error| Failure::from_ureq(error.into(), timeout))?;
    }
    Token::read(status, &answer).map_err(|words| Failure::new(ErrorClass::Status, words))
}

fn exchange(
    agent: &Agent,
    request: &HttpRequest,
    token: Option<&HeaderValue>,
    started: Instant,
) -> Result<Response<Body>, Failure> {
    let left = |time: Duration| time.saturating_sub(started.elapsed());
    let first = exchange_once(agent, request, token, left(request.timeout), false);
    match first {
        Err(failure) if failure.is_stale && !left(request.timeout).is_zero() => {
            exchange_once(agent, request, token, left(request.timeout), true)
        }
        other => other,
    }
}

fn exchange_once(
    agent: &Agent,
    request: &HttpRequest,
    token: Option<&HeaderValue>,
    time: Duration,
    is_fresh_connection_wanted: bool,
) -> Result<Response<Body>, Failure> {
    let mut outgoing = Request::new(request.body.as_slice());
    *outgoing.method_mut() = request.method.clone();
    *outgoing.uri_mut() = request.url.clone();
    *outgoing.headers_mut() = request.headers.iter().cloned().collect::<HeaderMap>();
    if let Some(token) = token {
        outgoing.headers_mut().insert(AUTHORIZATION, token.clone());
    }
    let mut configured = agent
        .configure_request(outgoing)
        .timeout_global(Some(time))
        .timeout_resolve(Some(time.min(MAX_RESOLVE_TIME)))
        .timeout_connect(Some(time.min(MAX_CONNECT_TIME)))
        .timeout_recv_body(Some(time.min(MAX_BODY_TIME)));
    if is_fresh_connection_wanted {
        configured = configured.max_idle_age(Duration::ZERO);
    }
    agent
        .run(configured.build())
        .map_err(|error| Failure::from_ureq(error, request.timeout))
}

fn answered(
    response: Response<Body>,
    started: Instant,
    response_cap: usize,
    secrets: &NamedSecrets,
) -> Outcome {
    let (head, body) = response.into_parts();
    let retry_after = head
        .headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .filter(|value| value.len() <= MAX_RETRY_AFTER)
        .map(str::to_owned);
    // A secret that the cap cuts could not be found.
    let mut excerpt = read_excerpt(body, response_cap + secrets.longest());
    if !secrets.is_empty() {
        excerpt = secrets
            .hide(&String::from_utf8_lossy(&excerpt))
            .into_bytes();
    }
    let text = sanitise(&excerpt, response_cap);
    Outcome::answered(head.status.as_u16(), started.elapsed(), retry_after, text)
}

fn read_excerpt(mut body: Body, cap: usize) -> Vec<u8> {
    let length = body.content_length();
    let mut excerpt = Vec::new();
    let cap = u64::try_from(cap).unwrap_or(u64::MAX);
    let mut reader = body.as_reader();
    if reader.by_ref().take(cap).read_to_end(&mut excerpt).is_err() {
        return excerpt;
    }
    let is_worth_finishing =
        length.is_none_or(|length| length <= cap.saturating_add(MAX_DISCARDED));
    if is_worth_finishing {
        discard(reader);
    }
    excerpt
}

/// Reads at most `MAX_DISCARDED`, and one byte more to reach the end, at which ureq returns the connection.
fn discard(reader: impl Read) {
    let mut reader = reader.take(MAX_DISCARDED + 1);
    let mut buffer = [0; 4096];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Err(error) if error.kind() != ErrorKind::Interrupted => return,
            _ => {}
        }
    }
}
