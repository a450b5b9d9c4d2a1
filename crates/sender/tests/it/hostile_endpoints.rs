//! Endpoints that hang, trickle, lie or flood. Each attempt ends in time, and costs neither memory nor a thread.

use std::io::Read;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use herald_core::attempt::outcome::{ErrorClass, Outcome};

use crate::support::*;

const TIMEOUT: Duration = Duration::from_millis(600);
/// For a busy machine. A failure would hang many times longer.
const EPSILON: Duration = Duration::from_millis(700);

/// Makes one request with `TIMEOUT` to an endpoint that behaves like this; fails if it takes longer.
fn attempt_in_time(serve: impl Fn(&mut Connection) + Send + Sync + 'static) -> Outcome {
    let endpoint = Endpoint::serving(serve);
    let mut request = request(&endpoint.url());
    request.timeout = TIMEOUT;
    let pool = Pool::start(settings());
    let started = Instant::now();
    let outcome = pool.attempt(request);
    assert!(
        started.elapsed() < TIMEOUT + EPSILON,
        "{:?}",
        started.elapsed()
    );
    outcome
}

fn assert_timed_out(outcome: &Outcome) {
    assert_eq!(class(outcome), Some(ErrorClass::Timeout), "{outcome:?}");
    assert_eq!(words(outcome), "timeout: no answer within 600 ms");
}

#[test]
fn silence_ends_with_the_timeout() {
    assert_timed_out(&attempt_in_time(Connection::hang));
}

#[test]
fn a_connection_that_is_never_accepted_ends_with_the_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let mut request = request(&format!("http://{address}/"));
    request.timeout = TIMEOUT;
    let started = Instant::now();
    let outcome = Pool::start(settings()).attempt(request);
    assert_timed_out(&outcome);
    assert!(started.elapsed() < TIMEOUT + EPSILON);
}

#[test]
fn a_trickling_header_ends_with_the_timeout() {
    let outcome = attempt_in_time(|connection| {
        connection.read_request();
        let endless = b"HTTP/1.1 200 OK\r\nx-padding: "
            .iter()
            .chain([b'x'; 1000].iter());
        let bytes: Vec<u8> = endless.copied().collect();
        connection.trickle(&bytes, Duration::from_millis(50));
    });
    assert_timed_out(&outcome);
}

#[test]
fn a_body_that_never_comes_does_not_undo_the_status() {
    let outcome = attempt_in_time(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
        connection.hang();
    });
    assert_eq!((outcome.status, &outcome.error), (Some(200), &None));
}

#[test]
fn a_trickling_body_ends_with_the_timeout_and_keeps_what_came() {
    let outcome = attempt_in_time(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 500 Oops\r\ncontent-length: 1000\r\n\r\n");
        connection.trickle(&[b'x'; 1000], Duration::from_millis(50));
    });
    assert_eq!(outcome.status, Some(500));
    let received = outcome.response.len();
    assert!((2..1000).contains(&received), "{received} bytes");
}

#[test]
fn a_trickling_chunked_body_ends_with_the_timeout() {
    let outcome = attempt_in_time(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        let chunks = b"1\r\nx\r\n".repeat(500);
        connection.trickle(&chunks, Duration::from_millis(20));
    });
    assert_eq!((outcome.status, &outcome.error), (Some(200), &None));
}

#[test]
fn a_flood_of_informational_responses_ends_in_time() {
    let outcome = attempt_in_time(|connection| {
        connection.read_request();
        while connection
            .write(b"HTTP/1.1 102 Processing\r\n\r\n")
            .is_some()
        {}
    });
    assert_eq!(outcome.status, None);
    assert!(outcome.error.is_some());
}

#[test]
fn an_early_end_of_the_connection_says_so() {
    for early in [&b""[..], b"HTTP/1.", b"HTTP/1.1 200 OK\r\ncontent-"] {
        let outcome = attempt_in_time(move |connection| {
            connection.read_request();
            connection.write(early);
        });
        assert_eq!(class(&outcome), Some(ErrorClass::Connect), "{outcome:?}");
        assert!(
            words(&outcome).starts_with("response: connection closed"),
            "{outcome:?}"
        );
    }
}

#[test]
fn an_answer_that_is_not_http_is_named() {
    for garbage in [
        &b"SSH-2.0-OpenSSH_9.6\r\n\r\n"[..],
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
    ] {
        let outcome = attempt_in_time(move |connection| {
            connection.read_request();
            connection.write(garbage);
        });
        assert_eq!(class(&outcome), Some(ErrorClass::Connect), "{outcome:?}");
        assert!(words(&outcome).starts_with("response: "), "{outcome:?}");
    }
}

