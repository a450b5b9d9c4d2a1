//! The life of a worker, on file: what the worker is doing, so that its successor knows what it died of.
//!
//! Each database has one file, `pg_stat_tmp/pg_herald_<oid>`, which its worker maps: a crash resets shared memory. Base
//! backups leave this directory out. A note is a single store, and a request costs a few. [`herald_dispatch::deaths`]
//! decides what follows from a death. Without the file (no disk space, no directory) nothing is noted.

use crate::pg::{mapped, quit};
use herald_dispatch::deaths::{self, Legacy, MAX_POISON, MAX_SUSPECTS, Place};
use herald_dispatch::steps::Step;
use herald_dispatch::threads::Threads;
use pgrx::pg_sys;
use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};

const DIRECTORY: &str = "pg_stat_tmp";
/// A file with another version is replaced.
const VERSION: u64 = 2;
/// The largest number of send threads: twice the largest `herald.sender_threads`.
const MAX_THREADS: usize = 2 * 1024;

// The positions of the file's words.
const AT_VERSION: usize = 0;
/// 0: left in order; 1: alive, or died on its own; otherwise the time at which it was told to quit.
const AT_STATE: usize = 1;
const AT_STARTED: usize = 2;
const AT_SEEN: usize = 3;
const AT_DEATHS: usize = 4;
const AT_STEP: usize = 5;
const AT_SUSPECTS: usize = 6;
const AT_POISON: usize = 7;
/// The death before this life: the time, the step, the number of deliveries under way, and one of them.
const AT_DIED: usize = 8;
const AT_DIED_STEP: usize = 9;
const AT_DIED_DELIVERIES: usize = 10;
const AT_DIED_PLACE: usize = 11;
const NOTES: usize = 16;
/// Whether the thread is busy, and the place.
const NOTE: usize = 1 + PLACE;
/// The main thread's note follows those of the send threads.
const MAIN: usize = MAX_THREADS;
const SUSPECTS: usize = NOTES + (MAX_THREADS + 1) * NOTE;
const PLACE: usize = 3;
const POISON: usize = SUSPECTS + MAX_SUSPECTS * PLACE;
const WORDS: usize = POISON + MAX_POISON * PLACE;

const ALIVE: u64 = 1;

/// What the main thread is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    Starting,
    Waiting,
    Sending,
    Step(Step),
}

impl Doing {
    fn number(self) -> u64 {
        match self {
            Self::Starting => 0,
            Self::Waiting => 1,
            Self::Sending => 2,
            Self::Step(step) => 3 + step as u64,
        }
    }

    fn of(number: u64) -> Self {
        match number {
            1 => Self::Waiting,
            2 => Self::Sending,
            _ => {
                let place = number
                    .checked_sub(3)
                    .and_then(|at| usize::try_from(at).ok());
                let step = place.and_then(|place| Step::ALL.get(place));
                step.map_or(Self::Starting, |step| Self::Step(*step))
            }
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Starting => "start",
            Self::Waiting => "wait for events",
            Self::Sending => "send",
            Self::Step(step) => step.words(),
        }
    }
}

/// The file of this process.
static OWN: OnceLock<&'static [AtomicU64]> = OnceLock::new();

/// Notes that the main thread is doing this from here on, and works on no event.
pub fn at(doing: Doing) {
    if let Some(words) = OWN.get() {
        words[AT_STEP].store(doing.number(), Relaxed);
    }
    ended(MAIN);
}

/// Notes that the main thread works on this event or delivery, until the next one or the next step.
pub fn at_event(place: Place) {
    begun(MAIN, place);
}

/// Notes that the worker is still alive.
pub fn seen(now_micros: i64) {
    if let Some(words) = OWN.get() {
        words[AT_SEEN].store(now_micros as u64, Relaxed);
    }
}

/// Returns how often a worker died of this again. Callable in any process; returns 0 outside the worker.
pub fn convictions(place: Place) -> usize {
    let Some(words) = OWN.get() else {
        return 0;
    };
    let count = usize::try_from(words[AT_POISON].load(Relaxed)).unwrap_or(0);
    (0..count.min(MAX_POISON))
        .map(|number| load_place(&words[POISON + number * PLACE..]))
        .filter(|convicted| [place, place.event()].contains(convicted))
        .count()
}

