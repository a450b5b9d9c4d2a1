//! Random attacks beside a healthy subscription: what one role, tenant, operator or receiver does costs only itself.
//!
//! [`play`] starts a server and measures a healthy subscription alone, then beside all actors, each on its own thread:
//! a role that may only insert into a watched table, tenants, a role of the level admin, an operator who leaves
//! transactions open, and sick receivers. The same seed plays the same attacks; the machine decides their moments.
//!
//! In the first half the actors are a crowd, all at once, as fast as the server allows: no process dies, nothing is
//! lost. Such a crowd takes the processors from every program of the machine, so in the second half the actors take
//! turns, and the delay of the healthy subscription there is what others cost it.
//!
//! An attack is a list of statements ([`Attack`]). Some must be refused, and some must not; all other answers are
//! searched for what belongs to others (`evidence.rs`). The [`Report`] shows what must hold at the end: no process
//! died, nothing was lost, and nobody got what is not theirs.

mod actor;
mod admin;
mod arena;
mod attack;
mod evidence;
mod healthy;
mod load;
mod operator;
mod owner;
mod played;
mod receivers;
mod relay;
mod role;
mod stage;
mod statement;
mod steps;
mod suspects;
mod tenant;
mod values;
mod watcher;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use self::arena::Arena;
pub use self::attack::Attack;
use self::evidence::Evidence;
use self::healthy::{Healthy, Measured};
use self::load::Load;
use self::played::Played;
pub use self::played::{Lasted, Tries};
use self::role::Role;
use self::stage::{Pace, Stage};
pub use self::suspects::Stall;
use crate::error::Result;
use crate::statistics::at_rank;

/// The healthy subscription is measured alone for the time divided by this.
const ALONE: u32 = 6;
/// No statement takes longer, because all are cancelled after five seconds: a longer one ignores cancellation.
const LONGEST_STATEMENT: Duration = Duration::from_secs(20);

/// The results of a play.
#[derive(Debug, Default)]
pub struct Report {
    /// Each attack: how often it was played, and how often the server refused one of its statements.
    pub attacks: BTreeMap<String, Tries>,
    /// Acknowledged commits of the healthy table, and commits that its receiver never got.
    pub committed: usize,
    pub lost: Vec<i64>,
    /// Events of any actor that neither reached the witness, who gets all, nor became a dead letter.
    pub unaccounted: i64,
    /// The steps of the worker's turn that took long beside attacks in turn.
    pub steps: BTreeMap<&'static str, Lasted>,
    /// Log lines about the end of a process.
    pub deaths: Vec<String>,
    /// Leaks to actors, statements that wrongly failed or succeeded, and ended sessions.
    pub findings: Vec<String>,
    /// Attacks whose statements were all refused, although none must be: they test nothing.
    pub toothless: Vec<String>,
    /// Whether the first worker still runs at the end.
    pub is_same_worker: bool,
    /// Delays of the healthy subscription and the relay: alone, in a crowd, and beside attacks in turn.
    pub alone: Served,
    pub crowd: Served,
    pub turns: Served,
    /// Attacks that ran more often beside the slowest hundredth than otherwise: how many times as often, the most
    /// suspicious first.
    pub suspects: Vec<(f64, String)>,
    /// When the slowest hundredth waited, the longest first, and what was under way when each stall began.
    pub stalls: Vec<Stall>,
    /// The same in the crowd.
    pub stalls_in_crowd: Vec<Stall>,
    /// The worker's lines in the server's log, each with its count.
    pub said: BTreeMap<String, usize>,
}

/// Delays of the healthy subscription in one phase, and of others unrelated to pg_herald: the slowest hundredth of
/// each, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Served {
    /// From each commit to its receipt.
    pub healthy: i64,
    /// The commit of an unwatched row.
    pub plain: i64,
    /// From that commit to the receipt of a sender that nobody attacks.
    pub relay: i64,
    /// From each commit to its receipt, minus what that sender took beyond its median at that moment.
    pub apart: i64,
    /// In percent of all processors' time: what was used, and what the worker used.
    pub busy_percent: u64,
    pub worker_percent: u64,
}

impl Served {
    fn new(measured: &Measured, load: Load) -> Self {
        Self {
            healthy: at_rank(&measured.latencies, 99).1,
            plain: at_rank(&measured.plain, 99),
            relay: at_rank(&measured.relay, 99),
            apart: at_rank(&measured.apart, 99),
            busy_percent: load.busy_percent(),
            worker_percent: load.worker_percent(),
        }
    }
}

impl fmt::Display for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p99 {} us, {} us apart from a relay by NOTIFY, whose own is {} us; a commit that nobody watches {} us; \
             processors {} % busy, {} % by the worker",
            self.healthy,
            self.apart,
            self.relay,
            self.plain,
            self.busy_percent,
            self.worker_percent,
        )
    }
}

impl Report {
    /// Returns the ratio of the slowest hundredth's delay beside attacks in turn to its delay alone.
    pub fn ratio(&self) -> f64 {
        self.turns.healthy as f64 / self.alone.healthy.max(1) as f64
    }

