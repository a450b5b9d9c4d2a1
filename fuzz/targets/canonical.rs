//! The canonical form, as a receiver's language would write it, is stable: writing it again changes nothing.
#![no_main]

use herald_core::signing::canonical::{Canonical, Form, LargeNumbers};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    for form in [Form::EcmaScript, Form::Python] {
        let [refusing, forgiving] = [LargeNumbers::Refuse, LargeNumbers::Strings]
            .map(|large_numbers| Canonical { form, large_numbers });
        let Ok(body) = forgiving.of(json) else {
            return;
        };
        assert_eq!(refusing.of(&body).as_deref(), Ok(body.as_str()));
        if let Ok(exact) = refusing.of(json) {
            assert_eq!(exact, body);
        }
    }
});
