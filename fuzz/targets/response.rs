//! Whatever a receiver answers, each attempt ends, with a bounded text without control characters.
#![no_main]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, Sender as Channel, channel};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::Duration;

use herald_core::attempt::outcome::Outcome;
use herald_core::request::HttpRequest;
use herald_core::subscription::secrets::NamedSecrets;
use herald_core::egress::url_policy::UrlPolicy;
use herald_sender::{AgentKey, Prepare, Sender, Settings};
use libfuzzer_sys::fuzz_target;

const CAP: usize = 512;

struct Work(String);

impl Prepare for Work {
    fn prepare(&mut self, _now_unix: i64) -> Result<HttpRequest, Outcome> {
        Ok(HttpRequest {
            method: http::Method::POST,
            url: self.0.parse().expect("a URL"),
            headers: Vec::new(),
            body: b"{}".to_vec(),
            timeout: Duration::from_secs(5),
            oauth2: None,
            secrets: NamedSecrets::default(),
            keeps: true,
            signature_at: None,
        })
    }

    fn agent(&self) -> AgentKey {
        AgentKey::default()
    }
}

/// A sender, and a receiver that gives the answers it is told and then closes the connection.
struct Stage {
    url: String,
    answers: Channel<Vec<u8>>,
    sender: Sender<Work>,
    woken: Receiver<()>,
}

static STAGE: LazyLock<Mutex<Stage>> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let (answers, next) = channel::<Vec<u8>>();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let Ok(answer) = next.try_recv() else {
                continue;
            };
            let _ = stream.write_all(&answer);
        }
    });
    let (wake, woken) = channel();
    let wake = Mutex::new(wake);
    let settings = Settings {
        threads: 1,
        response_cap: CAP,
        url_policy: UrlPolicy::parse(true, "127.0.0.0/8", "").expect("valid settings"),
        ..Settings::default()
    };
    let waker = Arc::new(move || {
        let _ = wake.lock().expect("no panic").send(());
    });
    let sender = Sender::start(settings, waker).expect("a sender");
    Mutex::new(Stage {
        url,
        answers,
        sender,
        woken,
    })
});

fuzz_target!(|answer: &[u8]| {
    let stage = STAGE.lock().expect("no panic");
    stage.answers.send(answer.to_vec()).expect("a receiver");
    assert!(stage.sender.send(Work(stage.url.clone())).is_ok());
    loop {
        stage
            .woken
            .recv_timeout(Duration::from_secs(20))
            .expect("every attempt ends");
        if let Some(attempted) = stage.sender.outcomes().next() {
            let outcome = attempted.outcome;
            assert!(outcome.response.len() <= 4 * CAP);
            assert!(!outcome.response.chars().any(|c| c.is_control() && !"\n\t".contains(c)));
            assert!(outcome.status.is_some() || outcome.error.is_some());
            return;
        }
    }
});
