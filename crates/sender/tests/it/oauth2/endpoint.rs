//! Token endpoints that give no token, and those that may not be called.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use herald_core::attempt::outcome::ErrorClass;
use herald_core::egress::url_policy::UrlPolicy;

use super::*;

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
