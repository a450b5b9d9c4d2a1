//! A delivery on its way through the worker. Its type says how far it got: claimed, then attempted, then recorded.

use crate::life;
use herald_core::deaths::Place;
use herald_core::event::Event;
use herald_core::handshake;
use herald_core::outcome::{ErrorClass, Outcome};
use herald_core::request::{self, HttpRequest};
use herald_core::subscription::{State, Subscription};
use herald_sender::{AgentKey, Prepare};
use std::sync::Arc;
use std::time::Duration;

/// Where the duty to deliver is written down until it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// In an open window of the log: no row anywhere else.
    Window(i64),
    /// In a row of `herald.pending`.
    Pending,
    /// Nowhere: a test request, whose answer goes into a mailbox.
    Ping,
    /// Nowhere: the question whether the receiver wants deliveries.
    Handshake,
}

/// A delivery that waits in a lane or is being sent.
#[derive(Debug, Clone)]
pub struct Claimed {
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
}

impl Prepare for Claimed {
    fn prepare(&mut self, now_unix: i64) -> Result<HttpRequest, Outcome> {
        if let (Origin::Handshake, Some(asked)) = (self.origin, &self.subscription.style.handshake)
        {
            return Ok(handshake::request(&self.subscription, asked));
        }
        let built = request::build(&self.event, &self.subscription, now_unix).map_err(|error| {
            let words = error.message();
            match Outcome::from(error).error {
                Some((class, _)) => Outcome::failed(class, words, Duration::ZERO),
                None => Outcome::failed(ErrorClass::Internal, words, Duration::ZERO),
            }
        })?;
        if self.subscription.state == State::Sandbox {
            return Err(Outcome::sandboxed(built.body.len()));
        }
        Ok(built)
    }

    fn agent(&self) -> AgentKey {
        self.agent.clone()
    }

    fn begun(&self, thread: usize) {
        life::begun(thread, self.place());
    }

    fn ended(thread: usize) {
        life::ended(thread);
    }
}

impl Claimed {
    pub fn place(&self) -> Place {
        Place {
            slot: self.event.slot,
            seq: self.event.seq,
            subscription: self.subscription.id,
        }
    }

    /// Whether it counts for its tenant's plan. What tells of that itself does not.
    pub fn is_metered(&self) -> bool {
        !self.event.r#type.starts_with("herald.")
    }

    /// Keeps of the event what is recorded.
    pub fn forget_data(&mut self) {
        if self.event.data.is_some() {
            let event = Event {
                data: None,
                ..(*self.event).clone()
            };
            self.event = Arc::new(event);
        }
    }

    /// Roughly what it holds in memory, in bytes, with the whole event.
    pub fn memory(&self) -> usize {
        self.event.memory() + size_of::<Self>()
    }
}
