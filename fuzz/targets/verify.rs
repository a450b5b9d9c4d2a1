//! The verifier takes whatever comes, believes what was signed, and nothing that differs from it.
#![no_main]

use herald_core::signature::{Secret, Signer};
use herald_core::verify::{Received, TOLERANCE_SECONDS};
use libfuzzer_sys::fuzz_target;

const NOW: i64 = 1_700_000_000;

fuzz_target!(|input: (&str, &str, &str, &[u8], u8)| {
    let (id, timestamp, signature, body, flip) = input;
    let secret = Secret::from_bytes(&[7; 32]).expect("a secret");
    let is_valid = |received: Received<'_>| received.is_signed_with(&secret, NOW, TOLERANCE_SECONDS);
    let received = Received { id, timestamp, signature, body };
    // Nobody guesses 256 bits.
    assert!(!is_valid(received));
    let Ok(own) = Signer::new(&secret).sign(id, NOW, body) else {
        return;
    };
    let now = NOW.to_string();
    let several = format!("{signature} {own}");
    let signed = Received { timestamp: &now, signature: &several, ..received };
    assert!(is_valid(signed));
    let mut changed = body.to_vec();
    if let Some(byte) = changed.get_mut(usize::from(flip) % body.len().max(1)) {
        *byte ^= 1;
        assert!(!is_valid(Received { body: &changed, ..signed }));
    }
    let other = format!("{id}x");
    assert!(!is_valid(Received { id: &other, ..signed }));
});
