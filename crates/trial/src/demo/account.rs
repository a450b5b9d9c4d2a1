//! The account: compares what was committed with what each receiver heard.

use std::collections::BTreeMap;

use super::book::{Counts, Receipt};
use super::fact::Fact;
use super::stage::{ALERTS, SUBSCRIPTIONS, Stage, Subscription};
use super::truth::Truth;

#[derive(Debug)]
pub struct Account {
    /// One entry per subscription.
    pub entries: Vec<Entry>,
    /// Disagreements between pgbench's tables and pgbench's reports.
    pub disagreements: Vec<String>,
    /// From the first acceptance to the last.
    pub delivering_seconds: f64,
}

#[derive(Debug)]
pub struct Entry {
    pub name: &'static str,
    /// Committed and subscribed to.
    pub due: u64,
    pub counts: Counts,
    /// Due, but never accepted.
    pub lost: Vec<Fact>,
    /// Received, whatever the answer, but not committed, or not committed as often.
    pub uncommitted: Vec<Fact>,
    /// Acceptances beyond the first of each webhook-id.
    pub duplicates: u64,
    /// From commit to first acceptance, if the commit's time is known; sorted.
    pub latencies_micros: Vec<i64>,
    /// The sum of the deltas in accepted events about pgbench's history, and about its tellers.
    pub history_sum: i64,
    pub teller_sum: i64,
}

impl Account {
    pub fn draw_up(truth: &Truth, stage: &Stage, redelivered_at_micros: i64) -> Self {
        let books: Vec<Vec<Receipt>> = stage.books.iter().map(|book| book.receipts()).collect();
        let mut disagreements = disagreements(truth);
        let mut entries = Vec::new();
        for ((subscription, receipts), book) in SUBSCRIPTIONS.iter().zip(&books).zip(&stage.books) {
            entries.push(Entry::new(subscription, book.counts(), receipts, truth));
            if subscription.name == ALERTS {
                let came_back =
                    |receipt: &Receipt| receipt.accepted_at_micros > Some(redelivered_at_micros);
                if receipts.is_empty() || !receipts.iter().all(came_back) {
                    disagreements.push(
                        "the alert did not come back as a redelivered dead letter".to_owned(),
                    );
                }
            }
        }
        let times = || {
            books
                .iter()
                .flatten()
                .filter_map(|receipt| receipt.accepted_at_micros)
        };
        let delivering = times().max().unwrap_or_default() - times().min().unwrap_or_default();
        Self {
            entries,
            disagreements,
            delivering_seconds: delivering as f64 / 1e6,
        }
    }

    pub fn adds_up(&self) -> bool {
        self.disagreements.is_empty() && self.entries.iter().all(Entry::adds_up)
    }
}

impl Entry {
    fn new(
        subscription: &'static Subscription,
        counts: Counts,
        receipts: &[Receipt],
        truth: &Truth,
    ) -> Self {
        let due: BTreeMap<&Fact, u32> = truth
            .facts
            .iter()
            .filter(|(fact, _)| (subscription.wants)(fact))
            .map(|(fact, &times)| (fact, times))
            .collect();
        let accepted = || receipts.iter().filter(|receipt| receipt.accepted > 0);
        let received_facts = counted(receipts.iter().map(|receipt| &receipt.fact));
        let accepted_facts = counted(accepted().map(|receipt| &receipt.fact));
        let mut latencies_micros: Vec<i64> = accepted()
            .filter_map(|receipt| {
                Some(receipt.accepted_at_micros? - truth.committed_at_micros.get(&receipt.fact)?)
            })
            .collect();
        latencies_micros.sort_unstable();
        let sum = |wanted: fn(&Fact) -> bool| {
            let facts = accepted().map(|receipt| &receipt.fact);
            facts.filter(|fact| wanted(fact)).map(Fact::delta).sum()
        };
        Self {
            name: subscription.name,
            due: truth.due(subscription),
            counts,
            lost: excess(&due, &accepted_facts),
            uncommitted: excess(&received_facts, &due),
            duplicates: accepted()
                .map(|receipt| u64::from(receipt.accepted - 1))
                .sum(),
            latencies_micros,
            history_sum: sum(|fact| matches!(fact, Fact::History(_))),
            teller_sum: sum(|fact| matches!(fact, Fact::Teller { .. })),
        }
    }

