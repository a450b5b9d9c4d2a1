//! The worker's side of `ping()`: test requests bypass the lanes, and their answers go to the session that asked.

use std::time::Duration;

use herald_core::attempt::outcome::{ErrorClass, Outcome};
use herald_core::event::Event;

use crate::courier::Courier;
use crate::effects::{Effect, Effects};
use crate::gate::{Beginning, Gate};
use crate::lanes::Lanes;
use crate::store::Store;
use crate::subscriptions::{Loaded, Subscriptions};
use crate::time::Now;
use crate::tokens::Tokens;
use crate::work::{Ping, Work};

/// The most bytes of event data that a ping sends: the main thread serves nothing else while reading them.
const LARGEST_EVENT: usize = 1 << 20;
/// How soon to check again for a free thread or connection.
const FOR_A_THREAD: Duration = Duration::from_millis(100);

/// A session's call for a test request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    pub number: u64,
    pub subscription: i64,
    /// The event to send, by its place in the log.
    pub event: Option<(i16, i64)>,
    /// The `webhook-id` of the request.
    pub uid: String,
}

/// Test requests that wait for a thread or connection, as long as their sessions wait for them: the mailbox bounds
/// their number, per subscription and per role.
#[derive(Debug, Default)]
pub struct Pings {
    waiting: Vec<Mail>,
}

/// The reason why a test request is not sent.
enum Obstacle {
    /// It is answered without a request.
    Answered(ErrorClass, String),
    Waits,
}

impl Pings {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds test requests.
    pub fn ask(&mut self, mail: impl IntoIterator<Item = Mail>) {
        self.waiting.extend(mail);
    }

    /// Forgets the test requests that no session waits for any longer.
    pub fn retain(&mut self, is_waited_for: impl Fn(u64) -> bool) {
        self.waiting.retain(|mail| is_waited_for(mail.number));
    }

    /// Returns how soon to check the waiting test requests again.
    pub fn due_in(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then_some(FOR_A_THREAD)
    }
}

/// The parts of the worker that sending test requests needs.
#[derive(Debug)]
pub struct Pinging<'a, S, C> {
    pub lanes: &'a mut Lanes,
    pub gate: &'a mut Gate,
    pub subscriptions: &'a Subscriptions,
    pub tokens: &'a mut Tokens,
    pub store: &'a mut S,
    pub courier: &'a mut C,
    pub effects: &'a mut Effects,
}

impl<S: Store, C: Courier> Pinging<'_, S, C> {
    /// Sends the test requests that can be sent.
    pub fn send(&mut self, pings: &mut Pings, now: Now) {
        for mail in std::mem::take(&mut pings.waiting) {
            match self.send_one(&mail, now) {
                Ok(()) => {}
                Err(Obstacle::Waits) => pings.waiting.push(mail),
                Err(Obstacle::Answered(class, words)) => self.effects.push(Effect::Answer {
                    mail: mail.number,
                    outcome: Outcome::failed(class, words, Duration::ZERO),
                }),
            }
        }
    }

    fn send_one(&mut self, mail: &Mail, now: Now) -> Result<(), Obstacle> {
        let id = mail.subscription;
        let token = self.tokens.give();
        let lane = self.lanes.get(id);
        let is_proven = lane.is_some_and(|entry| entry.lane.is_proven(now.micros));
        let subscriptions = self.subscriptions;
        let subscription = ready(subscriptions.by_id(id))?;
        let whose = self.gate.whose(&subscription.agent, &subscription.config);
        // A receiver that hangs must not hold more threads and connections through pings than through deliveries.
        if !self.gate.has_room_for(id, is_proven, &whose) {
            return Err(Obstacle::Waits);
        }
        let event = match mail.event {
            Some(place) => Some(self.event_at(place, subscription)?),
            None => None,
        };
        let (config, agent) = (&subscription.config, &subscription.agent);
        let numbers = (token, mail.number);
        let ping = Ping::new(numbers, config, agent, event, mail.uid.clone(), now.micros);
        if self.courier.send(Work::Ping(ping)).is_err() {
            return Err(Obstacle::Waits);
        }
        let beginning = Beginning {
            is_proven,
            ..Beginning::default()
        };
        self.gate.begin((token, id), &whose, beginning, now);
        Ok(())
    }

    /// Returns the event at this place of the log, or why it cannot be sent.
    fn event_at(&mut self, place: (i16, i64), subscription: &Loaded) -> Result<Event, Obstacle> {
        let largest = subscription.config.max_payload.min(LARGEST_EVENT);
        let largest = i32::try_from(largest).unwrap_or(i32::MAX);
        let words = match self.store.event_at(place, largest) {
            Ok(Some(event)) => return Ok(event),
            Ok(None) => "the event no longer exists".into(),
            Err(failure) => format!("the event cannot be read: {failure}"),
        };
        Err(Obstacle::Answered(ErrorClass::Internal, words))
    }
}

/// Returns the subscription, if a test request can be sent to it.
fn ready(subscription: Option<&Loaded>) -> Result<&Loaded, Obstacle> {
    let Some(subscription) = subscription else {
        let words = "the subscription is too new, or disabled".into();
        return Err(Obstacle::Answered(ErrorClass::Internal, words));
    };
    let words = match &subscription.obstacle {
        _ if subscription.lacks_consent => "its receiver has not consented to deliveries".into(),
        Some(obstacle) => format!("cannot send: {obstacle}"),
        None => return Ok(subscription),
    };
    Err(Obstacle::Answered(ErrorClass::Blocked, words))
}
