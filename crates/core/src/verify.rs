//! Whether a request that came in was signed by who has the secret: the other side of [`signature`](crate::signature).
//!
//! It takes the bytes as they came, compares in constant time, and has no clock. It says yes or no, and not why: an
//! answer that tells how far a forgery came helps the next one.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::signature::{Secret, Signer, is_signable};

/// How far the time of a request may be from now (Standard Webhooks 1.0.0, "Verifying").
pub const TOLERANCE_SECONDS: u64 = 300;

/// What Standard Webhooks needs of a request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Received<'a> {
    /// `webhook-id`
    pub id: &'a str,
    /// `webhook-timestamp`
    pub timestamp: &'a str,
    /// `webhook-signature`: one signature or several, separated by blanks.
    pub signature: &'a str,
    pub body: &'a [u8],
}

impl Received<'_> {
    /// Whether one of the signatures is of this secret, and the time is within `tolerance` seconds of `now`.
    ///
    /// ```
    /// use herald_core::signature::Secret;
    /// use herald_core::verify::{Received, TOLERANCE_SECONDS};
    ///
    /// let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    /// let received = Received {
    ///     id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
    ///     timestamp: "1614265330",
    ///     signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ///     body: br#"{"test": 2432232314}"#,
    /// };
    /// assert!(received.is_signed_with(&secret, 1614265330 + 300, TOLERANCE_SECONDS));
    /// assert!(!received.is_signed_with(&secret, 1614265330 + 301, TOLERANCE_SECONDS));
    /// ```
    pub fn is_signed_with(&self, secret: &Secret, now: i64, tolerance: u64) -> bool {
        let Some(timestamp) = parse_timestamp(self.timestamp) else {
            return false;
        };
        if !is_signable(self.id) || timestamp.abs_diff(now) > tolerance {
            return false;
        }
        let signer = Signer::new(secret);
        let given = self.signature.split(' ').filter_map(|one| {
            let mac = STANDARD.decode(one.strip_prefix("v1,")?).ok()?;
            Some(signer.is_mine(&mac, self.id, self.timestamp, self.body))
        });
        // All of them are looked at, so that the time does not tell which one it was.
        given.fold(false, |any, is_valid| any | is_valid)
    }
}

/// Seconds since 1970 as our side writes them: what another reader might read otherwise is refused.
fn parse_timestamp(text: &str) -> Option<i64> {
    let timestamp: i64 = text.parse().ok()?;
    (timestamp.to_string() == text).then_some(timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn secret(byte: u8) -> Secret {
        Secret::from_bytes(&[byte; 32]).unwrap()
    }

    fn is_valid(received: Received<'_>) -> bool {
        received.is_signed_with(&secret(1), NOW, TOLERANCE_SECONDS)
    }

    fn signed(timestamp: i64) -> (String, String) {
        let signature = Signer::new(&secret(1)).sign("msg_1", timestamp, b"{}");
        (timestamp.to_string(), signature.unwrap())
    }

    #[test]
    fn what_was_signed_is_valid_and_nothing_else_is() {
        let (timestamp, signature) = signed(NOW);
        let received = Received {
            id: "msg_1",
            timestamp: &timestamp,
            signature: &signature,
            body: b"{}",
        };
        assert!(is_valid(received));
        assert!(!received.is_signed_with(&secret(2), NOW, TOLERANCE_SECONDS));
        let others = [
            Received {
                id: "msg_2",
                ..received
            },
            Received { id: "", ..received },
            Received {
                body: b"{} ",
                ..received
            },
            Received {
                timestamp: "1700000001",
                ..received
            },
            Received {
                timestamp: "+1700000000",
                ..received
            },
            Received {
                timestamp: "01700000000",
                ..received
            },
            Received {
                timestamp: "",
                ..received
            },
            Received {
                signature: "",
                ..received
            },
            Received {
                signature: "v1,",
                ..received
            },
            Received {
                signature: &signature[3..],
                ..received
            },
            Received {
                signature: &signature[..signature.len() - 4],
                ..received
            },
            Received {
                signature: &signature.replace("v1,", "v2,"),
                ..received
            },
        ];
        for (position, other) in others.into_iter().enumerate() {
            assert!(!is_valid(other), "{position}");
        }
    }

    #[test]
    fn one_of_several_signatures_is_enough() {
        let (timestamp, signature) = signed(NOW);
        for several in [
            format!("v1,AAAA {signature}"),
            format!("{signature} v1a,AAAA"),
            format!("  nonsense {signature} "),
        ] {
            let received = Received {
                id: "msg_1",
                timestamp: &timestamp,
                signature: &several,
                body: b"{}",
            };
            assert!(is_valid(received), "{several}");
        }
    }

    #[test]
    fn a_request_of_another_time_is_a_replay() {
        for (timestamp, is_recent) in [
            (NOW - 300, true),
            (NOW - 301, false),
            (NOW + 300, true),
            (NOW + 301, false),
        ] {
            let (text, signature) = signed(timestamp);
            let received = Received {
                id: "msg_1",
                timestamp: &text,
                signature: &signature,
                body: b"{}",
            };
            assert_eq!(is_valid(received), is_recent, "{timestamp}");
        }
    }
}
