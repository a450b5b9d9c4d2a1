//! The open windows: which still have unrecorded deliveries, and which are done.

use std::collections::BTreeMap;

use crate::log::window_slot;
use crate::record::{Closed, Record};
use crate::work::Origin;

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
    /// Counts deliveries of this window that came into memory.
    pub fn add(&mut self, number: i64, deliveries: usize) {
        self.open.entry(number).or_default().outstanding += deliveries;
    }

    /// Notes that all of the window's events have been read.
    pub fn mark_read(&mut self, number: i64) {
        self.open.entry(number).or_default().is_read = true;
    }

    /// Counts a recorded delivery of this window: it has ended, or has a row in pending.
    pub fn settle(&mut self, number: i64) {
        if let Some(progress) = self.open.get_mut(&number) {
            progress.outstanding = progress.outstanding.saturating_sub(1);
        }
    }

    /// Returns the windows that are done once these records are written.
    pub fn closable(&self, records: &[Record]) -> Vec<Closed> {
        let mut settled: BTreeMap<i64, usize> = BTreeMap::new();
        for record in records {
            if let Origin::Window(number) = record.delivery.origin {
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

    /// Returns whether a window is done but not recorded as closed.
    pub fn any_closable(&self) -> bool {
        self.open
            .values()
            .any(|progress| progress.is_read && progress.outstanding == 0)
    }

    /// Forgets windows that are recorded as closed.
    pub fn forget(&mut self, closed: &[Closed]) {
        for (number, _) in closed {
            self.open.remove(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::End;
    use crate::testing::{delivery, pending};

    fn of_window(number: i64) -> Record {
        let mut delivery = delivery(1, 1);
        delivery.origin = Origin::Window(number);
        Record::unattempted(delivery, End::Delivered)
    }

    #[test]
    fn a_window_is_closed_with_the_record_of_its_last_delivery() {
        let mut windows = Windows::default();
        windows.add(7, 2);
        windows.mark_read(7);
        assert!(windows.closable(&[of_window(7)]).is_empty());
        assert!(windows.closable(&[of_window(8), pending()]).is_empty());
        assert_eq!(windows.closable(&[of_window(7), of_window(7)]), [(7, 0)]);
        windows.settle(7);
        assert!(!windows.any_closable());
        assert_eq!(windows.closable(&[of_window(7)]), [(7, 0)]);
    }

    #[test]
    fn a_window_that_is_not_read_to_its_end_stays_open() {
        let mut windows = Windows::default();
        windows.add(7, 1);
        windows.settle(7);
        assert!(!windows.any_closable() && windows.closable(&[]).is_empty());
        windows.mark_read(7);
        assert!(windows.any_closable());
        windows.forget(&[(7, 0)]);
        assert!(!windows.any_closable());
    }
}
