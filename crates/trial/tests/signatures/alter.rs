//! Tampered requests: each differs from a valid request in one thing.

use std::collections::BTreeMap;

use crate::Scheme;

/// A request, its headers by their names in lower case, and the secret that verifies it.
#[derive(Clone)]
pub struct Signed {
    pub secret: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Signed {
    pub fn with_header(&self, name: &str, value: &str) -> Self {
        let mut altered = self.clone();
        altered.headers.insert(name.into(), value.into());
        altered
    }

    fn without_header(&self, name: &str) -> Self {
        let mut altered = self.clone();
        altered.headers.remove(name);
        altered
    }

    pub fn with_body(&self, body: &[u8]) -> Self {
        Self {
            body: body.to_vec(),
            ..self.clone()
        }
    }

    /// Flips the lowest bit of each byte of the body in turn.
    pub fn flipped_bodies(&self) -> impl Iterator<Item = Self> {
        (0..self.body.len()).map(|at| {
            let mut altered = self.clone();
            altered.body[at] ^= 1;
            altered
        })
    }

    /// Does the same to the characters of a header, except the padding of base64.
    fn flipped_headers(&self, name: &str) -> impl Iterator<Item = Self> {
        let value = self.headers.get(name).expect("a header of the scheme");
        (0..value.trim_end_matches('=').len()).map(move |at| {
            let mut bytes = value.clone().into_bytes();
            bytes[at] ^= 1;
            let flipped = String::from_utf8(bytes).expect("headers are ASCII");
            self.with_header(name, &flipped)
        })
    }
}

/// Returns requests that nobody may accept, and what was altered.
pub fn forgeries(scheme: &Scheme, valid: &Signed) -> Vec<(String, Signed)> {
    let mut all = with_other_bodies_and_secrets(valid);
    for name in std::iter::once(scheme.signature).chain(scheme.signed.iter().copied()) {
        all.extend(with_another_header(name, valid));
    }
    for (name, faults) in [
        (
            "stripe-signature",
            &["t=1", "v1=00", "t=,v1=", "t=NaN,v1=00", ",,,"][..],
        ),
        (
            "webhook-signature",
            &["v1,", "v1a,", "v2,AAAA", ", ,", "v1,ü v1a,ü"],
        ),
        ("svix-signature", &["v1,", "v1, v1,"]),
    ] {
        if name == scheme.signature {
            for value in faults {
                all.push((format!("{name} is {value}"), valid.with_header(name, value)));
            }
        }
    }
    all
}

fn with_other_bodies_and_secrets(valid: &Signed) -> Vec<(String, Signed)> {
    let mut all = Vec::new();
    let mut add = |what: String, forged: Signed| all.push((what, forged));
    for (at, forged) in valid.flipped_bodies().enumerate() {
        add(format!("byte {at} of the body flipped"), forged);
    }
    add("no body".into(), valid.with_body(b""));
    add(
        "a longer body".into(),
        valid.with_body(&[&valid.body[..], b" "].concat()),
    );
    let mut other_secret = valid.clone();
    let letter = if valid.secret[9..].starts_with('A') {
        "B"
    } else {
        "A"
    };
    other_secret.secret.replace_range(9..10, letter);
    add("another secret".into(), other_secret);
    add(
        "no headers".into(),
        Signed {
            headers: BTreeMap::new(),
            ..valid.clone()
        },
    );
    all
}

/// Returns requests with another value of this header, or none.
fn with_another_header(name: &str, valid: &Signed) -> Vec<(String, Signed)> {
    let mut all = Vec::new();
    let mut add = |what: String, forged: Signed| all.push((what, forged));
    for (at, forged) in valid.flipped_headers(name).enumerate() {
        add(format!("character {at} of {name} flipped"), forged);
    }
    add(format!("no {name}"), valid.without_header(name));
    let value = &valid.headers[name];
    let longer = "9".repeat(5000);
    for value in [
        "",
        " ",
        "ü",
        "-1",
        "NaN",
        "1e9",
        &longer,
        &format!("{value}0"),
        &format!("+{value}"),
        &format!("0{value}"),
        &value[1..],
    ] {
        add(
            format!("{name} is {value:.60}"),
            valid.with_header(name, value),
        );
    }
    all
}

/// Returns altered requests that are accepted, because the altered part is not signed.
pub fn unnoticed(scheme: &Scheme, valid: &Signed) -> Vec<(String, Signed)> {
    let names = scheme.unsigned.iter();
    let mut all: Vec<_> = names
        .map(|name| (format!("another {name}"), valid.with_header(name, "other")))
        .collect();
    if scheme.signing != "standard" {
        all.push((
            "another webhook-id".into(),
            valid.with_header("webhook-id", "other"),
        ));
    }
    all
}
