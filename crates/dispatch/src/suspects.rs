//! After a death of the worker: what it was sending is sent one delivery at a time, and what killed it twice not at all.
//!
//! Without a death there are no suspects, and none of this costs anything. Deliveries that are under no suspicion pass.

use std::collections::{BTreeSet, VecDeque};

use crate::deaths::{Legacy, Place};
use crate::effects::{Effect, Effects};
use crate::record::Record;
use crate::work::Delivery;

/// What the last death left.
#[derive(Debug, Default)]
pub struct Suspects {
    suspects: BTreeSet<Place>,
    /// Each as often as it did so again.
    poison: Vec<Place>,
    /// The token of the one that is being sent.
    on_trial: Option<u64>,
    /// Those that wait for their turn, out of their lanes.
    aside: VecDeque<Delivery>,
}

/// What may become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    None,
    /// It may be sent now, and no other suspect beside it.
    Tried,
    /// Another one is being sent.
    Waits,
    /// It has killed the worker twice.
    Poison,
}

impl Suspects {
    pub fn new(legacy: &Legacy) -> Self {
        Self {
            suspects: legacy.suspects.iter().copied().collect(),
            poison: legacy.poison.clone(),
            ..Self::default()
        }
    }

    pub fn judge(&self, delivery: &Delivery) -> Suspicion {
        if self.suspects.is_empty() && self.poison.is_empty() {
            return Suspicion::None;
        }
        let place = delivery.place();
        if self.poison.contains(&place) {
            Suspicion::Poison
        } else if !self.suspects.contains(&place) {
            Suspicion::None
        } else if self.on_trial.is_some() {
            Suspicion::Waits
        } else {
            Suspicion::Tried
        }
    }

    /// This suspect is being sent.
    pub fn try_one(&mut self, token: u64) {
        self.on_trial = Some(token);
    }

    /// This one has to wait until the one that is being sent has come back.
    pub fn set_aside(&mut self, delivery: Delivery) {
        self.aside.push_back(delivery);
    }

    /// A request came back, and the worker lives. If it was a suspect's, returns all that wait: the first of them that can
    /// be sent has its turn.
    pub fn came_back(&mut self, token: u64) -> VecDeque<Delivery> {
        match self.on_trial.take_if(|on_trial| *on_trial == token) {
            Some(_) => std::mem::take(&mut self.aside),
            None => VecDeque::new(),
        }
    }

    /// These are on record, and the worker lives: they are no suspects any more, and poison that is a dead letter need not
    /// be known. Poison that was moved into the pending deliveries comes back.
    pub fn recorded(&mut self, records: &[Record], effects: &mut Effects) {
        if self.suspects.is_empty() && self.poison.is_empty() {
            return;
        }
        let before = (self.suspects.len(), self.poison.len());
        for record in records {
            let place = record.delivery.place();
            let is_dead = record.is_dead();
            if is_dead || record.attempt.is_some() {
                self.suspects.remove(&place);
            }
            if is_dead {
                self.poison
                    .retain(|convicted| ![place, place.event()].contains(convicted));
            }
        }
        if (self.suspects.len(), self.poison.len()) != before {
            effects.push(self.to_keep());
        }
    }

    /// What was pending for a subscription is buried up to this event, and the worker lives.
    pub fn buried(&mut self, subscription: i64, up_to: i64, effects: &mut Effects) {
        let is_buried = |place: &Place| place.subscription == subscription && place.seq <= up_to;
        let before = (self.suspects.len(), self.poison.len());
        self.suspects.retain(|place| !is_buried(place));
        self.poison.retain(|place| !is_buried(place));
        if (self.suspects.len(), self.poison.len()) != before {
            effects.push(self.to_keep());
        }
    }

    /// Events that the worker died of reading again, by their numbers, each as often as it did.
    pub fn given_up(&self) -> impl Iterator<Item = i64> + '_ {
        let events = self.poison.iter();
        events
            .filter(|place| place.subscription == 0)
            .map(|place| place.seq)
    }

    fn to_keep(&self) -> Effect {
        Effect::Keep {
            suspects: self.suspects.iter().copied().collect(),
            poison: self.poison.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Attempt, End};
    use crate::testing::delivery;
    use herald_core::outcome::Outcome;
    use herald_core::retry::DeadReason;
    use std::time::Duration;

    fn suspects(suspected: &[i64], poison: &[i64]) -> Suspects {
        let places = |seqs: &[i64]| seqs.iter().map(|seq| delivery(1, *seq).place()).collect();
        Suspects::new(&Legacy {
            suspects: places(suspected),
            poison: places(poison),
            ..Legacy::default()
        })
    }

    #[test]
    fn one_suspect_is_sent_at_a_time_beside_all_others() {
        let mut suspects = suspects(&[1, 2], &[3]);
        let judged =
            |suspects: &Suspects| [1, 2, 3, 4].map(|seq| suspects.judge(&delivery(1, seq)));
        use Suspicion::{None, Poison, Tried, Waits};
        assert_eq!(judged(&suspects), [Tried, Tried, Poison, None]);
        suspects.try_one(1);
        assert_eq!(judged(&suspects), [Waits, Waits, Poison, None]);
        suspects.set_aside(delivery(1, 2));
        assert!(suspects.came_back(7).is_empty());
        assert_eq!(suspects.came_back(1).len(), 1);
        assert_eq!(judged(&suspects), [Tried, Tried, Poison, None]);
    }

    #[test]
    fn an_attempt_on_record_ends_a_suspicion_and_a_dead_letter_a_conviction() {
        let (mut suspects, mut effects) = (suspects(&[1, 2], &[3]), Effects::new());
        let moved = |seq| {
            let end = End::Pending {
                at_micros: 0,
                step: 0,
            };
            Record::unattempted(delivery(1, seq), end)
        };
        suspects.recorded(&[moved(1), moved(3)], &mut effects);
        assert!(effects.is_empty());
        let outcome = Outcome::answered(200, Duration::ZERO, None, String::new());
        let attempted = Record {
            attempt: Some(Attempt {
                started_at_micros: 0,
                outcome,
            }),
            ..moved(1)
        };
        let dead = Record::unattempted(delivery(1, 3), End::Dead(DeadReason::Poison));
        suspects.recorded(&[attempted, dead], &mut effects);
        let suspects = vec![delivery(1, 2).place()];
        assert_eq!(
            effects,
            [Effect::Keep {
                suspects,
                poison: Vec::new()
            }]
        );
    }
}
