//! Slices: how much of any long work is done at once, so that nothing else waits for long.

/// The time that a slice may take.
const LONGEST_MICROS: i64 = 2_000;

/// The size of the next slice: smaller after a slice that took too long, larger while full slices are quick.
///
/// ```
/// use herald_dispatch::slices::SliceSize;
///
/// let mut size = SliceSize::new(10, 4, 1_000);
/// size.took(10, 500);
/// assert_eq!(size.get(), 20);
/// size.took(3, 500);
/// assert_eq!(size.get(), 20);
/// size.took(20, 6_000);
/// assert_eq!(size.get(), 5);
/// size.took(5, 8_000);
/// assert_eq!(size.get(), 4);
/// size.took(4, 80_000);
/// assert_eq!(size.get(), 1);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SliceSize {
    size: usize,
    least: usize,
    most: usize,
}

impl SliceSize {
    /// Returns a size from `least` to `most`, starting with `first`. If every transaction takes long, `least` still
    /// gets done; after a slice that took ten times as long as it may, the size may fall to one.
    pub const fn new(first: usize, least: usize, most: usize) -> Self {
        Self {
            size: first,
            least,
            most,
        }
    }

    pub fn get(self) -> usize {
        self.size
    }

    /// Adapts the size to the time that a slice of `count` took.
    pub fn took(&mut self, count: usize, micros: i64) {
        self.took_without_growth(count, micros);
        if count < self.size {
            // This says nothing about a full slice.
        } else if micros < LONGEST_MICROS / 2 {
            self.size = (self.size * 2).min(self.most);
        } else if micros < LONGEST_MICROS / 4 * 3 {
            // A slice of one may already take half of the time.
            self.size = (self.size + self.size / 4 + 1).min(self.most);
        }
    }

    /// Halves the size, after a slice that failed.
    pub fn halve(&mut self) {
        self.size = (self.size / 2).max(1);
    }

    /// Adapts the size in the same way, but never increases it.
    pub fn took_without_growth(&mut self, count: usize, micros: i64) {
        if micros > LONGEST_MICROS {
            // This many would have taken three quarters of the time.
            let fitting = count as i64 * (LONGEST_MICROS / 4 * 3) / micros;
            let is_patient = micros < 10 * LONGEST_MICROS;
            let least = if is_patient { self.least } else { 1 };
            let fitting = usize::try_from(fitting).unwrap_or(0).max(least);
            self.size = self.size.min(fitting);
        }
    }
}

/// How much of the log is read at once: less after a slice that could not be read, until the damaged event is alone.
///
/// ```
/// use herald_dispatch::slices::Extent;
///
/// let mut extent = Extent::Numbers(2);
/// extent = extent.after_failure();
/// assert_eq!(extent, Extent::Numbers(1));
/// extent = extent.after_failure();
/// assert_eq!(extent, Extent::Bare);
/// assert_eq!(extent.after_success(20_000), Extent::Numbers(1));
/// assert_eq!(Extent::Numbers(1).after_success(20_000), Extent::Numbers(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// This many numbers.
    Numbers(i64),
    /// One number, and of its event only what matching needs.
    Bare,
    /// One number, which is passed by: nothing of its event can be read.
    PassedBy,
}

impl Extent {
    /// Returns the extent to try after a slice could not be read.
    pub fn after_failure(self) -> Self {
        match self {
            Self::Numbers(numbers) if numbers > 1 => Self::Numbers(numbers / 2),
            Self::Numbers(_) => Self::Bare,
            Self::Bare | Self::PassedBy => Self::PassedBy,
        }
    }

