//! The request byte by byte, and what must never be built or shown.

use standardwebhooks::Webhook;

use super::*;
use crate::outcome::Outcome;
use crate::subscription::SubscriptionOptions;
use crate::url_policy::UrlPolicy;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

fn options() -> SubscriptionOptions {
    SubscriptionOptions {
        secrets: vec![SECRET.into()],
        ..SubscriptionOptions::new("shop", "https://example.com/hook/token?key=token")
    }
}

fn compile(options: SubscriptionOptions) -> Subscription {
    options.compile(&UrlPolicy::default()).unwrap()
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
    let subscription = compile(SubscriptionOptions {
        secrets,
        ..options()
    });
    let now_unix = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let event = Event {
        id: "the.callers.own".into(),
        ..event()
    };
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
    let own = vec![
        ("Authorization".into(), "Bearer 1".into()),
        ("User-Agent".into(), "shop".into()),
    ];
    let request = build(
        &event(),
        &compile(SubscriptionOptions {
            headers: own,
            ..options()
        }),
        0,
    )
    .unwrap();
    let values = |wanted: &str| {
        request
            .headers
            .iter()
            .filter(|(name, _)| name == wanted)
            .map(|(_, v)| v)
            .collect::<Vec<_>>()
    };
    assert_eq!(values("user-agent"), ["shop"]);
    assert_eq!(values("authorization"), ["Bearer 1"]);
}

#[test]
fn a_body_may_have_max_payload_bytes_and_not_one_more() {
    let size = structured(&event()).len();
    let limited = |max_payload: usize| {
        compile(SubscriptionOptions {
            max_payload: max_payload as i32,
            ..options()
        })
    };
    assert!(build(&event(), &limited(size), 0).is_ok());
    let error = build(&event(), &limited(size - 1), 0).unwrap_err();
    assert_eq!(
        error,
        Error::TooLarge {
            size,
            limit: size - 1
        }
    );
    assert!(Outcome::from(error).is_too_large());
}

#[test]
fn an_event_whose_data_was_not_loaded_is_too_large_by_its_size() {
    let event = Event {
        data: None,
        size: 300_000,
        ..event()
    };
    let error = build(&event, &compile(options()), 0).unwrap_err();
    assert_eq!(
        error,
        Error::TooLarge {
            size: 300_000,
            limit: 262_144
        }
    );
}

#[test]
fn nothing_is_built_unsigned() {
    let error = build(
        &event(),
        &compile(SubscriptionOptions {
            secrets: vec![],
            ..options()
        }),
        0,
    )
    .unwrap_err();
    assert_eq!(
        error.hint().unwrap(),
        "Run select herald.rotate_secret('shop')."
    );
    let error = build(
        &Event {
            uid: "a.b".into(),
            ..event()
        },
        &compile(options()),
        0,
    )
    .unwrap_err();
    assert_eq!(error, Error::UnsignableId { id: "a.b".into() });
}

#[test]
fn debug_shows_no_secret_no_data_and_no_path() {
    let own = vec![("Authorization".into(), "hunter2".into())];
    let request = build(
        &event(),
        &compile(SubscriptionOptions {
            headers: own,
            ..options()
        }),
        0,
    )
    .unwrap();
    let shown = format!("{request:?}");
    for hidden in ["hunter2", "token", "total", "v1,"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
    assert!(shown.contains("authorization") && shown.contains("example.com"));
}
