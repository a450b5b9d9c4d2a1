//! The open windows: which have deliveries that are not recorded yet, and which are done.

use super::work::Origin;
use crate::log::read::window_slot;
use crate::record::{Closed, Record};
use std::collections::{BTreeMap, HashMap};

/// The windows whose deliveries are in memory.
#[derive(Debug, Default)]
pub struct Windows {
    open: BTreeMap<i64, Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Deliveries that are not recorded.
    outstanding: usize,
    is_read: bool,
}

impl Windows {
    /// Deliveries of this window came into memory.
    pub fn add(&mut self, number: i64, deliveries: usize) {
        self.open.entry(number).or_default().outstanding += deliveries;
    }

    /// All of the window's events have been read.
    pub fn mark_read(&mut self, number: i64) {
        self.open.entry(number).or_default().is_read = true;
    }

    /// A delivery of this window is recorded: it came to its end, or to a row in pending.
    pub fn settle(&mut self, number: i64) {
        if let Some(progress) = self.open.get_mut(&number) {
            progress.outstanding = progress.outstanding.saturating_sub(1);
        }
    }

    /// The windows of which nothing is outstanding once these records are written.
    pub fn closable(&self, records: &[Record]) -> Vec<Closed> {
        let mut settled: HashMap<i64, usize> = HashMap::new();
        for record in records {
            if let Origin::Window(number) = record.work.origin {
                *settled.entry(number).or_default() += 1;
            }
        }
        self.open
            .iter()
            .filter(|(number, progress)| {
                progress.is_read
                    && progress.outstanding <= settled.get(number).copied().unwrap_or(0)
            })
            .map(|(number, _)| (*number, window_slot(*number)))
            .collect()
    }

    /// Whether a window is done and not recorded as closed.
    pub fn any_closable(&self) -> bool {
        self.open
            .values()
            .any(|progress| progress.is_read && progress.outstanding == 0)
    }

    /// These windows are recorded as closed.
    pub fn forget(&mut self, closed: &[Closed]) {
        for (number, _) in closed {
            self.open.remove(number);
        }
    }
}
