//! Tests the request byte by byte, and what must never be built or shown.

use std::time::Duration;

use standardwebhooks::Webhook;

use super::*;
use crate::attempt::outcome::{ErrorClass, Outcome};
use crate::attempt::retry::{self, DeadReason, Decision, RetryPolicy};
use crate::egress::url_policy::UrlPolicy;
use crate::request::format::structured;
use crate::signing::sign_with_scheme;
use crate::subscription::SubscriptionOptions;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn options() -> SubscriptionOptions {
    SubscriptionOptions {
        signing_secrets: vec![SECRET.into()],
        ..SubscriptionOptions::new("shop", "https://example.com/hook/token?key=token")
    }
}

fn compile(options: SubscriptionOptions) -> Subscription {
    options.compile(&UrlPolicy::default()).unwrap()
}

fn compile_with(change: impl FnOnce(&mut SubscriptionOptions)) -> Subscription {
    let mut options = options();
    change(&mut options);
    compile(options)
}

fn event() -> Event {
    Event {
        data: Some(r#"{"total":100}"#.into()),
        size: 13,
        ..Event::new(
            "01890a5d-ac96-774b-bcce-b302099a8057",
            "/shop",
            "order.paid",
            1_614_265_330_000_000,
        )
    }
}

fn event_with(change: impl FnOnce(&mut Event)) -> Event {
    let mut event = event();
    change(&mut event);
    event
}

fn with_data(data: &str) -> Event {
    event_with(|event| event.data = Some(data.into()))
}

#[test]
fn the_request_is_exactly_this() {
    let request = build(&event(), &compile(options()), 1_614_265_330).unwrap();
    let head: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    assert_eq!(
        head,
        [
            "content-type: application/cloudevents+json; charset=utf-8",
            "user-agent: pg_herald/0.1.0",
            "accept-encoding: identity",
            "webhook-id: 01890a5d-ac96-774b-bcce-b302099a8057",
            "webhook-timestamp: 1614265330",
            "webhook-signature: v1,kcWalY3Fw5VKUmocR3fnAKtV2P67gX6sraVrWJ1F/iw=",
        ]
    );
    assert_eq!(request.method, "POST");
    assert_eq!(request.url, "https://example.com/hook/token?key=token");
    assert_eq!(request.timeout, Duration::from_secs(30));
    assert_eq!(
        String::from_utf8(request.body).unwrap(),
        concat!(
            r#"{"specversion":"1.0","id":"01890a5d-ac96-774b-bcce-b302099a8057","source":"/shop","type":"order.paid","#,
            r#""time":"2021-02-25T15:02:10Z","datacontenttype":"application/json","data":{"total":100}}"#,
        )
    );
}

#[test]
fn the_reference_library_accepts_the_body_as_it_is_sent_with_either_secret() {
    let secrets = vec![SECRET.into(), OLD_SECRET.into()];
    let subscription = compile_with(|options| options.signing_secrets = secrets);
    let now_unix = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let event = event_with(|event| event.id = "the.callers.own".into());
    let request = build(&event, &subscription, now_unix).unwrap();
    let headers: http::HeaderMap = request.headers.iter().cloned().collect();
    assert_eq!(headers[WEBHOOK_ID], event.uid);
    for secret in [SECRET, OLD_SECRET] {
        let webhook = Webhook::new(secret).unwrap();
        assert!(webhook.verify(&request.body, &headers).is_ok());
    }
}

#[test]
fn own_headers_follow_and_may_name_another_user_agent() {
    let own = [
        ("Authorization".into(), "Bearer 1".into()),
        ("User-Agent".into(), "shop".into()),
    ];
    let subscription = compile_with(|options| options.headers = Some(own.into()));
    let request = build(&event(), &subscription, 0).unwrap();
    assert_eq!(value(&request, "user-agent"), Some("shop"));
    assert_eq!(value(&request, "authorization"), Some("Bearer 1"));
}

#[test]
fn a_body_may_have_max_payload_bytes_and_not_one_more() {
    let size = structured(&event(), Profile::Standard).len();
    let limited =
        |limit: usize| compile_with(|options| options.max_payload = limit.try_into().unwrap());
    assert!(build(&event(), &limited(size), 0).is_ok());
    let limit = size - 1;
    let error = build(&event(), &limited(limit), 0).unwrap_err();
    assert_eq!(error, Error::TooLarge { size, limit });
    assert!(Outcome::from(error).is_too_large());
}

#[test]
fn an_event_whose_data_was_not_loaded_is_too_large_by_its_size() {
    let (size, limit) = (300_000, 262_144);
    let event = event_with(|event| (event.data, event.size) = (None, 300_000));
    let error = build(&event, &compile(options()), 0).unwrap_err();
    assert_eq!(error, Error::TooLarge { size, limit });
}

#[test]
fn nothing_is_built_unsigned() {
    let without_secret = compile_with(|options| options.signing_secrets.clear());
    let error = build(&event(), &without_secret, 0).unwrap_err();
    let hint = "Run select herald.rotate_secret('shop').";
    assert_eq!(error.hint().unwrap(), hint);
    let event = event_with(|event| event.uid = "a.b".into());
    let error = build(&event, &compile(options()), 0).unwrap_err();
    assert_eq!(error, Error::UnsignableId { id: "a.b".into() });
}

#[test]
fn debug_shows_no_secret_no_data_and_no_path() {
    let own = [("Authorization".into(), "hunter2".into())];
    let subscription = compile_with(|options| options.headers = Some(own.into()));
    let request = build(&event(), &subscription, 0).unwrap();
    let shown = format!("{request:?}");
    for hidden in ["hunter2", "token", "total", "v1,"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert!(shown.contains("authorization") && shown.contains("example.com"));
}

/// Builds a request in this style, with this url and these headers.
fn styled(
    style: &str,
    url: &str,
    headers: &[(&str, &str)],
    event: &Event,
) -> Result<HttpRequest, Error> {
    let own = headers
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let options = SubscriptionOptions {
        url: url.into(),
        headers: Some(own.collect()),
        ..options().with_document(style)?
    };
    build(
        event,
        &options.compile(&UrlPolicy::default())?,
        1_614_265_330,
    )
}

fn value<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    let mut values = request.headers.iter().filter(|(other, _)| other == name);
    let first = values.next().map(|(_, value)| value.to_str().unwrap());
    assert!(values.next().is_none(), "{name} is sent twice");
    first
}

/// Checks the signature over the body, as it is sent at that time.
fn assert_is_signed(request: &HttpRequest) {
    let signer = crate::signing::Signer::new(&crate::signing::Secret::parse(SECRET).unwrap());
    let signature = signer.sign(&event().uid, 1_614_265_330, &request.body);
    let signature = signature.unwrap();
    assert_eq!(value(request, "webhook-signature"), Some(&*signature));
}

const URL: &str = "https://example.com/hook";

#[test]
fn binary_mode_puts_the_attributes_into_headers_and_signs_the_data() {
    let request = styled(r#"{"format":"binary","method":"PUT"}"#, URL, &[], &event()).unwrap();
    assert_eq!(request.method, "PUT");
    assert_eq!(request.body, br#"{"total":100}"#);
    assert_eq!(value(&request, "content-type"), Some("application/json"));
    assert_eq!(value(&request, "ce-type"), Some("order.paid"));
    assert_eq!(value(&request, "ce-datacontenttype"), None);
    assert_is_signed(&request);
}

#[test]
fn a_compressed_body_is_signed_as_it_is_sent() {
    let event = with_data(&format!("\"{}\"", "a".repeat(5000)));
    let plain = styled("{}", URL, &[], &event).unwrap();
    let packed = styled(r#"{"compression":"gzip"}"#, URL, &[], &event).unwrap();
    assert_eq!(value(&packed, "content-encoding"), Some("gzip"));
    assert!(packed.body.len() < plain.body.len() / 10);
    assert_eq!(packed.readable_body(true).into_bytes(), plain.body);
    assert_is_signed(&packed);
}

#[test]
fn placeholders_are_filled_in_url_and_headers() {
    let event = event_with(|event| event.tenant = Some("a/b c".into()));
    let headers = [("x-tenant", "of {tenant}"), ("x-type", "{type}")];
    let request = styled(
        "{}",
        "https://example.com/{tenant}/{type}?id={id}",
        &headers,
        &event,
    )
    .unwrap();
    assert_eq!(
        request.url,
        "https://example.com/a%2Fb%20c/order.paid?id=01890a5d-ac96-774b-bcce-b302099a8057"
    );
    assert_eq!(value(&request, "x-tenant"), Some("of a/b%20c"));
    assert_eq!(value(&request, "x-type"), Some("order.paid"));
    let error = styled("{}", "https://example.com/{subject}", &[], &event).unwrap_err();
    assert!(Outcome::from(error).is_unsendable());
}

#[test]
fn a_large_body_shrinks_to_a_smaller_profile_if_wanted() {
    let large = Event {
        size: 1002,
        seq: 7,
        ..with_data(&format!("\"{}\"", "x".repeat(1000)))
    };
    let sent = |style: &str, event: &Event, max_payload| {
        let mut options = options().with_document(style).unwrap();
        options.max_payload = max_payload;
        build(event, &compile(options), 0).map(|request| String::from_utf8(request.body).unwrap())
    };
    let is_too_large = |sent| matches!(sent, Err(Error::TooLarge { .. }));
    let shrinking = r#"{"profile":"detailed","shrink":true}"#;
    assert!(sent(shrinking, &large, 2000).unwrap().contains("sequence"));
    let standard = sent(shrinking, &large, 1200).unwrap();
    assert!(standard.contains("xxx") && !standard.contains("sequence"));
    assert!(!sent(shrinking, &large, 500).unwrap().contains("data"));
    assert!(is_too_large(sent(shrinking, &large, 50)));
    let detailed = r#"{"profile":"detailed"}"#;
    assert!(is_too_large(sent(detailed, &large, 1200)));
    // The data of this event was not even loaded.
    let unloaded = Event {
        data: None,
        ..large
    };
    assert!(sent(shrinking, &unloaded, 500).is_ok());
    assert!(is_too_large(sent("{}", &unloaded, 500)));
}

#[test]
fn the_signature_in_the_body_is_made_without_it_and_the_one_in_the_header_over_all() {
    let frame = r#"{"signing":"frame","format":"data"}"#;
    let request = styled(frame, URL, &[], &event()).unwrap();
    let scheme = crate::signing::scheme::Scheme::parse(&"frame".into()).unwrap();
    let key = [crate::signing::HmacKey::new(&scheme, SECRET).unwrap()];
    let header = |body: &[u8]| {
        let headers =
            sign_with_scheme(&scheme, &key, &event().uid, "", 1_614_265_330, body).unwrap();
        headers[0].1.to_str().unwrap().to_owned()
    };
    let inner = header(br#"{"total":100}"#);
    assert_eq!(
        request.body,
        format!(r#"{{"total":100,"signature":"{inner}"}}"#).into_bytes()
    );
    assert_eq!(
        value(&request, "x-webhook-signature"),
        Some(header(&request.body).as_str())
    );
    assert_eq!(value(&request, "x-request-id"), Some(event().uid.as_str()));
    assert_eq!(
        value(&request, "x-timestamp"),
        Some("2021-02-25T15:02:10.000Z")
    );
    assert_eq!(value(&request, "webhook-id"), Some(event().uid.as_str()));
    assert_eq!(value(&request, "webhook-signature"), None);
    assert_eq!(
        request.readable_body(false),
        r#"{"total":100,"signature":"***"}"#
    );
    for data in ["[1]", "1", r#"{"signature":1}"#] {
        let refused = styled(frame, URL, &[], &with_data(data));
        assert!(matches!(refused, Err(Error::Unsendable { .. })), "{data}");
    }
}

#[test]
fn a_signature_in_the_body_is_hidden_whatever_its_member_is_called() {
    for (name, format) in [
        ("signature", r#""format":"structured""#),
        ("a\"b", r#""format":"envelope","compression":"gzip""#),
        ("\\", r#""format":"data""#),
        ("ü\n", r#""format":"template","template":"{{ data }}""#),
        ("data", r#""format":"data""#),
    ] {
        let member = serde_json::json!(name);
        let style = format!(r#"{{{format},"signing":{{"header":"x-s","body_member":{member}}}}}"#);
        let request = styled(&style, URL, &[], &event()).unwrap();
        let shown = |show| -> serde_json::Value {
            serde_json::from_str(&request.readable_body(show)).unwrap()
        };
        let (hidden, whole) = (shown(false), shown(true));
        assert_eq!(hidden[name], "***", "{name:?}");
        assert_eq!(whole[name].as_str().map(str::len), Some(64), "{name:?}");
        let shown = request.readable_body(false);
        assert!(!shown.contains(whole[name].as_str().unwrap()));
    }
}

/// Returns an event with an object of nested arrays.
fn deep(levels: usize) -> Event {
    let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
    with_data(&format!(r#"{{"a":{open}{close}}}"#))
}

/// Builds a request with no more stack than a send thread has.
fn build_with_deep_data(style: &'static str, levels: usize) -> Result<HttpRequest, Error> {
    let thread = std::thread::Builder::new().stack_size(1 << 20);
    let sent = thread.spawn(move || styled(style, URL, &[], &deep(levels)));
    sent.unwrap().join().unwrap()
}

#[test]
fn data_of_any_depth_passes_through_the_formats_that_do_not_read_it() {
    for style in [
        "{}",
        r#"{"compression":"gzip"}"#,
        r#"{"format":"binary"}"#,
        r#"{"format":"batched"}"#,
        r#"{"format":"envelope"}"#,
        r#"{"format":"data","signing":"github"}"#,
        r#"{"format":"raw"}"#,
    ] {
        let request = build_with_deep_data(style, 100_000).unwrap();
        assert!(request.readable_body(false).contains("[[[[]]]]"), "{style}");
    }
}

#[test]
fn data_that_is_too_deep_to_be_read_is_poison_where_it_has_to_be_read() {
    let styles = [
        // The number is the levels that the body adds to those of the data.
        (r#"{"format":"template","template":"{\"x\": 1}"}"#, 0),
        (r#"{"format":"data","signing":"leafengines"}"#, 0),
        (r#"{"format":"data","signing":"frame"}"#, 0),
        (r#"{"signing":"leafengines"}"#, 1),
        (r#"{"signing":"frame"}"#, 1),
    ];
    for (style, beside) in styles {
        let most = crate::depth::MAX_LEVELS - beside;
        assert!(build_with_deep_data(style, most).is_ok(), "{style}");
        for levels in [most + 1, 100_000] {
            let outcome = Outcome::from(build_with_deep_data(style, levels).unwrap_err());
            let (class, words) = outcome.error.clone().unwrap();
            assert_eq!(class, ErrorClass::Template, "{style}");
            assert!(words.contains("nested in more than 128 levels"), "{words}");
            let decision = retry::decide(&outcome, &RetryPolicy::default(), 1, 0, 0, 0.5);
            assert_eq!(decision, Decision::Bury(DeadReason::Poison), "{style}");
        }
    }
}

#[test]
fn numbers_go_as_ecmascript_writes_them_or_not_at_all() {
    let of = |data: &str, signing: &str| {
        let style = format!(r#"{{"format":"data","signing":{signing}}}"#);
        styled(&style, URL, &[], &with_data(data))
            .map(|request| String::from_utf8(request.body).unwrap())
    };
    let leafengines = r#""leafengines""#;
    assert_eq!(
        of(r#"{"b":-74.0060,"1":1e30}"#, leafengines).unwrap(),
        r#"{"1":1e+30,"b":-74.006}"#
    );
    assert_eq!(
        of(r#"{"id":9007199254740993}"#, leafengines)
            .unwrap_err()
            .message(),
        "the event cannot be sent: the number 9007199254740993 at id has no exact double"
    );
    let strings = r#"{"preset":"leafengines","large_numbers":"strings"}"#;
    assert_eq!(
        of(r#"{"id":9007199254740993}"#, strings).unwrap(),
        r#"{"id":"9007199254740993"}"#
    );
}

#[test]
fn credentials_are_sent_beside_the_signature_and_hidden_like_it() {
    let bearer = r#"{"auth":{"type":"bearer","token":"t"},"user_agent":"shop/1"}"#;
    let request = styled(bearer, URL, &[], &event()).unwrap();
    assert_eq!(value(&request, "authorization"), Some("Bearer t"));
    assert_eq!(value(&request, "user-agent"), Some("shop/1"));
    assert!(value(&request, "webhook-signature").is_some());
    let secret: Vec<_> = request
        .headers
        .iter()
        .filter(|(_, value)| value.is_sensitive())
        .collect();
    assert_eq!(secret.len(), 2, "{secret:?}");
    let oauth2 = r#"{"auth":{"type":"oauth2","token_url":"https://id.example.com/t","client_id":"a","client_secret":"b"}}"#;
    let request = styled(oauth2, URL, &[], &event()).unwrap();
    assert!(request.oauth2.is_some() && value(&request, "authorization").is_none());
}

#[test]
fn an_attribute_that_makes_a_header_too_long_to_be_sent_is_poison_at_once() {
    let binary = compile_with(|options| options.format = "binary".into());
    let with = |bytes: usize| {
        let note = format!(r#"{{"note":"{}"}}"#, "ä".repeat(bytes / 6));
        event_with(|event| event.extensions = Some(note))
    };
    assert!(build(&with(12_000), &binary, 0).is_ok());
    let error = build(&with(MAX_LINE_BYTES), &binary, 0).unwrap_err();
    assert!(
        error.message().contains("its header ce-note would have 12"),
        "{error}"
    );
    let outcome = Outcome::from(error);
    let decision = retry::decide(&outcome, &RetryPolicy::default(), 1, 0, 0, 0.5);
    assert_eq!(decision, Decision::Bury(DeadReason::Poison));
}

#[test]
fn named_secrets_are_put_into_url_headers_and_template_and_nowhere_else() {
    let document = r#"{"url": "https://example.com/services/{secret.path}?t={tenant}", "headers": {"x-key": "Key {secret.key}"},
        "format": "template", "template": "{\"routing_key\": {{ secrets.key }}, \"type\": {{ type }}}",
        "secrets": {"path": "T00/B00/xyz", "key": "0123456789abcdef"}}"#;
    let subscription = compile(options().with_document(document).unwrap());
    let event = event_with(|event| event.tenant = Some("{secret.key}".into()));
    let request = build(&event, &subscription, 0).unwrap();
    assert_eq!(
        request.url.to_string(),
        "https://example.com/services/T00/B00/xyz?t=%7Bsecret.key%7D"
    );
    assert_eq!(value(&request, "x-key"), Some("Key 0123456789abcdef"));
    let body = String::from_utf8(request.body.clone()).unwrap();
    assert!(
        body.starts_with(r#"{"routing_key": "0123456789abcdef", "type": "#),
        "{body}"
    );
    assert!(!format!("{subscription:?} {request:?}").contains("0123456789abcdef"));
    for unknown in [
        r#"{"url": "https://example.com/{secret.other}"}"#,
        r#"{"headers": {"x-key": "{secret.other}"}}"#,
        r#"{"format": "template", "template": "{{ secrets.other }}"}"#,
        r#"{"format": "template", "template": "{% if secrets.other.x %}1{% endif %}1"}"#,
    ] {
        let named = options()
            .with_document(r#"{"secrets": {"others": "0123456789abcdef"}}"#)
            .and_then(|options| options.with_document(unknown));
        let error = named.unwrap().compile(&UrlPolicy::default()).unwrap_err();
        assert_eq!(
            error.detail().unwrap(),
            "The subscription has no secret \"other\".",
            "{unknown}"
        );
        assert_eq!(error.hint().unwrap(), "Perhaps you meant \"others\".");
    }
}
