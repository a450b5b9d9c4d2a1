//! The harness's own receiver: every mode does what it says, and the accounts are right.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use herald_trial::receiver::{Answer, Authority, Flaw, Keep, Mode, Receiver, Signature};
use herald_trial::{Result, eventually};
use standardwebhooks::Webhook;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const SOON: Duration = Duration::from_secs(10);

#[test]
fn a_request_is_recorded_with_all_that_came() -> Result<()> {
    let receiver = Receiver::start()?;
    assert!(post(&receiver, "/hook?a=1", "one", "hello").starts_with("HTTP/1.1 200 "));
    let request = &receiver.requests()[0];
    assert_eq!(
        (
            request.method.as_str(),
            request.path.as_str(),
            request.text().as_str()
        ),
        ("POST", "/hook?a=1", "hello")
    );
    assert_eq!(
        (
            request.webhook_id.as_deref(),
            request.attempt,
            request.accepted
        ),
        (Some("one"), 1, true)
    );
    assert_eq!(request.header("HOST"), Some("trial"));
    assert_eq!(request.signature, Signature::Unchecked);
    assert_eq!(
        receiver.distinct_ids().into_iter().collect::<Vec<_>>(),
        ["one"]
    );
    Ok(())
}

#[test]
fn one_connection_carries_many_requests() -> Result<()> {
    let receiver = Receiver::builder().keep(Keep::Counts).start()?;
    let mut connection = connect(&receiver);
    for n in 0..50 {
        connection
            .write_all(request("/", &format!("id{n}"), "x").as_bytes())
            .unwrap();
        let mut answer = [0; 4096];
        assert!(connection.read(&mut answer).unwrap() > 0);
    }
    assert_eq!(
        (
            receiver.connections(),
            receiver.total(),
            receiver.accepted()
        ),
        (1, 50, 50)
    );
    assert!(receiver.requests().is_empty());
    Ok(())
}

#[test]
fn signatures_are_checked_by_the_standard_library() -> Result<()> {
    let receiver = Receiver::builder().secret(SECRET).start()?;
    let now = receiver_clock();
    let signature = Webhook::new(SECRET)
        .unwrap()
        .sign("good", now, b"hello")
        .unwrap();
    for body in ["hello", "hellO"] {
        let extra = format!("webhook-timestamp: {now}\r\nwebhook-signature: {signature}\r\n");
        exchange(&receiver, &request_with("/", "good", &extra, body));
    }
    let signatures: Vec<_> = receiver
        .requests()
        .iter()
        .map(|request| request.signature.clone())
        .collect();
    assert_eq!(
        signatures,
        [
            Signature::Valid,
            Signature::Invalid("signature invalid".to_owned())
        ]
    );
    assert_eq!(receiver.invalid_signatures(), 1);
    Ok(())
}

#[test]
fn flaky_fails_the_first_attempts_of_each_id() -> Result<()> {
    let receiver = Receiver::builder().mode(Mode::flaky(2, 3)).start()?;
    let statuses = |id| {
        (0..4)
            .map(|_| status(&post(&receiver, "/", id, "x")))
            .collect::<Vec<_>>()
    };
    assert_eq!(statuses("one"), [500, 500, 200, 500]);
    assert_eq!(statuses("two"), [500, 500, 200, 500]);
    assert!(receiver.duplicates().is_empty());
    receiver.set_mode(Mode::flaky_together(1, 2));
    assert_eq!(statuses("one"), [500, 200, 500, 200]);
    assert_eq!(receiver.duplicates(), [("one".to_owned(), 3)]);
    assert_eq!(receiver.attempts("one"), 8);
    Ok(())
}

