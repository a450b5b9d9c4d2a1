//! Receivers with changing moods: they hang, refuse, say good-bye, answer slowly, with nonsense or not at all.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use super::arena::step_back;
use super::played::Tries;
use super::stage::Stage;
use crate::receiver::Mode;
use crate::workload::Dice;

/// A receiver keeps a mood for half of this, on average.
const LONGEST_MOOD_MILLIS: u64 = 2_000;

type Mood = (&'static str, fn() -> Mode);

const MOODS: &[Mood] = &[
    ("ok", Mode::ok),
    ("410", || Mode::status(410)),
    ("429", || Mode::retry_after(429, "1")),
    ("429 for a day", || Mode::retry_after(429, "86400")),
    ("500", || Mode::status(500)),
    ("503", || Mode::retry_after(503, "never, or 17")),
    ("redirect", || Mode::redirect("http://127.0.0.1:5432/")),
    ("slow", || Mode::delayed(Duration::from_millis(300))),
    ("flaky", || Mode::flaky_together(1, 3)),
    ("hang", Mode::hang_before_answer),
    ("hang on accept", Mode::hang_on_accept),
    ("hang after headers", Mode::hang_after_headers),
    ("close early", Mode::close_early),
    ("lose response", Mode::lose_response),
    ("reset", Mode::reset),
    ("garbage", Mode::garbage),
    ("nul bytes", Mode::nul_bytes),
    ("gzip bomb", Mode::gzip_bomb),
    ("endless headers", Mode::endless_headers),
    ("informational flood", Mode::informational_flood),
    ("trickle", || Mode::Trickle(Duration::from_millis(50))),
];

/// Changes moods, in an order given by the seed, until the play is over.
pub(super) fn play(stage: &Stage<'_>, seed: u64) -> BTreeMap<String, Tries> {
    step_back();
    let sick = &stage.arena.sick;
    let mut dice = Dice::new(seed);
    let mut played: BTreeMap<String, Tries> = BTreeMap::new();
    while !stage.is_over() {
        let (name, mode) = MOODS[dice.below(MOODS.len() as u64) as usize];
        let receiver = &sick[dice.below(sick.len() as u64) as usize];
        receiver.set_mode(mode());
        if dice.below(8) == 0 {
            receiver.down();
        } else {
            // A port that cannot be reopened is as good as closed.
            let _ = receiver.up();
        }
        played.entry(format!("receiver {name}")).or_default().played += 1;
        let pause = dice.below(LONGEST_MOOD_MILLIS / sick.len() as u64);
        thread::sleep(Duration::from_millis(pause));
    }
    played
}
