//! An attack: statements, and what they may name.

use crate::workload::Dice;

/// Statements that an actor runs in its own session, one after another, whatever the server answers.
#[derive(Debug)]
pub struct Attack {
    pub name: &'static str,
    pub(super) statements: fn(&Scene, &mut Dice) -> Vec<String>,
}

/// What attacks know of the arena.
#[derive(Debug, Clone)]
pub struct Scene {
    /// The address of a sick receiver.
    pub(super) sick: String,
    /// The address of the receiver that searches its requests for stored secrets.
    pub(super) spy: String,
    /// The prefix of the actor's own subscriptions, and that of another tenant's.
    pub(super) own: &'static str,
    pub(super) others: &'static str,
}
