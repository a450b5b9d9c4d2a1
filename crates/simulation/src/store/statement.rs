//! A statement of the worker: what it costs, why it fails, and how its changes are written.

use herald_dispatch::failure::{Failure, Fault};

use crate::chance::dice;
use crate::database::Durability;
use crate::database::rows::Change;
use crate::deed::Statement;
use crate::world::World;

impl World {
    /// Runs a statement of the worker, which takes its time and may fail. Returns the time it took.
    pub(crate) fn statement(&mut self, statement: Statement) -> Result<i64, Failure> {
        self.efforts += 1;
        let mut dice = dice(self.seed, &[0x57a7, self.efforts]);
        let cost = self.troubles.cost(&mut dice, self.clock.elapsed);
        self.clock.spend(cost);
        if self.has_crashed() {
            return Err(no_server());
        }
        match self.troubles.failure(statement, self.clock.elapsed) {
            Some(failure) => {
                self.story.tell(&self.clock, || {
                    format!("  {statement:?} fails: {:?}", failure.fault)
                });
                Err(failure)
            }
            None => Ok(cost),
        }
    }

    /// Makes changes of the worker, whose commits are asynchronous.
    pub(crate) fn write(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            let elapsed = self.clock.elapsed;
            self.database
                .autocommit(Durability::Asynchronous, elapsed, changes);
        }
    }
}

/// Returns the failure of a statement on a server that has crashed.
pub(crate) fn no_server() -> Failure {
    Failure {
        fault: Fault::Other,
        words: "the server has crashed".into(),
        damage: None,
    }
}