#[test]
fn a_path_may_have_a_mode_of_its_own() -> Result<()> {
    let receiver = Receiver::start()?;
    receiver.set_mode_at("/busy", Mode::retry_after(429, "3"));
    receiver.set_mode_at("/moved", Mode::redirect("http://127.0.0.1/"));
    receiver.set_mode_at(
        "/echo",
        Mode::answer_with(|request| Answer::new(201).body(request.body.clone())),
    );
    assert!(post(&receiver, "/busy?x", "a", "").contains("\r\nretry-after: 3\r\n"));
    assert!(post(&receiver, "/moved", "a", "").contains("\r\nlocation: http://127.0.0.1/\r\n"));
    assert!(post(&receiver, "/echo", "a", "ping").ends_with("\r\n\r\nping"));
    assert_eq!(status(&post(&receiver, "/", "a", "")), 200);
    Ok(())
}

#[test]
fn a_receiver_that_is_down_refuses_and_comes_back_on_the_same_port() -> Result<()> {
    let receiver = Receiver::start()?;
    let mut idle = connect(&receiver);
    eventually(SOON, "the connection", || {
        (receiver.connections() == 1).then_some(())
    });
    for _ in 0..3 {
        receiver.down();
        let refused = TcpStream::connect(("127.0.0.1", receiver.port())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        receiver.up()?;
        assert_eq!(status(&post(&receiver, "/", "a", "")), 200);
    }
    assert_eq!(idle.read(&mut [0; 8]).unwrap_or(0), 0);
    Ok(())
}

#[test]
fn broken_answers_are_recorded_and_broken_requests_are_not() -> Result<()> {
    let receiver = Receiver::start()?;
    let reset = |mode: Mode| {
        receiver.set_mode(mode);
        let mut connection = connect(&receiver);
        connection
            .write_all(request("/", "id", "x").as_bytes())
            .unwrap();
        connection.read_to_end(&mut Vec::new())
    };
    assert_eq!(
        reset(Mode::reset()).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
    assert_eq!(reset(Mode::lose_response()).unwrap(), 0);
    assert_eq!((receiver.total(), receiver.accepted()), (2, 0));
    let _ = reset(Mode::close_early());
    assert_eq!(receiver.total(), 2);
    Ok(())
}

#[test]
fn a_hanging_receiver_is_silent_until_the_sender_gives_up() -> Result<()> {
    let receiver = Receiver::start()?;
    let silence = Duration::from_millis(100);
    for (mode, heard, recorded) in [
        (Mode::hang_on_accept(), 0, 0),
        (Mode::hang_before_answer(), 0, 1),
        (Mode::hang_after_headers(), 16, 2),
    ] {
        receiver.set_mode(mode);
        let mut connection = connect(&receiver);
        connection.set_read_timeout(Some(silence)).unwrap();
        connection
            .write_all(request("/", "id", "x").as_bytes())
            .unwrap();
        let mut bytes = Vec::new();
        let error = connection.read_to_end(&mut bytes).unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::WouldBlock | ErrorKind::TimedOut
        ));
        assert!(bytes.len() >= heard && (heard > 0 || bytes.is_empty()));
        receiver.wait_until("the record", |receiver| receiver.total() == recorded, SOON);
    }
    Ok(())
}

#[test]
fn slow_and_endless_answers_go_on_until_they_are_cut() -> Result<()> {
    let receiver = Receiver::start()?;
    receiver.set_mode(Mode::delayed(Duration::from_millis(150)));
    let asked_at = Instant::now();
    assert_eq!(status(&post(&receiver, "/", "a", "")), 200);
    assert!(asked_at.elapsed() >= Duration::from_millis(150));

    receiver.set_mode(Mode::huge_body(3_000_000));
    assert!(post(&receiver, "/", "a", "").len() > 3_000_000);
    for mode in [
        Mode::endless_headers(),
        Mode::informational_flood(),
        Mode::Trickle(Duration::from_millis(1)),
    ] {
        receiver.set_mode(mode);
        let mut connection = connect(&receiver);
        connection
            .write_all(request("/", "b", "").as_bytes())
            .unwrap();
        connection.read_exact(&mut [0; 200]).unwrap();
    }
    for (mode, expected) in [
        (Mode::nul_bytes(), "\0"),
        (Mode::bare_body(), "<html>"),
        (Mode::short_body(), "too short"),
    ] {
        receiver.set_mode(mode);
        assert!(post(&receiver, "/", "c", "").contains(expected));
    }
    receiver.set_mode(Mode::garbage());
    assert!(!post(&receiver, "/", "c", "").starts_with("HTTP"));
    Ok(())
}

