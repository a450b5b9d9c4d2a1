//! One turn, part by part.

use super::part::Part;
use super::state::{Ending, Mind};
use super::upkeep::Turn;
use crate::claim::Claiming;
use crate::courier::Courier;
use crate::effects::{Effect, Effects};
use crate::failure::{Failure, Fault};
use crate::looks::Interest;
use crate::pings::Pinging;
use crate::reading::Reading;
use crate::send::Choosing;
use crate::settle::{Pressure, Settling, spill_what_must};
use crate::steps::{Cause, Step};
use crate::store::{Configuration, Point, Store};
use crate::time::Now;
use std::time::Duration;

/// At most this many outcomes are settled in one turn.
const OUTCOMES_A_TURN: usize = 100;

impl Mind {
    /// Begins a turn: returns its parts in order.
    pub fn begin_turn(&mut self) -> Turn {
        self.upkeep.begin_turn()
    }

    /// Returns whether the part has something to do now.
    pub fn is_due(&mut self, part: Part, store: &impl Store, now: Now) -> bool {
        let Part::Step(step) = part else {
            return true;
        };
        let is_due = match step {
            Step::Read => self.is_look_due(store.is_woken(), now),
            Step::ForgetChanges => self.has_notices,
            Step::Claim => self.may_claim(),
            Step::Record => self.ledger.is_due(now),
            Step::RecordSetAside => self.ledger.set_aside.due_in(now) == Some(Duration::ZERO),
            Step::Note => self.burials.has_unnoted(),
            Step::Bury => self.burials.is_due(now),
            Step::Shed => self.shedding.is_due(now),
            Step::Release => self.scheduled.is_due(now),
            Step::House => self.house.is_due(now),
            Step::Configuration => self.until_configuration(now).is_zero(),
            Step::Report => self.report.due_in(now) == Some(Duration::ZERO),
        };
        is_due && !self.steps.rests(step, now) && !self.upkeep.must_wait(part)
    }

    /// Runs a part of the turn. The caller [`finishes`](Self::finish) the part with the result.
    pub fn run(
        &mut self,
        part: Part,
        store: &mut impl Store,
        courier: &mut impl Courier,
        effects: &mut Effects,
        now: Now,
    ) -> Result<bool, Failure> {
        self.part_began = now.moment;
        match part {
            Part::Settle => Ok(self.settle(store, courier, effects, now)),
            Part::Send => {
                self.send(store, courier, effects, now);
                Ok(false)
            }
            Part::Step(step) => self.step(step, store, effects, now),
        }
    }

    /// Finishes a part: a step that failed rests from now on. Returns whether more can be done at once.
    pub fn finish(
        &mut self,
        part: Part,
        result: Result<bool, Failure>,
        effects: &mut Effects,
        now: Now,
    ) -> bool {
        self.upkeep.took(part, now.since(self.part_began));
        if let Part::Step(step) = part {
            self.take_in_result(step, &result, effects, now);
        }
        result.unwrap_or(false)
    }

    /// Settles returned work, and spills queues that hold up a window. Returns whether more may have come back.
    fn settle(
        &mut self,
        store: &mut impl Store,
        courier: &mut impl Courier,
        effects: &mut Effects,
        now: Now,
    ) -> bool {
        let is_full = self.settle_returned(courier, effects, now);
        self.gate.threads.age(now.micros);
        let pressure = Pressure {
            is_held_up: self.looks.is_wanted && self.settings.is_enabled && !self.has_room(),
            is_always: self.settings.always_pending,
        };
        if spill_what_must(pressure, &mut self.lanes, &mut self.ledger, now) {
            store.reached(Point::AfterSpill);
        }
        is_full
    }

    /// Settles returned work: decides how each delivery continues. Returns whether more may have come back.
    pub fn settle_returned(
        &mut self,
        courier: &mut impl Courier,
        effects: &mut Effects,
        now: Now,
    ) -> bool {
        let returned = courier.returned(OUTCOMES_A_TURN);
        let is_full = returned.len() == OUTCOMES_A_TURN;
        let mut settling = Settling {
            lanes: &mut self.lanes,
            gate: &mut self.gate,
            ledger: &mut self.ledger,
            subscriptions: &mut self.subscriptions,
            burials: &mut self.burials,
            consents: &mut self.consents,
            probes: &mut self.probes,
            shortage: &mut self.shortage,
            effects,
            look_wanted: &mut self.looks.is_wanted,
        };
        for attempted in returned {
            settling.settle(attempted, now);
        }
        is_full
    }

