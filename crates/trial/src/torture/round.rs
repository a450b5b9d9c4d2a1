//! One fault, and what must hold after it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use postgres::Client;
use serde_json::{Value, json};

use super::accounts::{Accounts, PATHS, Receipt};
use super::victim::Victim;
use crate::error::Result;
use crate::workload::Change;

/// The longest time that the load runs before the fault.
const LONGEST_DELAY_MICROS: u64 = 1_500_000;

/// Client numbers per round, so that every change of the whole run has a unique name.
const NUMBERS_A_ROUND: i32 = 100;

/// A planned fault: the same seed and number give the same victim, load and moment.
#[derive(Debug, Clone)]
pub struct Fault {
    pub victim: Victim,
    pub number: u64,
    pub seed: u64,
    pub delay: Duration,
}

/// What happened, before the account.
#[derive(Debug, Clone)]
pub struct Struck {
    /// The event before the first of this round.
    pub after_event: i64,
    /// A commit was acknowledged in the 100 ms before.
    pub is_busy: bool,
    /// A request had come in but was not answered.
    pub was_in_flight: bool,
    pub at_micros: i64,
    /// When a new worker was running.
    pub ready_at_micros: i64,
    /// Every delivery is delivered or dead.
    pub is_drained: bool,
    /// Commits whose result no client learned.
    pub unknown: u64,
}

/// The account of a round.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub victim: Victim,
    pub number: u64,
    pub is_counted: bool,
    pub is_drained: bool,
    /// Committed changes; each is due once per subscription.
    pub committed: u64,
    /// Commits whose result no client learned: the table knows.
    pub unknown: u64,
    /// I1: due, but neither accepted by the receiver nor in `herald.dead_letter`.
    pub lost: u64,
    /// I2: received, but never committed.
    pub phantom: u64,
    /// I3: accepted more than once, in total and at most for one event.
    pub duplicates: u64,
    pub most_duplicates: u64,
    /// I4: requests of one event that differ in webhook-id or body, and invalid signatures.
    pub inconsistent: u64,
    pub invalid_signatures: u64,
    /// I5: requests without a recorded attempt. A crash may take the record, but never the delivery.
    pub unrecorded: u64,
    /// From the fault to the first request of the next worker.
    pub recovery_millis: u64,
}

impl Fault {
    pub fn new(victim: Victim, seed: u64, number: u64) -> Self {
        let mixed = mix(seed ^ mix(number));
        Self {
            victim,
            number,
            seed: mixed,
            delay: Duration::from_micros(mixed % LONGEST_DELAY_MICROS),
        }
    }

    /// Returns the number of this round's first client.
    pub fn first_client(&self) -> i32 {
        i32::try_from(self.number).unwrap_or(0) * NUMBERS_A_ROUND
    }
}

impl Outcome {
    pub fn judge(
        fault: &Fault,
        struck: &Struck,
        client: &mut Client,
        accounts: &Accounts,
    ) -> Result<Self> {
        let first = fault.first_client();
        let numbers = first..first + NUMBERS_A_ROUND;
        let known = Known::read(client, &numbers, struck.after_event)?;
        let heard: Vec<(&(String, Change), &Receipt)> = accounts
            .receipts
            .iter()
            .filter(|((_, change), _)| numbers.contains(&change.client))
            .collect();
        let again = |receipt: &Receipt| u64::from(receipt.accepted.saturating_sub(1));
        let duplicates = heard.iter().map(|(_, receipt)| again(receipt)).sum();
        let received: u64 = heard
            .iter()
            .map(|(_, receipt)| u64::from(receipt.received))
            .sum();
        let first_after = accounts.first_after(struck.ready_at_micros);
        Ok(Self {
            victim: fault.victim.clone(),
            number: fault.number,
            // A duplicate had been sent, but its outcome not recorded, when the fault came.
            is_counted: struck.is_busy && (struck.was_in_flight || duplicates > 0),
            is_drained: struck.is_drained,
            committed: known.committed.len() as u64,
            unknown: struck.unknown,
            lost: known.lost(accounts) as u64,
            phantom: heard
                .iter()
                .filter(|((_, change), _)| !known.committed.contains(change))
                .count() as u64,
            duplicates,
            most_duplicates: heard
                .iter()
                .map(|(_, receipt)| again(receipt))
                .max()
                .unwrap_or(0),
            inconsistent: heard
                .iter()
                .filter(|(_, receipt)| !receipt.is_consistent())
                .count() as u64,
            invalid_signatures: accounts.invalid_signatures.len() as u64,
            unrecorded: received.saturating_sub(known.attempts.unsigned_abs()),
            recovery_millis: first_after
                .map_or(0, |at| (at - struck.at_micros).unsigned_abs() / 1_000),
        })
    }

    /// Returns true if every promise was kept. Duplicates and records lost in a crash are counted, but are no fault.
    pub fn is_kept(&self) -> bool {
        self.is_drained
            && [
                self.lost,
                self.phantom,
                self.inconsistent,
                self.invalid_signatures,
            ] == [0; 4]
    }

    pub fn line(&self) -> String {
        let mut line = format!(
            "{:>4}  {:<15} {:>6} committed  lost {}  phantom {}  duplicates {} (at most {})  unrecorded {}  recovered in {} ms",
            self.number,
            self.victim,
            self.committed,
            self.lost,
            self.phantom,
            self.duplicates,
            self.most_duplicates,
            self.unrecorded,
            self.recovery_millis,
        );
        let remarks = [
            (!self.is_drained, "NOT DRAINED"),
            (self.inconsistent > 0, "ATTEMPTS DIFFER"),
            (self.invalid_signatures > 0, "INVALID SIGNATURES"),
            (!self.is_counted, "(not counted: not under load)"),
        ];
        for (holds, remark) in remarks {
            if holds {
                let _ = write!(line, "  {remark}");
            }
        }
        line
    }

