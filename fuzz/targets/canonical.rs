//! What ECMAScript would write is written once and for all: it says the same, and writing it again changes nothing.
#![no_main]

use herald_core::ecmascript::{LargeNumbers, canonical};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    let Ok(body) = canonical(json, LargeNumbers::Strings) else {
        return;
    };
    assert_eq!(canonical(&body, LargeNumbers::Refuse).as_deref(), Ok(body.as_str()));
    if let Ok(exact) = canonical(json, LargeNumbers::Refuse) {
        assert_eq!(exact, body);
    }
});
