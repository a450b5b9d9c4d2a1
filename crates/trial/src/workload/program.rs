//! Random transactions from a seed: what a client does between `begin` and the end.

/// One change within a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Plain,
    /// Within a savepoint that is released.
    Released,
    /// Within a savepoint that is rolled back: the change never happened.
    RolledBack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    Commit,
    Rollback,
    CommitPrepared,
    RollbackPrepared,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    pub(super) ending: Ending,
}

/// SplitMix64: enough for a workload, and the same on every machine.
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Program {
    pub(super) fn roll(dice: &mut Dice) -> Self {
        let steps = (0..=dice.below(4))
            .map(|_| match dice.below(10) {
                0..6 => Step::Plain,
                6..8 => Step::Released,
                _ => Step::RolledBack,
            })
            .collect();
        let ending = match dice.below(100) {
            0..70 => Ending::Commit,
            70..90 => Ending::Rollback,
            90..96 => Ending::CommitPrepared,
            _ => Ending::RollbackPrepared,
        };
        Self { steps, ending }
    }
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_rolls_the_same_programs() {
        let programs = |seed| {
            let mut dice = Dice::new(seed);
            (0..100)
                .map(|_| Program::roll(&mut dice))
                .collect::<Vec<_>>()
        };
        assert_eq!(programs(7), programs(7));
        assert_ne!(programs(7), programs(8));
    }

    #[test]
    fn every_step_and_every_ending_turns_up() {
        let mut dice = Dice::new(1);
        let programs: Vec<_> = (0..500).map(|_| Program::roll(&mut dice)).collect();
        for ending in [
            Ending::Commit,
            Ending::Rollback,
            Ending::CommitPrepared,
            Ending::RollbackPrepared,
        ] {
            assert!(
                programs.iter().any(|program| program.ending == ending),
                "{ending:?}"
            );
        }
        for step in [Step::Plain, Step::Released, Step::RolledBack] {
            assert!(
                programs.iter().any(|program| program.steps.contains(&step)),
                "{step:?}"
            );
        }
    }
}
