//! No accepted header breaks out of its line, or replaces a header that belongs to the request.
#![no_main]

use std::collections::BTreeMap;

use herald_core::subscription::headers::Headers;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pairs: BTreeMap<String, String>| {
    let Ok(headers) = Headers::parse(&pairs) else {
        return;
    };
    assert_eq!(headers.len(), pairs.len());
    for (name, value) in headers.iter() {
        let name = name.as_str();
        assert!(!name.bytes().any(|byte| byte <= b' ' || byte == b':' || byte >= 0x7f));
        assert!(!value.as_bytes().iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        for reserved in ["webhook-", "ce-", "cloudevents-", "proxy-"] {
            assert!(!name.starts_with(reserved), "{name}");
        }
        assert!(
            !["host", "content-length", "content-type", "transfer-encoding", "connection", "te", "trailer", "upgrade", "expect"]
                .contains(&name),
            "{name}"
        );
    }
});
