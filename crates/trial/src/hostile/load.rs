//! How busy the machine and the worker are: without a free processor everybody is slow, whatever the worker does.

use std::fs;
use std::thread;
use std::time::Duration;

use super::stage::Stage;

const EVERY: Duration = Duration::from_millis(100);
/// In percent of the processors' time. Above it, actors delay their next attack.
const BUSY_PERCENT: u64 = 75;

/// Clock ticks: all of them, those used, and those used by the worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) all: u64,
    pub(super) busy: u64,
    pub(super) worker: u64,
}

impl Load {
    pub(super) fn now(worker: i32) -> Self {
        let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
        let process = fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
        let (all, idle) = machine_ticks(&machine);
        Self {
            all,
            busy: all - idle,
            worker: process_ticks(&process),
        }
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        Self {
            all: self.all.saturating_sub(earlier.all),
            busy: self.busy.saturating_sub(earlier.busy),
            worker: self.worker.saturating_sub(earlier.worker),
        }
    }

    pub(super) fn busy_percent(self) -> u64 {
        100 * self.busy / self.all.max(1)
    }

    pub(super) fn worker_percent(self) -> u64 {
        100 * self.worker / self.all.max(1)
    }
}

/// Updates `is_busy` until the play is over, and returns the load meanwhile.
pub(super) fn play(stage: &Stage<'_>, worker: i32) -> Load {
    let first = Load::now(worker);
    let mut last = first;
    while !stage.is_over() {
        thread::sleep(EVERY);
        let now = Load::now(worker);
        let is_busy = now.since(last).busy_percent() > BUSY_PERCENT;
        stage.note_busy(is_busy);
        last = now;
    }
    last.since(first)
}

/// Returns all ticks and the idle ticks, from the first line of /proc/stat.
fn machine_ticks(stat: &str) -> (u64, u64) {
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        // Earlier columns include the time of guests.
        .take(8)
        .filter_map(|number| number.parse().ok())
        .collect();
    let idle = ticks.iter().skip(3).take(2).sum();
    (ticks.iter().sum(), idle)
}

/// Returns what a process and its threads used, in user mode and in the kernel.
fn process_ticks(stat: &str) -> u64 {
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let numbers = after_name.split_whitespace().skip(11).take(2);
    numbers
        .filter_map(|number| number.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_as_the_kernel_writes_them() {
        let stat = "cpu  10 1 20 100 5 0 4 2 7 0\ncpu0 1 2 3\n";
        assert_eq!(machine_ticks(stat), (142, 105));
        let stat = "77 (pg (x) 1) S 1 77 77 0 -1 4194304 100 0 0 0 12 30 0 0 20";
        assert_eq!(process_ticks(stat), 42);
    }
}
