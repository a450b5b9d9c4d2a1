//! Database snapshots: which transactions each one shows.
//!
//! A window is the difference of two snapshots. This module knows only their text form, as written by `pg_snapshot`.

use std::fmt;
use std::str::FromStr;

/// The transactions that had ended when the snapshot was taken.
///
/// ```
/// use herald_core::snapshot::Snapshot;
///
/// let snapshot: Snapshot = "10:20:12,15".parse().unwrap();
/// assert!(snapshot.shows(9) && snapshot.shows(13));
/// assert!(!snapshot.shows(12) && !snapshot.shows(20));
/// assert_eq!(snapshot.to_string(), "10:20:12,15");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    xmin: u64,
    xmax: u64,
    running: Vec<u64>,
}

/// The text is not a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotASnapshot;

impl Snapshot {
    /// Returns the snapshot that shows no transaction.
    pub fn before_everything() -> Self {
        Self {
            xmin: 1,
            xmax: 1,
            running: Vec::new(),
        }
    }

    /// Returns the lowest transaction id that had not ended; all lower ones had.
    pub fn xmin(&self) -> u64 {
        self.xmin
    }

    /// Returns the highest transaction id that had ended, plus one. Transactions from there on may have been running.
    pub fn xmax(&self) -> u64 {
        self.xmax
    }

    /// Returns the transactions that were running, in ascending order.
    pub fn running(&self) -> &[u64] {
        &self.running
    }

    /// Returns whether the transaction had ended when the snapshot was taken. An aborted one counts as well: it left no
    /// rows.
    pub fn shows(&self, xid: u64) -> bool {
        xid < self.xmin || xid < self.xmax && self.running.binary_search(&xid).is_err()
    }

    /// Returns the transactions that were running here and had ended in `later`.
    pub fn ended_in<'a>(&'a self, later: &'a Snapshot) -> impl Iterator<Item = u64> + 'a {
        self.running.iter().copied().filter(|xid| later.shows(*xid))
    }

    /// Returns whether `later` shows everything that this snapshot shows, as any later snapshot of the same cluster
    /// does. False means that transaction ids went backwards: a restore.
    pub fn precedes(&self, later: &Snapshot) -> bool {
        self.xmax <= later.xmax && self.xmin <= later.xmin
    }
}

impl FromStr for Snapshot {
    type Err = NotASnapshot;

    fn from_str(text: &str) -> Result<Self, NotASnapshot> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(NotASnapshot);
        let number = |text: &str| text.parse::<u64>().map_err(|_| NotASnapshot);
        let (xmin, xmax) = (number(next()?)?, number(next()?)?);
        let mut running = next()?
            .split(',')
            .filter(|xid| !xid.is_empty())
            .map(number)
            .collect::<Result<Vec<_>, _>>()?;
        running.sort_unstable();
        running.dedup();
        let is_between = |xid: &u64| (xmin..xmax).contains(xid);
        if xmin > xmax || !running.iter().all(is_between) {
            return Err(NotASnapshot);
        }
        Ok(Self {
            xmin,
            xmax,
            running,
        })
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:", self.xmin, self.xmax)?;
        for (position, xid) in self.running.iter().enumerate() {
            write!(f, "{}{xid}", if position > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    #[test]
    fn what_ended_between_two_snapshots_is_listed() {
        let ended: Vec<u64> = snapshot("10:20:10,12,15")
            .ended_in(&snapshot("12:30:12,22"))
            .collect();
        assert_eq!(ended, [10, 15]);
    }

    #[test]
    fn a_snapshot_of_another_cluster_does_not_follow() {
        assert!(snapshot("10:20:").precedes(&snapshot("20:20:")));
        assert!(!snapshot("1000:1000:").precedes(&snapshot("20:30:")));
    }

    #[test]
    fn garbage_is_refused() {
        for text in [
            "", "1", "1:2", "a:b:c", "1:2:x", "-1:2:", "20:10:", "10:20:9", "10:20:20",
        ] {
            assert_eq!(text.parse::<Snapshot>(), Err(NotASnapshot), "{text}");
        }
    }
}