    /// Returns the same ratio without the relay's extra time at the same moments, which pg_herald does not cause.
    pub fn corrected_ratio(&self) -> f64 {
        self.turns.apart as f64 / self.alone.apart.max(1) as f64
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
        for (step, lasted) in &self.steps {
            writeln!(f, "the worker was {step:<30} {lasted}")?;
        }
        for finding in &self.findings {
            writeln!(f, "finding: {finding}")?;
        }
        for name in &self.toothless {
            writeln!(f, "always refused: {name}")?;
        }
        for (times, name) in self.suspects.iter().take(12) {
            writeln!(f, "beside the slowest {times:.1} times as often: {name}")?;
        }
        for stall in self.stalls_in_crowd.iter().take(5) {
            writeln!(f, "in the crowd, {stall}")?;
        }
        for stall in self.stalls.iter().take(5) {
            writeln!(f, "{stall}")?;
        }
        for (when, served) in [
            ("alone", self.alone),
            ("in a crowd", self.crowd),
            ("beside attacks in turn", self.turns),
        ] {
            writeln!(f, "{when}: {served}")?;
        }
        write!(
            f,
            "{} committed, {} lost, {} unaccounted, {} deaths, beside attacks in turn {:.2} times as late, corrected {:.2}",
            self.committed,
            self.lost.len(),
            self.unaccounted,
            self.deaths.len(),
            self.ratio(),
            self.corrected_ratio(),
        )
    }
}

/// The actors and their attacks. Actors of the same kind play in parallel.
const ACTORS: [(Role, &[Attack]); 11] = [
    (Role::Writer, writer::ATTACKS),
    (Role::Tenant("ann"), tenant::ATTACKS),
    (Role::Tenant("bob"), tenant::ATTACKS),
    (Role::Tenant("eve"), tenant::WITH_NOTHING),
    (Role::Tenant("ann"), tenant::PINGS),
    (Role::Tenant("ann"), tenant::PINGS),
    (Role::Tenant("bob"), tenant::PINGS),
    (Role::Tenant("bob"), tenant::PINGS),
    (Role::Admin, admin::ATTACKS),
    (Role::Admin, owner::ATTACKS),
    (Role::Operator, operator::ATTACKS),
];

/// Plays for `lasting`.
pub fn play(seed: u64, lasting: Duration) -> Result<Report> {
    let evidence = Arc::new(Evidence::default());
    let arena = Arena::open(&evidence)?;
    let worker = arena.worker()?;
    let mut healthy = Healthy::start(&arena)?;
    let stage = Stage::new(&arena, &evidence, Pace::Crowd);
    let (first, idle) = measure_alone(worker, &mut healthy, lasting / ALONE);
    let (crowd, crowd_load, in_crowd) = attack(&stage, worker, &mut healthy, seed, lasting / 2);
    let stage = Stage::new(&arena, &evidence, Pace::Turns);
    let seed = seed.wrapping_add(1_000);
    let (turns, turns_load, mut played) = attack(&stage, worker, &mut healthy, seed, lasting / 2);
    let stalls_in_crowd = suspects::stalls(&crowd.latencies, &in_crowd.spans);
    for (name, tries) in in_crowd.tries {
        *played.tries.entry(name).or_default() += tries;
    }
    arena.heal()?;
    // Measure again, because other programs may have used the machine the first time.
    let (again, _) = measure_alone(worker, &mut healthy, lasting / ALONE);
    let alone = first.and(again);
    let lost = healthy.wait_for_all();
    evidence.look_at_catalog(&mut arena.superuser()?)?;
    evidence.look_at_log(&arena.log());
    let mut findings = evidence.found();
    let endless = played
        .tries
        .iter()
        .filter(|(_, tries)| tries.longest > LONGEST_STATEMENT);
    findings
        .extend(endless.map(|(name, tries)| {
            format!("{name}: a statement took {} s", tries.longest.as_secs())
        }));
    let toothless = played
        .tries
        .iter()
        .filter(|(_, tries)| tries.is_toothless());
    Ok(Report {
        committed: healthy.committed(),
        lost,
        unaccounted: arena.unaccounted()?,
        deaths: arena.deaths(),
        said: arena.said(),
        findings,
        toothless: toothless.map(|(name, _)| name.clone()).collect(),
        is_same_worker: arena.worker().is_ok_and(|now| now == worker),
        suspects: suspects::suspects(&turns.latencies, &played.spans),
        stalls: suspects::stalls(&turns.latencies, &played.spans),
        stalls_in_crowd,
        attacks: played.tries,
        steps: played.steps,
        alone: Served::new(&alone, idle),
        crowd: Served::new(&crowd, crowd_load),
        turns: Served::new(&turns, turns_load),
    })
}

/// Measures while no actor plays.
fn measure_alone(worker: i32, healthy: &mut Healthy<'_>, lasting: Duration) -> (Measured, Load) {
    let first = Load::now(worker);
    let measured = healthy.measure(lasting);
    (measured, Load::now(worker).since(first))
}

/// Measures the healthy subscription while all actors play.
fn attack(
    stage: &Stage<'_>,
    worker: i32,
    healthy: &mut Healthy<'_>,
    seed: u64,
    lasting: Duration,
) -> (Measured, Load, Played) {
    thread::scope(|scope| {
        let playing: Vec<_> = (0..)
            .zip(ACTORS)
            .map(|(number, (role, attacks))| {
                let seed = seed.wrapping_add(number);
                scope.spawn(move || actor::play(stage, role, attacks, seed))
            })
            .collect();
        let moods = scope.spawn(move || receivers::play(stage, seed.wrapping_add(99)));
        let watching = scope.spawn(move || watcher::play(stage));
        let load = scope.spawn(move || load::play(stage, worker));
        let stepping = scope.spawn(move || steps::play(stage, worker));
        let beside = healthy.measure(lasting);
        stage.end();
        let (steps, spans) = stepping.join().expect("no panic");
        let mut all = Played {
            tries: moods.join().expect("no panic"),
            spans,
            steps,
        };
        all.spans.extend(watching.join().expect("no panic"));
        for actor in playing {
            let played = actor.join().expect("no panic");
            for (name, tries) in played.tries {
                *all.tries.entry(name).or_default() += tries;
            }
            all.spans.extend(played.spans);
        }
        (beside, load.join().expect("no panic"), all)
    })
}