    /// Hands the sender the work that may be sent.
    fn send(
        &mut self,
        store: &mut impl Store,
        courier: &mut impl Courier,
        effects: &mut Effects,
        now: Now,
    ) {
        if !self.pings.is_empty() {
            let mut pinging = Pinging {
                lanes: &mut self.lanes,
                gate: &mut self.gate,
                subscriptions: &self.subscriptions,
                tokens: &mut self.tokens,
                store,
                courier,
                effects,
            };
            pinging.send(&mut self.pings, now);
        }
        if !self.may_send() {
            return;
        }
        let (subscriptions, gate) = (&self.subscriptions, &mut self.gate);
        let threads = self.settings.threads;
        self.consents
            .ask(subscriptions, gate, &mut self.tokens, courier, threads, now);
        let (lanes, tokens) = (&mut self.lanes, &mut self.tokens);
        self.probes
            .send(lanes, subscriptions, gate, tokens, courier, now);
        let mut choosing = Choosing {
            lanes: &mut self.lanes,
            gate,
            ledger: &mut self.ledger,
            subscriptions,
        };
        choosing.send(courier, now);
    }

    fn step<S: Store>(
        &mut self,
        step: Step,
        store: &mut S,
        effects: &mut Effects,
        now: Now,
    ) -> Result<bool, Failure> {
        match step {
            Step::Read => return self.read(store, effects, now),
            Step::ForgetChanges => {
                store.forget_changes(&self.reader.position().snapshot)?;
                self.has_notices = false;
            }
            Step::Claim => self.claim(store, effects, now)?,
            Step::Record => self.recording(store, effects).record(now)?,
            Step::RecordSetAside => self.recording(store, effects).record_set_aside(now)?,
            Step::Note => self.note_gone(store, now)?,
            Step::Bury => {
                let suspects = &mut self.gate.suspects;
                self.burials.bury_slice(suspects, store, effects, now)?;
            }
            Step::Shed => self.shedding.shed(store, now)?,
            Step::Release => self.scheduled.release(&mut self.lanes, store, now)?,
            Step::House => self.house.keep(&mut self.ring, store, now)?,
            Step::Configuration => self.look_at_configuration(store, effects, now)?,
            Step::Report => {
                store.report(&self.report, self.reader.seen.fresh())?;
                self.reader.seen.written();
                self.report.written(now);
            }
        }
        Ok(false)
    }

    /// Notes the result of a step; a failure concerns this step only.
    fn take_in_result(
        &mut self,
        step: Step,
        result: &Result<bool, Failure>,
        effects: &mut Effects,
        now: Now,
    ) {
        let failure = match result {
            Ok(_) => {
                if self.steps.succeeded(step) {
                    self.report.succeeded(step);
                }
                return;
            }
            Err(failure) => failure,
        };
        let cause = match failure.fault {
            Fault::Locked => Cause::Others,
            Fault::Refused | Fault::Gone | Fault::Other => Cause::Own,
        };
        let is_first = self.steps.failed(step, cause, now);
        // doctor() names the blocking session anyway.
        if cause == Cause::Own {
            self.report.failed(step, &failure.words, now.micros);
        }
        if is_first {
            let words = step.words();
            effects.push(Effect::Log(format!("cannot {words}: {failure}; retrying")));
        }
        if failure.fault == Fault::Gone {
            self.ending.get_or_insert(Ending::Stop);
        }
    }

    /// Returns whether a look is due: some transaction committed, the last look left events, or it is time for the
    /// safety net for lost wake-ups. While the worker cannot look, commits do not wake it.
    fn is_look_due(&mut self, is_woken: bool, now: Now) -> bool {
        self.looks.want_by_time(self.settings.poll_interval, now);
        self.looks.is_wanted |= is_woken;
        self.looks.is_wanted && self.can_read() && self.look_gap(now).is_zero()
    }

