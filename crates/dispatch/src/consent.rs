//! The worker's side of handshakes: asks receivers for their consent, outside the lanes, until they give it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use herald_core::attempt::outcome::Outcome;
use herald_core::subscription::Subscription;

use crate::courier::Courier;
use crate::effects::Answered;
use crate::gate::{Beginning, Gate};
use crate::subscriptions::Subscriptions;
use crate::time::{Moment, Now};
use crate::tokens::Tokens;
use crate::work::{Question, Work};

/// The pause after a receiver was first asked; it doubles each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// How soon to check again for a free thread.
const FOR_A_THREAD: Duration = Duration::from_millis(100);

/// At most one in this many young requests is a question, but one is always allowed; each tenant gets half of these,
/// rounded up, and so do all subscriptions without a tenant together. Receivers that hang leave the rest to deliveries.
const SHARE: usize = 4;

/// Receivers that have not consented, and when to ask them again.
#[derive(Debug, Default)]
pub struct Consents {
    asking: BTreeMap<i64, Asking>,
}

/// When to ask a receiver again.
#[derive(Debug)]
struct Asking {
    due: Moment,
    pause: Duration,
    is_under_way: bool,
    tenant: Option<Arc<str>>,
}

/// Returns how many receivers may be asked at once, in total and per tenant.
fn shares(threads: usize) -> (usize, usize) {
    let all = (threads / SHARE).max(1);
    (all, all.div_ceil(2))
}

impl Consents {
    /// Asks the receivers that are due; `threads` is the number of requests that may be young at once.
    pub fn ask(
        &mut self,
        subscriptions: &Subscriptions,
        gate: &mut Gate,
        tokens: &mut Tokens,
        courier: &mut impl Courier,
        threads: usize,
        now: Now,
    ) {
        let waiting = &subscriptions.without_consent;
        if waiting.is_empty() && self.asking.is_empty() {
            return;
        }
        self.asking
            .retain(|id, asking| asking.is_under_way || waiting.contains(id));
        let (most, most_of_a_tenant) = shares(threads);
        let mut under_way: BTreeMap<Option<Arc<str>>, usize> = BTreeMap::new();
        for asking in self.asking.values().filter(|asking| asking.is_under_way) {
            *under_way.entry(asking.tenant.clone()).or_default() += 1;
        }
        let mut count: usize = under_way.values().sum();
        for id in waiting.iter().copied() {
            if count >= most || !gate.threads.has_room_for(id, false) {
                return;
            }
            let token = tokens.give();
            let Some(loaded) = subscriptions.by_id(id) else {
                continue;
            };
            let tenant = &loaded.agent.tenant;
            let whose = gate.whose(&loaded.agent, &loaded.config);
            let asking = self.asking.entry(id).or_insert_with(|| Asking {
                due: now.moment,
                pause: FIRST_PAUSE,
                is_under_way: false,
                tenant: tenant.clone(),
            });
            let of_this = under_way.entry(tenant.clone()).or_default();
            if asking.is_under_way
                || !now.is_past(asking.due)
                || *of_this >= most_of_a_tenant
                || !gate.has_connection(id, &whose)
            {
                continue;
            }
            let question = Question {
                token,
                subscription: Arc::clone(&loaded.config),
                agent: loaded.agent.clone(),
            };
            if courier.send(Work::Question(question)).is_ok() {
                asking.is_under_way = true;
                *of_this += 1;
                count += 1;
                gate.begin((token, id), &whose, Beginning::default(), now);
            }
        }
    }

    /// Returns how long no receiver has to be asked. A receiver that is due but was not asked waits for a thread.
    pub fn due_in(&self, now: Now) -> Option<Duration> {
        let waiting = self.asking.values().filter(|asking| !asking.is_under_way);
        let due = waiting.map(|asking| asking.due).min()?;
        Some(now.until(due).max(FOR_A_THREAD))
    }

    /// Returns a receiver's answer, to be recorded. A receiver that has not consented is asked again after a pause.
    pub fn answered(&mut self, asked: &Subscription, outcome: &Outcome, now: Now) -> Answered {
        if let Some(asking) = self.asking.get_mut(&asked.id) {
            asking.is_under_way = false;
            asking.due = now.moment + asking.pause;
            asking.pause = (asking.pause * 2).min(LONGEST_PAUSE);
        }
        let handshake = asked.style.handshake.as_ref();
        let answer = match (handshake, &outcome.consent_headers, &outcome.error) {
            (Some(handshake), Some(headers), _) => handshake.consent(headers),
            (_, _, Some((_, words))) => Err(words.clone()),
            _ => Err("the receiver gave no answer".into()),
        };
        Answered {
            subscription: asked.id,
            generation: asked.generation,
            consent: answer.map(|consent| consent.rate),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subscriptions::Loaded;
    use crate::suspects::Suspects;
    use crate::testing::{Taker, at, loaded, subscription};

    /// Returns subscriptions of these tenants whose receivers have to be asked.
    fn waiting(tenants: &[Option<&str>]) -> Subscriptions {
        let mut subscriptions = Subscriptions::unloaded();
        let with_tenant = |(id, tenant): (i64, &Option<&str>)| {
            let mut loaded = Loaded {
                lacks_consent: true,
                ..loaded(id)
            };
            loaded.agent.tenant = tenant.map(Arc::from);
            loaded
        };
        let loaded: Vec<Loaded> = (1..).zip(tenants).map(with_tenant).collect();
        let ids: Vec<i64> = loaded
            .iter()
            .map(|subscription| subscription.config.id)
            .collect();
        subscriptions.put_all(&ids, loaded);
        let snapshot = herald_core::snapshot::Snapshot::before_everything();
        subscriptions.mark_up_to_date(snapshot);
        subscriptions
    }

    fn asked(consents: &mut Consents, subscriptions: &Subscriptions, now: Now) -> Vec<i64> {
        let (mut gate, mut courier) = (Gate::new(16, Suspects::default()), Taker::with_room(16));
        let tokens = &mut Tokens::default();
        consents.ask(subscriptions, &mut gate, tokens, &mut courier, 16, now);
        assert_eq!(gate.threads.in_flight(), courier.taken.len());
        courier
            .taken
            .iter()
            .map(|work| work.subscription().id)
            .collect()
    }

    #[test]
    fn a_quarter_of_the_threads_ask_and_a_tenant_has_half_of_these() {
        let subscriptions = waiting(&[Some("acme"), Some("acme"), Some("acme"), None, None, None]);
        let mut consents = Consents::default();
        assert_eq!(asked(&mut consents, &subscriptions, at(0)), [1, 2, 4, 5]);
        assert!(asked(&mut consents, &subscriptions, at(1)).is_empty());
    }

    #[test]
    fn a_receiver_that_does_not_consent_is_asked_again_after_longer_and_longer_pauses() {
        let subscriptions = waiting(&[None]);
        let (mut consents, mut now, mut pauses) = (Consents::default(), at(0), Vec::new());
        for _ in 0..12 {
            assert_eq!(asked(&mut consents, &subscriptions, now), [1]);
            let outcome = Outcome::answered(200, Duration::ZERO, None, String::new());
            let answer = consents.answered(&subscription(1), &outcome, now);
            assert_eq!(answer.consent, Err("the receiver gave no answer".into()));
            let pause = consents.due_in(now).unwrap();
            pauses.push(pause.as_secs());
            now = now.after(pause);
        }
        assert_eq!(pauses[..3], [10, 20, 40]);
        assert_eq!(pauses[10..], [3_600, 3_600]);
    }
}
