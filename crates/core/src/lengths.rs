//! The lengths of many texts, so that a table of them is asked once for each length.

use std::collections::BTreeMap;

/// Lengths, each as often as it was added.
///
/// ```
/// use herald_core::lengths::Lengths;
///
/// let mut lengths = Lengths::default();
/// for length in [3, 1, 3, 8] {
///     lengths.insert(length);
/// }
/// lengths.remove(1);
/// lengths.remove(3);
/// assert_eq!(lengths.up_to(7).collect::<Vec<_>>(), [3]);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Lengths(BTreeMap<usize, usize>);

impl Lengths {
    pub fn insert(&mut self, length: usize) {
        *self.0.entry(length).or_default() += 1;
    }

    pub fn remove(&mut self, length: usize) {
        if let Some(count) = self.0.get_mut(&length) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&length);
            }
        }
    }

    /// Returns the lengths up to this one, each once, in ascending order.
    pub fn up_to(&self, longest: usize) -> impl Iterator<Item = usize> {
        self.0.range(..=longest).map(|(length, _)| *length)
    }
}
