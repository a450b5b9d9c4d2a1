//! What becomes of a delivery after an attempt, or without one.

use super::lanes::Entry;
use super::work::{Claimed, Origin};
use super::{OUTCOMES_A_TURN, Worker, now_micros};
use crate::failpoint;
use crate::record::{End, Record};
use herald_core::outcome::Outcome;
use herald_core::retry::{DeadReason, Decision, decide, is_throttling, lane_delay_until};
use herald_core::subscription::Subscription;
use herald_sender::Attempted;
use std::time::{Duration, Instant};

/// How long a lane waits that lacks something of our own to send anything.
const SHORTAGE_PAUSE_MICROS: i64 = 500_000;
/// The log speaks of a shortage this often, at most.
const SHORTAGE_SAID_EVERY: Duration = Duration::from_secs(60);

impl Worker {
    /// Takes outcomes from the sender and decides how their deliveries go on. Returns how many there were.
    pub(super) fn settle_outcomes(&mut self) -> usize {
        let attempted: Vec<_> = self.sender.outcomes().take(OUTCOMES_A_TURN).collect();
        let count = attempted.len();
        attempted
            .into_iter()
            .for_each(|attempted| self.settle_attempt(attempted));
        count
    }

    fn settle_attempt(&mut self, attempted: Attempted<Claimed>) {
        let Attempted {
            mut work,
            outcome,
            started_at_unix_micros,
        } = attempted;
        let now = now_micros();
        let id = work.subscription.id;
        let outcome = outcome.judged_by(work.subscription.retry.success.as_deref());
        self.threads.finish(work.token, id);
        self.clear_suspect(work.token, now);
        for waiting in self.tenants.end(work.agent.tenant.as_deref()) {
            self.lanes.make_ready(waiting);
        }
        if work.origin == Origin::Ping {
            return self.answer_ping(work.token, &outcome);
        }
        if work.origin == Origin::Handshake {
            return self.note_answer(&work.subscription, &outcome);
        }
        if outcome.is_own_shortage() {
            if work.attempts == 0 && work.is_metered() {
                self.tenants.take_back(work.agent.tenant.as_deref());
                // Lanes may be held for what was not used after all.
                self.subscriptions.expire_quotas();
                self.look_wanted = true;
            }
            return self.settle_shortage(work, &outcome, now);
        }
        work.attempts += 1;
        let policy = &work.subscription.retry;
        let decision = decide(
            &outcome,
            policy,
            work.attempts,
            work.step,
            now,
            fastrand::f64(),
        )
        .within(policy, work.created_at_micros);
        self.tell_lane(id, &outcome, now);
        let is_gone = self.subscriptions.by_id(id).is_none();
        let end = match decision {
            Decision::Delivered => End::Delivered,
            Decision::Retry { .. } if is_gone => End::Dead(DeadReason::Unsubscribed),
            Decision::Retry {
                at_micros,
                next_step,
                ..
            } => End::Pending {
                at_micros,
                step: next_step,
            },
            Decision::Bury(reason) => End::Dead(reason),
            // It spoke for the url that it was called by.
            Decision::Disable if self.is_outdated(&work.subscription) => End::Pending {
                at_micros: now,
                step: work.step,
            },
            Decision::Disable => {
                let reason = format!(
                    "the receiver answered {}",
                    outcome.status.unwrap_or_default()
                );
                self.end_lane(&work.subscription, reason);
                End::Dead(DeadReason::Gone)
            }
        };
        self.settle(Record {
            work,
            attempt: Some((started_at_unix_micros, outcome)),
            end,
        });
    }

    /// Whether the url or the handshake is another by now.
    fn is_outdated(&self, subscription: &Subscription) -> bool {
        self.subscriptions
            .by_id(subscription.id)
            .is_some_and(|loaded| loaded.config.generation != subscription.generation)
    }

