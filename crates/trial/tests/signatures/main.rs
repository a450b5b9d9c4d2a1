//! Signatures as in docs/signatures.md: its code and vectors, against themselves and against what is sent.

mod alter;
#[path = "../common/mod.rs"]
mod common;
mod document;
mod frame;
mod keys;
mod presets;
mod seeds;
mod snippets;
mod vectors;

use std::sync::LazyLock;

use common::{Database, SOON, only_request};
use herald_trial::receiver::Request;
use herald_trial::{Cluster, Receiver};

use crate::alter::Signed;

static CLUSTER: LazyLock<Cluster> = LazyLock::new(common::cluster);

/// What a receiver knows of a scheme.
struct Scheme {
    /// The document's name for its vector and code.
    name: &'static str,
    /// The value for `subscribe` and `verify`: JSON, unless it is a name.
    signing: &'static str,
    /// The header with the signature.
    signature: &'static str,
    /// Other signed headers, including the time.
    signed: &'static [&'static str],
    /// The scheme's unsigned headers.
    unsigned: &'static [&'static str],
}

const SCHEMES: [Scheme; 11] = [
    Scheme {
        name: "standard",
        signing: "standard",
        signature: "webhook-signature",
        signed: &["webhook-id", "webhook-timestamp"],
        unsigned: &[],
    },
    Scheme {
        name: "v1a",
        signing: "standard",
        signature: "webhook-signature",
        signed: &["webhook-id", "webhook-timestamp"],
        unsigned: &[],
    },
    Scheme {
        name: "github",
        signing: "github",
        signature: "x-hub-signature-256",
        signed: &[],
        unsigned: &["x-github-delivery", "x-github-event"],
    },
    Scheme {
        name: "stripe",
        signing: "stripe",
        signature: "stripe-signature",
        signed: &[],
        unsigned: &[],
    },
    Scheme {
        name: "shopify",
        signing: "shopify",
        signature: "x-shopify-hmac-sha256",
        signed: &[],
        unsigned: &[
            "x-shopify-webhook-id",
            "x-shopify-topic",
            "x-shopify-triggered-at",
        ],
    },
    Scheme {
        name: "slack",
        signing: "slack",
        signature: "x-slack-signature",
        signed: &["x-slack-request-timestamp"],
        unsigned: &[],
    },
    Scheme {
        name: "svix",
        signing: "svix",
        signature: "svix-signature",
        signed: &["svix-id", "svix-timestamp"],
        unsigned: &[],
    },
    Scheme {
        name: "humana",
        signing: "humana",
        signature: "x-humana-signature",
        signed: &["x-humana-timestamp"],
        unsigned: &[],
    },
    Scheme {
        name: "leafengines",
        signing: "leafengines",
        signature: "x-leafengines-signature",
        signed: &[],
        unsigned: &[],
    },
    Scheme {
        name: "frame",
        signing: "frame",
        signature: "x-webhook-signature",
        signed: &[],
        unsigned: &["x-timestamp", "x-request-id"],
    },
    Scheme {
        name: "own",
        signing: r#"{"header": "x-shop-signature", "algorithm": "sha512", "encoding": "base64", "prefix": "sha512=",
                     "content": "{timestamp}.{body}", "timestamp_header": "x-shop-timestamp"}"#,
        signature: "x-shop-signature",
        signed: &["x-shop-timestamp"],
        unsigned: &[],
    },
];

impl Scheme {
    #[track_caller]
    fn named(name: &str) -> &'static Scheme {
        let found = SCHEMES.iter().find(|scheme| scheme.name == name);
        found.expect("a scheme of this name")
    }

    /// Returns the argument of `subscribe`.
    fn option(&self) -> String {
        signing_option(self.signing)
    }

    /// Returns all headers that the scheme writes.
    fn headers(&self) -> impl Iterator<Item = &'static str> {
        let others = self.signed.iter().chain(self.unsigned).copied();
        std::iter::once(self.signature).chain(others)
    }
}

/// Returns the argument of `subscribe` for a name, or an object of parts.
fn signing_option(signing: &str) -> String {
    if signing.starts_with('{') {
        format!("signing => '{signing}'")
    } else {
        format!("signing => '\"{signing}\"'")
    }
}

/// Subscribes a receiver that checks nothing, and returns it with the secret.
fn subscribe(db: &mut Database, name: &str, options: &str) -> (Receiver, String) {
    let receiver = Receiver::start().expect("a receiver starts");
    let url = receiver.url("/");
    let secret = db.text(&format!(
        "select secret from herald.subscribe('{name}', url => '{url}', {options})"
    ));
    (receiver, secret)
}

/// Returns the only request that came, to be verified with this secret.
#[track_caller]
fn only_signed(receiver: &Receiver, secret: &str) -> Signed {
    receiver.wait_for(1, SOON);
    signed(&only_request(receiver), secret)
}

fn signed(request: &Request, secret: &str) -> Signed {
    let headers = request.headers.iter();
    Signed {
        secret: secret.to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_lowercase(), value.clone()))
            .collect(),
        body: request.body.clone(),
    }
}

/// Returns what `herald.verify` says.
#[track_caller]
fn server_accepts(db: &mut Database, signing: &str, signed: &Signed, tolerance: &str) -> bool {
    let headers = serde_json::to_string(&signed.headers).expect("headers are text");
    let call = "select herald.verify($1, $2, $3::text::jsonb, $4, tolerance => $5::text::interval)";
    let row = db.row(
        call,
        &[&signing, &signed.secret, &headers, &signed.body, &tolerance],
    );
    row.get(0)
}
