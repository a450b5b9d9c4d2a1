//! A subscription's secrets, opened for the worker.

use crate::vault::Vault;
use herald_core::subscription::SubscriptionOptions;
use herald_core::subscription::secrets::HIDDEN;
use herald_sender::TlsProfile;

/// A subscription's secrets, opened.
#[derive(Default)]
pub(super) struct Secrets {
    pub(super) signing: Vec<String>,
    /// The secret members of options.
    values: Vec<Value>,
}

/// A secret member of an option.
struct Value {
    option: String,
    name: String,
    text: String,
}

impl Secrets {
    /// Opens the secrets. `values` are options, names and stored values, in step.
    pub(super) fn open(
        vault: &Vault,
        id: i64,
        signing: &[String],
        values: [Vec<String>; 3],
    ) -> Result<Self, String> {
        let open = |stored: &String, kind: &str, name: &str| {
            let about = format!("{id}/{kind}/{}", name.to_lowercase());
            vault.open(stored, &about).map(|text| text.to_string())
        };
        let [options, names, stored] = values;
        let values = options.into_iter().zip(names).zip(&stored);
        Ok(Self {
            values: values
                .map(|((option, name), stored)| {
                    let text = open(stored, &option, &name)?;
                    Ok(Value { option, name, text })
                })
                .collect::<Result<_, String>>()?,
            signing: signing
                .iter()
                .map(|stored| open(stored, "signing", ""))
                .collect::<Result<_, _>>()?,
        })
    }

    fn of(&self, option: &str) -> impl Iterator<Item = (&str, &str)> {
        let of_option = self
            .values
            .iter()
            .filter(move |value| value.option == option);
        of_option.map(|value| (value.name.as_str(), value.text.as_str()))
    }

    /// Returns the TLS configuration, if it differs from the common one.
    pub(super) fn tls_profile(&self) -> Option<TlsProfile> {
        self.of("tls").next()?;
        let member = |name: &str| {
            let found = self.of("tls").find(|(member, _)| *member == name);
            found.map(|(_, pem)| pem.to_owned())
        };
        TlsProfile::new(member("ca"), member("certificate"), member("key"))
    }

    /// Returns the options with their secrets.
    pub(super) fn put_into(
        &self,
        mut options: SubscriptionOptions,
    ) -> Result<SubscriptionOptions, String> {
        options.signing_secrets.clone_from(&self.signing);
        for (option, members) in [
            ("headers", &mut options.headers),
            ("secrets", &mut options.secrets),
            ("tls", &mut options.tls),
            ("auth", &mut options.auth),
        ] {
            let Some(members) = members else {
                continue;
            };
            for (name, text) in self.of(option) {
                members.insert(name.to_owned(), text.to_owned());
            }
            if members.values().any(|value| value == HIDDEN) {
                return Err(format!(
                    "the values of its {option} are gone; give them again"
                ));
            }
        }
        Ok(options)
    }
}