    /// Nothing was sent, for want of something of our own: the delivery is pending as before, and no attempt was made.
    fn settle_shortage(&mut self, work: Claimed, outcome: &Outcome, now: i64) {
        let (id, name) = (work.subscription.id, &work.subscription.name);
        let is_new = self
            .shortage_said_at
            .is_none_or(|at| at.elapsed() >= SHORTAGE_SAID_EVERY);
        if is_new && let Some((_, words)) = &outcome.error {
            pgrx::log!("pg_herald: cannot send to subscription \"{name}\" now: {words}; retrying");
            self.shortage_said_at = Some(Instant::now());
        }
        if let Some(entry) = self.lanes.get(id) {
            // Each request that ends frees something. Where none is under way, only time does.
            let is_alone = entry.lane.in_flight() <= 1;
            entry
                .lane
                .failed(true, is_alone.then(|| now + SHORTAGE_PAUSE_MICROS));
        }
        self.spill(work, now);
        self.lanes.make_ready(id);
    }

    fn tell_lane(&mut self, id: i64, outcome: &Outcome, now: i64) {
        if let Some(entry) = self.lanes.get(id) {
            if outcome.is_success() {
                entry.lane.succeeded(now);
            } else {
                entry
                    .lane
                    .failed(is_throttling(outcome), lane_delay_until(outcome, now));
            }
        }
        self.lanes.make_ready(id);
    }

    /// Moves the queues out of the way that hold up a window, or the reader while another lane has nothing to do.
    pub(super) fn spill_what_must(&mut self, now: i64) {
        let survey = self.lanes.survey();
        let is_held_up = self.look_wanted && self.settings.enabled && !self.can_read();
        let is_starving = is_held_up && survey.any_starving;
        let is_idle = is_held_up && survey.any_idle;
        let always = self.settings.always_pending;
        if !(survey.any_to_spill
            || is_starving && survey.any_full
            || is_idle && survey.any_slow
            || always)
        {
            return;
        }
        let mut spilled = Vec::new();
        for (_, entry) in self.lanes.iter_mut() {
            let lane = &mut entry.lane;
            if lane.must_spill(now)
                || is_starving && lane.is_full()
                || is_idle && lane.is_slow(now) && !lane.is_spilled()
                || always && !lane.is_spilled()
            {
                spilled.extend(lane.spill());
            }
        }
        let has_spilled = !spilled.is_empty();
        spilled.into_iter().for_each(|work| self.spill(work, now));
        if has_spilled {
            failpoint::reached("after_spill");
        }
    }

    /// Leaves a delivery to `herald.pending`, due now.
    pub(super) fn spill(&mut self, work: Claimed, now: i64) {
        match work.origin {
            // It is there already; it only stops being claimed.
            Origin::Pending => {
                if let Some(entry) = self.forget(&work) {
                    entry.claimed_to = None;
                    entry.expect_due(now);
                }
            }
            Origin::Window(_) => {
                let step = work.step;
                self.settle(Record {
                    work,
                    attempt: None,
                    end: End::Pending {
                        at_micros: now,
                        step,
                    },
                });
            }
            Origin::Ping | Origin::Handshake => {}
        }
    }

    /// Puts an end into the batch that is recorded next.
    pub(super) fn settle(&mut self, record: Record) {
        if matches!(record.end, End::Pending { .. })
            && let Some(entry) = self.lanes.get(record.work.subscription.id)
        {
            entry.unrecorded += 1;
        }
        self.ended_since.get_or_insert_with(Instant::now);
        self.ended.push(record);
    }

    /// A delivery leaves the worker's memory. Returns its lane, if there still is one.
    pub(super) fn forget(&mut self, work: &Claimed) -> Option<&mut Entry> {
        self.bytes_in_memory = self.bytes_in_memory.saturating_sub(work.memory());
        let entry = self.lanes.get(work.subscription.id)?;
        if work.origin == Origin::Pending {
            entry.claimed.remove(&work.event.seq);
        }
        Some(entry)
    }
}
