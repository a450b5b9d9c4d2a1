//! Real handshakes: who is trusted, and what a DBA reads about a failure.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use herald_core::attempt::outcome::{ErrorClass, Outcome};
use herald_sender::{AgentKey, Settings, TlsProfile, check_tls};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::support::*;

pub(crate) const HOST: &str = "hooks.test";

static AUTHORITIES: AtomicUsize = AtomicUsize::new(0);

/// A certificate with its key, both in PEM.
pub(crate) struct Identity {
    certificate: String,
    key: String,
}

/// A certificate authority, with its certificate in a file.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Names distinguish authorities before keys do.
        let number = AUTHORITIES.fetch_add(1, Ordering::SeqCst);
        let name = format!("authority {number}");
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA certificate");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("a file");
        Self { issuer, directory }
    }

    fn file(&self) -> Option<PathBuf> {
        Some(self.directory.path().join("ca.pem"))
    }

    pub(crate) fn issue(
        &self,
        host: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("a host name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// An https endpoint with this identity; with `clients`, it wants a client certificate that `clients` issued.
pub(crate) fn serve_tls(identity: &Identity, clients: Option<&Authority>) -> Endpoint {
    serve_tls_with(identity, clients, |stream| {
        while read_request(stream).is_some() && stream.write_all(OK).is_ok() {}
    })
}

type ServerStream = StreamOwned<ServerConnection, TcpStream>;

fn serve_tls_with(
    identity: &Identity,
    clients: Option<&Authority>,
    serve: impl Fn(&mut ServerStream) + Send + Sync + 'static,
) -> Endpoint {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("protocol versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(authority.issuer.der().clone())
                .expect("a CA certificate");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes());
    let config = builder
        .with_single_cert(vec![certificate.expect("PEM")], key.expect("PEM"))
        .expect("a server configuration");
    let config = Arc::new(config);
    Endpoint::serving(move |connection| {
        let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
        let stream = connection.stream.try_clone().expect("the socket");
        serve(&mut StreamOwned::new(session, stream));
    })
}

pub(crate) fn settings_trusting(authority: &Authority) -> Settings {
    Settings {
        ca_file: authority.file(),
        lookup: answer_with(&[IpAddr::from([127, 0, 0, 1])]),
        ..settings()
    }
}

pub(crate) fn url(endpoint: &Endpoint) -> String {
    format!("https://{HOST}:{}/hook", endpoint.address.port())
}

fn attempt_tls(endpoint: &Endpoint, trusted: &Authority) -> Outcome {
    Pool::start(settings_trusting(trusted)).attempt(request(&url(endpoint)))
}

fn assert_tls_failure(outcome: &Outcome, expected: &str) {
    assert_eq!(class(outcome), Some(ErrorClass::Tls), "{outcome:?}");
    assert_eq!(words(outcome), expected);
}

#[test]
fn a_certificate_of_the_ca_file_is_trusted_and_the_session_is_reused() {
    let authority = Authority::new();
    let endpoint = serve_tls(&authority.issue(HOST, |_| {}), None);
    let pool = Pool::start(settings_trusting(&authority));
    assert!(pool.sender.trusted_authorities() >= 1);
    for _ in 0..10 {
        let outcome = pool.attempt(request(&url(&endpoint)));
        assert!(outcome.is_success(), "{outcome:?}");
        assert_eq!(outcome.response, "ok");
    }
    assert_eq!(endpoint.connections(), 1);
}

#[test]
fn a_large_body_goes_through_tls() {
    let authority = Authority::new();
    let endpoint = serve_tls(&authority.issue(HOST, |_| {}), None);
    let mut request = request(&url(&endpoint));
    request.body = vec![b'y'; 300_000];
    let outcome = Pool::start(settings_trusting(&authority)).attempt(request);
    assert!(outcome.is_success(), "{outcome:?}");
}

#[test]
fn an_answer_before_the_end_of_the_request_counts() {
    let authority = Authority::new();
    let endpoint = serve_tls_with(&authority.issue(HOST, |_| {}), None, |stream| {
        // Closing the connection would lose what Nagle's algorithm holds back.
        stream.sock.set_nodelay(true).expect("a socket");
        let _ = stream.read(&mut [0; 1024]);
        let _ =
            stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\n\r\nlarge");
    });
    let mut request = request(&url(&endpoint));
    request.body = vec![b'y'; 20 << 20];
    let outcome = Pool::start(settings_trusting(&authority)).attempt(request);
    assert_eq!(
        (outcome.status, outcome.response.as_str()),
        (Some(413), "large"),
        "{outcome:?}"
    );
}

#[test]
fn an_expired_certificate_is_refused() {
    let authority = Authority::new();
    let identity = authority.issue(HOST, |params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    let outcome = attempt_tls(&serve_tls(&identity, None), &authority);
    assert_tls_failure(&outcome, "TLS: certificate expired");
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    let identity = authority.issue("other.test", |_| {});
    let outcome = attempt_tls(&serve_tls(&identity, None), &authority);
    assert_tls_failure(&outcome, "TLS: certificate is for another host name");
}

#[test]
fn a_certificate_of_an_unknown_authority_is_refused() {
    let identity = Authority::new().issue(HOST, |_| {});
    let outcome = attempt_tls(&serve_tls(&identity, None), &Authority::new());
    assert_tls_failure(&outcome, "TLS: unknown certificate authority");
}

#[test]
fn a_self_signed_certificate_is_refused() {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![HOST.to_owned()]).expect("a host name");
    let identity = Identity {
        certificate: params.self_signed(&key).expect("a certificate").pem(),
        key: key.serialize_pem(),
    };
    let outcome = attempt_tls(&serve_tls(&identity, None), &Authority::new());
    assert_tls_failure(&outcome, "TLS: unknown certificate authority");
}

#[test]
fn a_server_that_does_not_speak_tls_says_so() {
    let endpoint = Endpoint::serving(|connection| {
        connection.write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        connection.hang();
    });
    let outcome = attempt_tls(&endpoint, &Authority::new());
    assert_tls_failure(&outcome, "TLS: the server does not answer in TLS");
}

#[test]
fn a_handshake_that_hangs_ends_with_the_timeout() {
    let endpoint = Endpoint::serving(Connection::hang);
    let mut request = request(&url(&endpoint));
    request.timeout = std::time::Duration::from_millis(300);
    let outcome = Pool::start(settings_trusting(&Authority::new())).attempt(request);
    assert_tls_failure(&outcome, "TLS: no answer to the handshake");
    assert!(outcome.duration < std::time::Duration::from_secs(1));
}

#[test]
fn a_client_certificate_is_shown_where_the_profile_has_one() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let endpoint = serve_tls(&authority.issue(HOST, |_| {}), Some(&clients));
    let pool = Pool::start(settings_trusting(&authority));

    let outcome = pool.attempt(request(&url(&endpoint)));
    assert_tls_failure(&outcome, "TLS: the server wants a client certificate");

    let identity = clients.issue("client.test", |_| {});
    let mut work = Work::from(request(&url(&endpoint)));
    work.key = AgentKey {
        tls: Some(Arc::new(TlsProfile {
            client_certificate: Some((identity.certificate, identity.key)),
            ..TlsProfile::default()
        })),
        ..AgentKey::default()
    };
    let outcome = pool.attempt(work);
    assert!(outcome.is_success(), "{outcome:?}");
}

#[test]
fn a_profile_may_trust_an_authority_of_its_own() {
    let (server_wide, own) = (Authority::new(), Authority::new());
    let endpoint = serve_tls(&own.issue(HOST, |_| {}), None);
    let pool = Pool::start(settings_trusting(&server_wide));
    let mut work = Work::from(request(&url(&endpoint)));
    work.key.tls = Some(Arc::new(TlsProfile {
        ca_certificates: own.issuer.pem(),
        client_certificate: None,
    }));
    assert!(pool.attempt(work).is_success());
    let outcome = pool.attempt(request(&url(&endpoint)));
    assert_tls_failure(&outcome, "TLS: unknown certificate authority");
}

#[test]
fn a_client_certificate_of_another_authority_or_with_another_s_key_never_gets_through() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let endpoint = serve_tls(&authority.issue(HOST, |_| {}), Some(&clients));
    let (known, other) = (
        clients.issue("client.test", |_| {}),
        clients.issue("client.test", |_| {}),
    );
    let stranger = strangers.issue("client.test", |_| {});
    let pool = Pool::start(settings_trusting(&authority));
    for (certificate, key, expected) in [
        (
            &stranger.certificate,
            &stranger.key,
            "TLS: the server refused the client certificate (UnknownCA)",
        ),
        (
            &known.certificate,
            &other.key,
            "TLS: the client certificate is not usable: keys may not be consistent: KeyMismatch",
        ),
    ] {
        let profile = TlsProfile {
            client_certificate: Some((certificate.clone(), key.clone())),
            ..TlsProfile::default()
        };
        let is_usable = check_tls(&profile).is_ok();
        let mut work = Work::from(request(&url(&endpoint)));
        work.key.tls = Some(Arc::new(profile));
        let outcome = pool.attempt(work);
        assert_tls_failure(&outcome, expected);
        // A profile that always fails is refused when the subscription is made.
        assert_eq!(is_usable, std::ptr::eq(certificate, &stranger.certificate));
    }
    assert_eq!(endpoint.requests().len(), 0);
}