    /// Returns true if nothing is missing or wrong. Duplicates are allowed: the promise is at least once.
    pub fn adds_up(&self) -> bool {
        self.lost.is_empty() && self.uncommitted.is_empty() && self.counts.invalid_signatures == 0
    }

    /// Returns the latency that this share of the events stays within.
    pub fn latency_micros(&self, share: f64) -> Option<i64> {
        let last = self.latencies_micros.len().checked_sub(1)?;
        let rank = (self.latencies_micros.len() as f64 * share).ceil() as usize;
        Some(self.latencies_micros[rank.saturating_sub(1).min(last)])
    }
}

fn counted<'a>(facts: impl Iterator<Item = &'a Fact>) -> BTreeMap<&'a Fact, u32> {
    let mut counts = BTreeMap::new();
    for fact in facts {
        *counts.entry(fact).or_default() += 1;
    }
    counts
}

/// Returns the facts that `these` hold more often than `those`, each repeated by the difference.
fn excess(these: &BTreeMap<&Fact, u32>, those: &BTreeMap<&Fact, u32>) -> Vec<Fact> {
    let beyond = these.iter().flat_map(|(&fact, &times)| {
        let covered = those.get(fact).copied().unwrap_or_default();
        std::iter::repeat_n(fact.clone(), times.saturating_sub(covered) as usize)
    });
    beyond.collect()
}

/// Checks that the truth itself is credible: two sources must agree.
fn disagreements(truth: &Truth) -> Vec<String> {
    let mut found = Vec::new();
    let Truth {
        history_rows,
        committed,
        balances,
        ..
    } = truth;
    if *history_rows != committed.transactions {
        found.push(format!(
            "pgbench_history has {history_rows} rows, pgbench reports {} transactions",
            committed.transactions
        ));
    }
    if !balances.agree() {
        found.push(format!(
            "the sums of pgbench's four tables differ: {balances:?}"
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::leafengines::Emitted;
    use crate::demo::truth::Balances;
    use crate::workload::Report;
    use std::collections::HashMap;
    use std::time::Duration;

    fn teller(delta: i64) -> Fact {
        Fact::Teller { tid: 1, delta }
    }

    fn receipt(fact: Fact, received: u32, accepted: u32) -> Receipt {
        Receipt {
            fact,
            received,
            accepted,
            accepted_at_micros: (accepted > 0).then_some(1),
        }
    }

    fn entry(committed: &[(Fact, u32)], receipts: &[Receipt]) -> Entry {
        let report = Report {
            transactions: 0,
            failed: 0,
            tps: 0.0,
            latency_average: Duration::ZERO,
        };
        let truth = Truth {
            facts: committed.iter().cloned().collect(),
            committed_at_micros: HashMap::new(),
            history_rows: 0,
            balances: Balances {
                history: 0,
                tellers: 0,
                branches: 0,
                accounts: 0,
            },
            committed: report,
            rolled_back: report,
            emitted: Emitted::default(),
        };
        Entry::new(&SUBSCRIPTIONS[0], Counts::default(), receipts, &truth)
    }

    #[test]
    fn a_change_made_twice_must_arrive_twice_and_a_duplicate_does_not_stand_in_for_it() {
        let committed = [(teller(5), 2)];
        let twice = entry(
            &committed,
            &[receipt(teller(5), 3, 1), receipt(teller(5), 1, 1)],
        );
        assert!(twice.adds_up() && twice.duplicates == 0);
        let once = entry(&committed, &[receipt(teller(5), 2, 2)]);
        assert_eq!((once.lost, once.duplicates), (vec![teller(5)], 1));
    }

    #[test]
    fn what_was_only_refused_is_lost_and_what_was_not_committed_is_named() {
        let entry = entry(
            &[(teller(5), 1)],
            &[receipt(teller(5), 3, 0), receipt(teller(6), 1, 0)],
        );
        assert_eq!(
            (entry.lost, entry.uncommitted),
            (vec![teller(5)], vec![teller(6)])
        );
    }
}
