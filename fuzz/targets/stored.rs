//! Values read from tables, files and settings never make the worker panic, and what is written is read back.
#![no_main]

use herald_core::subscription::globs::Glob;
use herald_core::egress::proxy::{Proxy, check_answer};
use herald_core::signing::Secret;
use herald_core::snapshot::Snapshot;
use herald_core::vault::{Keys, Sealed};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (String, String, Vec<u8>)| {
    let (text, other, bytes) = input;
    if let Ok(snapshot) = text.parse::<Snapshot>() {
        assert_eq!(snapshot.to_string().parse::<Snapshot>().as_ref(), Ok(&snapshot));
        assert!(snapshot.xmin() <= snapshot.xmax() && !snapshot.shows(snapshot.xmax()));
    }
    if let Ok(secret) = Secret::parse(&text) {
        assert!(Secret::parse(&secret.to_text()).is_ok());
    }
    if let Ok(glob) = Glob::parse(&text) {
        let _ = glob.matches(&other);
    }
    if let Ok(Some(proxy)) = Proxy::parse(&text) {
        let request = proxy.connect_request("example.com", 443);
        assert_eq!(request.matches("\r\n\r\n").count(), 1);
    }
    let _ = check_answer(&bytes);
    let _ = Keys::parse(&other);
    let keys = Keys::parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").expect("a key");
    let forged = Sealed {
        key_id: keys.current_id().to_owned(),
        text: text.clone(),
    };
    assert!(keys.open(&forged, &other).is_err());
    let sealed = keys.seal(&text, &other, [7; 12]).expect("short enough");
    assert_eq!(keys.open(&sealed, &other).expect("it opens").as_str(), text);
});
