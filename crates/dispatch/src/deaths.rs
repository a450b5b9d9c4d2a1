//! What follows from the death of a worker: when the next one starts, which deliveries it sends one at a time, and which
//! it never sends again.
//!
//! A delivery that kills the worker would be sent first thing by the next one, and a crash of the worker restarts
//! everybody's server. It sits in front of dispatch; who writes down what a worker is at, and where, is not its business.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// A worker that lived for this long was healthy: what it died of has nothing to do with the deaths before.
pub const CALM: Duration = Duration::from_secs(60 * 60);
/// The second death in a row delays the next start by this, each further one by twice as long as the one before.
pub const FIRST_DELAY: Duration = Duration::from_secs(60);
/// No start is delayed for longer.
pub const LONGEST_DELAY: Duration = Duration::from_secs(60 * 60);
/// So many deliveries are under suspicion, at most: those of the last death before older ones.
pub const MAX_SUSPECTS: usize = 2048;
/// So many convicted deliveries wait for their burial, at most.
pub const MAX_POISON: usize = 64;

/// One delivery: an event, by its place in the log, and the subscription that gets it; 0 for the event as such.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub slot: i16,
    pub seq: i64,
    pub subscription: i64,
}

impl Place {
    /// An event as such.
    pub fn of_event(slot: i16, seq: i64) -> Self {
        Self {
            slot,
            seq,
            subscription: 0,
        }
    }

    /// The event, whoever gets it.
    ///
    /// ```
    /// use herald_dispatch::deaths::Place;
    ///
    /// let delivery = Place { slot: 3, seq: 7, subscription: 1 };
    /// assert_eq!(delivery.event(), Place::of_event(3, 7));
    /// ```
    pub fn event(self) -> Self {
        Self::of_event(self.slot, self.seq)
    }
}

/// As the server's log names it.
///
/// ```
/// use herald_dispatch::deaths::Place;
///
/// let delivery = Place { slot: 3, seq: 7, subscription: 1 };
/// assert_eq!(delivery.to_string(), "event 7 in slot 3 to subscription 1");
/// assert_eq!(delivery.event().to_string(), "event 7 in slot 3");
/// ```
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} in slot {}", self.seq, self.slot)?;
        match self.subscription {
            0 => Ok(()),
            id => write!(f, " to subscription {id}"),
        }
    }
}

/// How a worker ended. It was its own death if the postmaster told the launcher to quit, as it does when a process of
/// the server has crashed, and did not have to tell the worker.
///
/// A killed backend has both told. After a killed postmaster, a killed machine or an orderly stop, neither was.
///
/// ```
/// use herald_dispatch::deaths::is_own;
///
/// assert!(is_own(true, 1_000, 2_000));
/// // The worker left by itself, or was told to.
/// assert!(!is_own(false, 1_000, 2_000));
/// // That was before its time.
/// assert!(!is_own(true, 1_000, 500));
/// ```
pub fn is_own(seems_alive: bool, started_at: i64, launcher_told_at: i64) -> bool {
    seems_alive && launcher_told_at >= started_at
}

/// What a worker left behind. Times are in microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// Whether it died of itself, see [`is_own`].
    pub is_own_death: bool,
    pub started_at: i64,
    /// When it was last seen alive.
    pub seen_at: i64,
    /// Own deaths in a row before it.
    pub deaths: u32,
    /// What its main thread was at: it takes one event after the other.
    pub main: Option<Place>,
    /// The deliveries that its send threads were at.
    pub at: Vec<Place>,
    /// Those under suspicion for an earlier death that were not sent since.
    pub suspects: Vec<Place>,
    /// Those that are known to kill a worker and are not buried yet, each as often as it did so again.
    pub poison: Vec<Place>,
}

/// What the next worker starts with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legacy {
    /// Own deaths in a row.
    pub deaths: u32,
    /// It starts no earlier.
    pub starts_at: i64,
    /// Sent one at a time: what kills the worker again is known by that.
    pub suspects: Vec<Place>,
    /// Not sent at all. What is in here twice kills the worker also on the way to its dead letter.
    pub poison: Vec<Place>,
}

