//! The file that says what the worker was working on when it died, for the next worker.

use std::collections::BTreeMap;

use herald_dispatch::deaths::{Life, Place};

/// The file, and how many workers each delivery killed.
#[derive(Debug, Default)]
pub struct File {
    pub life: Life,
    pub killed: BTreeMap<Place, u32>,
    /// At how many deaths each delivery was under way.
    pub was_at: BTreeMap<Place, u32>,
}
