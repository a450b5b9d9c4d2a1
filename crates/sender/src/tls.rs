//! TLS trust and identity: turns certificates into rustls configurations.
//!
//! TLS 1.2 and 1.3 with ring. The system's store and the CA file are read once, at start; all tenants share the
//! resulting configuration. A server's certificate is always verified, and nothing can switch that off.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use herald_core::egress::agent::TlsProfile;

use crate::error::Error;
use crate::failure::Failure;

/// Checks that a session can be configured with the profile; the error is in words.
pub fn check_tls(profile: &TlsProfile) -> Result<(), String> {
    let ca = &profile.ca_certificates;
    let wants = [
        (!ca.is_empty()).then_some((ca, "CA certificate")),
        profile
            .client_certificate
            .as_ref()
            .map(|(chain, _)| (chain, "client certificate")),
    ];
    for (pem, what) in wants.into_iter().flatten() {
        if certificates(pem.as_bytes(), what)
            .map_err(|failure| failure.words)?
            .is_empty()
        {
            return Err(format!("The {what} has no certificate in PEM."));
        }
    }
    config_of(RootCertStore::empty(), profile)
        .map(drop)
        .map_err(|failure| failure.words)
}

/// What the server trusts, and the resulting configuration.
#[derive(Debug)]
pub(crate) struct Trust {
    roots: RootCertStore,
    config: Arc<ClientConfig>,
}

impl Trust {
    /// Reads the system's store and `ca_file`. A system without certificates is no error: it can only use http.
    pub(crate) fn load(ca_file: Option<&Path>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca_file {
            add_ca_file(&mut roots, path)?;
        }
        let config = config_builder(roots.clone())
            .map_err(Error::Tls)?
            .with_no_client_auth();
        Ok(Self {
            roots,
            config: Arc::new(config),
        })
    }

    /// Returns how many certificate authorities are trusted server-wide.
    pub(crate) fn count(&self) -> usize {
        self.roots.len()
    }

    /// Returns the configuration for a profile. A bad profile is a failure of the request that wants it.
    pub(crate) fn config(
        &self,
        profile: Option<&TlsProfile>,
    ) -> Result<Arc<ClientConfig>, Failure> {
        let Some(profile) = profile else {
            return Ok(Arc::clone(&self.config));
        };
        config_of(self.roots.clone(), profile).map(Arc::new)
    }
}

fn config_of(mut roots: RootCertStore, profile: &TlsProfile) -> Result<ClientConfig, Failure> {
    for certificate in certificates(profile.ca_certificates.as_bytes(), "CA certificate")? {
        roots.add(certificate).map_err(|error| {
            Failure::tls(format_args!("the CA certificate is not usable: {error}"))
        })?;
    }
    let builder = config_builder(roots).map_err(Failure::internal)?;
    let Some((chain, key)) = &profile.client_certificate else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(chain.as_bytes(), "client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| Failure::tls("the client certificate's private key is not readable"))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| {
        Failure::tls(format_args!(
            "the client certificate is not usable: {error}"
        ))
    })
}

fn config_builder(
    roots: RootCertStore,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots),
    )
}

fn add_ca_file(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let unreadable = |reason: String| Error::CaFile {
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unreadable(error.to_string()))?;
    let (added, _) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(Error::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(())
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| Failure::tls(format_args!("the {what} is not readable")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_that_is_missing_or_empty_is_an_error() {
        let missing = Trust::load(Some(Path::new("/does/not/exist.pem")));
        assert!(matches!(missing, Err(Error::CaFile { .. })));
        let empty = Trust::load(Some(Path::new("/dev/null")));
        assert!(matches!(empty, Err(Error::NoCertificate { .. })));
    }

    #[test]
    fn a_profile_with_a_broken_certificate_is_a_failure_in_words() {
        let trust = Trust::load(None).expect("the system's store can be read");
        let profile = TlsProfile {
            client_certificate: Some(("nonsense".into(), "nonsense".into())),
            ..TlsProfile::default()
        };
        let failure = trust
            .config(Some(&profile))
            .expect_err("nonsense is no certificate");
        assert!(failure.words.starts_with("TLS: the client certificate"));
    }

    #[test]
    fn debug_output_does_not_show_the_private_key() {
        let profile = TlsProfile {
            client_certificate: Some(("chain".into(), "very-secret".into())),
            ..TlsProfile::default()
        };
        assert!(!format!("{profile:?}").contains("very-secret"));
    }
}
