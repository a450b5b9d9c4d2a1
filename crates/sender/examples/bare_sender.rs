//! The bare sender of the benchmarks: the pool alone, without a database, against a sink.
//!
//! ```text
//! cargo run --release -p herald-sender --example bare_sender -- [REQUESTS [THREADS [BYTES [URL]]]]
//! ```
//!
//! Without a URL it sends to a sink of its own in this process. Prints requests per second.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use herald_core::outcome::Outcome;
use herald_core::request::HttpRequest;
use herald_core::url_policy::UrlPolicy;
use herald_sender::{AgentKey, Prepare, Sender, Settings};
use http::{HeaderName, HeaderValue, Method, Uri};

struct Work {
    url: Uri,
    bytes: usize,
}

impl Prepare for Work {
    fn prepare(&mut self, now_unix: i64) -> Result<HttpRequest, Outcome> {
        let header = |name, value| (HeaderName::from_static(name), value);
        Ok(HttpRequest {
            method: Method::POST,
            url: self.url.clone(),
            headers: vec![
                header("content-type", HeaderValue::from_static("application/json")),
                header("webhook-timestamp", HeaderValue::from(now_unix)),
            ],
            body: vec![b'x'; self.bytes],
            timeout: Duration::from_secs(30),
        })
    }

    fn agent(&self) -> AgentKey {
        AgentKey::default()
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: usize| arguments.next().map_or(Ok(default), |text| text.parse());
    let (requests, threads, bytes) = (number(200_000)?, number(64)?, number(1024)?);
    let url: Uri = match arguments.next() {
        Some(url) => url.parse()?,
        None => format!("http://{}/", start_sink()?).parse()?,
    };

    let (wakes, woken) = mpsc::channel();
    let settings = Settings {
        threads,
        queue: threads,
        url_policy: UrlPolicy::parse(true, "0.0.0.0/0, ::/0", "")?,
        ..Settings::default()
    };
    let waker = Arc::new(move || {
        let _ = wakes.send(());
    });
    let sender = Sender::start(settings, waker)?;

    let started = Instant::now();
    let (mut sent, mut done, mut failed) = (0, 0, 0);
    while done < requests {
        while sent < requests {
            let url = url.clone();
            match sender.send(Work { url, bytes }) {
                Ok(()) => sent += 1,
                Err(_full) => break,
            }
        }
        woken.recv_timeout(Duration::from_secs(60))?;
        for attempted in sender.outcomes() {
            done += 1;
            if let Some((_, words)) = attempted.outcome.error {
                failed += 1;
                if failed == 1 {
                    eprintln!("first failure: {words}");
                }
            }
        }
    }
    let elapsed = started.elapsed();
    let per_second = requests as f64 / elapsed.as_secs_f64();
    println!(
        "requests={requests} threads={threads} bytes={bytes} failed={failed} seconds={:.2} per_second={per_second:.0}",
        elapsed.as_secs_f64()
    );
    Ok(())
}

/// Answers 200 to whatever ends a request, with a thread for each connection.
fn start_sink() -> std::io::Result<std::net::SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> Option<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        let amount = stream
            .read(&mut buffer[filled..])
            .ok()
            .filter(|amount| *amount > 0)?;
        filled += amount;
        if let Some(length) = request_length(&buffer[..filled])
            && filled >= length
        {
            filled = 0;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .ok()?;
        }
    }
}

fn request_length(bytes: &[u8]) -> Option<usize> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    Some(head_end + length.trim().parse::<usize>().ok()?)
}