/// Notes that a send thread begins this delivery. Callable from any thread.
pub fn begun(thread: usize, place: Place) {
    // Work without an event of the log cannot be a suspect: nobody could bury it.
    if let Some(note) = note_of(thread).filter(|_| place.seq > 0) {
        write_place(&note[1..], place);
        note[0].store(1, Release);
    }
}

/// Notes that a send thread has finished its delivery. Callable from any thread.
pub fn ended(thread: usize) {
    if let Some(note) = note_of(thread) {
        note[0].store(0, Release);
    }
}

fn note_of(thread: usize) -> Option<&'static [AtomicU64]> {
    let words = OWN.get().filter(|_| thread <= MAIN)?;
    Some(&words[NOTES + thread * NOTE..][..NOTE])
}

/// Begins the life of this process, the worker of `database`, and returns its predecessor's legacy.
pub fn begin(database: pg_sys::Oid, now: i64) -> io::Result<Legacy> {
    debug_assert!(Threads::pool_size(1024) <= MAX_THREADS);
    let before = read(database);
    let words = mapped::words(&file_of(database), WORDS)?;
    let legacy = before
        .as_ref()
        .map(|before| deaths::legacy(&before.life, now))
        .unwrap_or_default();
    if let Some(before) = before.filter(|before| before.life.is_own_death) {
        words[AT_DIED].store(before.life.seen_at as u64, Relaxed);
        words[AT_DIED_STEP].store(before.doing.number(), Relaxed);
        words[AT_DIED_DELIVERIES].store(before.life.at.len() as u64, Relaxed);
        let named = culprit_of(&before.life, &legacy);
        write_place(&words[AT_DIED_PLACE..], named.unwrap_or(NOWHERE));
    }
    words[AT_VERSION].store(VERSION, Relaxed);
    words[AT_DEATHS].store(u64::from(legacy.deaths), Relaxed);
    words[AT_STEP].store(Doing::Starting.number(), Relaxed);
    for thread in 0..=MAIN {
        words[NOTES + thread * NOTE].store(0, Relaxed);
    }
    write_places(words, AT_SUSPECTS, SUSPECTS, &legacy.suspects);
    write_places(words, AT_POISON, POISON, &legacy.poison);
    words[AT_STARTED].store(now as u64, Relaxed);
    words[AT_SEEN].store(now as u64, Relaxed);
    words[AT_STATE].store(ALIVE, Release);
    quit::note_quit_signal(&words[AT_STATE]);
    quit::clear_on_exit(&words[AT_STATE]);
    let _ = OWN.set(words);
    Ok(legacy)
}

/// Notes which places remain under suspicion, and which are to be buried.
pub fn keep(suspects: &[Place], poison: &[Place]) {
    if let Some(words) = OWN.get() {
        write_places(words, AT_SUSPECTS, SUSPECTS, suspects);
        write_places(words, AT_POISON, POISON, poison);
    }
}

/// Notes from here on when the launcher is told to quit, which tells a worker's own death from others.
pub fn watch_launcher() {
    match mapped::words(&launcher_file(), 1) {
        Ok(words) => quit::note_quit_signal(&words[0]),
        Err(error) => {
            pgrx::log!("pg_herald: cannot note when the launcher is told to quit: {error}");
        }
    }
}

/// Removes the file of a database that is gone, or whose extension is gone.
pub fn forget(database: pg_sys::Oid) {
    let _ = std::fs::remove_file(file_of(database));
}

/// The last death of a database's worker.
#[derive(Debug, Clone)]
pub struct Death {
    /// The number of deaths in a row.
    pub deaths: u32,
    pub died_at: i64,
    /// The earliest start of the next worker, unless it has already started.
    pub starts_at: Option<i64>,
    /// The worker's last step.
    pub step: &'static str,
    /// The number of deliveries under way.
    pub deliveries: usize,
    /// One of these deliveries: the culprit, if known.
    pub place: Option<Place>,
}

/// Returns the last death of a worker of `database`, unless it was long ago.
pub fn last_death(database: pg_sys::Oid, now: i64) -> Option<Death> {
    let on_file = read(database)?;
    let legacy = deaths::legacy(&on_file.life, now);
    if on_file.life.is_own_death {
        let place = culprit_of(&on_file.life, &legacy);
        return Some(Death {
            deaths: legacy.deaths,
            died_at: on_file.life.seen_at,
            starts_at: Some(legacy.starts_at),
            step: on_file.doing.words(),
            deliveries: on_file.life.at.len(),
            place,
        });
    }
    (legacy.deaths > 0).then_some(Death {
        deaths: legacy.deaths,
        starts_at: None,
        ..on_file.before
    })
}