    /// Returns the extent to read from `number` on. Numbers in `given_up` are listed once for each time that they
    /// killed a worker again: if listed once, a number is read bare, and if more often, it is passed by.
    ///
    /// ```
    /// use herald_dispatch::slices::Extent;
    ///
    /// let all = Extent::Numbers(500);
    /// assert_eq!(all.around(10, [7, 12]), Extent::Numbers(2));
    /// assert_eq!(all.around(12, [7, 12]), Extent::Bare);
    /// assert_eq!(all.around(12, [12, 12]), Extent::PassedBy);
    /// assert_eq!(all.around(13, [7, 12]), Extent::Numbers(500));
    /// ```
    pub fn around(self, number: i64, given_up: impl IntoIterator<Item = i64>) -> Self {
        let (mut deaths, mut up_to) = (0_usize, i64::MAX);
        for given_up in given_up {
            if given_up == number {
                deaths += 1;
            } else if given_up > number {
                up_to = up_to.min(given_up - number);
            }
        }
        match (self, deaths) {
            (Self::PassedBy, _) | (_, 2..) => Self::PassedBy,
            (Self::Bare, _) | (_, 1) => Self::Bare,
            (Self::Numbers(numbers), 0) => Self::Numbers(numbers.min(up_to)),
        }
    }

    /// Returns the extent to try after a slice that was read, at most `most` numbers.
    pub fn after_success(self, most: i64) -> Self {
        match self {
            Self::Numbers(numbers) => Self::Numbers(numbers.saturating_mul(2).min(most)),
            Self::Bare | Self::PassedBy => Self::Numbers(1),
        }
    }
}

/// The kind of damage that a failed read reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamageKind {
    /// A row, or a part of it that is stored elsewhere.
    Row,
    /// An index: the rows may be intact, and it can be rebuilt.
    Index,
    /// The disk: the next read may succeed.
    Disk,
}

/// How long a number has to fail before its event is given up because of a disk fault, and before it is passed by.
const DISK_GRACE_MICROS: i64 = 10_000_000;
const PASS_GRACE_MICROS: i64 = 30_000_000;
/// At most this many numbers in a row are passed by after one of them has failed for that long: as many as a page has
/// rows.
const MOST_IN_A_ROW: u32 = 300;

/// The number that cannot be read, and since when.
#[derive(Debug, Clone, Default)]
pub struct Damage {
    failing: Option<(i64, i64)>,
    passed_by: Option<i64>,
    in_a_row: u32,
}

impl Damage {
    /// Returns the extent for this number: only the number that failed is read bare or passed by.
    ///
    /// ```
    /// use herald_dispatch::slices::{Damage, DamageKind, Extent};
    ///
    /// let mut damage = Damage::default();
    /// assert!(damage.may_go_to(Extent::Bare, 7, DamageKind::Row, 0));
    /// assert_eq!(damage.extent_at(7, Extent::Bare), Extent::Bare);
    /// assert_eq!(damage.extent_at(8, Extent::Bare), Extent::Numbers(1));
    /// ```
    pub fn extent_at(&self, number: i64, extent: Extent) -> Extent {
        let is_failing = self.failing.is_some_and(|(failing, _)| failing == number);
        match extent {
            Extent::Bare | Extent::PassedBy if !is_failing => Extent::Numbers(1),
            extent => extent,
        }
    }

    /// Returns whether this extent may be tried now for the number that failed. An event is tried for a while before it
    /// is passed by.
    pub fn may_go_to(&mut self, extent: Extent, number: i64, kind: DamageKind, now: i64) -> bool {
        if matches!(extent, Extent::Numbers(_)) {
            return true;
        }
        let since = match self.failing {
            Some((failing, since)) if failing == number => since,
            _ => now,
        };
        self.failing = Some((number, since));
        let lasted = now.saturating_sub(since);
        match (extent, kind) {
            (_, DamageKind::Index) => false,
            (Extent::Bare, DamageKind::Disk) => lasted >= DISK_GRACE_MICROS,
            (Extent::Bare, _) => true,
            _ => self.may_pass_by(number, lasted),
        }
    }

