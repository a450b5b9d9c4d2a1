//! The worker's side of handshakes: receivers that have to consent first are asked, past the lanes, until they do.

use super::work::{Claimed, Origin};
use super::{Worker, now_micros};
use crate::dispatch::subscriptions::Loaded;
use crate::pg::transaction::transaction;
use crate::prepared::Prepared;
use herald_core::event::Event;
use herald_core::outcome::Outcome;
use herald_core::subscription::Subscription;
use pgrx::Spi;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between the first two times that a receiver is asked, and the longest between any.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// When there is a look again whether a thread has become free.
const FOR_A_THREAD: Duration = Duration::from_millis(100);

/// Of the requests that may be young at once, one in so many is a question, and one at least; a tenant has half of these,
/// and so have all subscriptions without a tenant. Receivers that hang leave the rest to deliveries.
const SHARE: usize = 4;

/// When a receiver is asked again.
#[derive(Debug)]
pub struct Asking {
    due: Instant,
    pause: Duration,
    is_under_way: bool,
    tenant: Option<Arc<str>>,
}

/// How many may be asked at once, and of one tenant.
fn shares(threads: usize) -> (usize, usize) {
    let all = (threads / SHARE).max(1);
    (all, all.div_ceil(2))
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
        let (most, most_of_a_tenant) = shares(self.settings.sending.threads);
        let mut under_way: HashMap<Option<Arc<str>>, usize> = HashMap::new();
        for asking in self.asking.values().filter(|asking| asking.is_under_way) {
            *under_way.entry(asking.tenant.clone()).or_default() += 1;
        }
        let mut count: usize = under_way.values().sum();
        for id in waiting.clone() {
            if count >= most || !self.threads.has_room_for(id, false) {
                return;
            }
            let token = self.new_token();
            let Some(one) = self.subscriptions.by_id(id) else {
                continue;
            };
            let tenant = &one.agent.tenant;
            let asking = self.asking.entry(id).or_insert_with(|| Asking {
                due: Instant::now(),
                pause: FIRST_PAUSE,
                is_under_way: false,
                tenant: tenant.clone(),
            });
            let of_this = under_way.entry(tenant.clone()).or_default();
            if asking.is_under_way
                || Instant::now() < asking.due
                || *of_this >= most_of_a_tenant
                || !self.tenants.has_connection(tenant.as_deref(), id)
            {
                continue;
            }
            let now = now_micros();
            if self.sender.send(question(one, token, now)).is_ok() {
                asking.is_under_way = true;
                *of_this += 1;
                count += 1;
                self.threads.start(token, id, false, now);
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
    pub(super) fn note_answer(&mut self, asked: &Subscription, outcome: &Outcome) {
        static STATEMENT: Prepared =
            Prepared::write(include_str!("../../sql/queries/note_consent.sql"));
        let id = asked.id;
        let handshake = asked.style.handshake.as_ref();
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
                STATEMENT.run(
                    client,
                    vec![
                        id.into(),
                        rate.into(),
                        fault.into(),
                        asked.generation.into(),
                    ],
                );
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
