//! The account in words, at most 100 columns wide.

use std::fmt::{self, Write};

use super::account::{Account, Entry};
use super::fact::Fact;
use super::leafengines;
use super::truth::Truth;

/// How many missing facts are named.
const NAMED: usize = 5;

pub fn written(account: &Account, truth: &Truth) -> String {
    let mut text = String::new();
    write(&mut text, account, truth).expect("a String takes every write");
    text
}

fn write(text: &mut String, account: &Account, truth: &Truth) -> fmt::Result {
    writeln!(
        text,
        "\nTHE ACCOUNT. No relation of pg_herald was read for it.\n"
    )?;
    write_committed(text, account, truth)?;
    write_received(text, account)?;
    write_speed(text, account)?;
    write_verdict(text, account)
}

fn write_committed(text: &mut String, account: &Account, truth: &Truth) -> fmt::Result {
    let Truth {
        history_rows,
        committed,
        rolled_back,
        balances,
        emitted,
        ..
    } = truth;
    writeln!(
        text,
        "Committed, by the word of pgbench's tables and of the demo's own list"
    )?;
    writeln!(
        text,
        "{history_rows:>9}  rows of pgbench_history; pgbench reports {} transactions ({:.0}/s, {} failed)",
        committed.transactions, committed.tps, committed.failed
    )?;
    writeln!(
        text,
        "{history_rows:>9}  updates of pgbench_tellers, one for each of these rows"
    )?;
    writeln!(
        text,
        "{:>9}  LeafEngines events of {} emitted; {} of them emitted twice under the same id",
        emitted.committed.len(),
        leafengines::EVENTS,
        emitted.emitted_twice
    )?;
    writeln!(
        text,
        "{:>9}  rolled back and never to be seen: {} pgbench transactions, {} LeafEngines events",
        rolled_back.transactions + emitted.rolled_back,
        rolled_back.transactions,
        emitted.rolled_back
    )?;
    writeln!(
        text,
        "Sum of the balances: history {}, tellers {}, branches {}, accounts {}",
        balances.history, balances.tellers, balances.branches, balances.accounts
    )?;
    if let Some(healthy) = account.entries.first() {
        writeln!(
            text,
            "Sum of what `{}` received: history {}, tellers {}",
            healthy.name, healthy.history_sum, healthy.teller_sum
        )?;
    }
    writeln!(text)
}

fn write_received(text: &mut String, account: &Account) -> fmt::Result {
    writeln!(text, "Received, by the word of the receivers")?;
    writeln!(
        text,
        "{:<9}{:>8} {:>9} {:>6} {:>14} {:>11} {:>8} {:>8} {:>15}",
        "",
        "due",
        "received",
        "lost",
        "not committed",
        "duplicates",
        "retries",
        "requests",
        "bad signatures"
    )?;
    for entry in &account.entries {
        writeln!(
            text,
            "{:<9}{:>8} {:>9} {:>6} {:>14} {:>11} {:>8} {:>8} {:>15}",
            entry.name,
            entry.due,
            entry.counts.accepted,
            entry.lost.len(),
            entry.uncommitted.len(),
            entry.duplicates,
            entry.counts.retries,
            entry.counts.requests,
            entry.counts.invalid_signatures
        )?;
    }
    writeln!(
        text,
        "Retries count what the receivers saw: a closed port sees nothing.\n"
    )
}

fn write_speed(text: &mut String, account: &Account) -> fmt::Result {
    let accepted: u64 = account
        .entries
        .iter()
        .map(|entry| entry.counts.accepted)
        .sum();
    let requests: u64 = account
        .entries
        .iter()
        .map(|entry| entry.counts.requests)
        .sum();
    let seconds = account.delivering_seconds.max(1e-3);
    writeln!(
        text,
        "Speed: {:.0} events/s delivered, {:.0} requests/s, over {seconds:.1} s on {} cores that everything shares",
        accepted as f64 / seconds,
        requests as f64 / seconds,
        std::thread::available_parallelism().map_or(1, usize::from)
    )?;
    for (entry, note) in account
        .entries
        .iter()
        .zip(["", " (after two failures each)"])
    {
        if let [Some(p50), Some(p95), Some(p99)] =
            [0.50, 0.95, 0.99].map(|share| entry.latency_micros(share))
        {
            writeln!(
                text,
                "Commit to receipt at `{}`: p50 {}, p95 {}, p99 {}{note}",
                entry.name,
                milliseconds(p50),
                milliseconds(p95),
                milliseconds(p99)
            )?;
        }
    }
    writeln!(text)
}

fn write_verdict(text: &mut String, account: &Account) -> fmt::Result {
    for entry in &account.entries {
        write_named(text, entry, "was committed and did not arrive", &entry.lost)?;
        write_named(
            text,
            entry,
            "arrived and was not committed",
            &entry.uncommitted,
        )?;
        if entry.counts.invalid_signatures > 0 {
            let count = entry.counts.invalid_signatures;
            writeln!(
                text,
                "MISMATCH at `{}`: {count} requests without a valid signature",
                entry.name
            )?;
        }
    }
    for disagreement in &account.disagreements {
        writeln!(text, "MISMATCH: {disagreement}")?;
    }
    if account.adds_up() {
        writeln!(
            text,
            "IT ADDS UP: lost 0, sent without a commit 0, invalid signatures 0; the dead letter was redelivered."
        )
    } else {
        writeln!(text, "IT DOES NOT ADD UP.")
    }
}

fn write_named(text: &mut String, entry: &Entry, what: &str, facts: &[Fact]) -> fmt::Result {
    for fact in facts.iter().take(NAMED) {
        writeln!(
            text,
            "MISMATCH at `{}`: this {what}:\n    {fact}",
            entry.name
        )?;
    }
    match facts.len().saturating_sub(NAMED) {
        0 => Ok(()),
        more => writeln!(text, "    and {more} more"),
    }
}

fn milliseconds(micros: i64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}
