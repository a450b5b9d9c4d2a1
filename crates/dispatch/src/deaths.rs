//! Decides what follows from a worker's death: when the next worker starts, which deliveries it sends one at a time,
//! and which it never sends again.
//!
//! Otherwise the next worker would send the fatal delivery first, and each crash of a worker restarts the whole server.
//! This module sits in front of dispatch; others write down what a worker is doing.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// A worker that lived this long was healthy: its death has nothing to do with earlier ones.
pub const CALM: Duration = Duration::from_secs(60 * 60);
/// The delay of the next start after a second death in a row; each further death doubles it.
pub const FIRST_DELAY: Duration = Duration::from_secs(60);
/// The longest delay of a start.
pub const LONGEST_DELAY: Duration = Duration::from_secs(60 * 60);
/// At most this many deliveries are suspects: those of the last death before older ones.
pub const MAX_SUSPECTS: usize = 2048;
/// At most this many convicted deliveries wait for burial.
pub const MAX_POISON: usize = 64;

/// A delivery: the place of an event in the log, and its subscription, or 0 for the event itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub slot: i16,
    pub seq: i64,
    pub subscription: i64,
}

impl Place {
    /// Returns the place of an event itself.
    pub fn of_event(slot: i16, seq: i64) -> Self {
        Self {
            slot,
            seq,
            subscription: 0,
        }
    }

    /// Returns the place of the event, without the subscription.
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

/// Formats the place as in the server's log.
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

/// Returns whether a worker died its own death: the postmaster told the launcher to quit, as it does when a server
/// process has crashed, and did not have to tell the worker.
///
/// If a backend is killed, both are told. After a killed postmaster, a killed machine or an orderly stop, neither is.
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

/// The state that a worker left behind. Times are in microseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Life {
    /// Whether it died its own death, see [`is_own`].
    pub is_own_death: bool,
    pub started_at: i64,
    /// When it was last seen alive.
    pub seen_at: i64,
    /// Own deaths in a row before it.
    pub deaths: u32,
    /// The place that its main thread was working on; it takes one event at a time.
    pub main: Option<Place>,
    /// The deliveries that its send threads were working on.
    pub at: Vec<Place>,
    /// Suspects of an earlier death that were not sent since.
    pub suspects: Vec<Place>,
    /// Deliveries that are known to kill a worker and not yet buried, repeated for each further death.
    pub poison: Vec<Place>,
}

/// The state with which the next worker starts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Legacy {
    /// Own deaths in a row.
    pub deaths: u32,
    /// The earliest time at which it starts.
    pub starts_at: i64,
    /// Deliveries to send one at a time, so that another death identifies its cause.
    pub suspects: Vec<Place>,
    /// Deliveries never to be sent. If listed twice, a delivery also kills the worker on the way to its dead letter.
    pub poison: Vec<Place>,
}

/// Returns what follows from a life.
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
        // No single culprit: proceed as after a first death.
        None => {
            let at: BTreeSet<Place> = life.main.iter().chain(&life.at).copied().collect();
            let older = before.iter().filter(|place| !at.contains(place));
            let newer = life.main.iter().chain(&life.at);
            newer.chain(older).copied().collect::<Vec<_>>()
        }
    };
    suspects.truncate(MAX_SUSPECTS);
    // Keep the latest; an older one that kills again is found again.
    poison.drain(..poison.len().saturating_sub(MAX_POISON));
    let deaths = deaths_before.saturating_add(1);
    // A clock that was set back must not lengthen the wait.
    let died_at = life.seen_at.min(now);
    Legacy {
        deaths,
        starts_at: died_at.saturating_add(micros(delay_after(deaths))),
        suspects,
        poison,
    }
}

/// Returns what the worker certainly died of: the only earlier suspect that it was working on again.
fn culprit(life: &Life, before: &[Place]) -> Option<Place> {
    if let Some(main) = life.main {
        // If the main thread died at this event again, that is the cause, whatever the send threads did.
        let is_known = before.contains(&main) || life.poison.contains(&main);
        return is_known.then_some(main);
    }
    let at: BTreeSet<&Place> = life.at.iter().collect();
    let mut again = before.iter().filter(|place| at.contains(place));
    again.next().copied().filter(|_| again.next().is_none())
}

/// Returns the delay of the next start after this many deaths in a row.
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

    /// Returns the wait in minutes, the suspects and the poison.
    fn after(life: &Life) -> (i64, Vec<i64>, Vec<i64>) {
        let legacy = legacy(life, 9 * MINUTE);
        let seqs = |places: &[Place]| places.iter().map(|place| place.seq).collect();
        let wait = legacy.starts_at.saturating_sub(life.seen_at).max(0) / MINUTE;
        (wait, seqs(&legacy.suspects), seqs(&legacy.poison))
    }

    /// Earlier deaths, deliveries of the threads, suspects; then the resulting wait, suspects and poison.
    type Case<'a> = (u32, &'a [i64], &'a [i64], i64, &'a [i64], &'a [i64]);

    #[test]
    fn a_death_has_the_consequences_of_this_table() {
        #[rustfmt::skip]
        let table: &[Case] = &[
            (0, &[], &[], 0, &[], &[]),
            (0, &[1], &[], 0, &[1], &[]),
            (0, &[1, 2, 3], &[], 0, &[1, 2, 3], &[]),
            // One suspect among other deliveries.
            (1, &[2, 7, 8], &[1, 2, 3], 1, &[1, 3], &[2]),
            (1, &[1], &[1], 1, &[], &[1]),
            // No suspect, and two suspects at once.
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

    /// Event of the main thread, deliveries of the threads, suspects, poison; then the resulting suspects and poison.
    type MainCase<'a> = (i64, &'a [i64], &'a [i64], &'a [i64], &'a [i64], &'a [i64]);

    #[test]
    fn an_event_that_the_main_thread_dies_of_twice_is_convicted_whatever_is_sent_meanwhile() {
        #[rustfmt::skip]
        let table: &[MainCase] = &[
            (1, &[7, 8], &[], &[], &[1, 7, 8], &[]),
            (1, &[7, 9], &[1, 7, 8], &[], &[7, 8], &[1]),
            // Another event: the suspect sent beside it may be innocent.
            (2, &[7], &[1, 7, 8], &[], &[2, 7, 1, 8], &[]),
            // Killed again on its way to the dead letter.
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
