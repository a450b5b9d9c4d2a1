//! A hash for choices that every server makes alike, and makes alike again.

use sha2::{Digest, Sha256};

/// Returns the hash of these texts, in this order. None of them has a NUL, which no text of PostgreSQL has.
pub(crate) fn hash(texts: &[&str]) -> u64 {
    let mut digest = Sha256::new();
    for (place, text) in texts.iter().enumerate() {
        if place > 0 {
            digest.update([0]);
        }
        digest.update(text);
    }
    let digest = digest.finalize();
    let (beginning, _) = digest.split_first_chunk().expect("a digest has 32 bytes");
    u64::from_be_bytes(*beginning)
}