    pub(crate) fn look_gap(&self, now: Now) -> Duration {
        let interest = Interest {
            is_nobody_there: self.subscriptions.is_nobody_there(),
            any_flowing: self.lanes.survey().any_flowing,
        };
        self.looks.gap(interest, now)
    }

    /// Returns whether the log may be read: memory has room, and recording keeps up.
    pub(crate) fn can_read(&self) -> bool {
        self.has_room() && !self.ledger.is_behind()
    }

    /// Returns whether memory has room for the events of a look. Claimed deliveries do not count: a slow receiver must
    /// not stop the reading of the log.
    fn has_room(&self) -> bool {
        let unclaimed = self
            .ledger
            .memory()
            .saturating_sub(self.lanes.claimed_bytes());
        self.settings.is_enabled
            && unclaimed < self.settings.memory
            && !self.lanes.survey().any_full
    }

    /// Returns whether memory has room for pending deliveries.
    pub(crate) fn may_claim(&self) -> bool {
        self.settings.is_enabled
            && self.lanes.claimed_bytes() < self.settings.memory
            && self.ledger.memory() < 2 * self.settings.memory
    }

    /// Returns whether outcomes are recorded nearly as soon as they come in. If nothing can be recorded, sent
    /// deliveries are sent again after a crash, and their outcomes fill the memory.
    pub(crate) fn may_send(&self) -> bool {
        self.settings.is_enabled && self.ledger.unrecorded_memory() < 2 * self.settings.memory
    }

    fn read(
        &mut self,
        store: &mut impl Store,
        effects: &mut Effects,
        now: Now,
    ) -> Result<bool, Failure> {
        let mut must_stop = false;
        let mut reading = Reading {
            reader: &mut self.reader,
            looks: &mut self.looks,
            subscriptions: &mut self.subscriptions,
            lanes: &mut self.lanes,
            gate: &mut self.gate,
            ledger: &mut self.ledger,
            burials: &mut self.burials,
            shedding: &mut self.shedding,
            scheduled: &mut self.scheduled,
            unknown: &mut self.unknown,
            report: &mut self.report,
            tokens: &mut self.tokens,
            store,
            effects,
            ring: self.ring,
            always_pending: self.settings.always_pending,
            has_notices: &mut self.has_notices,
            must_stop: &mut must_stop,
        };
        let result = reading.read(now);
        if must_stop {
            self.ending.get_or_insert(Ending::Stop);
        }
        result
    }

    fn claim(
        &mut self,
        store: &mut impl Store,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), Failure> {
        let mut claiming = Claiming {
            lanes: &mut self.lanes,
            ledger: &mut self.ledger,
            suspects: &self.gate.suspects,
            subscriptions: &self.subscriptions,
            tokens: &mut self.tokens,
            store,
            effects,
            always_pending: self.settings.always_pending,
            read_up_to: self.reader.read_up_to(),
        };
        claiming.claim_due(&mut self.unknown, self.settings.poll_interval, now)
    }

    fn note_gone(&mut self, store: &mut impl Store, now: Now) -> Result<(), Failure> {
        let (lanes, subscriptions) = (&mut self.lanes, &mut self.subscriptions);
        let (any_noted, result) = self.burials.note_gone(lanes, subscriptions, store, now);
        self.looks.is_wanted |= any_noted;
        result
    }

    pub(crate) fn until_configuration(&self, now: Now) -> Duration {
        let elapsed = now.since(self.configuration_looked_at);
        self.settings.poll_interval.saturating_sub(elapsed)
    }

    fn look_at_configuration(
        &mut self,
        store: &mut impl Store,
        effects: &mut Effects,
        now: Now,
    ) -> Result<(), Failure> {
        let configuration = store.configuration()?;
        self.configuration_looked_at = now.moment;
        match configuration {
            Configuration::Same => {}
            // The extension was dropped, and maybe created again, with another worker.
            Configuration::Gone => self.ending = self.ending.or(Some(Ending::Stop)),
            Configuration::Changed => {
                let why = "settings of the database or its role were changed";
                self.start_again(why, effects);
            }
        }
        Ok(())
    }

