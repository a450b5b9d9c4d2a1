//! Whatever an event's attributes, its body is one JSON object with the same values.
#![no_main]

use herald_core::event::attributes::Attributes;
use herald_core::event::Event;
use herald_core::event::extensions::check_extensions;
use herald_core::request::format::{Profile, structured};
use herald_core::json::minify;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|input: ([String; 4], Option<String>, Option<String>, i64)| {
    let ([source, event_type, subject, key], data, extensions, time) = input;
    // As a session could have written it.
    let attributes = Attributes {
        source: &source,
        r#type: &event_type,
        ..Default::default()
    };
    let Ok(extensions) = extensions.as_deref().map_or(Ok(None), check_extensions) else {
        return;
    };
    let data = data.filter(|data| serde_json::from_str::<Value>(data).is_ok());
    let _ = attributes.validate();
    let event = Event {
        subject: Some(subject.clone()),
        key: Some(key.clone()),
        data: data.as_deref().map(|data| minify(data).into_owned()),
        extensions,
        ..Event::new(
            "01890a5d-ac96-774b-bcce-b302099a8057",
            &source,
            &event_type,
            time.rem_euclid(4_000_000_000_000_000),
        )
    };
    let body: Value = serde_json::from_slice(&structured(&event, Profile::Detailed)).expect("JSON");
    for (member, expected) in [
        ("source", &source),
        ("type", &event_type),
        ("subject", &subject),
        ("partitionkey", &key),
    ] {
        assert_eq!(body[member].as_str(), Some(expected.as_str()), "{member}");
    }
    if let Some(data) = data {
        assert_eq!(body["data"], serde_json::from_str::<Value>(&data).expect("as before"));
    }
});
