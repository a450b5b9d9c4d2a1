//! Tests which parts make a scheme.

use serde_json::json;

use super::*;

#[test]
fn every_preset_is_a_scheme() {
    for (name, _) in PRESETS {
        let scheme = Scheme::parse(&json!(name)).unwrap();
        assert!(scheme.headers().count() >= 1, "{name}");
    }
}

#[test]
fn parts_replace_those_of_their_preset() {
    let own = json!({"preset": "github", "algorithm": "sha512", "header": "x-hub-signature-512", "prefix": "sha512="});
    let scheme = Scheme::parse(&own).unwrap();
    assert_eq!(scheme.algorithm, Algorithm::Sha512);
    assert_eq!(scheme.header, "x-hub-signature-512");
    assert_eq!(scheme.id_header.unwrap(), "x-github-delivery");
}

#[test]
fn what_cannot_be_signed_or_checked_is_refused_with_a_hint() {
    let refused = r#"
        1 | It is neither a name nor an object.
        "gihtub" | Preset "gihtub" does not exist.
        {} | It has no header for the signature.
        {"header": 1} | Its member "header" is not a string.
        {"header": "x-a", "algorithm": "md5"} | Its algorithm is "md5".
        {"header": "x-a", "prefix": "ä"} | Its prefix cannot stand in a header.
        {"header": "x-a", "content": "{timestamp}"} | The content lacks {body}, so anybody could replace the body.
        {"header": "x-a", "content": "{type}.{body}"} | Its content has the placeholder {type}.
        {"header": "x-a", "content": "{timestamp}.{body}"} | It signs {timestamp}, which no header tells the receiver.
        {"header": "x-a", "content": "{id}.{body}"} | It signs {id}, which no header of it tells the receiver.
        {"header": "x-a", "id_header": "X-A"} | It uses the header "x-a" for two things.
        {"header": "x-a", "canonical": "ruby"} | Its canonical is "ruby".
        {"header": "x-a", "body_member": ""} | Its body_member is empty.
        {"header": "x-a", "large_numbers": "strings"} | Its large_numbers say nothing without a canonical form.
        {"header": "x-a", "lead": "t={timestamp}"} | Its lead ends with the time, so that nobody can say where the signature begins.
        {"header": "x-a", "separator": ""} | Its separator cannot be told from a signature.
        {"header": "x-a", "prefix": "v1, ", "separator": ","} | Its separator cannot be told from a signature.
        {"header": "x-a", "separator": "a"} | Its separator cannot be told from a signature.
        {"header": "x-a", "content": "{body}{body}"} | Its content has {body} more than once.
    "#;
    for line in refused.trim().lines() {
        let (faulty, detail) = line.trim().split_once(" | ").unwrap();
        let faulty = serde_json::from_str(faulty).unwrap();
        let error = Scheme::parse(&faulty).unwrap_err();
        assert_eq!(error.message(), "invalid signing", "{faulty}");
        assert_eq!(error.detail().unwrap(), detail, "{faulty}");
        assert!(error.hint().is_some(), "{faulty}");
    }
    assert_eq!(
        Scheme::parse(&json!("gihtub")).unwrap_err().hint().unwrap(),
        "Perhaps you meant \"github\"."
    );
    let sized = |bytes| Scheme::parse(&json!({"header": "x-a", "prefix": "x".repeat(bytes)}));
    assert!(sized(MAX_PART_BYTES).is_ok());
    let error = sized(MAX_PART_BYTES + 1).unwrap_err();
    let detail = "Its member \"prefix\" has 257 bytes; allowed are 256.";
    assert_eq!(error.detail().unwrap(), detail);
    for name in ["content-type", "webhook-signature", "host", "x a"] {
        assert!(Scheme::parse(&json!({"header": name})).is_err(), "{name}");
    }
}

#[test]
fn timestamps_are_read_as_they_are_written() {
    for (format, text) in [
        (TimestampFormat::UnixSeconds, "1700000000"),
        (TimestampFormat::UnixMillis, "1700000000000"),
        (TimestampFormat::Rfc3339, "2023-11-14T22:13:20.000Z"),
    ] {
        assert_eq!(format.write(1_700_000_000), text);
        assert_eq!(format.read(text), Some(1_700_000_000));
        for faulty in [
            "",
            "NaN",
            "+1700000000",
            "01",
            "1e9",
            "99999999999999999999",
            " 1",
        ] {
            assert_eq!(format.read(faulty), None, "{faulty}");
        }
    }
}
