//! Names of locks as numbers.

use sha2::{Digest, Sha256};

/// The number of a lock. From a digest, so that nobody finds a name of his own for a lock that others wait for.
///
/// ```
/// use herald_core::lock::number_of;
/// assert_eq!(number_of("order 1"), number_of("order 1"));
/// assert_ne!(number_of("order 1") as u32, number_of("order 2") as u32);
/// ```
pub fn number_of(name: &str) -> u64 {
    let digest = Sha256::digest(name.as_bytes());
    digest
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}
