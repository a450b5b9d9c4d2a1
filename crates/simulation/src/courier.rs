//! The modelled courier: takes requests to the receivers, where they take their time, and brings back their outcomes.

use herald_dispatch::courier::{Courier, Returned};
use herald_dispatch::record::Attempt;
use herald_dispatch::work::Work;

use crate::chance::dice;
use crate::clock::micros;
use crate::deed::{Mood, deadly};
use crate::receivers::{Flight, answer};
use crate::witness::number;
use crate::world::{Shared, World};

impl Courier for Shared {
    fn send(&mut self, work: Work) -> Result<(), Work> {
        let world = &mut *self.0.borrow_mut();
        if world.has_crashed() {
            return Ok(());
        }
        world.efforts += 1;
        if world.receivers.in_flight() >= world.receivers.threads {
            world
                .witness
                .blame("more is handed over than there are threads");
            return Err(work);
        }
        world.begin_request(work);
        Ok(())
    }

    fn returned(&mut self, most: usize) -> Vec<Returned> {
        let world = &mut *self.0.borrow_mut();
        let mut returned = Vec::new();
        while returned.len() < most
            && let Some(next) = world.receivers.flights.first_entry()
            && next.key().0 <= world.clock.elapsed
        {
            let flight = next.remove();
            world.efforts += 1;
            world.heard(&flight.work, &flight.attempt.outcome);
            returned.push(Returned {
                work: flight.work,
                attempt: flight.attempt,
                chance: flight.chance,
            });
        }
        returned
    }
}

impl World {
    fn begin_request(&mut self, work: Work) {
        let subscription = work.subscription();
        let (id, timeout) = (subscription.id, subscription.timeout.as_micros() as i64);
        self.receivers.sent += 1;
        let place = work.place();
        let mut dice = dice(
            self.seed,
            &[0x5e17, place.seq as u64, id as u64, self.receivers.sent],
        );
        let mut answer = answer(self.receivers.mood(id), timeout, &mut dice);
        answer.outcome.duration = micros(answer.lasts);
        self.story.tell(&self.clock, || {
            format!(
                "  event {} goes to {id}, which {:?}: {:?} after {} us",
                place.seq,
                self.receivers.mood(id),
                answer.outcome.status.ok_or(&answer.outcome.error),
                answer.lasts
            )
        });
        let mut kills = false;
        if let Work::Delivery(delivery) = &work {
            kills = self.receivers.mood(id) == Mood::Kills && deadly(number(&delivery.event.uid));
            self.sent(delivery, answer.is_taken);
        }
        if let Work::Probe(_) = &work
            && !self.known.get(&id).is_some_and(|row| row.is_active())
        {
            self.witness
                .blame(format!("{id}, which is held or gone, is probed"));
        }
        let ends_at = self.clock.elapsed + answer.lasts;
        let flight = Flight {
            work,
            attempt: Attempt {
                started_at_micros: self.clock.wall(),
                outcome: answer.outcome,
            },
            chance: dice.f64(),
        };
        self.receivers
            .flights
            .insert((ends_at, self.receivers.sent), flight);
        if kills {
            self.die_of(place);
        }
    }
}
