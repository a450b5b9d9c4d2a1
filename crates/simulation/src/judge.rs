//! The judge: what must be true of the database in the end, and of lanes all the time.

use herald_core::subscription::State;

use crate::clock::{MINUTE, SECOND};
use crate::database::rows::{EventRow, Key, SubscriptionRow};
use crate::deed::Mood;
use crate::receivers::LONGEST_TIMEOUT;
use crate::witness::PATIENCE;
use crate::world::World;

/// How often the lanes are checked.
const LOOK_EVERY: i64 = SECOND / 4;
/// How long a lane may still be delayed by what its receiver asked for during the troubles.
pub const LONGEST_RETRY_AFTER: i64 = 30 * SECOND;

impl World {
    /// Checks that a healthy receiver gets what waits for it within a bounded time, whatever the others do.
    pub fn judge_progress(&mut self) {
        let now = self.clock.elapsed;
        if now < self.judged_at + LOOK_EVERY {
            return;
        }
        self.judged_at = now;
        // Earlier requests last as long as a receiver hangs.
        let disturbed_at = self
            .witness
            .disturbed_at()
            .max(self.troubles.until + MINUTE);
        let calm_since = disturbed_at + LONGEST_TIMEOUT;
        // Suspects wait for each other, each as long as a receiver hangs.
        let is_calm = self.worker.is_enabled && !self.has_suspects();
        if now < calm_since + PATIENCE || !is_calm {
            return;
        }
        for (id, row) in self.known.clone().iter() {
            let is_judged = row.is_active()
                && matches!(self.receivers.mood(*id), Mood::Healthy(_))
                && !row.may_be_slow()
                && row.tenant.is_none();
            if !is_judged {
                continue;
            }
            let waiting = [self.waits_since(*id), self.overdue_since(*id)];
            if let Some(since) = waiting.into_iter().flatten().min() {
                let spared_until = self.elapsed_at(self.witness.spared_until(*id));
                let since = since
                    .max(calm_since)
                    .max(spared_until)
                    .max(self.witness.progress_at(*id));
                if now > since + self.patience_with(*id) {
                    self.witness.blame(format!(
                        "the healthy lane {id} waits for {} s",
                        (now - since) / SECOND
                    ));
                }
            }
        }
    }

    /// Returns since when the first pending delivery of a subscription is overdue, if it is.
    pub fn overdue_since(&self, id: i64) -> Option<i64> {
        let pending = self.database.tables.pending_of(id);
        let due = pending.map(|(_, row)| row.next_attempt_at).min()?;
        let since = self.elapsed_at(due);
        (since < self.clock.elapsed).then_some(since)
    }

    /// Returns when the clock, as it is set now, shows this time of day.
    fn elapsed_at(&self, wall: i64) -> i64 {
        self.clock
            .elapsed
            .saturating_add(wall.saturating_sub(self.clock.wall()))
    }

    /// Returns how long a lane may wait: without a success in the last half minute, it waits in one line with those
    /// that hang.
    fn patience_with(&self, id: i64) -> i64 {
        let wall = self.clock.wall();
        let is_proven = self
            .witness
            .succeeded_at(id)
            .is_some_and(|at| wall < at + MINUTE / 2);
        if is_proven {
            PATIENCE
        } else {
            LONGEST_RETRY_AFTER + 2 * LONGEST_TIMEOUT * (1 + self.known.len() as i64)
        }
    }

    /// Checks, after everything has ended, that the records are true and complete.
    pub fn judge_end(&mut self) {
        let mut faults = Vec::new();
        for (id, subscription) in self.database.tables.subscriptions.iter() {
            for (seq, event) in &self.database.tables.events {
                if let Some(fault) = self.fault_of((*id, *seq), subscription, event) {
                    faults.push(format!("event {seq} and subscription {id}: {fault}"));
                }
            }
        }
        if let Some(first) = faults.first() {
            self.witness
                .blame(format!("{first} ({} of this kind)", faults.len()));
        }
    }

    fn fault_of(
        &self,
        key: Key,
        subscription: &SubscriptionRow,
        event: &EventRow,
    ) -> Option<String> {
        let tables = &self.database.tables;
        let taken = self.witness.taken(&event.event.uid, key.0);
        let (is_pending, dead) = (tables.pending.contains_key(&key), tables.dead.get(&key));
        if tables.is_delivered(key) && taken == 0 {
            return Some("it is said to be delivered, and the receiver did not get it".into());
        }
        let is_lost = subscription.is_certain_of(event)
            && subscription.certain_until == u64::MAX
            && !is_pending
            && dead.is_none()
            && !tables.is_delivered(key);
        if is_lost {
            return Some("it is lost".into());
        }
        let reason = dead?.reason;
        let is_explained = match reason {
            "discarded" => {
                self.witness.was_discarded(key.0) || subscription.config.max_backlog.is_some()
            }
            "unsubscribed" => subscription.is_removed,
            "gone" => subscription.config.state == State::Disabled || self.witness.was_gone(key.0),
            "expired" => subscription.config.max_age.is_some(),
            "exhausted" | "permanent_status" => dead?.attempts > 0,
            "poison" => self.seems_to_kill(key.1, key.0),
            "quota" => subscription.tenant.is_some(),
            _ => false,
        };
        (!is_explained).then(|| format!("it is a dead letter for no reason: {reason}"))
    }
}
