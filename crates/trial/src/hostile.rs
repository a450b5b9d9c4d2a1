//! Attacks at random beside a healthy subscription: what one role, tenant, operator or receiver does costs only itself.
//!
//! [`play`] starts a server, measures a healthy subscription alone, and then beside everybody else, each on a thread of
//! its own: a role that may do nothing but insert into a watched table, tenants, an operator who leaves transactions
//! open, and receivers that are sick. The same seed plays the same attacks; the machine decides about their moments.
//!
//! An attack is a list of statements ([`Attack`]); whether they are refused is nobody's business here. What must hold
//! at the end stands in the [`Report`]: no process died, and nothing was lost.

mod arena;
mod attack;
mod healthy;
mod operator;
mod receivers;
mod tenant;
mod watcher;
mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use self::arena::{Arena, Role};
use self::attack::Span;
pub use self::attack::{Attack, Tries};
use self::healthy::Healthy;
use crate::error::Result;
use crate::statistics::at_rank;

/// The healthy subscription is measured alone for this part of the time.
const ALONE: u32 = 6;

/// What became of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Each attack: how often it was played, and how often the server refused a statement of it.
    pub attacks: BTreeMap<String, Tries>,
    /// Commits of the healthy table that were heard of, and those of them that its receiver never got.
    pub committed: usize,
    pub lost: Vec<i64>,
    /// Events of anybody that neither reached the witness, who gets all, nor became a dead letter.
    pub unaccounted: i64,
    /// Lines of the log that speak of the end of a process.
    pub deaths: Vec<String>,
    /// The worker that was started first runs at the end.
    pub is_same_worker: bool,
    /// When each commit was heard of, and the time to its receipt, in microseconds, the quickest first.
    pub alone: Vec<(i64, i64)>,
    pub beside: Vec<(i64, i64)>,
    /// The attacks that were under way more often while the slowest hundredth was than otherwise: how many times as
    /// often, the most suspicious first.
    pub suspects: Vec<(f64, String)>,
    /// What the worker said in the server's log, each line once.
    pub said: BTreeMap<String, usize>,
}

impl Report {
    /// How much longer the slowest hundredth took beside the attacks than alone.
    pub fn ratio(&self) -> f64 {
        self.p99_beside() as f64 / self.p99_alone().max(1) as f64
    }

    pub fn p99_alone(&self) -> i64 {
        at_rank(&self.alone, 99).1
    }

    pub fn p99_beside(&self) -> i64 {
        at_rank(&self.beside, 99).1
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, tries) in &self.attacks {
            writeln!(f, "{name:<40} {tries}")?;
        }
        for (line, times) in &self.said {
            writeln!(f, "{times:>6} times in the log: {line}")?;
        }
        for (times, name) in self.suspects.iter().take(12) {
            writeln!(f, "beside the slowest {times:.1} times as often: {name}")?;
        }
        write!(
            f,
            "{} committed, {} lost, {} unaccounted, {} deaths, p99 {} us alone and {} us beside ({:.2})",
            self.committed,
            self.lost.len(),
            self.unaccounted,
            self.deaths.len(),
            self.p99_alone(),
            self.p99_beside(),
            self.ratio(),
        )
    }
}

/// Plays for so long.
pub fn play(seed: u64, lasting: Duration) -> Result<Report> {
    let arena = Arena::open()?;
    let worker = arena.worker()?;
    let mut healthy = Healthy::start(&arena);
    let alone = healthy.measure(lasting / ALONE);
    let is_over = AtomicBool::new(false);
    let (beside, attacks, spans) = thread::scope(|scope| {
        let (arena, is_over) = (&arena, &is_over);
        let actors: [(Role, &'static [Attack]); 4] = [
            (Role::Writer, writer::ATTACKS),
            (Role::Tenant("ann"), tenant::ATTACKS),
            (Role::Tenant("bob"), tenant::ATTACKS),
            (Role::Operator, operator::ATTACKS),
        ];
        let playing = actors
            .into_iter()
            .enumerate()
            .map(|(number, (role, attacks))| {
                let seed = seed.wrapping_add(number as u64);
                scope.spawn(move || attack::play(arena, role, attacks, seed, is_over))
            });
        let playing: Vec<_> = playing.collect();
        let moods = scope.spawn(move || receivers::play(arena, seed.wrapping_add(99), is_over));
        let watching = scope.spawn(move || watcher::play(arena, is_over));
        let beside = healthy.measure(lasting);
        is_over.store(true, Ordering::Relaxed);
        let mut attacks = moods.join().expect("no panic");
        let mut spans = watching.join().expect("no panic");
        for actor in playing {
            let (played, its_spans) = actor.join().expect("no panic");
            for (name, tries) in played {
                *attacks.entry(name).or_default() += tries;
            }
            spans.extend(its_spans);
        }
        (beside, attacks, spans)
    });
    arena.heal()?;
    let lost = healthy.wait_for_all();
    Ok(Report {
        attacks,
        committed: healthy.committed(),
        lost,
        unaccounted: arena.unaccounted()?,
        deaths: arena.deaths(),
        said: arena.said(),
        is_same_worker: arena.worker().is_ok_and(|now| now == worker),
        suspects: suspects(&beside, &spans),
        alone,
        beside,
    })
}

/// Of the attacks, which were under way when the slowest hundredth waited.
fn suspects(latencies: &[(i64, i64)], spans: &[Span]) -> Vec<(f64, String)> {
    let slowest = &latencies[latencies.len() - latencies.len().div_ceil(100)..];
    let names: BTreeSet<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    let share = |name: &str, of: &[(i64, i64)]| {
        let is_beside = |(at, took): &&(i64, i64)| {
            let mut its = spans.iter().filter(|span| span.name == name);
            its.any(|span| span.began_at <= at + took && *at <= span.ended_at)
        };
        of.iter().filter(is_beside).count() as f64 / of.len().max(1) as f64
    };
    let mut suspects: Vec<(f64, String)> = names
        .into_iter()
        .map(|name| {
            let times = share(name, slowest) / share(name, latencies).max(1e-3);
            (times, name.to_owned())
        })
        .collect();
    suspects.sort_by(|one, other| other.0.total_cmp(&one.0));
    suspects
}