#[test]
fn each_request_is_in_the_log_before_it_is_answered() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("requests.jsonl");
    let receiver = Receiver::builder().log(&file).keep_bodies(false).start()?;
    for n in 1..=3 {
        post(&receiver, "/", "same", "body");
        let log = std::fs::read_to_string(&file).unwrap();
        let last: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
        assert_eq!(
            (&last["webhook_id"], &last["attempt"], &last["body"]),
            (&"same".into(), &n.into(), &"body".into())
        );
    }
    assert!(
        receiver
            .requests()
            .iter()
            .all(|request| request.body.is_empty())
    );
    Ok(())
}

#[test]
fn waiting_ends_with_the_request_that_was_awaited() -> Result<()> {
    let receiver = Arc::new(Receiver::start()?);
    let sender = thread::spawn({
        let receiver = Arc::clone(&receiver);
        move || (0..5).for_each(|n| drop(post(&receiver, "/", &format!("id{n}"), "")))
    });
    receiver.wait_for(5, SOON);
    sender.join().unwrap();
    assert!(
        !receiver.holds_within(Duration::from_millis(20), |receiver| receiver.accepted()
            > 5)
    );
    receiver.forget();
    assert_eq!(receiver.total(), 0);
    Ok(())
}

#[test]
fn tls_is_trusted_exactly_when_the_certificate_is_sound() -> Result<()> {
    let authority = Authority::new()?;
    let sound = Receiver::builder()
        .tls(authority.server(Flaw::None)?)
        .start()?;
    assert!(sound.url("/").starts_with("https://127.0.0.1:"));
    assert_eq!(
        post_tls(&sound, &authority)
            .map(|answer| status(&answer))
            .unwrap(),
        200
    );
    assert_eq!(sound.total(), 1);
    for (flaw, complaint) in [
        (Flaw::Expired, "Expired"),
        (Flaw::NotYetValid, "NotValidYet"),
        (Flaw::OtherHost, "NotValidForName"),
        (Flaw::SelfSigned, "UnknownIssuer"),
    ] {
        let receiver = Receiver::builder().tls(authority.server(flaw)?).start()?;
        let error = format!("{:?}", post_tls(&receiver, &authority).unwrap_err());
        assert!(error.contains(complaint), "{flaw:?}: {error}");
    }
    let known_only = Receiver::builder()
        .tls(authority.server_for_known_clients()?)
        .start()?;
    assert!(post_tls(&known_only, &authority).is_err());
    assert!(authority.client_identity()?.key_pem.contains("PRIVATE KEY"));
    Ok(())
}

fn post(receiver: &Receiver, path: &str, id: &str, body: &str) -> String {
    exchange(receiver, &request(path, id, body))
}

fn request(path: &str, id: &str, body: &str) -> String {
    request_with(path, id, "", body)
}

fn request_with(path: &str, id: &str, extra: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: trial\r\nwebhook-id: {id}\r\n{extra}content-length: {length}\r\n\r\n{body}"
    )
}

/// Sends one request on its own connection, and returns all that comes back.
fn exchange(receiver: &Receiver, request: &str) -> String {
    let mut connection = connect(receiver);
    let request = request.replacen("\r\n", "\r\nconnection: close\r\n", 1);
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn connect(receiver: &Receiver) -> TcpStream {
    let connection = TcpStream::connect(("127.0.0.1", receiver.port())).unwrap();
    connection.set_read_timeout(Some(SOON)).unwrap();
    connection
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_default()
}

fn post_tls(receiver: &Receiver, authority: &Authority) -> std::io::Result<String> {
    use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(authority.ca_file()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let session =
        rustls::ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1").unwrap())
            .unwrap();
    let mut stream = rustls::StreamOwned::new(session, connect(receiver));
    stream.write_all(request_with("/", "tls", "connection: close\r\n", "x").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn receiver_clock() -> i64 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    since.as_secs().try_into().unwrap()
}
