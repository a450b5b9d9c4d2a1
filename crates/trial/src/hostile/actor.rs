//! An actor, which plays attacks.

use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;

use super::attack::Attack;
use super::played::{Played, Span, Tries};
use super::role::Role;
use super::stage::Stage;
use super::statement::Expected;
use crate::clock::now_micros;
use crate::workload::Dice;

/// The longest pause between two attacks of an actor, while the machine has time for them.
const LONGEST_PAUSE_MILLIS: u64 = 200;
/// How long an actor waits for a busy machine. An attacker who takes all processors slows every program down, which
/// says nothing about the worker.
const LONGEST_COURTESY: Duration = Duration::from_millis(500);

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
