//! What every signature needs: a key that is ready to hash a message, and an id that cannot be misread in it.

use ::hmac::{KeyInit, Mac};

/// Returns the HMAC with a key, ready for a message.
pub(super) fn keyed<M: Mac + KeyInit>(key: &[u8]) -> M {
    <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// Returns whether the signed text is unambiguous with this id, and a header can contain it.
pub(super) fn is_signable(id: &str) -> bool {
    !id.is_empty()
        && id
            .bytes()
            .all(|byte| byte != b'.' && byte.is_ascii_graphic())
}
