//! Random transactions from a seed: what a client does between `begin` and the end.

/// The deepest nesting of blocks and savepoints.
const DEEPEST: u64 = 3;

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Change,
    /// Released, or rolled back to.
    Savepoint(Vec<Step>, Fate),
    /// A PL/pgSQL block that catches exceptions. If an exception undoes it, its handler makes a change.
    Block(Vec<Step>, Fate),
}

/// What becomes of the changes within a savepoint or a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Kept,
    Undone,
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
pub struct Dice(u64);

impl Program {
    pub(super) fn roll(dice: &mut Dice) -> Self {
        let steps = (0..=dice.below(3)).map(|_| Step::roll(dice, 0)).collect();
        let ending = match dice.below(100) {
            0..70 => Ending::Commit,
            70..90 => Ending::Rollback,
            90..96 => Ending::CommitPrepared,
            _ => Ending::RollbackPrepared,
        };
        Self { steps, ending }
    }

    /// Returns the statements between `begin` and the ending. `change` returns the statements of another change.
    pub(super) fn statements(&self, change: &mut impl FnMut() -> [String; 2]) -> Vec<String> {
        let mut statements = Vec::new();
        append_statements(&self.steps, 0, change, &mut statements);
        statements
    }
}

impl Step {
    fn roll(dice: &mut Dice, depth: u64) -> Self {
        let kind = dice.below(10);
        if kind < 6 || depth == DEEPEST {
            return Self::Change;
        }
        let fate = match dice.below(5) {
            0..3 => Fate::Kept,
            _ => Fate::Undone,
        };
        if kind < 8 {
            let steps = (0..=dice.below(2)).map(|_| Self::roll(dice, depth + 1));
            Self::Savepoint(steps.collect(), fate)
        } else {
            let steps = (0..=dice.below(2)).map(|_| Self::roll_in_block(dice, depth + 1));
            Self::Block(steps.collect(), fate)
        }
    }

    /// Rolls a step without a savepoint, because PL/pgSQL only has blocks.
    fn roll_in_block(dice: &mut Dice, depth: u64) -> Self {
        match Self::roll(dice, depth) {
            Self::Savepoint(..) => Self::Change,
            step => step,
        }
    }
}

fn append_statements(
    steps: &[Step],
    depth: usize,
    change: &mut impl FnMut() -> [String; 2],
    statements: &mut Vec<String>,
) {
    for step in steps {
        match step {
            Step::Change => statements.extend(change()),
            Step::Savepoint(steps, fate) => {
                statements.push(format!("savepoint step_{depth}"));
                append_statements(steps, depth + 1, change, statements);
                let end = match fate {
                    Fate::Kept => "release",
                    Fate::Undone => "rollback to",
                };
                statements.push(format!("{end} savepoint step_{depth}"));
            }
            Step::Block(steps, fate) => {
                let block = block(steps, *fate, change);
                statements.push(format!("do $program$ {block} $program$"));
            }
        }
    }
}

fn block(steps: &[Step], fate: Fate, change: &mut impl FnMut() -> [String; 2]) -> String {
    let mut body = String::new();
    for step in steps {
        match step {
            Step::Block(steps, fate) => body += &block(steps, *fate, change),
            _ => body += &execute(&change()),
        }
    }
    let (end, handler) = match fate {
        Fate::Kept => ("", "null;".to_owned()),
        Fate::Undone => ("raise 'undone';", execute(&change())),
    };
    format!("begin {body} {end} exception when raise_exception then {handler} end;")
}

/// Runs each statement with `execute`, which also accepts a `select` and discards its result.
fn execute(statements: &[String]) -> String {
    let each = statements
        .iter()
        .map(|statement| format!("execute $change${statement}$change$;"));
    each.collect()
}

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number from 0 on and below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
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
        let text = format!("{programs:?}");
        for step in [
            "Savepoint([Change], Kept)",
            "Savepoint([Change], Undone)",
            "Savepoint([Savepoint([Savepoint([Change]",
            "Savepoint([Block([Change]",
            "Block([Change], Kept)",
            "Block([Change], Undone)",
            "Block([Block([Change]",
        ] {
            assert!(text.contains(step), "{step}");
        }
    }

    #[test]
    fn a_program_is_written_as_statements() {
        let savepoint = Step::Savepoint(vec![Step::Change], Fate::Undone);
        let program = Program {
            steps: vec![
                Step::Savepoint(vec![savepoint], Fate::Kept),
                Step::Block(vec![Step::Change], Fate::Undone),
            ],
            ending: Ending::Commit,
        };
        let mut number = 0;
        let statements = program.statements(&mut || {
            number += 1;
            [format!("change {number}"), format!("record {number}")]
        });
        assert_eq!(
            statements,
            [
                "savepoint step_0",
                "savepoint step_1",
                "change 1",
                "record 1",
                "rollback to savepoint step_1",
                "release savepoint step_0",
                "do $program$ begin execute $change$change 2$change$;execute $change$record 2$change$; raise 'undone'; \
                 exception when raise_exception then execute $change$change 3$change$;execute $change$record 3$change$; \
                 end; $program$",
            ]
        );
    }
}
