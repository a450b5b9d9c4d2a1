//! The worker's side of handshakes: receivers that have to consent first are asked, past the lanes, until they do.

use super::work::{Claimed, Origin};
use super::{Worker, now_micros};
use crate::dispatch::subscriptions::Loaded;
use crate::pg::transaction::transaction;
use crate::prepared::Prepared;
use herald_core::event::Event;
use herald_core::outcome::Outcome;
use pgrx::Spi;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between the first two times that a receiver is asked, and the longest between any.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// When there is a look again whether a thread has become free.
const FOR_A_THREAD: Duration = Duration::from_millis(100);

/// When a receiver is asked again.
#[derive(Debug)]
pub struct Asking {
    due: Instant,
    pause: Duration,
    is_under_way: bool,
}

impl Worker {
    /// Asks the receivers that have to consent and are due.
    pub(super) fn ask_for_consent(&mut self) {
        let waiting = &self.subscriptions.without_consent;
        if !self.settings.enabled || waiting.is_empty() && self.asking.is_empty() {
            return;
        }
        self.asking
            .retain(|id, asking| asking.is_under_way || waiting.contains(id));
        for id in waiting.clone() {
            let asking = self.asking.entry(id).or_insert_with(|| Asking {
                due: Instant::now(),
                pause: FIRST_PAUSE,
                is_under_way: false,
            });
            if asking.is_under_way
                || Instant::now() < asking.due
                || !self.threads.has_room_for(id, false)
            {
                continue;
            }
            let token = self.next_token;
            self.next_token += 1;
            let now = now_micros();
            let sent = self
                .subscriptions
                .by_id(id)
                .is_some_and(|one| self.sender.send(question(one, token, now)).is_ok());
            if sent {
                asking.is_under_way = true;
                self.threads.start(token, id, false, now);
                let tenant = self
                    .subscriptions
                    .by_id(id)
                    .and_then(|one| one.agent.tenant.clone());
                self.tenants.begin(tenant.as_deref(), false);
            }
        }
    }

    /// How long nobody has to be asked. Who is due and was not asked waits for a thread.
    pub(super) fn until_asking(&self) -> Option<Duration> {
        let waiting = self.asking.values().filter(|asking| !asking.is_under_way);
        let due = waiting.map(|asking| asking.due).min()?;
        let until = due.saturating_duration_since(Instant::now());
        self.settings.enabled.then_some(until.max(FOR_A_THREAD))
    }

    /// Writes down what a receiver answered.
    pub(super) fn note_answer(&mut self, id: i64, outcome: &Outcome) {
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/note_consent.sql"));
        let handshake = self
            .subscriptions
            .by_id(id)
            .and_then(|one| one.config.style.handshake.as_ref());
        let answer = match (handshake, &outcome.consent_headers, &outcome.error) {
            (Some(handshake), Some(headers), _) => handshake.consent(headers),
            (_, _, Some((_, words))) => Err(words.clone()),
            _ => Err("it gave no answer".into()),
        };
        if let Some(asking) = self.asking.get_mut(&id) {
            asking.is_under_way = false;
            asking.due = Instant::now() + asking.pause;
            asking.pause = (asking.pause * 2).min(LONGEST_PAUSE);
        }
        let (rate, fault) = match answer {
            Ok(consent) => (consent.rate.map(i64::from), None),
            Err(fault) => (None, Some(fault)),
        };
        let noted = transaction(|| {
            Spi::connect_mut(|client| {
                STATEMENT.run(client, vec![id.into(), rate.into(), fault.into()]);
            });
        });
        if let Err(error) = noted {
            pgrx::log!("pg_herald: what a receiver answered could not be written down: {error:?}");
        }
        self.look_wanted = true;
    }
}

/// The request that asks.
fn question(one: &Loaded, token: u64, now_micros: i64) -> Claimed {
    let uid = crate::log::append::new_uid().to_string();
    Claimed {
        token,
        event: Arc::new(Event::new(
            &uid,
            "/pg_herald",
            "herald.handshake",
            now_micros,
        )),
        subscription: Arc::clone(&one.config),
        agent: one.agent.clone(),
        origin: Origin::Handshake,
        attempts: 0,
        step: 0,
        created_at_micros: now_micros,
    }
}
