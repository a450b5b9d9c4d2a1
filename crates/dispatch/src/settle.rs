//! Settling: decides how a delivery continues after an attempt, or without an attempt.

use std::time::Duration;

use herald_core::attempt::outcome::Outcome;
use herald_core::attempt::retry::{DeadReason, Decision, decide, is_throttling, lane_delay_until};
use herald_core::subscription::Subscription;
use herald_core::subscription::breaker::{shows_down, shows_up};

use crate::breaker::{Breaker, Turn};
use crate::burials::Burials;
use crate::consent::Consents;
use crate::courier::Returned;
use crate::effects::{Effect, Effects, Probed, Turned};
use crate::gate::Gate;
use crate::lanes::Lanes;
use crate::ledger::Ledger;
use crate::order::PARKED;
use crate::probes::Probes;
use crate::record::{Attempt, End, Record};
use crate::subscriptions::Subscriptions;
use crate::time::{Moment, Now};
use crate::work::{Delivery, Origin, Work};

/// How long a lane waits if this server lacks a resource to send anything.
const SHORTAGE_PAUSE_MICROS: i64 = 500_000;
/// The log mentions a shortage at most this often.
const SHORTAGE_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// When the log last mentioned that this server lacks a resource.
#[derive(Debug, Default)]
pub struct Shortage {
    said_at: Option<Moment>,
}

/// The parts of the worker that settling needs.
#[derive(Debug)]
pub struct Settling<'a> {
    pub lanes: &'a mut Lanes,
    pub gate: &'a mut Gate,
    pub ledger: &'a mut Ledger,
    pub subscriptions: &'a mut Subscriptions,
    pub burials: &'a mut Burials,
    pub consents: &'a mut Consents,
    pub probes: &'a mut Probes,
    pub shortage: &'a mut Shortage,
    pub effects: &'a mut Effects,
    /// Set if something changed that the next look finds.
    pub look_wanted: &'a mut bool,
}