    fn may_pass_by(&mut self, number: i64, lasted: i64) -> bool {
        let follows = self.passed_by.is_some_and(|last| last + 1 == number);
        let is_run = follows && self.in_a_row < MOST_IN_A_ROW;
        if !is_run && lasted < PASS_GRACE_MICROS {
            return false;
        }
        self.in_a_row = if is_run { self.in_a_row + 1 } else { 1 };
        self.passed_by = Some(number);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn an_event_is_passed_by_after_it_failed_for_a_while_and_what_follows_it_at_once() {
        let mut damage = Damage::default();
        let mut pass = |number, at| damage.may_go_to(Extent::PassedBy, number, DamageKind::Row, at);
        assert!(!pass(7, 0));
        assert!(!pass(7, 29 * SECOND));
        assert!(pass(7, 30 * SECOND));
        assert!((8..7 + i64::from(MOST_IN_A_ROW)).all(|number| pass(number, 30 * SECOND)));
        assert!(!pass(7 + i64::from(MOST_IN_A_ROW), 30 * SECOND));
        assert!(!pass(1_000, 30 * SECOND));
    }

    #[test]
    fn a_damaged_index_or_a_moment_of_the_disk_costs_no_event() {
        let mut damage = Damage::default();
        for extent in [Extent::Bare, Extent::PassedBy] {
            assert!(!damage.may_go_to(extent, 7, DamageKind::Index, 3_600 * SECOND));
        }
        let mut damage = Damage::default();
        assert!(!damage.may_go_to(Extent::Bare, 7, DamageKind::Disk, 0));
        assert!(damage.may_go_to(Extent::Bare, 7, DamageKind::Disk, 10 * SECOND));
    }

    /// Reads a log of numbers up to `last`, some of them damaged. Returns those that were read, read bare, and passed
    /// by.
    fn read(last: i64, damaged: &[i64], unreadable: &[i64]) -> (Vec<i64>, Vec<i64>, Vec<i64>) {
        let (mut extent, mut read_to, mut tries) = (Extent::Numbers(64), 0, 0);
        let mut found = (Vec::new(), Vec::new(), Vec::new());
        while read_to < last {
            tries += 1;
            assert!(tries < 1_000, "it does not come to its end");
            let up_to = match extent {
                Extent::Numbers(numbers) => last.min(read_to + numbers),
                _ => read_to + 1,
            };
            let mut slice = read_to + 1..=up_to;
            let fails = match extent {
                Extent::Numbers(_) => {
                    slice.any(|number| damaged.contains(&number) || unreadable.contains(&number))
                }
                Extent::Bare => unreadable.contains(&up_to),
                Extent::PassedBy => false,
            };
            if fails {
                extent = extent.after_failure();
                continue;
            }
            match extent {
                Extent::Numbers(_) => found.0.extend(read_to + 1..=up_to),
                Extent::Bare => found.1.push(up_to),
                Extent::PassedBy => found.2.push(up_to),
            }
            (read_to, extent) = (up_to, extent.after_success(64));
        }
        found
    }

    #[test]
    fn damage_costs_what_is_damaged_and_nothing_else() {
        for (damaged, unreadable) in [
            (vec![], vec![]),
            (vec![1], vec![]),
            (vec![100], vec![]),
            (vec![17, 18, 90], vec![50]),
            ((1..=100).collect(), vec![]),
        ] {
            let (whole, bare, passed_by) = read(100, &damaged, &unreadable);
            let healthy: Vec<i64> = (1..=100)
                .filter(|number| !damaged.contains(number) && !unreadable.contains(number))
                .collect();
            assert_eq!((whole, bare, passed_by), (healthy, damaged, unreadable));
        }
    }

    /// Returns the sizes of ten slices whose rows take this long each.
    fn sizes(micros_a_row: i64) -> Vec<usize> {
        let mut size = SliceSize::new(10, 1, 1_000);
        let step = |_| {
            size.took(size.get(), micros_a_row * size.get() as i64);
            size.get()
        };
        (0..10).map(step).collect()
    }

    #[test]
    fn slices_grow_until_they_take_half_of_what_they_may() {
        assert_eq!(sizes(20).last(), Some(&80));
        assert_eq!(sizes(1).last(), Some(&1_000));
    }

    #[test]
    fn slices_grow_although_each_takes_half_of_what_it_may() {
        let mut size = SliceSize::new(1, 1, 1_000);
        for _ in 0..20 {
            size.took(size.get(), 1_100 + 20 * size.get() as i64);
        }
        assert!((15..=30).contains(&size.get()), "{}", size.get());
    }

    #[test]
    fn slow_rows_come_a_few_at_a_time() {
        assert_eq!(sizes(1_000).last(), Some(&2));
    }
}
