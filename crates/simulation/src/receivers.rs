//! The modelled receivers: their moods, and the requests to them that are under way.

use std::collections::BTreeMap;

use fastrand::Rng;
use herald_core::attempt::outcome::{ErrorClass, Outcome};
use herald_dispatch::deaths::Place;
use herald_dispatch::record::Attempt;
use herald_dispatch::work::Work;

use crate::chance::any_magnitude;
use crate::clock::{SECOND, micros};
use crate::deed::Mood;

/// Requests under way, and each receiver's mood.
#[derive(Debug, Default)]
pub struct Receivers {
    moods: BTreeMap<i64, Mood>,
    /// In the order in which they end.
    pub flights: BTreeMap<(i64, u64), Flight>,
    /// How many requests were sent.
    pub sent: u64,
    /// How many requests may be under way at once.
    pub threads: usize,
}

#[derive(Debug)]
pub struct Flight {
    pub work: Work,
    pub attempt: Attempt,
    pub chance: f64,
}

/// The outcome of a request, and whether its receiver took it.
pub struct Answer {
    pub lasts: i64,
    pub outcome: Outcome,
    pub is_taken: bool,
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
            .filter(|place| place.seq > 0)
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

/// Returns what a receiver in this mood does with a request.
pub fn answer(mood: Mood, timeout: i64, dice: &mut Rng) -> Answer {
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
