//! The order of a turn: first what deliveries wait for, then some upkeep.

use std::time::Duration;

use super::part::Part;
use crate::steps::Step;

/// What deliveries wait for: in every turn, in this order.
const URGENT: [Part; 4] = [
    Part::Settle,
    Part::Step(Step::Read),
    Part::Step(Step::Claim),
    Part::Send,
];

/// What no delivery waits for.
const UPKEEP: [Step; 10] = [
    Step::Record,
    Step::RecordSetAside,
    Step::Release,
    Step::ForgetChanges,
    Step::Note,
    Step::Bury,
    Step::Shed,
    Step::House,
    Step::Configuration,
    Step::Report,
];

/// No further step of upkeep begins in a turn in which they have taken this long.
const LONGEST: Duration = Duration::from_millis(1);

/// The parts of a turn.
pub type Turn = [Part; URGENT.len() + UPKEEP.len()];

/// How much upkeep a turn has done, and where the next turn continues. However many steps are due at once, an event
/// that was just committed waits for one or two of them.
#[derive(Debug, Default)]
pub struct Upkeep {
    spent: Duration,
    first: usize,
}

impl Upkeep {
    /// Begins a turn: returns its parts in order.
    pub fn begin_turn(&mut self) -> Turn {
        self.spent = Duration::ZERO;
        let mut turn = [Part::Settle; URGENT.len() + UPKEEP.len()];
        let (urgent, upkeep) = turn.split_at_mut(URGENT.len());
        urgent.copy_from_slice(&URGENT);
        upkeep.copy_from_slice(&UPKEEP.map(Part::Step));
        upkeep.rotate_left(self.first);
        turn
    }

    /// Returns whether the part has to wait for the next turn.
    pub fn must_wait(&self, part: Part) -> bool {
        self.spent >= LONGEST && !URGENT.contains(&part)
    }

    /// Notes how long a part took.
    pub fn took(&mut self, part: Part, took: Duration) {
        let Some(at) = UPKEEP.iter().position(|step| part == Part::Step(*step)) else {
            return;
        };
        self.spent += took;
        if self.spent >= LONGEST {
            self.first = (at + 1) % UPKEEP.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays turns in which each part takes this long. Returns the steps of upkeep that each turn does.
    fn turns(micros: u64, count: usize) -> Vec<Vec<Step>> {
        let mut upkeep = Upkeep::default();
        let mut turn = || {
            let mut done = Vec::new();
            for part in upkeep.begin_turn() {
                if upkeep.must_wait(part) {
                    continue;
                }
                upkeep.took(part, Duration::from_micros(micros));
                if let Part::Step(step) = part
                    && UPKEEP.contains(&step)
                {
                    done.push(step);
                }
            }
            done
        };
        (0..count).map(|_| turn()).collect()
    }

    #[test]
    fn a_turn_has_every_part_once() {
        let turn = Upkeep::default().begin_turn();
        for step in Step::ALL {
            let found = turn.iter().filter(|part| **part == Part::Step(step));
            assert_eq!(found.count(), 1, "{step:?}");
        }
        assert!(turn.contains(&Part::Settle) && turn.contains(&Part::Send));
    }

    #[test]
    fn quick_upkeep_is_all_done_in_each_turn() {
        assert_eq!(turns(100, 2), [UPKEEP.to_vec(), UPKEEP.to_vec()]);
    }

    #[test]
    fn long_upkeep_takes_turns_and_nothing_urgent_waits_for_more_than_one_step_of_it() {
        let done = turns(2_000, UPKEEP.len());
        assert!(done.iter().all(|steps| steps.len() == 1), "{done:?}");
        assert_eq!(done.concat(), UPKEEP);
        assert!(turns(600, 9).iter().all(|steps| steps.len() == 2));
    }
}
