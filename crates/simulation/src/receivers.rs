//! The modelled courier and the receivers behind it: requests take their time and come back with their outcomes.

use std::collections::BTreeMap;

use fastrand::Rng;
use herald_core::outcome::{ErrorClass, Outcome};
use herald_dispatch::courier::{Courier, Returned};
use herald_dispatch::deaths::Place;
use herald_dispatch::record::Attempt;
use herald_dispatch::work::Work;

use crate::chance::{any_magnitude, dice};
use crate::clock::{SECOND, micros};
use crate::deed::{Mood, deadly};
use crate::witness::number;
use crate::world::{Shared, World};

/// Requests under way, and each receiver's mood.
#[derive(Debug, Default)]
pub struct Receivers {
    moods: BTreeMap<i64, Mood>,
    /// In the order in which they end.
    flights: BTreeMap<(i64, u64), Flight>,
    sent: u64,
    /// How many requests may be under way at once.
    pub threads: usize,
}

#[derive(Debug)]
struct Flight {
    work: Work,
    attempt: Attempt,
    chance: f64,
}

/// The outcome of a request, and whether its receiver took it.
struct Answer {
    lasts: i64,
    outcome: Outcome,
    is_taken: bool,
}

impl Receivers {
    pub fn set_mood(&mut self, id: i64, mood: Mood) {
        self.moods.insert(id, mood);
    }

    pub fn mood(&self, id: i64) -> Mood {
        self.moods
            .get(&id)
            .copied()
            .unwrap_or(Mood::Healthy(20_000))
    }

    /// Returns when the next outcome comes in, in microseconds since the beginning.
    pub fn next_outcome_at(&self) -> Option<i64> {
        self.flights.first_key_value().map(|((at, _), _)| *at)
    }

    /// Returns what the send threads are working on.
    pub fn places(&self) -> Vec<Place> {
        self.flights
            .values()
            .map(|flight| flight.work.place())
            .collect()
    }

    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Ends all requests, as nothing waits for their answers.
    pub fn hang_up(&mut self) {
        self.flights.clear();
    }
}

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

fn answer(mood: Mood, timeout: i64, dice: &mut Rng) -> Answer {
    let quick = any_magnitude(dice, 1_000, 50_000);
    let answered = |lasts, status| Answer {
        lasts,
        outcome: Outcome::answered(status, micros(0), None, String::new()),
        is_taken: (200..300).contains(&status),
    };
    let failed = |lasts, class, is_taken| Answer {
        lasts,
        outcome: Outcome::failed(class, "no answer", micros(0)),
        is_taken,
    };
    match mood {
        Mood::Healthy(most) => answered(any_magnitude(dice, 500, most.max(501)), 200),
        Mood::Slow(most) if most >= timeout => failed(timeout, ErrorClass::Timeout, true),
        Mood::Slow(most) => answered(dice.i64(most / 2..=most), 200),
        Mood::Hangs => failed(timeout, ErrorClass::Timeout, false),
        Mood::Resets => failed(quick, ErrorClass::Connect, false),
        Mood::Answers(status) => answered(quick, status),
        Mood::Spares(status, seconds) => Answer {
            outcome: Outcome {
                retry_after: Some(seconds.to_string()),
                ..answered(quick, status).outcome
            },
            ..answered(quick, status)
        },
        Mood::Flaky(part) if dice.f64() < part => answered(quick, 500),
        Mood::LosesAnswers(part) if dice.f64() < part => match dice.bool() {
            true => failed(timeout, ErrorClass::Timeout, true),
            false => failed(quick, ErrorClass::Connect, true),
        },
        Mood::Flaky(_) | Mood::LosesAnswers(_) | Mood::Kills => answered(quick, 200),
        Mood::Shortage => failed(quick / 10, ErrorClass::Shortage, false),
    }
}

/// The longest duration of a request, in microseconds.
pub const LONGEST_TIMEOUT: i64 = 10 * SECOND;
