//! An attack, and who plays them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::arena::{Arena, Role};
use crate::clock::now_micros;
use crate::workload::Dice;

/// Between two attacks of one actor, at most.
const LONGEST_PAUSE_MILLIS: u64 = 200;

/// Statements that somebody tries, in a session of theirs, one after the other whatever the server says of each.
#[derive(Debug)]
pub struct Attack {
    pub name: &'static str,
    pub(super) statements: fn(&Scene, &mut Dice) -> Vec<String>,
}

/// What attacks know of the place.
#[derive(Debug)]
pub struct Scene {
    /// The address of a sick receiver.
    pub(super) sick: String,
}

/// How often an attack was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    pub played: u64,
    /// Statements that the server refused.
    pub refused: u64,
    /// The longest that a statement took.
    pub longest: Duration,
}

/// When an attack was under way, in microseconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) began_at: i64,
    pub(super) ended_at: i64,
}

impl AddAssign for Tries {
    fn add_assign(&mut self, other: Self) {
        self.played += other.played;
        self.refused += other.refused;
        self.longest = self.longest.max(other.longest);
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            played,
            refused,
            longest,
        } = self;
        write!(
            f,
            "{played:>6} played, {refused:>6} statements refused, longest {} ms",
            longest.as_millis()
        )
    }
}

/// Plays these attacks in an order that the seed gives, until it is over.
pub(super) fn play(
    arena: &Arena,
    role: Role,
    attacks: &'static [Attack],
    seed: u64,
    is_over: &AtomicBool,
) -> (BTreeMap<String, Tries>, Vec<Span>) {
    let mut dice = Dice::new(seed);
    let mut played: BTreeMap<String, Tries> = BTreeMap::new();
    let mut spans = Vec::new();
    let mut session = None;
    while !is_over.load(Ordering::Relaxed) {
        let attack = &attacks[dice.below(attacks.len() as u64) as usize];
        let name = format!("{} {}", role.kind(), attack.name);
        let tries = played.entry(name.clone()).or_default();
        tries.played += 1;
        let attacked_at = now_micros();
        for statement in (attack.statements)(&arena.scene, &mut dice) {
            if session.is_none() {
                session = arena.session(role).ok();
            }
            let Some(client) = session.as_mut() else {
                continue;
            };
            let began_at = Instant::now();
            tries.refused += u64::from(client.batch_execute(&statement).is_err());
            tries.longest = tries.longest.max(began_at.elapsed());
            if client.is_closed() {
                session = None;
            }
        }
        // Whatever an attack left open.
        if let Some(client) = session.as_mut() {
            let _ = client.batch_execute("rollback; reset all; set statement_timeout = '5s'");
        }
        spans.push(Span {
            name,
            began_at: attacked_at,
            ended_at: now_micros(),
        });
        thread::sleep(Duration::from_millis(dice.below(LONGEST_PAUSE_MILLIS)));
    }
    (played, spans)
}
