//! The verifier takes any input, and accepts what was signed but nothing that differs from it, for each scheme.
#![no_main]

use herald_core::signing::scheme::Scheme;
use herald_core::signing::{HmacKey, sign_with_scheme};
use herald_core::signing::verify::{Check, Received, TOLERANCE_SECONDS};
use libfuzzer_sys::fuzz_target;

const NOW: i64 = 1_700_000_000;
const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const SCHEMES: [&str; 8] =
    ["standard", "svix", "stripe", "slack", "humana", "github", "shopify", "frame"];

fuzz_target!(|input: (&str, &str, &str, &[u8], u8, u8)| {
    let (id, timestamp, signature, body, flip, which) = input;
    let name = SCHEMES[usize::from(which) % SCHEMES.len()];
    let check = Check::new(&name.into(), SECRET).expect("a scheme");
    let is_valid = |id: &str, timestamp: &str, signature: &str, body: &[u8]| {
        let header = |name: &str| match name {
            name if name.contains("signature") || name.contains("hmac") => Some(signature),
            name if name.contains("time") || name.contains("triggered") => Some(timestamp),
            _ => Some(id),
        };
        let received = Received { header: &header, body, method: "POST", url: "https://example.com/" };
        check.accepts(&received, NOW, TOLERANCE_SECONDS)
    };
    // Nobody guesses 256 bits.
    assert!(!is_valid(id, timestamp, signature, body));
    if name == "standard" {
        return;
    }
    let scheme = Scheme::parse(&name.into()).expect("a scheme");
    let key = HmacKey::new(&scheme, SECRET).expect("a key");
    let Ok(own) = sign_with_scheme(&scheme, &[key], id, "order.paid", NOW, body) else {
        return;
    };
    let own = own[0].1.to_str().expect("ASCII").to_owned();
    let now = scheme.timestamp_format.write(NOW);
    assert!(is_valid(id, &now, &own, body));
    let mut changed = body.to_vec();
    if let Some(byte) = changed.get_mut(usize::from(flip) % body.len().max(1)) {
        *byte ^= 1;
        assert!(!is_valid(id, &now, &own, &changed));
    }
});
