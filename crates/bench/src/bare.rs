//! The bare sender: builds, signs and sends requests of the same size on the same threads, without a database.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use herald_core::attempt::outcome::Outcome;
use herald_core::egress::url_policy::UrlPolicy;
use herald_core::event::Event;
use herald_core::request::{self, HttpRequest};
use herald_core::subscription::{Subscription, SubscriptionOptions};
use herald_sender::{AgentKey, Prepare, Sender, Settings};
use herald_trial::{Error, Result};

use crate::rig::THREADS;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A delivery as the worker sends it.
#[derive(Debug)]
pub struct Delivery {
    pub id: i64,
    event: Arc<Event>,
    subscription: Arc<Subscription>,
}

impl Prepare for Delivery {
    fn prepare(&mut self, now_unix: i64) -> Result<HttpRequest, Outcome> {
        request::build(&self.event, &self.subscription, now_unix).map_err(Outcome::from)
    }

    fn agent(&self) -> AgentKey {
        AgentKey::default()
    }
}

/// The sender with its threads and its subscription.
pub struct Bare {
    sender: Sender<Delivery>,
    woken: Receiver<()>,
    subscription: Arc<Subscription>,
}

impl Bare {
    pub fn start(url: &str) -> Result<Self> {
        let policy = UrlPolicy::parse(true, "127.0.0.0/8", "").map_err(setup)?;
        let options = SubscriptionOptions {
            signing_secrets: vec![SECRET.to_owned()],
            ..SubscriptionOptions::new("bare", url)
        };
        let subscription = options.compile(&policy).map_err(setup)?;
        let (wakes, woken) = mpsc::channel();
        let settings = Settings {
            threads: THREADS,
            queue: 0,
            url_policy: policy,
            ..Settings::default()
        };
        let waker = Arc::new(move || {
            let _ = wakes.send(());
        });
        Ok(Self {
            sender: Sender::start(settings, waker).map_err(setup)?,
            woken,
            subscription: Arc::new(subscription),
        })
    }

    /// Returns a maker for sessions that make their own requests.
    pub fn maker(&self) -> Maker {
        Maker {
            subscription: Arc::clone(&self.subscription),
            body: "x".repeat(850),
        }
    }

    pub fn delivery(&self, id: i64, event: Arc<Event>) -> Delivery {
        Delivery {
            id,
            event,
            subscription: Arc::clone(&self.subscription),
        }
    }

    /// Sends until `next` returns none and all answers have arrived. Passes what was delivered to `done`, in batches.
    pub fn send_all(
        &self,
        mut next: impl FnMut(&Self) -> Result<Option<Delivery>>,
        mut done: impl FnMut(&[i64]) -> Result<()>,
    ) -> Result<()> {
        let mut refused = None;
        let mut is_over = false;
        while !is_over || self.sender.in_flight() > 0 {
            while !is_over {
                let delivery = match refused.take() {
                    Some(delivery) => delivery,
                    None => match next(self)? {
                        Some(delivery) => delivery,
                        None => {
                            is_over = true;
                            break;
                        }
                    },
                };
                if let Err(delivery) = self.sender.send(delivery) {
                    refused = Some(delivery);
                    break;
                }
            }
            let _ = self.woken.recv_timeout(Duration::from_millis(100));
            let delivered = self.take_outcomes()?;
            if !delivered.is_empty() {
                done(&delivered)?;
            }
        }
        Ok(())
    }

    /// Sends what the channel yields, until it closes and all answers have arrived.
    pub fn forward(&self, deliveries: &Receiver<Delivery>) -> Result<()> {
        loop {
            match deliveries.recv_timeout(Duration::from_millis(10)) {
                Ok(mut delivery) => {
                    while let Err(refused) = self.sender.send(delivery) {
                        delivery = refused;
                        self.take_outcomes()?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) if self.sender.in_flight() == 0 => {
                    return Ok(());
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.woken.recv_timeout(Duration::from_millis(10));
                }
            }
            self.take_outcomes()?;
        }
    }

    fn take_outcomes(&self) -> Result<Vec<i64>> {
        let mut delivered = Vec::new();
        for attempted in self.sender.outcomes() {
            if !attempted.outcome.is_success() {
                return Err(Error::Setup(format!("{:?}", attempted.outcome.error)));
            }
            delivered.push(attempted.work.id);
        }
        Ok(delivered)
    }
}

/// Makes deliveries with a number in their data.
#[derive(Debug, Clone)]
pub struct Maker {
    subscription: Arc<Subscription>,
    body: String,
}

impl Maker {
    pub fn numbered(&self, number: usize) -> Delivery {
        let body = &self.body;
        let data = format!(
            r#"{{"operation":"insert","schema":"public","table":"item","record":{{"number":{number},"body":"{body}"}},"old_record":null}}"#
        );
        Delivery {
            id: 0,
            event: event(&data),
            subscription: Arc::clone(&self.subscription),
        }
    }
}

fn setup(error: impl std::fmt::Debug) -> Error {
    Error::Setup(format!("{error:?}"))
}

/// Returns an event with this data.
pub fn event(data: &str) -> Arc<Event> {
    let mut event = Event::new(
        "01890a5d-ac96-774b-bcce-b302099a8057",
        "/postgres/bench/public/item",
        "public.item.insert",
        1_614_265_330_000_000,
    );
    event.size = i32::try_from(data.len()).unwrap_or(i32::MAX);
    event.data = Some(data.to_owned());
    Arc::new(event)
}
