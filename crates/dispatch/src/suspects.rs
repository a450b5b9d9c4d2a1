//! Suspects: after a death of the worker, the deliveries it was sending are sent one at a time, and those that killed
//! it twice not at all.
//!
//! Without a death this costs nothing. Deliveries that are not suspects pass.

use std::collections::{BTreeSet, VecDeque};

use crate::deaths::{Legacy, Place};
use crate::effects::{Effect, Effects};
use crate::record::Record;
use crate::work::Delivery;

/// The suspects and the poison that the last death left.
#[derive(Debug, Default)]
pub struct Suspects {
    suspects: BTreeSet<Place>,
    /// Each repeated for each further death.
    poison: Vec<Place>,
    /// The token of the suspect that is being sent.
    on_trial: Option<u64>,
    /// Suspects that wait for their turn, outside their lanes.
    aside: VecDeque<Delivery>,
}

/// Whether a delivery may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    None,
    /// A suspect that may be sent now, and no other suspect beside it.
    Tried,
    /// A suspect that waits while another is being sent.
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

    /// Notes the suspect that is being sent.
    pub fn begin_trial(&mut self, token: u64) {
        self.on_trial = Some(token);
    }

    /// Keeps a suspect until the one being sent has come back.
    pub fn set_aside(&mut self, delivery: Delivery) {
        self.aside.push_back(delivery);
    }

    /// Notes that a request came back and the worker lives. If it was a suspect's, returns all suspects that wait: the
    /// first that can be sent gets its turn.
    pub fn came_back(&mut self, token: u64) -> VecDeque<Delivery> {
        match self.on_trial.take_if(|on_trial| *on_trial == token) {
            Some(_) => std::mem::take(&mut self.aside),
            None => VecDeque::new(),
        }
    }

    /// Notes that these are recorded and the worker lives: deliveries with an attempt or a dead letter are no longer
    /// suspects, and poison with a dead letter is forgotten. Poison that was spilled into pending comes back.
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

    /// Notes that the pending deliveries of a subscription are buried up to this event, and the worker lives.
    pub fn buried(&mut self, subscription: i64, up_to: i64, effects: &mut Effects) {
        let is_buried = |place: &Place| place.subscription == subscription && place.seq <= up_to;
        let before = (self.suspects.len(), self.poison.len());
        self.suspects.retain(|place| !is_buried(place));
        self.poison.retain(|place| !is_buried(place));
        if (self.suspects.len(), self.poison.len()) != before {
            effects.push(self.to_keep());
        }
    }

    /// Returns the numbers of the events that the worker died of reading again, each as often as it did.
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
    use herald_core::attempt::outcome::Outcome;
    use herald_core::attempt::retry::DeadReason;
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
        suspects.begin_trial(1);
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