/// What follows from a life.
///
/// ```
/// use herald_dispatch::deaths::{Life, Place, legacy};
///
/// let bad = Place { slot: 0, seq: 7, subscription: 1 };
/// let good = Place { slot: 0, seq: 8, subscription: 1 };
/// let first = Life { is_own_death: true, at: vec![bad, good], ..Life::default() };
/// let after = legacy(&first, 0);
/// assert_eq!((after.deaths, after.starts_at), (1, 0));
/// assert_eq!(after.suspects, [bad, good]);
///
/// // The next worker sends them in turn, and dies of the one that it is at.
/// let second = Life { deaths: 1, at: vec![bad], suspects: after.suspects, ..first };
/// let after = legacy(&second, 0);
/// assert_eq!((after.poison, after.suspects), (vec![bad], vec![good]));
/// assert_eq!(after.starts_at, 60_000_000);
/// ```
pub fn legacy(life: &Life, now: i64) -> Legacy {
    let was_calm = life.seen_at.saturating_sub(life.started_at) >= micros(CALM);
    let deaths_before = if was_calm { 0 } else { life.deaths };
    let before: &[Place] = if was_calm { &[] } else { &life.suspects };
    let mut poison = life.poison.clone();
    if !life.is_own_death {
        return Legacy {
            deaths: deaths_before,
            starts_at: 0,
            suspects: before.to_vec(),
            poison,
        };
    }
    let mut suspects = match culprit(life, before) {
        Some(culprit) => {
            poison.push(culprit);
            before
                .iter()
                .copied()
                .filter(|place| *place != culprit)
                .collect()
        }
        // Nothing was alone: everything is as after a first death.
        None => {
            let at: BTreeSet<Place> = life.main.iter().chain(&life.at).copied().collect();
            let older = before.iter().filter(|place| !at.contains(place));
            let newer = life.main.iter().chain(&life.at);
            newer.chain(older).copied().collect::<Vec<_>>()
        }
    };
    suspects.truncate(MAX_SUSPECTS);
    // The latest ones: an older one that comes back is found once more.
    poison.drain(..poison.len().saturating_sub(MAX_POISON));
    let deaths = deaths_before.saturating_add(1);
    // A clock that was set back does not make the wait longer.
    let died_at = life.seen_at.min(now);
    Legacy {
        deaths,
        starts_at: died_at.saturating_add(micros(delay_after(deaths))),
        suspects,
        poison,
    }
}

/// What the worker certainly died of: the only one that was under suspicion and is so again.
fn culprit(life: &Life, before: &[Place]) -> Option<Place> {
    if let Some(main) = life.main {
        // It came back to this event of all, whatever its threads were at.
        let is_known = before.contains(&main) || life.poison.contains(&main);
        return is_known.then_some(main);
    }
    let at: BTreeSet<&Place> = life.at.iter().collect();
    let mut again = before.iter().filter(|place| at.contains(place));
    again.next().copied().filter(|_| again.next().is_none())
}

