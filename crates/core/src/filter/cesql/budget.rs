//! The memory and the time that one evaluation may take.
//!
//! Users write expressions, and all subscriptions share the worker that evaluates them for each event.

use super::error::EvaluationError;

/// The maximum size of all strings that functions build in one evaluation, in bytes.
pub const MAX_BUILT_BYTES: usize = 1 << 20;

/// The maximum number of characters that LIKE compares in one evaluation: some milliseconds of work.
pub const MAX_COMPARED: usize = 4 << 20;

/// What is left for an evaluation.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: usize,
    characters: usize,
    /// The parts of the expression that were evaluated.
    parts: usize,
}

impl Budget {
    pub fn new() -> Budget {
        Budget {
            bytes: MAX_BUILT_BYTES,
            characters: MAX_COMPARED,
            parts: 0,
        }
    }

    /// Counts a part of the expression.
    pub fn count_part(&mut self) {
        self.parts += 1;
    }

    /// Returns about how many comparisons of short values would have taken as long.
    pub fn work(&self) -> usize {
        let (built, compared) = (MAX_BUILT_BYTES - self.bytes, MAX_COMPARED - self.characters);
        self.parts + built / 16 + compared / 4
    }

    /// Allows a function to build this many bytes.
    pub fn build(&mut self, bytes: usize) -> Result<(), EvaluationError<'static>> {
        let left = self.bytes.checked_sub(bytes);
        self.bytes = left.ok_or(EvaluationError::TooLarge {
            limit: MAX_BUILT_BYTES,
        })?;
        Ok(())
    }

    /// Allows LIKE to compare a character.
    pub fn compare(&mut self) -> Result<(), EvaluationError<'static>> {
        let left = self.characters.checked_sub(1);
        self.characters = left.ok_or(EvaluationError::TooLong {
            limit: MAX_COMPARED,
        })?;
        Ok(())
    }
}
