//! The worker's own death: a file says what it was working on, for the next worker.

use std::collections::BTreeMap;

use herald_dispatch::deaths::{Legacy, Life, Place, legacy};
use herald_dispatch::effects::Effect;

use crate::world::World;

/// A delivery kills at most this many workers: two until it is convicted, and more if a crash undid its dead letter.
const MOST_KILLED: u32 = 8;

/// The file, and how many workers each delivery killed.
#[derive(Debug, Default)]
pub struct File {
    life: Life,
    killed: BTreeMap<Place, u32>,
    /// At how many deaths each delivery was under way.
    was_at: BTreeMap<Place, u32>,
}

impl World {
    /// Makes the worker die of this delivery, and the server crash with it.
    pub(crate) fn die_of(&mut self, place: Place) {
        self.story
            .tell(&self.clock, || format!("the worker dies of {place}"));
        self.file.life.is_own_death = true;
        self.file.life.at = self.receivers.places();
        for place in self.receivers.places() {
            *self.file.was_at.entry(place).or_default() += 1;
        }
        let killed = self.file.killed.entry(place).or_default();
        *killed += 1;
        if *killed > MOST_KILLED {
            self.witness.blame(format!(
                "{place} killed {MOST_KILLED} workers, and another one"
            ));
        }
        self.worker.crash = Some((0.5, 100_000));
    }

    /// Returns what the next worker starts with, after the delay of its start.
    pub(crate) fn inherit(&mut self) -> Legacy {
        let wall = self.clock.wall();
        self.file.life.seen_at = wall;
        let legacy = legacy(&self.file.life, wall);
        let delay = (legacy.starts_at - wall).max(0);
        if delay > 0 {
            self.witness.late_by += delay;
            self.be_down_for(delay);
        }
        self.file.life = Life {
            started_at: self.clock.wall(),
            deaths: legacy.deaths,
            suspects: legacy.suspects.clone(),
            poison: legacy.poison.clone(),
            ..Life::default()
        };
        legacy
    }

    pub fn has_suspects(&self) -> bool {
        !self.file.life.suspects.is_empty()
    }

    /// Returns an error if sending this now is wrong, given the deaths of earlier workers.
    pub(crate) fn judge_suspicion(&self, place: Place) -> Result<(), String> {
        let Life {
            suspects, poison, ..
        } = &self.file.life;
        if poison.contains(&place) {
            return Err("it has killed two workers".into());
        }
        let mut under_way = self.receivers.places().into_iter();
        if suspects.contains(&place) && under_way.any(|other| suspects.contains(&other)) {
            return Err("another suspect is under way".into());
        }
        Ok(())
    }

    /// Carries out what the worker has decided besides storing and sending.
    pub(crate) fn see_to(&mut self, effects: impl IntoIterator<Item = Effect>) {
        for effect in effects {
            if let Effect::Keep { suspects, poison } = effect {
                (self.file.life.suspects, self.file.life.poison) = (suspects, poison);
            }
        }
    }

    /// Returns whether workers may seem to have died of this delivery: it was under way at two deaths. It may be
    /// innocent if a delivery that was no suspect killed the second worker.
    pub fn seems_to_kill(&self, seq: i64, subscription: i64) -> bool {
        let mut was_at = self.file.was_at.iter();
        was_at.any(|(place, deaths)| {
            *deaths > 1 && place.seq == seq && place.subscription == subscription
        })
    }
}
