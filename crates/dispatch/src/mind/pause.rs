//! Decides how long the worker may sleep between two turns.

use super::state::Mind;
use crate::steps::Step;
use crate::store::Store;
use crate::time::Now;
use std::time::Duration;

impl Mind {
    /// Returns how long the worker certainly has nothing to do, unless woken. If the turn ended without a survey, the
    /// pause ends when the next survey may be taken.
    pub fn pause(&self, store: &impl Store, survey_gap: Duration, now: Now) -> Duration {
        let mut pause = self.settings.poll_interval;
        let mut is_due_in =
            |due: Duration, step: Step| pause = pause.min(due.max(self.steps.rest(step, now)));
        is_due_in(self.house.due_in(now), Step::House);
        is_due_in(self.until_configuration(now), Step::Configuration);
        let due = [
            (self.shedding.due_in(now), Step::Shed),
            (self.scheduled.due_in(now), Step::Release),
            (self.ledger.set_aside.due_in(now), Step::RecordSetAside),
            (self.burials.due_in(now), Step::Bury),
            (self.report.due_in(now), Step::Report),
        ];
        for (due, step) in due {
            if let Some(due) = due {
                is_due_in(due, step);
            }
        }
        if self.burials.has_unnoted() {
            is_due_in(Duration::ZERO, Step::Note);
        }
        if let Some(due) = self.ledger.due_in(now) {
            is_due_in(due, Step::Record);
        }
        if (self.looks.is_wanted || store.is_woken()) && self.can_read() {
            is_due_in(self.look_gap(now), Step::Read);
        }
        if self.has_notices {
            is_due_in(Duration::ZERO, Step::ForgetChanges);
        }
        if let Some(due) = self.claim_due_in(now) {
            is_due_in(due, Step::Claim);
        }
        let asking = self
            .consents
            .due_in(now)
            .filter(|_| self.settings.is_enabled);
        let others = [
            asking,
            self.pings.due_in(),
            self.aged_in(now),
            self.rested_in(now),
            self.probed_in(now),
        ];
        for until in others {
            pause = pause.min(until.unwrap_or(pause));
        }
        if !survey_gap.is_zero() {
            pause = pause.min(survey_gap);
        }
        pause
    }

    /// Returns how long nothing has to be claimed, if anything is pending.
    fn claim_due_in(&self, now: Now) -> Option<Duration> {
        if !self.may_claim() {
            return None;
        }
        if !self.unknown.is_empty() {
            return Some(Duration::ZERO);
        }
        let due = self.lanes.survey().first_due?;
        let due = due.saturating_sub(now.micros).max(1_000);
        Some(Duration::from_micros(due.unsigned_abs()))
    }

    /// Returns how long until a lane with deliveries may send again.
    fn rested_in(&self, now: Now) -> Option<Duration> {
        let until = self.lanes.rests_until().filter(|_| self.may_send())?;
        Some(now.until(until))
    }

    /// Returns how long no receiver has to be probed, if any is down.
    fn probed_in(&self, now: Now) -> Option<Duration> {
        let at = self.lanes.first_probe().filter(|_| self.may_send())?;
        Some(now.until(at))
    }