impl Settling<'_> {
    /// Decides how returned work continues.
    pub fn settle(&mut self, returned: Returned, now: Now) {
        let Returned {
            work,
            mut attempt,
            chance,
        } = returned;
        let success = work.subscription().retry.success.as_deref();
        attempt.outcome = attempt.outcome.judged_by(success);
        if attempt.outcome.is_success() {
            attempt.outcome.request = None;
        }
        for suspect in self.gate.finish(&work, self.lanes) {
            self.requeue_suspect(suspect, now);
        }
        match work {
            Work::Delivery(delivery) => self.settle_delivery(delivery, attempt, chance, now),
            Work::Ping(ping) => {
                if attempt.outcome.is_success() {
                    self.tell_breaker(&ping.subscription, Some(false), &attempt.outcome, now);
                }
                self.effects.push(Effect::Answer {
                    mail: ping.mail,
                    outcome: attempt.outcome,
                });
            }
            Work::Probe(probe) => {
                let outcome = &attempt.outcome;
                let id = probe.subscription.id;
                self.probes.came_back(id);
                let lasted = self.lanes.get(id).and_then(|entry| entry.probed(now));
                let is_down = (!outcome.is_own_shortage()).then(|| !shows_up(outcome));
                if let (None, Some(entry)) = (is_down, self.lanes.get(id)) {
                    entry.lane.spare(Some(now.micros + SHORTAGE_PAUSE_MICROS));
                }
                if let (Some(lasted), Some(is_down)) = (lasted, is_down) {
                    self.effects.push(Effect::Probed(Probed {
                        subscription: id,
                        is_up: !is_down,
                        lasted,
                    }));
                }
                self.tell_breaker(&probe.subscription, is_down, outcome, now);
                self.lanes.expect_next_probe(id, now);
            }
            Work::Question(question) => {
                let asked = &question.subscription;
                let answered = self.consents.answered(asked, &attempt.outcome, now);
                self.effects.push(Effect::Consent(answered));
                *self.look_wanted = true;
            }
        }
    }

    /// Puts a suspect back that waited for another suspect, which came back.
    fn requeue_suspect(&mut self, suspect: Delivery, now: Now) {
        let id = suspect.subscription.id;
        match self.lanes.get(id) {
            Some(entry) => {
                entry.push(suspect, now.micros);
                self.lanes.make_ready(id);
            }
            None => {
                let end = End::Dead(DeadReason::Unsubscribed);
                let record = Record::unattempted(suspect, end);
                self.ledger.settle(record, self.lanes, now);
            }
        }
    }

    fn settle_delivery(&mut self, mut delivery: Delivery, attempt: Attempt, chance: f64, now: Now) {
        let outcome = &attempt.outcome;
        if outcome.is_own_shortage() {
            if delivery.is_new_this_month() {
                let tenant = delivery.agent.tenant.as_deref();
                self.gate.tenants.take_back(tenant);
                // Lanes may be held because of quota that was not used after all.
                self.subscriptions.expire_limits();
                *self.look_wanted = true;
            }
            return self.settle_shortage(delivery, outcome, now);
        }
        delivery.attempts += 1;
        let policy = &delivery.subscription.retry;
        let (attempts, step) = (delivery.attempts, delivery.step);
        let mut decision = decide(outcome, policy, attempts, step, now.micros, chance);
        let id = delivery.subscription.id;
        let breaker = self.lanes.get(id).and_then(|entry| entry.lane.breaker());
        let is_down = shows_down(outcome);
        if let Some(breaker) = breaker.filter(|breaker| breaker.is_open() && is_down == Some(true))
        {
            // The next probe is another delivery, as this one may be what its receiver cannot take.
            let at_micros = now.micros.saturating_add(breaker.policy().probe);
            decision = decision.while_down(step, at_micros);
        }
        let mut decision = decision.within(policy, delivery.created_at_micros);
        if let (Some(ordering), Some(_)) = (delivery.subscription.ordering, delivery.rank) {
            let since = *delivery
                .blocks_since
                .get_or_insert(attempt.started_at_micros);
            decision = decision.until(ordering.latest_retry(since));
        }
        self.tell_lane(id, outcome, now.micros);
        self.tell_breaker(&delivery.subscription, is_down, outcome, now);
        let end = self.end_of(&delivery, decision, outcome, now.micros);
        if end == End::Delivered
            && let Some(entry) = self.lanes.get(id)
        {
            entry.delivered(&delivery, now.micros);
            self.lanes.make_ready(id);
        }
        let record = Record {
            delivery,
            attempt: Some(attempt),
            end,
        };
        self.ledger.settle(record, self.lanes, now);
    }

    fn end_of(
        &mut self,
        delivery: &Delivery,
        decision: Decision,
        outcome: &Outcome,
        now_micros: i64,
    ) -> End {
        let subscription = &delivery.subscription;
        let is_gone = self.subscriptions.by_id(subscription.id).is_none();
        match decision {
            Decision::Delivered => End::Delivered,
            Decision::Retry { .. } if is_gone => End::Dead(DeadReason::Unsubscribed),
            Decision::Retry {
                at_micros,
                next_step: step,
                ..
            } => End::Pending { at_micros, step },
            Decision::Bury(reason) => End::Dead(reason),
            // The answer was for the former URL.
            Decision::Disable if self.subscriptions.is_outdated(subscription) => End::Pending {
                at_micros: now_micros,
                step: delivery.step,
            },
            Decision::Disable => {
                let status = outcome.status.unwrap_or_default();
                let reason = format!("the receiver answered {status}");
                self.burials.end_lane(self.lanes, subscription, reason);
                End::Dead(DeadReason::Gone)
            }
        }
    }

    /// Returns an unsent delivery to pending when this server lacks a resource, without counting an attempt.
    fn settle_shortage(&mut self, delivery: Delivery, outcome: &Outcome, now: Now) {
        let (id, name) = (delivery.subscription.id, &delivery.subscription.name);
        let said_at = &mut self.shortage.said_at;
        let is_new = said_at.is_none_or(|at| now.since(at) >= SHORTAGE_LOGGED_EVERY);
        if is_new && let Some((_, words)) = &outcome.error {
            *said_at = Some(now.moment);
            self.effects.push(Effect::Log(format!(
                "cannot send to subscription \"{name}\" now: {words}; retrying"
            )));
        }
        if let Some(entry) = self.lanes.get(id) {
            // Each request that ends frees resources. If none is under way, only time does.
            let is_alone = entry.lane.in_flight() <= 1;
            let until = is_alone.then(|| now.micros + SHORTAGE_PAUSE_MICROS);
            entry.lane.failed(true, until);
        }
        spill(delivery, self.ledger, self.lanes, now);
        self.lanes.make_ready(id);
    }

    /// Tells a subscription's breaker what an attempt shows of its receiver.
    fn tell_breaker(
        &mut self,
        subscription: &Subscription,
        is_down: Option<bool>,
        outcome: &Outcome,
        now: Now,
    ) {
        let id = subscription.id;
        // The answer of a former URL says nothing of the receiver.
        let is_outdated = self.subscriptions.is_outdated(subscription);
        let Some((entry, is_down)) = self.lanes.get(id).zip(is_down.filter(|_| !is_outdated))
        else {
            return;
        };
        // Its lane may not know of the current URL yet: what is known of the former one does not count.
        if subscription.generation > entry.generation {
            entry.generation = subscription.generation;
            entry.lane.set_breaker(None, None);
            entry.lane.set_breaker(subscription.breaker, None);
        }
        let turn = entry.lane.saw(is_down, now.micros);
        let since = entry.lane.breaker().and_then(Breaker::open_since);
        let Some(turn) = turn else {
            return;
        };
        self.lanes.expect_probe(id, now.moment);
        let words = outcome.error.as_ref().map_or("", |(_, words)| words);
        self.effects.push(Effect::Breaker(Turned {
            subscription: id,
            open: since.map(|since| (since, words.to_owned())),
        }));
        match turn {
            Turn::Opened => self.effects.push(Effect::Log(format!(
                "the breaker of subscription \"{}\" opened: {words}",
                subscription.name
            ))),
            Turn::Closed => self.effects.push(Effect::Log(format!(
                "the breaker of subscription \"{}\" closed",
                subscription.name
            ))),
            Turn::GivesUp => {
                let reason = format!("its breaker was open for too long: {words}");
                self.burials.end_lane(self.lanes, subscription, reason);
            }
            Turn::Probed => {}
        }
        self.lanes.make_ready(id);
    }

    fn tell_lane(&mut self, id: i64, outcome: &Outcome, now_micros: i64) {
        if let Some(entry) = self.lanes.get(id) {
            if outcome.is_success() {
                entry.lane.succeeded(now_micros);
            } else {
                let until = lane_delay_until(outcome, now_micros);
                entry.lane.failed(is_throttling(outcome), until);
            }
        }
        self.lanes.make_ready(id);
    }
}

