//! Ranges of numbers, and those that a number is in.

/// A block with more ranges is split.
const MOST_IN_A_BLOCK: usize = 128;

/// Ranges in ascending order of their lower ends, in blocks that are passed by as a whole if all their upper ends are
/// too low.
#[derive(Debug, Clone, Default)]
pub struct Ranges {
    blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
struct Block {
    entries: Vec<Entry>,
    highest: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Entry {
    low: f64,
    high: f64,
    index: usize,
}

impl Block {
    fn new(entries: Vec<Entry>) -> Block {
        let highest = entries.iter().map(|entry| entry.high);
        Block {
            highest: highest.fold(f64::NEG_INFINITY, f64::max),
            entries,
        }
    }

    fn low(&self) -> f64 {
        self.entries
            .first()
            .map_or(f64::INFINITY, |entry| entry.low)
    }
}

impl Ranges {
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.entries.len()).sum()
    }

    /// Adds a range, both of whose ends are in it.
    pub fn insert(&mut self, (low, high): (f64, f64), index: usize) {
        let entry = Entry { low, high, index };
        let at = self.blocks.partition_point(|block| block.low() <= low);
        let Some(block) = self.blocks.get_mut(at.saturating_sub(1)) else {
            self.blocks.push(Block::new(vec![entry]));
            return;
        };
        let place = block.entries.partition_point(|other| other.low <= low);
        block.entries.insert(place, entry);
        block.highest = block.highest.max(high);
        if block.entries.len() > MOST_IN_A_BLOCK {
            let upper = block.entries.split_off(MOST_IN_A_BLOCK / 2);
            *block = Block::new(std::mem::take(&mut block.entries));
            self.blocks.insert(at.max(1), Block::new(upper));
        }
    }

    /// Removes a range, given as it was added.
    pub fn remove(&mut self, (low, high): (f64, f64), index: usize) {
        let entry = Entry { low, high, index };
        let found = self.blocks.iter().enumerate().find_map(|(at, block)| {
            let place = block.entries.iter().position(|other| *other == entry)?;
            Some((at, place))
        });
        let Some((at, place)) = found else {
            return;
        };
        let mut entries = std::mem::take(&mut self.blocks[at].entries);
        entries.remove(place);
        if entries.is_empty() {
            self.blocks.remove(at);
        } else {
            self.blocks[at] = Block::new(entries);
        }
    }

    /// Adds the indexes of the ranges that this range of numbers touches.
    pub fn propose(&self, (low, high): (f64, f64), proposed: &mut Vec<usize>) {
        let blocks = self.blocks.iter().take_while(|block| block.low() <= high);
        for block in blocks.filter(|block| block.highest >= low) {
            let below = block.entries.iter().take_while(|entry| entry.low <= high);
            let around = below.filter(|entry| entry.high >= low);
            proposed.extend(around.map(|entry| entry.index));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_finds_the_ranges_that_it_is_in(
            ranges in proptest::collection::vec((-20_i32..20, 0_i32..20, any::<bool>()), 0..600),
            number in -30_i32..50,
        ) {
            let (mut all, mut kept) = (Ranges::default(), Vec::new());
            let ends = |low: i32, width: i32| (f64::from(low), f64::from(low + width));
            for (index, (low, width, _)) in ranges.iter().enumerate() {
                all.insert(ends(*low, *width), index);
            }
            for (index, (low, width, is_kept)) in ranges.iter().enumerate() {
                if !is_kept {
                    all.remove(ends(*low, *width), index);
                } else if (*low..=low + width).contains(&number) {
                    kept.push(index);
                }
            }
            let mut proposed = Vec::new();
            all.propose((f64::from(number), f64::from(number)), &mut proposed);
            proposed.sort_unstable();
            prop_assert_eq!(proposed, kept);
        }
    }
}
