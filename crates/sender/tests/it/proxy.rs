//! Requests through a proxy: a tunnel to each host, and nothing that the URL policy refuses.

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::thread;

use herald_core::attempt::outcome::ErrorClass;
use herald_core::egress::proxy::Proxy;
use herald_sender::Settings;

use crate::support::*;
use crate::tls::{Authority, HOST, serve_tls, settings_trusting, url};

/// A proxy that opens a tunnel to the requested port, on this machine.
fn tunnelling() -> Endpoint {
    Endpoint::serving(|connection| {
        let Some(request) = connection.read_request() else {
            return;
        };
        let port: Option<u16> = (|| {
            let target = request.strip_prefix("CONNECT ")?.split(' ').next()?;
            target.rsplit(':').next()?.parse().ok()
        })();
        let Some(Ok(upstream)) = port.map(|port| TcpStream::connect(("127.0.0.1", port))) else {
            return;
        };
        connection.write(b"HTTP/1.1 200 Connection established\r\nx-proxy: yes\r\n\r\n");
        let (from, to) = (
            connection.stream.try_clone().expect("the socket"),
            upstream.try_clone().expect("the socket"),
        );
        let back = thread::spawn(move || copy(&upstream, &from));
        copy(&connection.stream, &to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = back.join();
    })
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(amount) = from.read(&mut buffer)
        && amount > 0
        && to.write_all(&buffer[..amount]).is_ok()
    {}
}

fn through(proxy: &Endpoint, settings: Settings) -> Settings {
    let text = format!("http://user:pass@{}", proxy.address);
    Settings {
        proxy: Proxy::parse(&text).expect("a proxy"),
        ..settings
    }
}

#[test]
fn a_receiver_is_reached_and_verified_through_the_tunnel_which_is_reused() {
    let authority = Authority::new();
    let endpoint = serve_tls(&authority.issue(HOST, |_| {}), None);
    let proxy = tunnelling();
    let mut settings = through(&proxy, settings_trusting(&authority));
    // The proxy looks the name up.
    settings.lookup = answer_with(&[]);
    settings.url_policy = policy("127.0.0.0/8");
    let pool = Pool::start(settings);
    for _ in 0..3 {
        let outcome = pool.attempt(request(&url(&endpoint)));
        assert!(outcome.is_success(), "{outcome:?}");
    }
    assert_eq!((endpoint.connections(), proxy.connections()), (1, 1));
    let target = format!("{HOST}:{}", endpoint.address.port());
    assert_eq!(
        proxy.requests(),
        [format!(
            "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
        )]
    );
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused_behind_a_proxy_too() {
    let endpoint = serve_tls(&Authority::new().issue(HOST, |_| {}), None);
    let proxy = tunnelling();
    let other = Authority::new();
    let settings = through(&proxy, settings_trusting(&other));
    let outcome = Pool::start(settings).attempt(request(&url(&endpoint)));
    assert_eq!(class(&outcome), Some(ErrorClass::Tls), "{outcome:?}");
}

#[test]
fn an_http_url_goes_through_a_tunnel_as_well() {
    let endpoint = Endpoint::answering(OK);
    let proxy = tunnelling();
    let outcome = Pool::start(through(&proxy, settings())).attempt(request(&endpoint.url()));
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!((endpoint.connections(), proxy.connections()), (1, 1));
    assert!(!endpoint.requests()[0].to_lowercase().contains("proxy"));
}

#[test]
fn the_proxy_is_not_asked_for_what_the_policy_refuses() {
    let proxy = tunnelling();
    let mut settings = through(&proxy, settings());
    settings.url_policy = policy("");
    let pool = Pool::start(settings);
    for url in [
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://[::ffff:169.254.169.254]/",
        "https://0x7f.1/",
        "https://localhost/",
        "https://example.com:22/",
    ] {
        let outcome = pool.attempt(request(url));
        assert_eq!(
            class(&outcome),
            Some(ErrorClass::Blocked),
            "{url}: {outcome:?}"
        );
    }
    assert_eq!(proxy.connections(), 0);
}

#[test]
fn a_proxy_that_refuses_is_named_as_the_fault() {
    for (answer, expected) in [
        (
            &b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..],
            "proxy: answered 407: it wants a user and a password",
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\n\r\n",
            "proxy: answered 403: it does not allow this host",
        ),
        (b"SSH-2.0-x\r\n\r\n", "proxy: did not answer in HTTP"),
        (b"", "proxy: connection closed before an answer"),
    ] {
        let proxy = Endpoint::serving(move |connection| {
            connection.read_request();
            connection.write(answer);
        });
        let outcome =
            Pool::start(through(&proxy, settings())).attempt(request("https://127.0.0.1:9/"));
        assert_eq!(class(&outcome), Some(ErrorClass::Connect));
        assert_eq!(words(&outcome), expected);
    }
}

#[test]
fn an_endless_or_silent_proxy_delays_no_request() {
    let flooding = Endpoint::serving(|connection| {
        connection.read_request();
        while connection.write(&[b'x'; 1024]).is_some() {}
    });
    let outcome =
        Pool::start(through(&flooding, settings())).attempt(request("https://127.0.0.1:9/"));
    assert_eq!(words(&outcome), "proxy: the answer is too long");
    let silent = Endpoint::serving(Connection::hang);
    let mut hung = request("https://127.0.0.1:9/");
    hung.timeout = std::time::Duration::from_millis(300);
    let outcome = Pool::start(through(&silent, settings())).attempt(hung);
    assert!(outcome.error.is_some(), "{outcome:?}");
}

#[test]
fn the_proxy_itself_may_be_anywhere_and_is_found_by_its_name() {
    let endpoint = Endpoint::answering(OK);
    let proxy = tunnelling();
    let mut settings = through(&proxy, settings());
    let text = format!("http://proxy.internal:{}", proxy.address.port());
    settings.proxy = Proxy::parse(&text).expect("a proxy");
    settings.lookup = answer_with(&[IpAddr::from([127, 0, 0, 1])]);
    settings.url_policy = policy("127.0.0.7")
        .with_hosts("receiver.test")
        .expect("a host");
    let url = format!("http://receiver.test:{}/", endpoint.address.port());
    let outcome = Pool::start(settings).attempt(request(&url));
    assert!(outcome.is_success(), "{outcome:?}");
}
