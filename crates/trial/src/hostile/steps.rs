//! What the worker's main thread does, from the file in which it notes that (`src/life.rs`): which steps take long, and
//! which step is under way while a delivery waits.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::Duration;

use super::played::{Lasted, Span};
use super::stage::Stage;
use crate::clock::now_micros;

const EVERY: Duration = Duration::from_millis(1);
/// A longer step keeps others waiting.
const LONG_MICROS: i64 = 5_000;
/// The offset of the step's number in the file, in bytes.
const AT_STEP: u64 = 5 * 8;
/// Begins the names of these spans.
pub(super) const STEP: &str = "the worker is ";
/// The number of a step in [`STEPS`]. While it waits for work, the worker keeps nobody waiting.
const WAITING: u64 = 1;
const STEPS: [&str; 12] = [
    "starting",
    "waiting",
    "sending",
    "reading the log",
    "deleting notices of changes",
    "claiming what is due",
    "recording outcomes",
    "recording what was set aside",
    "noting answers",
    "burying",
    "cutting backlogs",
    "cleaning up",
];

/// Samples until the play is over. A step lasts from when it is first seen until it no longer is.
pub(super) fn play(stage: &Stage<'_>, worker: i32) -> (BTreeMap<&'static str, Lasted>, Vec<Span>) {
    let (mut lasted, mut spans) = (BTreeMap::<_, Lasted>::new(), Vec::new());
    let path = stage.arena.life().ok();
    let Some(file) = path.and_then(|path| File::open(path).ok()) else {
        return (lasted, spans);
    };
    let (mut step, mut since, mut before) = (WAITING, now_micros(), scheduled(worker));
    while !stage.is_over() {
        thread::sleep(EVERY);
        let mut word = [0; 8];
        if file.read_exact_at(&mut word, AT_STEP).is_err() {
            break;
        }
        let (seen, now) = (u64::from_ne_bytes(word), now_micros());
        if seen == step {
            continue;
        }
        let after = scheduled(worker);
        if step != WAITING && now - since > LONG_MICROS {
            let name = STEPS
                .get(step as usize)
                .copied()
                .unwrap_or("something else");
            let of = lasted.entry(name).or_default();
            of.long += 1;
            of.total_micros += now - since;
            of.longest_micros = of.longest_micros.max(now - since);
            let (running, queueing) = (after.0 - before.0, after.1 - before.1);
            of.running_micros += running;
            of.queueing_micros += queueing;
            spans.push(Span {
                name: format!("{STEP}{name} for long"),
                began_at: since,
                ended_at: now,
                processor: Some((running, queueing)),
            });
        }
        (step, since, before) = (seen, now, after);
    }
    (lasted, spans)
}

/// Returns how long the main thread ran on a processor and waited for one, in microseconds.
fn scheduled(worker: i32) -> (i64, i64) {
    let path = format!("/proc/{worker}/task/{worker}/schedstat");
    let stat = fs::read_to_string(path).unwrap_or_default();
    let mut nanos = stat
        .split_whitespace()
        .map(|number| number.parse().unwrap_or(0));
    let mut micros = || nanos.next().unwrap_or(0) / 1_000;
    (micros(), micros())
}
