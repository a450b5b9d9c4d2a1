//! Numbers for the names of locks.

use sha2::{Digest, Sha256};

/// Returns the number of a lock, from a digest: nobody can find a second name for a lock that others wait for.
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