/// Returns the delivery to name: the convicted one, or one that was under way.
fn culprit_of(life: &deaths::Life, legacy: &Legacy) -> Option<Place> {
    let convicted = legacy.poison.get(life.poison.len()..);
    let convicted = convicted.and_then(|convicted| convicted.last().copied());
    convicted.or(life.main).or(life.at.first().copied())
}

const NOWHERE: Place = Place {
    slot: 0,
    seq: 0,
    subscription: 0,
};

/// The content of a file.
struct OnFile {
    life: deaths::Life,
    /// What the worker was doing.
    doing: Doing,
    before: Death,
}

fn read(database: pg_sys::Oid) -> Option<OnFile> {
    let words = read_words(file_of(database))?;
    if words.len() != WORDS || words[AT_VERSION] != VERSION {
        return None;
    }
    let launcher_told_at = read_words(launcher_file()).and_then(|words| words.first().copied());
    let started_at = words[AT_STARTED] as i64;
    let noted = |thread: usize| {
        let note = &words[NOTES + thread * NOTE..];
        let place = (note[0] != 0).then(|| place_of(&note[1..]));
        // Test requests and handshakes have no place in the log.
        place.filter(|place| place.seq != 0)
    };
    let life = deaths::Life {
        is_own_death: deaths::is_own(
            words[AT_STATE] == ALIVE,
            started_at,
            launcher_told_at.unwrap_or(0) as i64,
        ),
        started_at,
        seen_at: words[AT_SEEN] as i64,
        deaths: u32::try_from(words[AT_DEATHS]).unwrap_or(u32::MAX),
        main: noted(MAIN),
        at: (0..MAX_THREADS).filter_map(noted).collect(),
        suspects: places_of(&words, AT_SUSPECTS, SUSPECTS, MAX_SUSPECTS),
        poison: places_of(&words, AT_POISON, POISON, MAX_POISON),
    };
    let deliveries = usize::try_from(words[AT_DIED_DELIVERIES]).unwrap_or(0);
    let before = Death {
        deaths: life.deaths,
        died_at: words[AT_DIED] as i64,
        starts_at: None,
        step: Doing::of(words[AT_DIED_STEP]).words(),
        deliveries,
        place: Some(place_of(&words[AT_DIED_PLACE..])).filter(|place| *place != NOWHERE),
    };
    let doing = if life.main.is_none() && !life.at.is_empty() {
        // Only the send threads were busy.
        Doing::Sending
    } else {
        Doing::of(words[AT_STEP])
    };
    Some(OnFile {
        life,
        doing,
        before,
    })
}

fn read_words(file: PathBuf) -> Option<Vec<u64>> {
    let bytes = std::fs::read(file).ok()?;
    let words = bytes.as_chunks::<8>().0.iter();
    Some(words.map(|word| u64::from_ne_bytes(*word)).collect())
}

fn place_of(words: &[u64]) -> Place {
    Place {
        slot: words[0] as i16,
        seq: words[1] as i64,
        subscription: words[2] as i64,
    }
}

fn load_place(words: &[AtomicU64]) -> Place {
    let [slot, seq, subscription] = [0, 1, 2].map(|at: usize| words[at].load(Relaxed));
    place_of(&[slot, seq, subscription])
}

fn places_of(words: &[u64], at_count: usize, from: usize, most: usize) -> Vec<Place> {
    let count = usize::try_from(words[at_count]).map_or(most, |count| count.min(most));
    let places = words[from..][..count * PLACE].as_chunks::<PLACE>().0;
    places.iter().map(|words| place_of(words)).collect()
}

fn write_place(words: &[AtomicU64], place: Place) {
    words[0].store(place.slot as u64, Relaxed);
    words[1].store(place.seq as u64, Relaxed);
    words[2].store(place.subscription as u64, Relaxed);
}

fn write_places(words: &[AtomicU64], at_count: usize, from: usize, places: &[Place]) {
    for (number, place) in places.iter().enumerate() {
        write_place(&words[from + number * PLACE..], *place);
    }
    words[at_count].store(places.len() as u64, Release);
}

fn file_of(database: pg_sys::Oid) -> PathBuf {
    PathBuf::from(format!("{DIRECTORY}/pg_herald_{}", database.to_u32()))
}

fn launcher_file() -> PathBuf {
    PathBuf::from(format!("{DIRECTORY}/pg_herald_launcher"))
}
