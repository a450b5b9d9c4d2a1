//! What all actors share: the arena, the evidence, whose turn it is, and the end of the play.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::arena::Arena;
use super::evidence::Evidence;

/// The longest rest after an attack when actors take turns.
const LONGEST_REST: Duration = Duration::from_secs(2);
/// How often to check whether the machine has time for another attack.
const COURTESY: Duration = Duration::from_millis(20);

/// How the attacks follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// All at once.
    Crowd,
    /// One after another, with a pause after each.
    Turns,
}

/// What all actors share.
pub(super) struct Stage<'a> {
    pub(super) arena: &'a Arena,
    pub(super) evidence: &'a Evidence,
    pace: Pace,
    turn: Mutex<()>,
    is_over: AtomicBool,
    is_busy: AtomicBool,
}

impl<'a> Stage<'a> {
    pub(super) fn new(arena: &'a Arena, evidence: &'a Evidence, pace: Pace) -> Self {
        Self {
            arena,
            evidence,
            pace,
            turn: Mutex::new(()),
            is_over: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
        }
    }

    /// Runs an attack. When actors take turns, it runs alone, and a rest of twice its duration follows.
    pub(super) fn in_turn(&self, attack: impl FnOnce()) {
        let turn = match self.pace {
            Pace::Crowd => None,
            Pace::Turns => self.turn.lock().ok(),
        };
        if self.is_over() {
            return;
        }
        let began_at = Instant::now();
        attack();
        if turn.is_some() {
            thread::sleep((2 * began_at.elapsed()).min(LONGEST_REST));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Ends the play.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Notes whether the machine is busy.
    pub(super) fn note_busy(&self, is_busy: bool) {
        self.is_busy.store(is_busy, Ordering::Relaxed);
    }

    /// Waits while the machine is busy, at most `longest`.
    pub(super) fn wait_for_a_processor(&self, longest: Duration) {
        let began_at = Instant::now();
        while self.is_busy.load(Ordering::Relaxed)
            && !self.is_over()
            && began_at.elapsed() < longest
        {
            thread::sleep(COURTESY);
        }
    }
}
