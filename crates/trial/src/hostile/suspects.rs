//! What the slowest deliveries have in common: the attacks and the worker's waits that were under way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::played::Span;
use super::steps::STEP;

/// Slow deliveries closer together than this waited for the same thing.
const SAME_STALL_MICROS: i64 = 500_000;

/// A time at which many deliveries waited.
#[derive(Debug, Clone, Default)]
pub struct Stall {
    pub began_at: i64,
    pub deliveries: usize,
    pub longest_micros: i64,
    /// What was under way when the first of them was committed or while it waited.
    pub beside: BTreeSet<String>,
    /// The worker's long steps meanwhile, in milliseconds, in order.
    pub steps: Vec<String>,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.steps.join(", ");
        let beside: Vec<&str> = self.beside.iter().map(String::as_str).collect();
        write!(
            f,
            "{} of the slowest waited {} ms at most, from {}.{:06} on; the worker: {steps}; beside: {}",
            self.deliveries,
            self.longest_micros / 1_000,
            self.began_at / 1_000_000,
            self.began_at % 1_000_000,
            beside.join("; ")
        )
    }
}

/// Returns when the slowest hundredth waited, the longest first.
pub(super) fn stalls(latencies: &[(i64, i64)], spans: &[Span]) -> Vec<Stall> {
    let mut slowest = latencies[latencies.len() - latencies.len().div_ceil(100)..].to_vec();
    slowest.sort_unstable();
    let mut stalls: Vec<Stall> = Vec::new();
    let mut last_at = 0;
    for (at, took) in slowest {
        if stalls.is_empty() || at - last_at > SAME_STALL_MICROS {
            let its = spans
                .iter()
                .filter(|span| span.began_at <= at + took && at <= span.ended_at);
            let (steps, beside): (Vec<&Span>, Vec<&Span>) =
                its.partition(|span| span.name.starts_with(STEP));
            stalls.push(Stall {
                began_at: at,
                beside: beside.iter().map(|span| span.name.clone()).collect(),
                steps: steps.iter().map(|span| step_words(span)).collect(),
                ..Stall::default()
            });
        }
        last_at = at;
        if let Some(stall) = stalls.last_mut() {
            stall.deliveries += 1;
            stall.longest_micros = stall.longest_micros.max(took);
        }
    }
    stalls.sort_by_key(|stall| -stall.longest_micros);
    stalls
}

fn step_words(span: &Span) -> String {
    let name = span
        .name
        .trim_start_matches(STEP)
        .trim_end_matches(" for long");
    let (running, queueing) = span.processor.unwrap_or_default();
    format!(
        "{name} {} ({} running, {} queueing)",
        (span.ended_at - span.began_at) / 1_000,
        running / 1_000,
        queueing / 1_000
    )
}

/// Returns how many times as often each attack ran beside the slowest hundredth as beside all deliveries.
pub(super) fn suspects(latencies: &[(i64, i64)], spans: &[Span]) -> Vec<(f64, String)> {
    let slowest = &latencies[latencies.len() - latencies.len().div_ceil(100)..];
    let mut times: BTreeMap<&str, Vec<(i64, i64)>> = BTreeMap::new();
    for span in spans {
        let its = times.entry(&span.name).or_default();
        its.push((span.began_at, span.ended_at));
    }
    let mut suspects: Vec<(f64, String)> = times
        .into_iter()
        .map(|(name, times)| {
            let times = Times::new(times);
            let often = times.share_of(slowest) / times.share_of(latencies).max(1e-3);
            (often, name.to_owned())
        })
        .collect();
    suspects.sort_by(|left, right| right.0.total_cmp(&left.0));
    suspects
}

/// When an attack was under way, perhaps by several actors: an hour has a hundred thousand of these spans.
struct Times {
    /// Sorted by beginning.
    sorted: Vec<(i64, i64)>,
    /// For each span, the latest end of it and those before.
    ended_by: Vec<i64>,
}

impl Times {
    fn new(mut sorted: Vec<(i64, i64)>) -> Self {
        sorted.sort_unstable();
        let latest = sorted.iter().scan(i64::MIN, |latest, (_, ended_at)| {
            *latest = (*latest).max(*ended_at);
            Some(*latest)
        });
        let ended_by = latest.collect();
        Self { sorted, ended_by }
    }

    /// Returns the share of the deliveries during which it was under way.
    fn share_of(&self, latencies: &[(i64, i64)]) -> f64 {
        let is_beside = |(at, took): &&(i64, i64)| {
            let began = self
                .sorted
                .partition_point(|(began_at, _)| *began_at <= at + took);
            began > 0 && self.ended_by[began - 1] >= *at
        };
        latencies.iter().filter(is_beside).count() as f64 / latencies.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str, began_at: i64, ended_at: i64) -> Span {
        Span {
            name: name.to_owned(),
            began_at,
            ended_at,
            processor: None,
        }
    }

    #[test]
    fn an_attack_beside_the_slowest_only_is_the_first_suspect() {
        let mut latencies: Vec<(i64, i64)> = (0..99).map(|n| (n * 10_000, 100)).collect();
        latencies.push((400_000, 90_000));
        let spans = [span("always", 0, 1_000_000), span("once", 401_000, 402_000)];
        assert_eq!(suspects(&latencies, &spans)[0].1, "once");
        let stalls = stalls(&latencies, &spans);
        assert_eq!((stalls.len(), stalls[0].deliveries), (1, 1));
        assert_eq!(stalls[0].longest_micros, 90_000);
        assert!(stalls[0].beside.contains("once"));
    }
}