    pub fn to_json(&self) -> Value {
        json!({
            "victim": self.victim.to_string(),
            "number": self.number,
            "counted": self.is_counted,
            "drained": self.is_drained,
            "committed": self.committed,
            "unknown": self.unknown,
            "lost": self.lost,
            "phantom": self.phantom,
            "duplicates": self.duplicates,
            "most_duplicates": self.most_duplicates,
            "inconsistent": self.inconsistent,
            "invalid_signatures": self.invalid_signatures,
            "unrecorded": self.unrecorded,
            "recovery_millis": self.recovery_millis,
        })
    }

    pub fn from_json(entry: &Value) -> Option<Self> {
        let number = |name: &str| entry[name].as_u64();
        Some(Self {
            victim: entry["victim"].as_str()?.parse().ok()?,
            number: number("number")?,
            is_counted: entry["counted"].as_bool()?,
            is_drained: entry["drained"].as_bool()?,
            committed: number("committed")?,
            unknown: number("unknown")?,
            lost: number("lost")?,
            phantom: number("phantom")?,
            duplicates: number("duplicates")?,
            most_duplicates: number("most_duplicates")?,
            inconsistent: number("inconsistent")?,
            invalid_signatures: number("invalid_signatures")?,
            unrecorded: number("unrecorded")?,
            recovery_millis: number("recovery_millis")?,
        })
    }
}

/// What the database knows of a round.
struct Known {
    committed: BTreeSet<Change>,
    /// In `herald.dead_letter`.
    buried: BTreeSet<Change>,
    /// Recorded attempts.
    attempts: i64,
}

impl Known {
    /// Reads what the clients with these numbers did, and the attempts of events after this one.
    fn read(client: &mut Client, numbers: &Range<i32>, after_event: i64) -> Result<Self> {
        let of_round = [&numbers.start, &(numbers.end - 1)];
        let committed = changes(
            client,
            "select client, seq from trial.committed where client between $1 and $2",
            &of_round,
        )?;
        let buried = changes(
            client,
            "select (l.event -> 'data' -> 'record' ->> 'client')::int, (l.event -> 'data' -> 'record' ->> 'seq')::bigint
             from herald.dead_letter l where (l.event -> 'data' -> 'record' ->> 'client')::int between $1 and $2",
            &of_round,
        )?;
        let attempts = client
            .query_one(
                "select count(*) from herald_internal.attempt a join herald.event e on e.slot = a.event_slot and e.seq = a.event_seq
                 where a.event_seq > $3 and e.seq > $3 and (e.data -> 'record' ->> 'client')::int between $1 and $2",
                &[&numbers.start, &(numbers.end - 1), &after_event],
            )?
            .get(0);
        Ok(Self {
            committed,
            buried,
            attempts,
        })
    }

    /// Returns how many committed changes a subscription neither accepted nor has as dead letters.
    fn lost(&self, accounts: &Accounts) -> usize {
        let none = Receipt::default();
        PATHS
            .iter()
            .flat_map(|path| {
                let committed = self.committed.iter();
                committed.map(|change| ((*path).to_owned(), *change))
            })
            .filter(|key| accounts.receipts.get(key).unwrap_or(&none).accepted == 0)
            .filter(|(_, change)| !self.buried.contains(change))
            .count()
    }
}

fn changes(client: &mut Client, sql: &str, of_round: &[&i32; 2]) -> Result<BTreeSet<Change>> {
    let rows = client.query(sql, &[of_round[0], of_round[1]])?;
    Ok(rows.iter().map(Change::of_row).collect())
}

/// SplitMix64.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Returns an outcome that keeps every promise.
#[cfg(test)]
pub fn outcome(victim: Victim, number: u64) -> Outcome {
    Outcome {
        victim,
        number,
        is_counted: true,
        is_drained: true,
        committed: 100,
        unknown: 1,
        lost: 0,
        phantom: 0,
        duplicates: 3,
        most_duplicates: 1,
        inconsistent: 0,
        invalid_signatures: 0,
        unrecorded: 2,
        recovery_millis: 700,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_keeps_the_promise_unless_something_is_lost_invented_or_stuck() {
        let kept = outcome(Victim::Worker, 1);
        assert!(kept.is_kept());
        let broken: [fn(&mut Outcome); 5] = [
            |round| round.lost = 1,
            |round| round.phantom = 1,
            |round| round.inconsistent = 1,
            |round| round.invalid_signatures = 1,
            |round| round.is_drained = false,
        ];
        for change in broken {
            let mut round = kept.clone();
            change(&mut round);
            assert!(!round.is_kept(), "{round:?}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_faults_again() {
        let fault = Fault::new(Victim::Worker, 7, 3);
        let again = Fault::new(Victim::Worker, 7, 3);
        let other = Fault::new(Victim::Worker, 8, 3);
        assert_eq!((fault.delay, fault.seed), (again.delay, again.seed));
        assert_ne!(fault.seed, other.seed);
    }

    #[test]
    fn an_outcome_survives_its_file() {
        let written = outcome(Victim::At("mid_record"), 12);
        assert_eq!(Outcome::from_json(&written.to_json()), Some(written));
    }
}
