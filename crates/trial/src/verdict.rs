//! Truth against receipts: what was lost, wrongly sent, or duplicated.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::receiver::Request;
use crate::workload::Change;

/// Counts the receipts of each change. It outlives the receiver and needs no bodies kept: its observer reads them in
/// passing.
///
/// ```
/// use herald_trial::{Receipts, Receiver, Verdict};
///
/// let receipts = Receipts::default();
/// let receiver = Receiver::builder().observe(receipts.observer()).start()?;
/// let verdict = Verdict::new(&[].into(), &receipts);
/// assert!(verdict.is_clean());
/// # Ok::<(), herald_trial::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Receipts(Arc<Mutex<BTreeMap<Change, Receipt>>>);

/// How often a change was received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Receipt {
    pub received: u32,
    /// Receipts answered with a 2xx.
    pub accepted: u32,
}

/// Small enough to print after each round of a crash test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub committed: usize,
    pub accepted: usize,
    /// Committed, but neither accepted nor excused.
    pub lost: Vec<Change>,
    /// Received, whatever the answer, but never committed.
    pub phantom: Vec<Change>,
    /// Receipts beyond the first acceptance, over all changes.
    pub duplicates: u64,
    /// The most acceptances of one change beyond its first.
    pub most_duplicates: u32,
}

impl Receipts {
    /// Returns an observer for [`crate::receiver::Builder::observe`] that files each request about a row of
    /// `trial.change`.
    pub fn observer(&self) -> impl Fn(&Request) + Send + Sync + 'static + use<> {
        self.observer_by(Change::in_request)
    }

    /// Does the same as [`Receipts::observer`] for payloads of another shape.
    pub fn observer_by<F>(&self, change_of: F) -> impl Fn(&Request) + Send + Sync + 'static + use<F>
    where
        F: Fn(&Request) -> Option<Change> + Send + Sync + 'static,
    {
        let receipts = self.clone();
        move |request| {
            if let Some(change) = change_of(request) {
                receipts.file(change, request.accepted);
            }
        }
    }

    pub fn file(&self, change: Change, accepted: bool) {
        let mut book = self.book();
        let receipt = book.entry(change).or_default();
        receipt.received += 1;
        receipt.accepted += u32::from(accepted);
    }

    pub fn of(&self, change: Change) -> Receipt {
        self.book().get(&change).copied().unwrap_or_default()
    }

    /// Returns how many changes were accepted at least once.
    pub fn accepted(&self) -> usize {
        self.book()
            .values()
            .filter(|receipt| receipt.accepted > 0)
            .count()
    }

    /// Resets the accounts.
    pub fn forget(&self) {
        self.book().clear();
    }

    fn book(&self) -> MutexGuard<'_, BTreeMap<Change, Receipt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Verdict {
    pub fn new(committed: &BTreeSet<Change>, receipts: &Receipts) -> Self {
        Self::with_excused(committed, receipts, &BTreeSet::new())
    }

    /// Excuses the changes in `herald.dead_letter`: given up openly, so not lost.
    pub fn with_excused(
        committed: &BTreeSet<Change>,
        receipts: &Receipts,
        excused: &BTreeSet<Change>,
    ) -> Self {
        let book = receipts.book();
        let accepted: Vec<u32> = book
            .values()
            .map(|receipt| receipt.accepted)
            .filter(|&times| times > 0)
            .collect();
        let is_lost = |change: &&Change| {
            !excused.contains(change)
                && book.get(change).is_none_or(|receipt| receipt.accepted == 0)
        };
        Self {
            committed: committed.len(),
            accepted: accepted.len(),
            lost: committed.iter().filter(is_lost).copied().collect(),
            phantom: book
                .keys()
                .filter(|change| !committed.contains(change))
                .copied()
                .collect(),
            duplicates: accepted.iter().map(|times| u64::from(times - 1)).sum(),
            most_duplicates: accepted
                .iter()
                .map(|times| times - 1)
                .max()
                .unwrap_or_default(),
        }
    }

    /// Returns true if nothing was lost and nothing sent that was not committed. The caller judges duplicates.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.phantom.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} committed, {} accepted, {} lost, {} sent without a commit, {} duplicates (at most {} of one change)",
            self.committed,
            self.accepted,
            self.lost.len(),
            self.phantom.len(),
            self.duplicates,
            self.most_duplicates,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(seq: i64) -> Change {
        Change { client: 1, seq }
    }

    #[test]
    fn each_kind_of_fault_is_told_apart() {
        let receipts = Receipts::default();
        for (seq, accepted) in [
            (1, true),
            (2, false),
            (3, true),
            (3, true),
            (3, true),
            (9, false),
        ] {
            receipts.file(change(seq), accepted);
        }
        let committed = BTreeSet::from([1, 2, 3, 4, 5].map(change));
        let verdict = Verdict::with_excused(&committed, &receipts, &BTreeSet::from([change(5)]));
        assert_eq!(verdict.lost, [change(2), change(4)]);
        assert_eq!(verdict.phantom, [change(9)]);
        assert_eq!((verdict.committed, verdict.accepted), (5, 2));
        assert_eq!((verdict.duplicates, verdict.most_duplicates), (2, 2));
        assert!(!verdict.is_clean());
    }

    #[test]
    fn retries_after_failures_are_no_duplicates() {
        let receipts = Receipts::default();
        for accepted in [false, false, true] {
            receipts.file(change(1), accepted);
        }
        let verdict = Verdict::new(&BTreeSet::from([change(1)]), &receipts);
        assert!(verdict.is_clean() && verdict.duplicates == 0, "{verdict}");
    }
}
