//! Probes: requests with an empty body that show whether the receiver of an open
//! [`breaker`](crate::subscription::breaker) is up again.

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderValue, Method};

use super::http_request::HttpRequest;
use super::signed::{WEBHOOK_ID, check_lines, sign};
use crate::error::Error;
use crate::event::Event;
use crate::signing::auth::Auth;
use crate::subscription::breaker::ProbeWith;
use crate::subscription::compiled::Subscription;

/// The maximum duration of a probe.
const LONGEST: Duration = Duration::from_secs(30);

/// Returns the request, signed over its empty body at this time in seconds since 1970. Its url contains no values of an
/// event.
pub fn probe(subscription: &Subscription, now_unix: i64) -> Result<HttpRequest, Error> {
    if subscription.signing.is_without_secret() {
        return Err(Error::NoSecret {
            subscription: subscription.name.clone(),
        });
    }
    let policy = subscription.breaker.unwrap_or_default();
    let style = &subscription.style;
    let id = format!("probe_{}_{now_unix}", subscription.id);
    let event = Event::new(&id, "/pg_herald", "herald.probe", 0);
    let id = HeaderValue::from_str(&id).map_err(|_| Error::UnsignableId { id: id.clone() })?;
    let mut headers = vec![
        (USER_AGENT, style.user_agent.clone()),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
        (WEBHOOK_ID, id),
    ];
    let (_, signature_at) = sign(&event, subscription, now_unix, Vec::new(), &mut headers)?;
    let mut oauth2 = None;
    match &style.auth {
        None => {}
        Some(Auth::Header(name, value)) => headers.push((name.clone(), value.clone())),
        Some(Auth::OAuth2(credentials)) => oauth2 = Some(credentials.clone()),
    }
    check_lines(&headers)?;
    Ok(HttpRequest {
        method: match policy.probe_with {
            ProbeWith::Head => Method::HEAD,
            ProbeWith::Options | ProbeWith::Delivery => Method::OPTIONS,
        },
        url: subscription.target.origin().clone(),
        headers,
        body: Vec::new(),
        timeout: subscription.timeout.min(LONGEST),
        oauth2,
        secrets: subscription.secrets.clone(),
        keeps: false,
        signature_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::url_policy::UrlPolicy;
    use crate::subscription::SubscriptionOptions;

    #[test]
    fn a_probe_is_signed_over_an_empty_body() {
        let options = SubscriptionOptions {
            id: 7,
            signing_secrets: vec!["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()],
            ..SubscriptionOptions::new("shop", "https://example.com/hook?a={id}")
        };
        for (probe_with, method) in [("HEAD", Method::HEAD), ("OPTIONS", Method::OPTIONS)] {
            let document = format!(r#"{{"breaker": {{"probe_with": "{probe_with}"}}}}"#);
            let options = options.clone().with_document(&document).unwrap();
            let subscription = options.compile(&UrlPolicy::default()).unwrap();
            let request = probe(&subscription, 1_614_265_330).unwrap();
            assert_eq!((&request.method, request.url.path()), (&method, "/"));
            let header = |name: &str| {
                let found = request.headers.iter().find(|(other, _)| other == name);
                found.map(|(_, value)| value.to_str().unwrap().to_owned())
            };
            assert_eq!(header("webhook-id").unwrap(), "probe_7_1614265330");
            let verifier = standardwebhooks::Webhook::new(&options.signing_secrets[0]).unwrap();
            let signature = verifier
                .sign("probe_7_1614265330", 1_614_265_330, b"")
                .unwrap();
            assert_eq!(header("webhook-signature").unwrap(), signature);
            assert!(request.body.is_empty());
        }
    }
}