/// Reasons for queues to make room.
#[derive(Debug, Clone, Copy)]
pub struct Pressure {
    /// The log has to be read, and cannot be.
    pub is_held_up: bool,
    /// All deliveries go through `herald.pending`.
    pub is_always: bool,
}

/// Spills queues that hold up a window, or the reader while another lane has nothing to do. Returns whether any
/// spilled.
pub fn spill_what_must(
    pressure: Pressure,
    lanes: &mut Lanes,
    ledger: &mut Ledger,
    now: Now,
) -> bool {
    let survey = lanes.survey();
    let is_starving = pressure.is_held_up && survey.any_starving;
    let is_idle = pressure.is_held_up && survey.any_idle;
    let always = pressure.is_always;
    if !(survey.any_to_spill
        || is_starving && survey.any_full
        || is_idle && survey.any_slow
        || always)
    {
        return false;
    }
    let mut spilled = Vec::new();
    for (_, entry) in lanes.iter_mut() {
        let lane = &mut entry.lane;
        if lane.must_spill(now.micros)
            || is_starving && lane.is_full()
            || is_idle && lane.is_slow(now.micros) && !lane.is_spilled()
            || always && !lane.is_spilled()
        {
            spilled.extend(lane.spill());
        }
    }
    let has_spilled = !spilled.is_empty();
    for delivery in spilled {
        spill(delivery, ledger, lanes, now);
    }
    has_spilled
}

/// Spills a delivery into `herald.pending`, due now, with those behind it.
pub fn spill(delivery: Delivery, ledger: &mut Ledger, lanes: &mut Lanes, now: Now) {
    match delivery.origin {
        // Its row exists already; only the claim ends.
        Origin::Pending => {
            for follower in lanes.take_behind(&delivery) {
                spill(follower, ledger, lanes, now);
            }
            if let Some(entry) = ledger.forget(&delivery, lanes) {
                entry.claimed_to = None;
                entry.expect_due(now.micros);
                if let Some(rank) = delivery.rank {
                    entry.let_go(rank, now.micros);
                    lanes.make_ready(delivery.subscription.id);
                }
            }
        }
        Origin::Window(_) => {
            let end = End::Pending {
                // The lane asks for what follows something when its turn comes.
                at_micros: delivery.rank.map_or(now.micros, |_| PARKED),
                step: delivery.step,
            };
            ledger.settle(Record::unattempted(delivery, end), lanes, now);
        }
    }
}

#[cfg(test)]
mod tests;