    /// Returns how long until a request is old enough to make room for a lane that waits.
    fn aged_in(&self, now: Now) -> Option<Duration> {
        if !self.lanes.any_waiting() {
            return None;
        }
        let aged = self.gate.threads.until_aged(now.micros)?.max(1_000);
        Some(Duration::from_micros(aged.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effects::Effects;
    use crate::record::{End, Record};
    use crate::testing::{Empty, Taker, at, delivery, mind, pending};
    use std::time::Duration;

    /// Runs the parts that are due, except looks at the log. Returns their number.
    fn turn(mind: &mut Mind, store: &mut Empty, now: Now) -> usize {
        let (mut courier, mut effects) = (Taker::with_room(0), Effects::new());
        mind.looks.is_wanted = false;
        let mut done = 0;
        for part in mind.begin_turn() {
            if mind.is_due(part, store, now) {
                let result = mind.run(part, store, &mut courier, &mut effects, now);
                mind.finish(part, result, &mut effects, now);
                done += 1;
            }
        }
        done
    }

    /// Returns a mind that has done its first work at this moment.
    fn idle() -> (Mind, Empty) {
        let (mut mind, mut store) = (mind(), Empty::default());
        mind.looks.looked(at(0), Duration::ZERO);
        mind.subscriptions
            .mark_up_to_date("10:10:".parse().unwrap());
        turn(&mut mind, &mut store, at(0));
        (mind, store)
    }

    fn pause(mind: &Mind, store: &Empty, now: Now) -> Duration {
        mind.pause(store, Duration::ZERO, now)
    }

    #[test]
    fn an_idle_worker_sleeps_for_the_poll_interval() {
        let (mut mind, mut store) = idle();
        assert_eq!(pause(&mind, &store, at(0)), Duration::from_secs(5));
        // Settling, claiming and sending cost nothing without deliveries.
        assert_eq!(turn(&mut mind, &mut store, at(4_999)), 3);
        assert_eq!(pause(&mind, &store, at(4_999)), Duration::from_millis(1));
    }

    #[test]
    fn a_commit_wakes_the_worker_when_it_may_look_again() {
        let (mind, mut store) = idle();
        store.is_woken = true;
        // Without a subscription: five looks per second.
        assert_eq!(pause(&mind, &store, at(50)), Duration::from_millis(150));
        assert_eq!(pause(&mind, &store, at(200)), Duration::ZERO);
    }

    #[test]
    fn what_came_to_its_end_is_recorded_within_ten_milliseconds() {
        let (mut mind, mut store) = idle();
        mind.ledger.settle(pending(), &mut mind.lanes, at(100));
        assert_eq!(pause(&mind, &store, at(100)), Duration::from_millis(10));
        turn(&mut mind, &mut store, at(109));
        assert_eq!(store.recorded, 0);
        turn(&mut mind, &mut store, at(110));
        assert_eq!(store.recorded, 1);
    }

    #[test]
    fn a_step_that_rests_is_not_woken_for() {
        let (mut mind, mut store) = idle();
        mind.ledger.settle(pending(), &mut mind.lanes, at(100));
        mind.steps
            .failed(Step::Record, crate::steps::Cause::Own, at(110));
        assert_eq!(pause(&mind, &store, at(110)), Duration::from_millis(100));
        turn(&mut mind, &mut store, at(209));
        assert_eq!(store.recorded, 0);
    }

    #[test]
    fn a_retry_that_is_recorded_is_claimed_when_it_is_due() {
        let (mut mind, mut store) = idle();
        mind.lanes
            .configure(&crate::testing::loaded(1), &Default::default());
        let entry = mind.lanes.get(1).unwrap();
        // A claim in between did not see it.
        entry.claimed_to = Some((400_000, 0));
        let end = End::Pending {
            at_micros: 300_000,
            step: 1,
        };
        let record = Record::unattempted(delivery(1, 1), end);
        mind.ledger.settle(record, &mut mind.lanes, at(100));
        turn(&mut mind, &mut store, at(110));
        let entry = mind.lanes.get(1).unwrap();
        assert_eq!((entry.next_due, entry.claimed_to), (Some(300_000), None));
        mind.lanes.take_survey(at(110).micros);
        assert_eq!(pause(&mind, &store, at(110)), Duration::from_millis(190));
    }

    #[test]
    fn a_lane_is_woken_when_its_delay_ends_unless_nothing_may_be_sent() {
        let (mut mind, mut store) = idle();
        let loaded = crate::testing::loaded(1);
        mind.lanes.configure(&loaded, &Default::default());
        mind.subscriptions.put_all(&[1], vec![loaded]);
        let entry = mind.lanes.get(1).unwrap();
        entry.lane.spare(Some(500_000));
        entry.lane.push(delivery(1, 1), 100_000);
        mind.lanes.make_ready(1);
        turn(&mut mind, &mut store, at(110));
        assert_eq!(pause(&mind, &store, at(110)), Duration::from_millis(390));
        mind.settings.is_enabled = false;
        assert!(pause(&mind, &store, at(110)) > Duration::from_secs(1));
    }
}
