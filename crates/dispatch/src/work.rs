//! Work for the sender: deliveries, and requests that are not deliveries.
//!
//! A delivery says where the duty to deliver is stored; a [`record`](crate::record) says how it ended.

use std::sync::Arc;
use std::time::Duration;

use herald_core::attempt::outcome::{ErrorClass, Outcome};
use herald_core::egress::agent::AgentKey;
use herald_core::error::Error;
use herald_core::event::Event;
use herald_core::json::push_string;
use herald_core::request::{self, HttpRequest};
use herald_core::subscription::{State, Subscription};

use crate::deaths::Place;
use crate::lane::keys::Rank;

/// Work for the sender.
#[derive(Debug, Clone)]
pub enum Work {
    Delivery(Delivery),
    Ping(Ping),
    Question(Question),
    Probe(Probe),
}

/// The duty to bring one event to one subscription. It waits in a lane or is being sent.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub token: u64,
    pub event: Arc<Event>,
    pub subscription: Arc<Subscription>,
    pub agent: AgentKey,
    pub origin: Origin,
    /// Attempts made so far, ever.
    pub attempts: u32,
    /// Delays of the retry schedule used so far.
    pub step: u32,
    pub created_at_micros: i64,
    /// Its place among those that follow each other.
    pub rank: Option<Rank>,
    /// Since when it has failed while others may wait behind it.
    pub blocks_since: Option<i64>,
    /// When it is to be released from pending, before it is tried.
    pub scheduled_for: Option<i64>,
}

/// Where the duty to deliver is stored until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In the open window of the log with this number, without a row of its own.
    Window(i64),
    /// In a row of `herald.pending`.
    Pending,
}

/// A test request. It is not recorded; its answer goes to the session that asked.
#[derive(Debug, Clone)]
pub struct Ping {
    pub token: u64,
    /// The mail that asked for it.
    pub mail: u64,
    pub event: Arc<Event>,
    pub subscription: Arc<Subscription>,
    pub agent: AgentKey,
}

/// The question whether a receiver wants deliveries.
#[derive(Debug, Clone)]
pub struct Question {
    pub token: u64,
    pub subscription: Arc<Subscription>,
    pub agent: AgentKey,
}

/// A request with an empty body, which shows whether a receiver is up again.
#[derive(Debug, Clone)]
pub struct Probe {
    pub token: u64,
    pub subscription: Arc<Subscription>,
    pub agent: AgentKey,
}

impl Work {
    pub fn token(&self) -> u64 {
        match self {
            Self::Delivery(delivery) => delivery.token,
            Self::Ping(ping) => ping.token,
            Self::Question(question) => question.token,
            Self::Probe(probe) => probe.token,
        }
    }

    pub fn subscription(&self) -> &Arc<Subscription> {
        match self {
            Self::Delivery(delivery) => &delivery.subscription,
            Self::Ping(ping) => &ping.subscription,
            Self::Question(question) => &question.subscription,
            Self::Probe(probe) => &probe.subscription,
        }
    }

    pub fn agent(&self) -> &AgentKey {
        match self {
            Self::Delivery(delivery) => &delivery.agent,
            Self::Ping(ping) => &ping.agent,
            Self::Question(question) => &question.agent,
            Self::Probe(probe) => &probe.agent,
        }
    }

    /// Returns what a send thread notes while it sends this. Only work with an event of the log has a number.
    pub fn place(&self) -> Place {
        match self {
            Self::Delivery(delivery) => delivery.place(),
            Self::Ping(ping) => place(&ping.event, &ping.subscription),
            Self::Question(_) | Self::Probe(_) => Place {
                slot: 0,
                seq: 0,
                subscription: self.subscription().id,
            },
        }
    }

    /// Returns the request, signed at this time in seconds since 1970, or the outcome if nothing is to be sent.
    pub fn request(&self, now_unix: i64) -> Result<HttpRequest, Outcome> {
        let (event, subscription) = match self {
            Self::Delivery(delivery) => (&delivery.event, &delivery.subscription),
            Self::Ping(ping) => (&ping.event, &ping.subscription),
            Self::Question(question) => return question.request(),
            Self::Probe(probe) => return probe.request(now_unix),
        };
        let built = request::build(event, subscription, now_unix).map_err(unbuilt)?;
        if subscription.state == State::Sandbox {
            return Err(Outcome::sandboxed(built.body.len()));
        }
        Ok(built)
    }
}

impl Delivery {
    pub fn place(&self) -> Place {
        place(&self.event, &self.subscription)
    }

    /// Returns whether it counts towards its tenant's plan. pg_herald's own events (`herald.*`) do not.
    pub fn is_metered(&self) -> bool {
        !self.event.r#type.starts_with("herald.")
    }

    /// Returns whether it counts as new in its tenant's month if it is sent now.
    pub fn is_new_this_month(&self) -> bool {
        self.attempts == 0 && self.is_metered()
    }

    /// Keeps only those parts of the event that are recorded.
    pub fn forget_data(&mut self) {
        if self.event.data.is_some() {
            let event = Event {
                data: None,
                ..(*self.event).clone()
            };
            self.event = Arc::new(event);
        }
    }

    /// Returns roughly the memory that it holds, in bytes, with the whole event.
    pub fn memory(&self) -> usize {
        self.event.memory() + size_of::<Self>()
    }
}

impl Ping {
    /// Returns a test request with this event of the log, or else with an event of type `herald.ping`. Its uid is new,
    /// so that no receiver takes it for the event's own delivery.
    pub fn new(
        (token, mail): (u64, u64),
        subscription: &Arc<Subscription>,
        agent: &AgentKey,
        event: Option<Event>,
        uid: String,
        now_micros: i64,
    ) -> Self {
        let event = match event {
            Some(event) => Event { uid, ..event },
            None => {
                let mut data = String::from("{\"subscription\":");
                push_string(&mut data, &subscription.name);
                data.push('}');
                Event {
                    data: Some(data),
                    ..Event::new(&uid, "/pg_herald", "herald.ping", now_micros)
                }
            }
        };
        Self {
            token,
            mail,
            event: Arc::new(event),
            subscription: Arc::clone(subscription),
            agent: agent.clone(),
        }
    }
}

impl Probe {
    fn request(&self, now_unix: i64) -> Result<HttpRequest, Outcome> {
        if matches!(self.subscription.state, State::Sandbox) {
            return Err(Outcome::sandboxed(0));
        }
        request::probe::probe(&self.subscription, now_unix).map_err(unbuilt)
    }
}

impl Question {
    fn request(&self) -> Result<HttpRequest, Outcome> {
        match &self.subscription.style.handshake {
            Some(asked) => Ok(request::consent::question(&self.subscription, asked)),
            None => Err(Outcome::failed(
                ErrorClass::Internal,
                "the subscription has no handshake",
                Duration::ZERO,
            )),
        }
    }
}

/// Returns the outcome of a request that could not be built.
fn unbuilt(error: Error) -> Outcome {
    let words = error.message();
    match Outcome::from(error).error {
        Some((class, _)) => Outcome::failed(class, words, Duration::ZERO),
        None => Outcome::failed(ErrorClass::Internal, words, Duration::ZERO),
    }
}

fn place(event: &Event, subscription: &Subscription) -> Place {
    Place {
        slot: event.slot,
        seq: event.seq,
        subscription: subscription.id,
    }
}