#[test]
fn a_body_shorter_than_its_length_does_not_undo_the_status() {
    let outcome = attempt_in_time(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nshort");
    });
    assert_eq!(
        (outcome.status, outcome.response.as_str()),
        (Some(200), "short")
    );
}

#[test]
fn a_body_longer_than_its_length_is_cut_at_its_length() {
    let outcome = attempt_in_time(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nshort and long");
    });
    assert_eq!(
        (outcome.status, outcome.response.as_str()),
        (Some(200), "short")
    );
}

#[test]
fn endless_headers_are_cut_off() {
    let outcome = attempt_in_time(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 200 OK\r\n");
        while connection
            .write(b"x-padding: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n")
            .is_some()
        {}
    });
    assert_eq!(class(&outcome), Some(ErrorClass::Connect), "{outcome:?}");
    assert!(words(&outcome).starts_with("response: "), "{outcome:?}");
}

#[test]
fn a_status_counts_whatever_comes_with_it() {
    let many = "x-trace: 1\r\n".repeat(150);
    let long = format!("x-padding: {}\r\n", "x".repeat(20_000));
    for headers in [
        many,
        long,
        "x-folded: one\r\n\ttwo\r\n".to_owned(),
        "what is this\r\n".to_owned(),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\nok");
        let outcome = attempt_in_time(move |connection| {
            while connection.read_request().is_some() {
                connection.write(head.as_bytes());
            }
        });
        assert_eq!(
            (outcome.status, outcome.response.as_str()),
            (Some(200), "ok"),
            "{outcome:?}"
        );
    }
}

#[test]
fn an_answer_before_the_end_of_the_request_counts() {
    for status in ["200 OK", "410 Gone", "413 Content Too Large"] {
        let answer =
            format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 4\r\n\r\nsaid");
        let endpoint = Endpoint::serving(move |connection| {
            let _ = connection.stream.read(&mut [0; 1024]);
            connection.write(answer.as_bytes());
        });
        let mut request = request(&endpoint.url());
        request.body = vec![b'x'; 20 << 20];
        let outcome = Pool::start(settings()).attempt(request);
        assert_eq!(
            (outcome.status, outcome.response.as_str()),
            (status[..3].parse().ok(), "said"),
            "{outcome:?}"
        );
    }
}

#[test]
fn one_endless_header_line_is_cut_off() {
    let outcome = attempt_in_time(|connection| {
        connection.read_request();
        connection.write(b"HTTP/1.1 200 OK\r\nx-padding: ");
        while connection.write(&[b'x'; 1024]).is_some() {}
    });
    assert_eq!(words(&outcome), "response: header larger than 64 KiB");
}

#[test]
fn a_huge_body_costs_neither_time_nor_transfer() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n40000000\r\n",
    ] {
        let written = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&written);
        let outcome = attempt_in_time(move |connection| {
            connection.read_request();
            connection.write(head.as_bytes());
            while connection.write(&[b'x'; 64 * 1024]).is_some() {
                counter.fetch_add(64 * 1024, Ordering::SeqCst);
            }
        });
        assert_eq!(outcome.status, Some(200));
        assert_eq!(outcome.response.len(), 8 * 1024);
        // At most what the kernel's buffers on both sides hold, not the gigabyte.
        assert!(written.load(Ordering::SeqCst) < 64 << 20);
    }
}

#[test]
fn hanging_names_delay_only_their_own_tenant() {
    let endpoint = Endpoint::answering(OK);
    let mut settings = settings();
    (settings.threads, settings.queue) = (64, 64);
    settings.lookup = Some(Arc::new(|name: &str| {
        while name.contains("hangs") {
            thread::park();
        }
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }));
    let pool = Pool::start(settings);
    let to = |name: &str, tenant: Option<&str>| {
        let port = endpoint.address.port();
        let mut work = Work::from(request(&format!("http://{name}:{port}/")));
        work.key.tenant = tenant.map(Into::into);
        work
    };
    for number in 0..60 {
        let work = to(&format!("hangs.{number}.example"), Some("bad"));
        assert!(pool.sender.send(work).is_ok());
    }
    for (name, tenant) in [
        ("shop.example", Some("good")),
        ("shop.test", None),
        ("127.0.0.1", Some("bad")),
    ] {
        let mut work = to(name, tenant);
        work.number = 1;
        pool.sender.send(work).expect("room for one more");
        let attempted = loop {
            // Works that hang come back as well, at their timeout.
            if let Some(found) = pool
                .gather(1)
                .into_iter()
                .find(|attempted| attempted.work.number == 1)
            {
                break found;
            }
        };
        assert!(attempted.outcome.is_success(), "{name}: {attempted:?}");
    }
}
