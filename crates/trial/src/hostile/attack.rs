//! An attack, and the actor that plays it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::AddAssign;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;

use super::Stage;
use super::arena::Role;
use super::statement::Expected;
use super::steps::Lasted;
use crate::clock::now_micros;
use crate::workload::Dice;

/// The longest pause between two attacks of an actor, while the machine has time for them.
const LONGEST_PAUSE_MILLIS: u64 = 200;
/// How long an actor waits for a busy machine. An attacker who takes all processors slows every program down, which
/// says nothing about the worker.
const LONGEST_COURTESY: Duration = Duration::from_millis(500);

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

/// How often an attack was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tries {
    pub played: u64,
    pub statements: u64,
    /// Statements that the server refused, and how many of those it must refuse.
    pub refused: u64,
    pub expected: u64,
    /// The longest time that a statement took.
    pub longest: Duration,
}

/// When an attack was under way, in microseconds since 1970.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) name: String,
    pub(super) began_at: i64,
    pub(super) ended_at: i64,
    /// How long the worker's main thread meanwhile ran on a processor and waited for one, if known.
    pub(super) processor: Option<(i64, i64)>,
}

impl Tries {
    /// Returns true if this attack never got anywhere, although it may: then it tests nothing.
    pub(super) fn is_toothless(&self) -> bool {
        self.played >= 10 && self.expected < self.refused && self.refused == self.statements
    }
}

impl AddAssign for Tries {
    fn add_assign(&mut self, other: Self) {
        self.played += other.played;
        self.statements += other.statements;
        self.expected += other.expected;
        self.refused += other.refused;
        self.longest = self.longest.max(other.longest);
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} played, {:>6} of {:>6} statements refused, longest {} ms",
            self.played,
            self.refused,
            self.statements,
            self.longest.as_millis()
        )
    }
}

/// What one actor or all of them did, and what the worker did meanwhile.
#[derive(Debug, Default)]
pub(super) struct Played {
    pub(super) tries: BTreeMap<String, Tries>,
    pub(super) spans: Vec<Span>,
    pub(super) steps: BTreeMap<&'static str, Lasted>,
}

/// Plays these attacks, in an order given by the seed, until the play is over.
pub(super) fn play(stage: &Stage<'_>, role: Role, attacks: &'static [Attack], seed: u64) -> Played {
    let mut dice = Dice::new(seed);
    let mut played = Played::default();
    let mut session = None;
    let scene = stage.arena.scene(role);
    while !stage.is_over() {
        let attack = &attacks[dice.below(attacks.len() as u64) as usize];
        let name = format!("{} {}", role.kind(), attack.name);
        let tries = played.tries.entry(name.clone()).or_default();
        let statements = (attack.statements)(&scene, &mut dice);
        stage.in_turn(|| {
            tries.played += 1;
            let began_at = now_micros();
            for statement in statements {
                if session.is_none() {
                    session = stage.arena.session(role).ok();
                }
                if let Some(client) = session.as_mut() {
                    try_statement(stage, role, &name, client, &statement, tries);
                    session = session.take().filter(|client| !client.is_closed());
                }
            }
            // Close whatever an attack left open.
            if let Some(client) = session.as_mut() {
                let _ = client.batch_execute("rollback; reset all; set statement_timeout = '5s'");
            }
            played.spans.push(Span {
                name: name.clone(),
                began_at,
                ended_at: now_micros(),
                processor: None,
            });
        });
        thread::sleep(Duration::from_millis(dice.below(LONGEST_PAUSE_MILLIS)));
        stage.wait_for_a_processor(LONGEST_COURTESY);
    }
    played
}

fn try_statement(
    stage: &Stage<'_>,
    role: Role,
    name: &str,
    client: &mut Client,
    statement: &str,
    tries: &mut Tries,
) {
    let began_at = Instant::now();
    let answer = client.simple_query(statement);
    tries.longest = tries.longest.max(began_at.elapsed());
    tries.statements += 1;
    let expected = Expected::of(statement);
    match &answer {
        Ok(rows) => stage.evidence.look_at_rows(role, name, rows),
        Err(error) => {
            tries.refused += 1;
            stage.evidence.look_at_error(role, name, error);
        }
    }
    tries.expected += u64::from(expected == Expected::Refusal && answer.is_err());
    if let Some(fault) = expected.fault(answer.as_ref().err()) {
        let begin: String = statement.chars().take(200).collect();
        stage.evidence.add(format!("{name}: {fault}: {begin}"));
    }
}
