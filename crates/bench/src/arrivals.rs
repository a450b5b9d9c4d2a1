//! Arrival times of the events sent.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use herald_trial::{Error, Result, within};

use crate::sink::Observer;

/// Precedes an event's number in the data that the benchmarks send.
pub const NUMBER: &[u8] = b"\"number\":";

/// Arrivals and latencies of events numbered below a bound.
#[derive(Debug)]
pub struct Arrivals {
    began_at: Instant,
    /// Nanoseconds from `began_at`, by number; 0 if not sent.
    sent_at: Vec<AtomicU64>,
    count: AtomicUsize,
    first_at: AtomicU64,
    last_at: AtomicU64,
    took: Mutex<Vec<Duration>>,
}

impl Arrivals {
    /// Times the events numbered 0 to `numbers` - 1; only counts others.
    pub fn new(numbers: usize) -> Arc<Self> {
        Arc::new(Self {
            began_at: Instant::now(),
            sent_at: (0..numbers).map(|_| AtomicU64::new(0)).collect(),
            count: AtomicUsize::new(0),
            first_at: AtomicU64::new(u64::MAX),
            last_at: AtomicU64::new(0),
            took: Mutex::new(Vec::with_capacity(numbers)),
        })
    }

    pub fn observer(self: &Arc<Self>) -> Observer {
        let arrivals = Arc::clone(self);
        Arc::new(move |body| arrivals.note(body))
    }

    /// Records that these numbers are sent now.
    pub fn send_off(&self, numbers: std::ops::Range<usize>) {
        let now = self.nanos();
        for sent_at in self.sent_at.get(numbers).unwrap_or_default() {
            sent_at.store(now, Ordering::Relaxed);
        }
    }

    /// Counts an arrival of unknown number.
    pub fn note_one(&self) {
        self.note(&[]);
    }

    /// Restarts the count.
    pub fn forget(&self) {
        self.count.store(0, Ordering::Release);
        self.first_at.store(u64::MAX, Ordering::Relaxed);
        self.last_at.store(0, Ordering::Relaxed);
    }

    fn note(&self, body: &[u8]) {
        let now = self.nanos();
        self.first_at.fetch_min(now, Ordering::Relaxed);
        self.last_at.fetch_max(now, Ordering::Relaxed);
        if !self.sent_at.is_empty()
            && let Some(sent_at) = number_in(body).and_then(|number| self.sent_at.get(number))
        {
            let took = now.saturating_sub(sent_at.load(Ordering::Relaxed));
            self.took
                .lock()
                .expect("nobody panics with it")
                .push(Duration::from_nanos(took));
        }
        self.count.fetch_add(1, Ordering::Release);
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.began_at.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits for `count` arrivals; fails after `deadline`.
    pub fn wait_for(&self, count: usize, deadline: Duration) -> Result<()> {
        within(deadline, || (self.count() >= count).then_some(())).ok_or_else(|| {
            Error::Setup(format!(
                "{} of {count} events arrived within {deadline:?}",
                self.count()
            ))
        })
    }

    /// Returns arrivals per second, from the first to the last.
    pub fn per_second(&self) -> f64 {
        let nanos = self
            .last_at
            .load(Ordering::Relaxed)
            .saturating_sub(self.first_at.load(Ordering::Relaxed));
        (self.count().saturating_sub(1)) as f64 / Duration::from_nanos(nanos.max(1)).as_secs_f64()
    }

    /// Returns the latencies of the events sent, in milliseconds, sorted.
    pub fn latencies(&self) -> Vec<f64> {
        let took = self.took.lock().expect("nobody panics with it");
        let mut millis: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e3).collect();
        millis.sort_by(f64::total_cmp);
        millis
    }
}

fn number_in(body: &[u8]) -> Option<usize> {
    let at = body
        .windows(NUMBER.len())
        .position(|window| window == NUMBER)?;
    let digits = &body[at + NUMBER.len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_off_is_timed_and_the_rest_is_counted() {
        let arrivals = Arrivals::new(2);
        arrivals.send_off(0..2);
        let observer = arrivals.observer();
        observer(br#"{"number":1,"x":2}"#);
        observer(br#"{"number":7}"#);
        observer(b"{}");
        assert_eq!((arrivals.count(), arrivals.latencies().len()), (3, 1));
    }
}