    /// Returns whether a batch has to be recorded without a pause.
    pub fn must_record(&self, now: Now) -> bool {
        self.ledger.due_in(now) == Some(Duration::ZERO) && !self.steps.rests(Step::Record, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::entry::Share;
    use crate::ledger::MEMORY;
    use crate::testing::{at, delivery, loaded, mind, pending};
    use crate::work::Origin;
    use herald_core::event::Event;
    use std::sync::Arc;

    fn failure(fault: Fault) -> Result<bool, Failure> {
        Err(Failure {
            fault,
            words: "a full disk".into(),
            damage: None,
        })
    }

    #[test]
    fn a_step_that_failed_rests_from_its_end_and_alone() {
        let (mut mind, mut effects) = (mind(), Effects::new());
        let house = Part::Step(Step::House);
        mind.finish(house, failure(Fault::Other), &mut effects, at(500));
        assert!(mind.steps.rests(Step::House, at(599)));
        assert!(!mind.steps.rests(Step::House, at(600)));
        assert!(!mind.steps.rests(Step::Record, at(500)));
        assert_eq!(
            effects,
            [Effect::Log("cannot clean up: a full disk; retrying".into())]
        );
        assert_eq!(mind.report.failing().count(), 1);
        mind.finish(house, failure(Fault::Other), &mut effects, at(600));
        assert_eq!(effects.len(), 1);
        mind.finish(house, Ok(false), &mut effects, at(800));
        assert_eq!(mind.report.failing().count(), 0);
    }

    #[test]
    fn the_log_is_not_read_while_recording_lags_behind() {
        let mut mind = mind();
        while !mind.ledger.is_behind() {
            assert!(mind.can_read());
            mind.ledger.settle(pending(), &mut mind.lanes, at(0));
        }
        assert!(!mind.can_read());
    }

    #[test]
    fn claims_of_slow_receivers_block_neither_reading_nor_claiming() {
        let mut mind = mind();
        let large = |id, seq| {
            let mut delivery = delivery(id, seq);
            delivery.origin = Origin::Pending;
            delivery.event = Arc::new(Event {
                data: Some("x".repeat(1 << 20)),
                ..(*delivery.event).clone()
            });
            delivery
        };
        for id in 0..30 {
            mind.lanes.configure(&loaded(id), &Default::default());
            mind.lanes.get(id).unwrap().lane.succeeded(0);
            // As many as the lane may hold.
            for seq in 0.. {
                let share = mind.lanes.share();
                if mind.lanes.get(id).unwrap().room(share, 1) == 0 {
                    break;
                }
                let delivery = large(id, seq);
                mind.ledger.take_up(&delivery);
                mind.lanes.claim(&delivery);
            }
        }
        mind.lanes.configure(&loaded(30), &Default::default());
        // A lane whose receiver has not answered takes little, and nothing if even the last quarter is taken.
        let another = mind.lanes.get(30).unwrap();
        let share = |is_scarce| Share {
            bytes: 0,
            is_scarce,
        };
        assert_eq!(
            (another.room(share(false), 1), another.room(share(true), 1)),
            (16, 0)
        );
        another.lane.succeeded(0);
        assert!(another.room(share(true), 1) > 16);
        assert!(mind.may_claim());
        assert!(mind.can_read());
        let claimed = mind.lanes.claimed_bytes();
        assert!((MEMORY / 2..MEMORY).contains(&claimed), "{claimed}");
    }

    #[test]
    fn what_could_not_be_recorded_keeps_more_from_being_sent_when_it_fills_the_memory() {
        let mut mind = mind();
        mind.ledger.settle(pending(), &mut mind.lanes, at(0));
        assert!(mind.may_send());
        mind.settings.memory = mind.ledger.unrecorded_memory() / 2;
        assert!(!mind.may_send());
        mind.ledger.next_batch();
        assert!(mind.may_send());
    }

    #[test]
    fn a_lock_of_another_session_is_not_reported_and_missing_tables_end_the_worker() {
        let (mut mind, mut effects) = (mind(), Effects::new());
        let record = Part::Step(Step::Record);
        mind.finish(record, failure(Fault::Locked), &mut effects, at(0));
        assert_eq!((mind.report.failing().count(), mind.ending), (0, None));
        mind.finish(record, failure(Fault::Gone), &mut effects, at(0));
        assert_eq!(mind.ending, Some(Ending::Stop));
    }
}
