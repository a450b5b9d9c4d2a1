//! Tests which signatures are accepted: for each scheme, and by the published vectors.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::signing::{Secret, Signing, sign_with_scheme, signature_header};

const NOW: i64 = 1_700_000_000;
const SECRET: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const BODY: &[u8] = br#"{"a":1}"#;

type Headers = BTreeMap<String, String>;
/// Scheme, secret, body, time and headers.
type Vector = (
    &'static str,
    &'static str,
    &'static str,
    i64,
    &'static [(&'static str, &'static str)],
);

fn accepts(scheme: &Value, secret: &str, headers: &Headers, body: &[u8], now: i64) -> bool {
    let header = |name: &str| headers.get(name).map(String::as_str);
    let received = Received {
        header: &header,
        body,
        method: "POST",
        url: "https://www.example.com/webhook_uri",
    };
    Check::new(scheme, secret)
        .unwrap()
        .accepts(&received, now, TOLERANCE_SECONDS)
}

/// Returns the headers that the sender writes for a body.
fn signed(scheme: &Value, secrets: &[&str], body: &[u8]) -> Headers {
    let secrets: Vec<_> = secrets.iter().map(|text| (*text).to_owned()).collect();
    let parsed = (scheme != "standard").then(|| Scheme::parse(scheme).unwrap());
    let headers = match Signing::new(parsed, &secrets).unwrap() {
        Signing::Standard(signers) => {
            let signature = signature_header(&signers, "msg_1", NOW, body).unwrap();
            return Headers::from([
                ("webhook-id".into(), "msg_1".into()),
                ("webhook-timestamp".into(), NOW.to_string()),
                ("webhook-signature".into(), signature),
            ]);
        }
        Signing::Scheme(scheme, keys) => {
            sign_with_scheme(&scheme, &keys, "msg_1", "order.paid", NOW, body)
        }
    };
    let headers = headers.unwrap().into_iter();
    headers
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

fn schemes() -> Vec<Value> {
    vec![
        json!("standard"),
        json!("leafengines"),
        json!("humana"),
        json!("frame"),
        json!("github"),
        json!("stripe"),
        json!("shopify"),
        json!("slack"),
        json!("svix"),
        json!({"header": "x-own", "algorithm": "sha512", "encoding": "base64", "content": "{id}:{timestamp}:{body}",
            "id_header": "x-id", "timestamp_header": "x-time", "timestamp_format": "unix_ms"}),
    ]
}

#[test]
fn only_signed_requests_are_valid() {
    for scheme in schemes() {
        let headers = signed(&scheme, &[SECRET], BODY);
        let is_valid =
            |headers: &Headers, body: &[u8]| accepts(&scheme, SECRET, headers, body, NOW);
        assert!(is_valid(&headers, BODY), "{scheme}");
        assert!(
            !accepts(&scheme, &SECRET.replace('Q', "R"), &headers, BODY, NOW),
            "{scheme}"
        );
        assert!(!is_valid(&headers, br#"{"a":2}"#), "{scheme}");
        assert!(!is_valid(&headers, b""), "{scheme}");
        assert!(!is_valid(&Headers::new(), BODY), "{scheme}");
        let name = headers
            .keys()
            .find(|name| name.contains("signature") || name.contains("hmac") || *name == "x-own")
            .unwrap();
        let whole = &headers[name];
        for faulty in [
            String::new(),
            whole[..whole.len() - 2].to_owned(),
            whole.replace('=', ""),
            format!("{whole}00"),
            whole.to_uppercase().replace(['0', '1', '2'], "3"),
        ] {
            let changed = Headers::from_iter(
                headers
                    .clone()
                    .into_iter()
                    .chain([(name.clone(), faulty.clone())]),
            );
            assert!(
                &faulty == whole || !is_valid(&changed, BODY),
                "{scheme} {faulty}"
            );
        }
    }
}

#[test]
fn an_id_that_could_end_elsewhere_is_not_believed() {
    for name in ["standard", "svix"] {
        let scheme = json!(name);
        let body = format!("{NOW}.{{}}");
        let mut headers = signed(&scheme, &[SECRET], body.as_bytes());
        assert!(
            accepts(&scheme, SECRET, &headers, body.as_bytes(), NOW),
            "{name}"
        );
        let id = headers
            .keys()
            .find(|name| name.ends_with("-id"))
            .unwrap()
            .clone();
        headers.insert(id, format!("msg_1.{NOW}"));
        assert!(!accepts(&scheme, SECRET, &headers, b"{}", NOW), "{name}");
    }
}

#[test]
fn an_id_with_a_full_stop_is_believed_as_the_official_libraries_do() {
    let signer = standardwebhooks::Webhook::new(SECRET).unwrap();
    for id in ["evt.1", "order.paid.17", "."] {
        let signature = signer.sign(id, NOW, BODY).unwrap();
        let headers = Headers::from_iter([
            ("webhook-id".into(), id.to_owned()),
            ("webhook-timestamp".into(), NOW.to_string()),
            ("webhook-signature".into(), signature),
        ]);
        assert!(
            accepts(&json!("standard"), SECRET, &headers, BODY, NOW),
            "{id}"
        );
    }
}

#[test]
fn a_secret_is_believed_without_its_beginning() {
    let headers = signed(&json!("standard"), &[SECRET], BODY);
    let bare = SECRET.strip_prefix("whsec_").unwrap();
    assert!(accepts(&json!("standard"), bare, &headers, BODY, NOW));
}

#[test]
fn time_and_signatures_of_stripe_come_in_any_order() {
    let headers = signed(&json!("stripe"), &[SECRET], BODY);
    let header = headers.get("stripe-signature").unwrap();
    let (time, signature) = header.split_once(',').unwrap();
    for (value, is_valid) in [
        (format!("{signature},{time}"), true),
        (format!("v0=00,{time},{signature},v1=00"), true),
        (signature.to_owned(), false),
        (format!("{time},{signature},t=1"), false),
        (format!("{time},{time},{signature}"), false),
    ] {
        let headers = Headers::from_iter([("stripe-signature".into(), value.clone())]);
        assert_eq!(
            accepts(&json!("stripe"), SECRET, &headers, BODY, NOW),
            is_valid,
            "{value}"
        );
    }
}

#[test]
fn an_empty_body_and_one_that_is_no_text_are_signed_as_well() {
    for scheme in schemes() {
        for body in [&b""[..], b"\xff\x00\xfe"] {
            let headers = signed(&scheme, &[SECRET], body);
            assert!(accepts(&scheme, SECRET, &headers, body, NOW), "{scheme}");
        }
    }
}

#[test]
fn a_request_of_another_time_is_a_replay_where_the_time_is_signed() {
    for (name, is_timed) in [
        ("standard", true),
        ("humana", true),
        ("stripe", true),
        ("slack", true),
        ("svix", true),
        ("github", false),
    ] {
        let scheme = json!(name);
        let headers = signed(&scheme, &[SECRET], BODY);
        for (now, is_recent) in [
            (NOW - 301, false),
            (NOW - 300, true),
            (NOW + 300, true),
            (NOW + 301, false),
        ] {
            assert_eq!(
                accepts(&scheme, SECRET, &headers, BODY, now),
                is_recent || !is_timed,
                "{name} {now}"
            );
        }
    }
}

#[test]
fn a_time_that_is_no_number_or_was_exchanged_is_not_signed() {
    for (name, header) in [
        ("standard", "webhook-timestamp"),
        ("humana", "x-humana-timestamp"),
        ("slack", "x-slack-request-timestamp"),
    ] {
        let scheme = json!(name);
        for time in [
            "",
            "NaN",
            "-1",
            "1700000001",
            "+1700000000",
            "01700000000",
            "99999999999999999999",
        ] {
            let mut headers = signed(&scheme, &[SECRET], BODY);
            headers.insert(header.into(), time.into());
            assert!(
                !accepts(&scheme, SECRET, &headers, BODY, NOW),
                "{name} {time}"
            );
        }
    }
}

#[test]
fn during_a_rotation_either_secret_is_enough_where_there_is_room_for_both() {
    let other = Secret::from_bytes(&[2; 32]).unwrap().to_text();
    for name in ["standard", "stripe", "svix"] {
        let scheme = json!(name);
        let headers = signed(&scheme, &[&other, SECRET], BODY);
        assert!(accepts(&scheme, &other, &headers, BODY, NOW), "{name}");
        assert!(accepts(&scheme, SECRET, &headers, BODY, NOW), "{name}");
    }
    let github = signed(&json!("github"), &[&other, SECRET], BODY);
    assert!(accepts(&json!("github"), &other, &github, BODY, NOW));
    assert!(!accepts(&json!("github"), SECRET, &github, BODY, NOW));
}

#[test]
fn a_public_key_verifies_what_the_private_one_signed() {
    let private = Secret::from_seed(&[7; 32]).unwrap();
    let public = private.public_key().unwrap();
    let standard = json!("standard");
    let mut headers = signed(&standard, &[&private.to_text(), SECRET], BODY);
    for secret in [&public, &private.to_text(), SECRET] {
        assert!(accepts(&standard, secret, &headers, BODY, NOW));
    }
    let others = Secret::from_seed(&[8; 32]).unwrap().public_key().unwrap();
    assert!(!accepts(&standard, &others, &headers, BODY, NOW));
    headers.insert("webhook-timestamp".into(), (NOW + 1).to_string());
    assert!(!accepts(&standard, &public, &headers, BODY, NOW));
}

#[test]
fn published_vectors_are_accepted() {
    let slack_body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar\
        &user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
        &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
        &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let hubspot_body = r#"[{"eventId":1,"subscriptionId":12345,"portalId":62515,"occurredAt":1564113600000,"subscriptionType":"contact.creation","attemptNumber":0,"objectId":123,"changeSource":"CRM","changeFlag":"NEW","appId":54321}]"#;
    let example = r#"{"example_field":"example_value"}"#;
    let hubspot = "yyyyyyyy-yyyy-yyyy-yyyy-yyyyyyyyyyyy";
    let cases: [Vector; 7] = [
        (
            "github",
            "It's a Secret to Everybody",
            "Hello, World!",
            0,
            &[(
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            )],
        ),
        (
            "slack",
            "8f742231b10e8888abcd99yyyzzz85a5",
            slack_body,
            1_531_420_618,
            &[
                ("x-slack-request-timestamp", "1531420618"),
                (
                    "x-slack-signature",
                    "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
                ),
            ],
        ),
        (
            "shopify",
            "hush",
            r#"{"id":1}"#,
            0,
            &[("x-shopify-hmac-sha256", SHOPIFY)],
        ),
        (
            "stripe",
            "whsec_test",
            r#"{"id":"evt_1"}"#,
            NOW,
            &[("stripe-signature", STRIPE)],
        ),
        (
            "hubspot-v1",
            hubspot,
            hubspot_body,
            0,
            &[(
                "x-hubspot-signature",
                "232db2615f3d666fe21a8ec971ac7b5402d33b9a925784df3ca654d05f4817de",
            )],
        ),
        (
            "hubspot-v2",
            hubspot,
            example,
            0,
            &[(
                "x-hubspot-signature",
                "9569219f8ba981ffa6f6f16aa0f48637d35d728c7e4d93d0d52efaa512af7900",
            )],
        ),
        (
            "hubspot-v3",
            hubspot,
            example,
            NOW,
            &[
                ("x-hubspot-request-timestamp", "1700000000000"),
                ("x-hubspot-signature-v3", HUBSPOT_V3),
            ],
        ),
    ];
    for (scheme, secret, body, now, headers) in cases {
        let scheme = json!(scheme);
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect();
        assert!(
            accepts(&scheme, secret, &headers, body.as_bytes(), now),
            "{scheme}"
        );
        assert!(
            !accepts(&scheme, secret, &headers, b"other", now),
            "{scheme}"
        );
        assert!(
            !accepts(&scheme, "another", &headers, body.as_bytes(), now),
            "{scheme}"
        );
    }
}

#[test]
fn a_request_with_more_signatures_than_anybody_has_secrets_is_not_hashed_for_each() {
    for (scheme, header, separator, other) in [
        (json!("standard"), "webhook-signature", " ", "v1,x"),
        (json!("stripe"), "stripe-signature", ",", "v1=00"),
    ] {
        let signed = signed(&scheme, &[SECRET], BODY);
        let with_others = |count: usize| {
            let mut headers = signed.clone();
            let value = headers.get_mut(header).unwrap();
            value.push_str(&format!("{separator}{other}").repeat(count));
            accepts(&scheme, SECRET, &headers, BODY, NOW)
        };
        assert!(with_others(MAX_SIGNATURES - 1), "{scheme}");
        assert!(!with_others(MAX_SIGNATURES), "{scheme}");
    }
}

#[test]
fn hubspot_signs_the_url_with_some_escapes_decoded() {
    assert_eq!(
        hubspot_url("https://a.example/b%2Fc?d=%3a%20%25"),
        "https://a.example/b/c?d=:%20%25"
    );
}

const SHOPIFY: &str = "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=";
const STRIPE: &str =
    "t=1700000000,v1=c89214b5b5da833daed6f0b8c5bb6bd58cea9022bd80ccc78230f3942d632925,v0=00";
const HUBSPOT_V3: &str = "rQEKkaNUiu+1qGF//O/pw4BCzstSqO1PyUnGICmf+7o=";
