//! The open windows: which have deliveries under way, and which are done.

use crate::log::read::window_slot;
use std::collections::BTreeMap;

/// The windows whose deliveries are in memory.
#[derive(Debug, Default)]
pub struct Windows {
    open: BTreeMap<i64, Progress>,
}

#[derive(Debug, Default)]
struct Progress {
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

    /// A delivery of this window has come to its end, or to a row in pending, in the batch that is being recorded.
    pub fn settle(&mut self, number: i64) {
        if let Some(progress) = self.open.get_mut(&number) {
            progress.outstanding = progress.outstanding.saturating_sub(1);
        }
    }

    /// The windows of which nothing is outstanding once the current batch is recorded: (number, slot).
    pub fn closable(&self) -> Vec<(i64, i16)> {
        self.open
            .iter()
            .filter(|(_, progress)| progress.is_read && progress.outstanding == 0)
            .map(|(number, _)| (*number, window_slot(*number)))
            .collect()
    }

    /// These windows are recorded as closed.
    pub fn forget(&mut self, closed: &[(i64, i16)]) {
        for (number, _) in closed {
            self.open.remove(number);
        }
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }
}