/// How long after the last of so many deaths in a row the next worker starts.
fn delay_after(deaths: u32) -> Duration {
    match deaths {
        0 | 1 => Duration::ZERO,
        more => (FIRST_DELAY * 2u32.pow((more - 2).min(6))).min(LONGEST_DELAY),
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000_000;

    fn places(seqs: &[i64]) -> Vec<Place> {
        let place = |seq: &i64| Place {
            slot: 1,
            seq: *seq,
            subscription: 9,
        };
        seqs.iter().map(place).collect()
    }

    fn death(deaths: u32, at: &[i64], suspects: &[i64]) -> Life {
        Life {
            is_own_death: true,
            started_at: 0,
            seen_at: MINUTE,
            deaths,
            main: None,
            at: places(at),
            suspects: places(suspects),
            poison: Vec::new(),
        }
    }

    /// Wait in minutes, suspects, poison.
    fn after(life: &Life) -> (i64, Vec<i64>, Vec<i64>) {
        let legacy = legacy(life, 9 * MINUTE);
        let seqs = |places: &[Place]| places.iter().map(|place| place.seq).collect();
        let wait = legacy.starts_at.saturating_sub(life.seen_at).max(0) / MINUTE;
        (wait, seqs(&legacy.suspects), seqs(&legacy.poison))
    }

    /// Deaths before, what the threads were at, suspects; then the wait, suspects and poison that follow.
    type Case<'a> = (u32, &'a [i64], &'a [i64], i64, &'a [i64], &'a [i64]);

    #[test]
    fn a_death_has_the_consequences_of_this_table() {
        #[rustfmt::skip]
        let table: &[Case] = &[
            (0, &[], &[], 0, &[], &[]),
            (0, &[1], &[], 0, &[1], &[]),
            (0, &[1, 2, 3], &[], 0, &[1, 2, 3], &[]),
            // One suspect among others that are none.
            (1, &[2, 7, 8], &[1, 2, 3], 1, &[1, 3], &[2]),
            (1, &[1], &[1], 1, &[], &[1]),
            // None of them, and two of them at once.
            (1, &[7], &[1, 2], 1, &[7, 1, 2], &[]),
            (1, &[1, 2], &[1, 2, 3], 1, &[1, 2, 3], &[]),
            (1, &[], &[1, 2], 1, &[1, 2], &[]),
            (2, &[], &[], 2, &[], &[]),
            (6, &[], &[], 32, &[], &[]),
            (7, &[], &[], 60, &[], &[]),
            (u32::MAX, &[], &[], 60, &[], &[]),
        ];
        for (deaths, at, suspects, wait, left, poison) in table {
            let expected = (*wait, left.to_vec(), poison.to_vec());
            assert_eq!(
                after(&death(*deaths, at, suspects)),
                expected,
                "{deaths} {at:?} {suspects:?}"
            );
        }
    }

    /// What the main thread was at, the threads, suspects, poison; then the suspects and the poison that follow.
    type MainCase<'a> = (i64, &'a [i64], &'a [i64], &'a [i64], &'a [i64], &'a [i64]);

    #[test]
    fn an_event_that_the_main_thread_dies_of_twice_is_convicted_whatever_is_sent_meanwhile() {
        #[rustfmt::skip]
        let table: &[MainCase] = &[
            (1, &[7, 8], &[], &[], &[1, 7, 8], &[]),
            (1, &[7, 9], &[1, 7, 8], &[], &[7, 8], &[1]),
            // Another event: the suspect that is sent beside it may be innocent.
            (2, &[7], &[1, 7, 8], &[], &[2, 7, 1, 8], &[]),
            // On its way to the dead letter.
            (1, &[], &[], &[1], &[], &[1, 1]),
        ];
        for (main, at, suspects, poison, left, convicted) in table {
            let life = Life {
                main: places(&[*main]).pop(),
                poison: places(poison),
                ..death(1, at, suspects)
            };
            let (_, suspects, poison) = after(&life);
            assert_eq!((&suspects[..], &poison[..]), (*left, *convicted), "{main}");
        }
    }

    #[test]
    fn an_end_that_is_no_death_of_its_own_changes_nothing() {
        let life = Life {
            is_own_death: false,
            poison: places(&[5]),
            ..death(3, &[1, 2], &[1, 2])
        };
        let legacy = legacy(&life, 9 * MINUTE);
        assert_eq!((legacy.deaths, legacy.starts_at), (3, 0));
        assert_eq!(
            (legacy.suspects, legacy.poison),
            (places(&[1, 2]), places(&[5]))
        );
    }

    #[test]
    fn after_a_calm_hour_a_death_is_the_first() {
        let calm = |seen_at| Life {
            seen_at,
            ..death(5, &[1], &[1, 2])
        };
        let legacy_of = |seen_at| legacy(&calm(seen_at), i64::MAX);
        let first = legacy_of(60 * MINUTE);
        assert_eq!((first.deaths, first.starts_at), (1, 60 * MINUTE));
        assert_eq!(
            (first.suspects, first.poison),
            (places(&[1]), Vec::<Place>::new())
        );
        assert_eq!(legacy_of(60 * MINUTE - 1).deaths, 6);
    }

    #[test]
    fn a_clock_that_was_set_back_delays_no_longer() {
        assert_eq!(legacy(&death(1, &[], &[]), 0).starts_at, MINUTE);
    }

    #[test]
    fn the_lists_are_bounded_and_keep_what_is_new() {
        let many: Vec<i64> = (0..MAX_SUSPECTS as i64).collect();
        let legacy_of = |life: &Life| legacy(life, 9 * MINUTE);
        let full = legacy_of(&death(1, &[-1], &many));
        assert_eq!(full.suspects.len(), MAX_SUSPECTS);
        assert_eq!(full.suspects[0].seq, -1);
        let mut life = death(1, &[-1], &[-1]);
        life.poison = places(&many[..MAX_POISON]);
        let full = legacy_of(&life);
        assert_eq!(full.poison.len(), MAX_POISON);
        assert_eq!(full.poison.last(), places(&[-1]).last());
    }
}