#[test]
fn a_server_that_speaks_an_old_protocol_only_is_refused() {
    let alert: &[u8] = b"\x15\x03\x01\x00\x02\x02\x46";
    let hello_of_tls_1_1: &[u8] = &[
        &b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02"[..],
        &[7; 32],
        b"\x00\x00\x2f\x00",
    ]
    .concat();
    for answer in [alert, hello_of_tls_1_1] {
        let answer = answer.to_vec();
        let endpoint = Endpoint::serving(move |connection| {
            connection.write(&answer);
            connection.hang();
        });
        let outcome = attempt_tls(&endpoint, &Authority::new());
        assert_tls_failure(&outcome, "TLS: no TLS version or cipher suite in common");
    }
}

#[test]
fn connections_with_and_without_a_client_certificate_are_not_shared() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let endpoint = serve_tls(&authority.issue(HOST, |_| {}), None);
    let pool = Pool::start(settings_trusting(&authority));
    let identity = clients.issue("client.test", |_| {});
    let profile = Arc::new(TlsProfile {
        client_certificate: Some((identity.certificate, identity.key)),
        ..TlsProfile::default()
    });
    let keys = [
        (None, None),
        (None, Some(profile)),
        (Some("tenant"), None),
        (Some("another"), None),
    ];
    for _ in 0..2 {
        for (tenant, tls) in keys.clone() {
            let mut work = Work::from(request(&url(&endpoint)));
            work.key = AgentKey {
                tenant: tenant.map(Arc::from),
                tls,
                ..AgentKey::default()
            };
            assert!(pool.attempt(work).is_success());
        }
    }
    assert_eq!(endpoint.connections(), keys.len());
}
