//! How much long work does at once, so that nothing else waits for long.

/// What a slice may take.
const LONGEST_MICROS: i64 = 5_000;

/// The size of the next slice: smaller after one that took too long, larger while they are quick.
///
/// ```
/// use herald_core::slices::SliceSize;
///
/// let mut size = SliceSize::new(10, 1_000);
/// assert_eq!(size.get(), 10);
/// size.took(1_000);
/// assert_eq!(size.get(), 20);
/// size.took(80_000);
/// assert_eq!(size.get(), 10);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct SliceSize {
    size: usize,
    least: usize,
    most: usize,
}

impl SliceSize {
    /// Slices of `least` to `most`, small at first.
    pub const fn new(least: usize, most: usize) -> Self {
        Self {
            size: least,
            least,
            most,
        }
    }

    pub fn get(self) -> usize {
        self.size
    }

    /// Goes by what a slice of this size took.
    pub fn took(&mut self, micros: i64) {
        if micros > LONGEST_MICROS {
            self.size = (self.size / 2).max(self.least);
        } else if micros < LONGEST_MICROS / 2 {
            self.size = (self.size * 2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of ten slices of which each row takes so long.
    fn sizes(micros_a_row: i64) -> Vec<usize> {
        let mut size = SliceSize::new(10, 1_000);
        let step = |_| {
            size.took(micros_a_row * size.get() as i64);
            size.get()
        };
        (0..10).map(step).collect()
    }

    #[test]
    fn slices_grow_until_they_take_half_of_what_they_may() {
        assert_eq!(sizes(20).last(), Some(&160));
        assert_eq!(sizes(1).last(), Some(&1_000));
    }

    #[test]
    fn slow_rows_come_a_few_at_a_time() {
        assert_eq!(sizes(1_000).last(), Some(&10));
    }
}
