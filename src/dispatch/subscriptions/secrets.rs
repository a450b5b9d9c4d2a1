//! A subscription's secrets, opened for the worker.

use crate::vault::Vault;
use herald_sender::TlsProfile;
use std::collections::HashMap;

/// A subscription's secrets, opened.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) signing: Vec<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) tls: Option<TlsProfile>,
    /// The members of auth that are secrets.
    pub(super) auth: Vec<(String, String)>,
    /// How many headers, members of tls and of auth there are.
    pub(super) values: usize,
}

impl Secrets {
    pub(super) fn open(
        vault: &Vault,
        id: i64,
        signing: &[String],
        headers: [Vec<String>; 2],
        tls: [Vec<String>; 2],
        auth: [Vec<String>; 2],
    ) -> Result<Self, String> {
        let open = |stored: &String, kind: &str, name: &str| {
            let about = format!("{id}/{kind}/{}", name.to_lowercase());
            vault.open(stored, &about).map(|text| text.to_string())
        };
        let open_all = |[names, stored]: [Vec<String>; 2], kind: &str| {
            let pairs = names.into_iter().zip(&stored);
            pairs
                .map(|(name, stored)| Ok((name.clone(), open(stored, kind, &name)?)))
                .collect::<Result<Vec<_>, String>>()
        };
        let headers = open_all(headers, "header")?;
        let mut tls: HashMap<_, _> = open_all(tls, "tls")?.into_iter().collect();
        let auth = open_all(auth, "auth")?;
        Ok(Self {
            values: headers.len() + tls.len() + auth.len(),
            tls: if tls.is_empty() {
                None
            } else {
                TlsProfile::new(
                    tls.remove("ca"),
                    tls.remove("certificate"),
                    tls.remove("key"),
                )
            },
            headers,
            auth,
            signing: signing
                .iter()
                .map(|stored| open(stored, "signing", ""))
                .collect::<Result<_, _>>()?,
        })
    }
}
