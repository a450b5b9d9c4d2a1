//! The life of a worker, on file: what it is at, so that the next one knows what it died of.
//!
//! One file for each database, `pg_stat_tmp/pg_herald_<oid>`, mapped by its worker; shared memory is reset by a crash.
//! It is where PostgreSQL keeps what no base backup has. Notes are single stores: a request costs a few. What follows
//! from a death is decided by [`herald_dispatch::deaths`]. Without the file (no room, no folder) nothing is noted.

mod sql;

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
/// Another one replaces a file of before.
const VERSION: u64 = 2;
/// How many send threads there are, at most: twice the largest `herald.sender_threads`.
const MAX_THREADS: usize = 2 * 1024;

// The words of the file.
const AT_VERSION: usize = 0;
/// 0: left in order; 1: alive, or died of itself; else: when it was told to quit.
const AT_STATE: usize = 1;
const AT_STARTED: usize = 2;
const AT_SEEN: usize = 3;
const AT_DEATHS: usize = 4;
const AT_STEP: usize = 5;
const AT_SUSPECTS: usize = 6;
const AT_POISON: usize = 7;
/// What is known of the death before this life: when, the step, how many deliveries were under way, and one of them.
const AT_DIED: usize = 8;
const AT_DIED_STEP: usize = 9;
const AT_DIED_DELIVERIES: usize = 10;
const AT_DIED_PLACE: usize = 11;
const NOTES: usize = 16;
/// Whether the thread is at something, and the place.
const NOTE: usize = 1 + PLACE;
/// The main thread's note comes after those of the send threads.
const MAIN: usize = MAX_THREADS;
const SUSPECTS: usize = NOTES + (MAX_THREADS + 1) * NOTE;
const PLACE: usize = 3;
const POISON: usize = SUSPECTS + MAX_SUSPECTS * PLACE;
const WORDS: usize = POISON + MAX_POISON * PLACE;

const ALIVE: u64 = 1;

/// What the main thread does.
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

/// The life of this process.
static OWN: OnceLock<&'static [AtomicU64]> = OnceLock::new();

/// The main thread is at this from here on, and at no event.
pub fn at(doing: Doing) {
    if let Some(words) = OWN.get() {
        words[AT_STEP].store(doing.number(), Relaxed);
    }
    ended(MAIN);
}

/// The main thread is at this event, or delivery, until the next one or the next step.
pub fn at_event(place: Place) {
    begun(MAIN, place);
}

/// The worker is still alive.
pub fn seen(now_micros: i64) {
    if let Some(words) = OWN.get() {
        words[AT_SEEN].store(now_micros as u64, Relaxed);
    }
}

/// How often a worker died of this again. Callable in any process; only the worker has something to tell.
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

/// A send thread begins with this delivery. Callable from any thread.
pub fn begun(thread: usize, place: Place) {
    if let Some(note) = note_of(thread) {
        write_place(&note[1..], place);
        note[0].store(1, Release);
    }
}

/// A send thread has done what it was at. Callable from any thread.
pub fn ended(thread: usize) {
    if let Some(note) = note_of(thread) {
        note[0].store(0, Release);
    }
}

fn note_of(thread: usize) -> Option<&'static [AtomicU64]> {
    let words = OWN.get().filter(|_| thread <= MAIN)?;
    Some(&words[NOTES + thread * NOTE..][..NOTE])
}

/// Begins the life of this process, the worker of `database`, and returns what its predecessor leaves it.
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
    quit::note_when_told(&words[AT_STATE]);
    quit::clear_when_leaving(&words[AT_STATE]);
    let _ = OWN.set(words);
    Ok(legacy)
}

/// These are left under suspicion, and these to be buried.
pub fn keep(suspects: &[Place], poison: &[Place]) {
    if let Some(words) = OWN.get() {
        write_places(words, AT_SUSPECTS, SUSPECTS, suspects);
        write_places(words, AT_POISON, POISON, poison);
    }
}

/// Notes from here on when the launcher is told to quit: that tells a worker's own death from others.
pub fn watch_launcher() {
    match mapped::words(&launcher_file(), 1) {
        Ok(words) => quit::note_when_told(&words[0]),
        Err(error) => {
            pgrx::log!("pg_herald: deaths of workers cannot be told apart: {error}");
        }
    }
}

/// The database, or its extension, is gone.
pub fn forget(database: pg_sys::Oid) {
    let _ = std::fs::remove_file(file_of(database));
}

/// What is known of the last death of a database's worker.
#[derive(Debug, Clone)]
pub struct Death {
    /// In a row.
    pub deaths: u32,
    pub died_at: i64,
    /// The next worker starts no earlier, if there is none yet.
    pub starts_at: Option<i64>,
    /// What it was about to do.
    pub step: &'static str,
    /// Deliveries that were under way.
    pub deliveries: usize,
    /// One of them: the one that did it, if that is known.
    pub place: Option<Place>,
}

/// The last death of a worker of `database`, unless that was long ago.
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

/// The delivery to name: what is convicted, or one that was under way.
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

/// A file as read.
struct OnFile {
    life: deaths::Life,
    /// What it was about to do.
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
        // A test request and a handshake have no place in the log.
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
        // Of what the threads did, as far as can be told.
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
