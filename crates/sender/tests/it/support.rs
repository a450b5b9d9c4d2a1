//! Endpoints to send to, a pool to send with, and valid defaults for everything.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use herald_core::attempt::outcome::{ErrorClass, Outcome};
use herald_core::egress::url_policy::UrlPolicy;
use herald_core::request::HttpRequest;
use herald_sender::{AgentKey, Attempted, Lookup, Prepare, Sender, Settings};
use http::{HeaderName, HeaderValue, Method};

pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A listener that counts its connections and keeps the requests it receives.
pub struct Endpoint {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    /// Answers every request with these bytes and keeps the connection.
    pub fn answering(response: &'static [u8]) -> Self {
        Self::serving(move |connection| {
            while connection.read_request().is_some() {
                if connection.write(response).is_none() {
                    return;
                }
            }
        })
    }

    /// Runs `serve` for each connection on its own thread; the connection is closed when `serve` returns.
    pub fn serving(serve: impl Fn(&mut Connection) + Send + Sync + 'static) -> Self {
        Self::serving_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), serve)
    }

    pub fn serving_at(
        address: SocketAddr,
        serve: impl Fn(&mut Connection) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("a free port");
        let endpoint = Self {
            address: listener.local_addr().expect("a bound socket"),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (
            Arc::clone(&endpoint.connections),
            Arc::clone(&endpoint.requests),
        );
        let serve = Arc::new(serve);
        spawn_endpoint_thread(move || {
            for stream in listener.incoming().flatten() {
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let (serve, requests) = (Arc::clone(&serve), Arc::clone(&requests));
                spawn_endpoint_thread(move || {
                    serve(&mut Connection {
                        number,
                        stream,
                        requests,
                    });
                });
            }
        });
        endpoint
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns the heads and bodies of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no endpoint panicked").clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }
}

fn spawn_endpoint_thread(run: impl FnOnce() + Send + 'static) {
    thread::Builder::new()
        .name("endpoint".into())
        .spawn(run)
        .expect("a thread for the endpoint");
}

/// One accepted connection.
pub struct Connection {
    /// 0 for the first of the endpoint.
    pub number: usize,
    pub stream: TcpStream,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Connection {
    /// Returns the next whole request, or `None` if the peer closed.
    pub fn read_request(&mut self) -> Option<String> {
        let request = read_request(&mut self.stream)?;
        self.requests.lock().ok()?.push(request.clone());
        Some(request)
    }

    pub fn write(&mut self, bytes: &[u8]) -> Option<()> {
        self.stream.write_all(bytes).ok()
    }

    /// Writes one byte at a time, with a pause before each, until the peer closes.
    pub fn trickle(&mut self, bytes: &[u8], pause: Duration) {
        for byte in bytes {
            thread::sleep(pause);
            if self.write(&[*byte]).is_none() {
                return;
            }
        }
    }

    /// Stays silent until the peer closes.
    pub fn hang(&mut self) {
        let mut buffer = [0; 1024];
        while self.stream.read(&mut buffer).is_ok_and(|amount| amount > 0) {}
    }
}

/// Reads a request with a content-length, byte by byte: simple, and never more than the request.
pub fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8(bytes).ok()?;
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap_or(0));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(head + &String::from_utf8_lossy(&body))
}

/// A work whose request is built by a closure.
pub struct Work {
    pub number: usize,
    pub key: AgentKey,
    build: Box<dyn FnMut() -> Result<HttpRequest, Outcome> + Send>,
}

impl Work {
    pub fn new(build: impl FnMut() -> Result<HttpRequest, Outcome> + Send + 'static) -> Self {
        Self {
            number: 0,
            key: AgentKey::default(),
            build: Box::new(build),
        }
    }
}

impl From<HttpRequest> for Work {
    fn from(request: HttpRequest) -> Self {
        Self::new(move || Ok(request.clone()))
    }
}

impl std::fmt::Debug for Work {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Work {}", self.number)
    }
}

impl Prepare for Work {
    fn prepare(&mut self, _now_unix: i64) -> Result<HttpRequest, Outcome> {
        (self.build)()
    }

    fn agent(&self) -> AgentKey {
        self.key.clone()
    }
}

pub fn request(url: &str) -> HttpRequest {
    HttpRequest {
        method: Method::POST,
        url: url.parse().expect("a URL"),
        headers: vec![(
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/json"),
        )],
        body: br#"{"n":1}"#.to_vec(),
        timeout: Duration::from_secs(10),
        oauth2: None,
        secrets: herald_core::subscription::secrets::NamedSecrets::default(),
        keeps: false,
        signature_at: None,
    }
}

/// Settings that allow everything on loopback, including http.
pub fn settings() -> Settings {
    Settings {
        threads: 4,
        queue: 4,
        url_policy: policy("127.0.0.0/8, ::1"),
        ..Settings::default()
    }
}

pub fn policy(allow_networks: &str) -> UrlPolicy {
    UrlPolicy::parse(true, allow_networks, "").expect("valid settings")
}

/// Makes every name lead to these addresses.
pub fn answer_with(addresses: &[IpAddr]) -> Option<Lookup> {
    let addresses = addresses.to_vec();
    Some(Arc::new(move |_| Ok(addresses.clone())))
}

/// A sender with the channel that its waker fills.
pub struct Pool {
    pub sender: Sender<Work>,
    pub woken: mpsc::Receiver<()>,
}

impl Pool {
    pub fn start(settings: Settings) -> Self {
        let (wakes, woken) = mpsc::channel();
        let wakes = Mutex::new(wakes);
        let waker = Arc::new(move || {
            let _ = wakes.lock().expect("no panic while waking").send(());
        });
        let sender = Sender::start(settings, waker).expect("the sender starts");
        Self { sender, woken }
    }

    /// Sends one work and waits for it.
    pub fn attempt(&self, work: impl Into<Work>) -> Outcome {
        self.sender.send(work.into()).expect("room for one work");
        self.gather(1).remove(0).outcome
    }

    /// Waits until `count` works have come back.
    pub fn gather(&self, count: usize) -> Vec<Attempted<Work>> {
        let mut gathered = Vec::new();
        while gathered.len() < count {
            self.woken
                .recv_timeout(Duration::from_secs(30))
                .expect("a wake-up while works are in flight");
            gathered.extend(self.sender.outcomes());
        }
        gathered
    }
}

/// Makes one request to `url` with the default settings.
pub fn attempt(url: &str) -> Outcome {
    Pool::start(settings()).attempt(request(url))
}

pub fn class(outcome: &Outcome) -> Option<ErrorClass> {
    outcome.error.as_ref().map(|(class, _)| *class)
}

pub fn words(outcome: &Outcome) -> &str {
    outcome.error.as_ref().map_or("", |(_, words)| words)
}

pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within 10 s");
        thread::sleep(Duration::from_millis(5));
    }
}
