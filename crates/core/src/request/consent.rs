//! The request that asks a receiver for its consent to deliveries, by the [`handshake`](crate::request::handshake).

use std::time::Duration;

use http::header::{ACCEPT_ENCODING, USER_AGENT};
use http::{HeaderValue, Method};

use super::http_request::HttpRequest;
use crate::request::handshake::Handshake;
use crate::signing::auth::Auth;
use crate::subscription::compiled::Subscription;

/// The maximum duration of the question.
const LONGEST: Duration = Duration::from_secs(30);

/// Returns the request that asks the receiver of a subscription. Its url contains no values of an event.
pub fn question(subscription: &Subscription, handshake: &Handshake) -> HttpRequest {
    let style = &subscription.style;
    let mut headers = vec![
        (USER_AGENT, style.user_agent.clone()),
        (ACCEPT_ENCODING, HeaderValue::from_static("identity")),
    ];
    headers.extend(handshake.question());
    let mut oauth2 = None;
    match &style.auth {
        None => {}
        Some(Auth::Header(name, value)) => headers.push((name.clone(), value.clone())),
        Some(Auth::OAuth2(credentials)) => oauth2 = Some(credentials.clone()),
    }
    HttpRequest {
        method: Method::OPTIONS,
        url: subscription.target.origin().clone(),
        headers,
        body: Vec::new(),
        timeout: subscription.timeout.min(LONGEST),
        oauth2,
        secrets: subscription.secrets.clone(),
        keeps: false,
        signature_at: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::url_policy::UrlPolicy;
    use crate::subscription::SubscriptionOptions;

    #[test]
    fn a_receiver_is_asked_by_options_with_who_asks_and_how_to_answer_later() {
        let options = SubscriptionOptions {
            request_origin: "db.example.com".into(),
            ..SubscriptionOptions::new("shop", "https://example.com/hook?a=b")
        };
        let document = r#"{"handshake":{"rate":120,"callback":"https://db.example.com/grant?token=x"},"auth":{"type":"bearer","token":"t"}}"#;
        let options = options.with_document(document).unwrap();
        let subscription = options.compile(&UrlPolicy::default()).unwrap();
        let request = question(
            &subscription,
            subscription.style.handshake.as_ref().unwrap(),
        );
        assert_eq!(
            (&request.method, request.url.to_string().as_str()),
            (&Method::OPTIONS, "https://example.com/hook?a=b")
        );
        let sent: Vec<_> = request
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        assert_eq!(
            sent[2..],
            [
                "webhook-request-origin: db.example.com",
                "webhook-request-callback: https://db.example.com/grant?token=x",
                "webhook-request-rate: 120",
                "authorization: Bearer t",
            ]
        );
        assert!(request.body.is_empty());
    }
}
