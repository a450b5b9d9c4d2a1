//! Lanes that wait for something that others use up too, in the order in which they came: the last to be served is the last
//! to be served again.

use std::collections::BTreeMap;

/// Lanes, each once.
#[derive(Debug, Default)]
pub struct Waiting {
    by_arrival: BTreeMap<u64, i64>,
    arrivals: BTreeMap<i64, u64>,
    last: u64,
}

impl Waiting {
    /// Adds a lane at the end, unless it waits already.
    pub fn add(&mut self, lane: i64) {
        if !self.arrivals.contains_key(&lane) {
            self.last += 1;
            self.arrivals.insert(lane, self.last);
            self.by_arrival.insert(self.last, lane);
        }
    }

    /// Takes all lanes, in order of arrival.
    pub fn take_all(&mut self) -> Vec<i64> {
        self.arrivals.clear();
        std::mem::take(&mut self.by_arrival).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_leave_in_the_order_in_which_they_came() {
        let mut waiting = Waiting::default();
        for lane in [3, 1, 2, 3] {
            waiting.add(lane);
        }
        assert_eq!(waiting.take_all(), [3, 1, 2]);
        assert!(waiting.take_all().is_empty());
    }
}
