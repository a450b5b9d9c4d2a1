//! Everything left running after the account, with suggestions to try, until it is stopped.

use std::io;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use nix::sys::signal::{SigSet, Signal};

use super::fact::Fact;
use super::leafengines::ALERT;
use super::stage::{DATABASE, SUBSCRIPTIONS, Stage};
use super::truth::Truth;

/// Ctrl-C and SIGTERM. During the demo they end it at once, and the cluster's watchdog cleans up; afterwards they end
/// the wait.
#[derive(Debug)]
pub struct Stop {
    asked: mpsc::Receiver<()>,
    is_awaited: Arc<AtomicBool>,
}

impl Stop {
    /// Starts listening. Call this before starting any other thread, because threads inherit the blocked signals.
    pub fn listen() -> io::Result<Self> {
        let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM]);
        signals.thread_block()?;
        let (ask, asked) = mpsc::channel();
        let is_awaited = Arc::new(AtomicBool::new(false));
        let is_heard = Arc::clone(&is_awaited);
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                while signals.wait().is_ok() {
                    if !is_heard.load(Ordering::SeqCst) || ask.send(()).is_err() {
                        process::exit(130);
                    }
                }
            })?;
        Ok(Self { asked, is_awaited })
    }

    fn wait(&self) {
        self.is_awaited.store(true, Ordering::SeqCst);
        let _ = self.asked.recv();
    }
}

pub fn until_stopped(stage: &Stage, truth: &Truth, stop: &Stop) {
    print!("{}", suggestions(stage, truth));
    for (subscription, book) in SUBSCRIPTIONS.iter().zip(&stage.books) {
        book.print(subscription.name);
    }
    stop.wait();
    println!("\nStopping the cluster and removing its directory.");
}

fn suggestions(stage: &Stage, truth: &Truth) -> String {
    let socket = stage.cluster.socket_dir().display();
    let port = stage.cluster.port();
    let alert = emitted_id(truth, ALERT);
    let failed = emitted_id(truth, "dev.leafengines.identification.failed");
    let pid = process::id();
    format!(
        "
The cluster and the receivers keep running. In another terminal:

  psql -h {socket} -p {port} -U postgres {DATABASE}

  select * from herald.status();
  select * from herald.doctor();
  select * from herald.delivery where event_id = '{alert}';
  select * from herald.why('{failed}');
  select at, attempt, status_code, error, duration_ms
    from herald.attempt where event_id = '{alert}' order by at;
  select * from herald.subscription_stats;
  select * from herald.redeliver('healthy', '{alert}');
  select herald.emit('dev.leafengines.identification.completed',
                     '{{\"species\": {{\"scientific_name\": \"Quercus robur\"}}}}', id => 'evt_of_my_own');

From now on each receipt is shown here. Ctrl-C, or `kill {pid}`, stops everything and removes it.

"
    )
}

fn emitted_id<'a>(truth: &'a Truth, wanted: &str) -> &'a str {
    let ids = truth.emitted.committed.iter().find_map(|fact| match fact {
        Fact::Emitted { id, event_type, .. } if event_type == wanted => Some(id.as_str()),
        _ => None,
    });
    ids.unwrap_or("evt_")
}
