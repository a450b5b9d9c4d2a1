//! The worker's own death, and what it means for later workers.

use herald_dispatch::deaths::{Life, Place};
use herald_dispatch::effects::Effect;

use crate::world::World;

/// A delivery kills at most this many workers: two until it is convicted, and more if a crash undid its dead letter.
const MOST_KILLED: u32 = 8;

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
            if let Effect::Breaker(turned) = &effect {
                match &turned.open {
                    Some((since, _)) => drop(self.breakers.insert(turned.subscription, *since)),
                    None => drop(self.breakers.remove(&turned.subscription)),
                }
            }
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
