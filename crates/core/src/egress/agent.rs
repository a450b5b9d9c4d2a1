//! The key that decides which connections a request may use. It stays with a subscription from loading to sending.

use std::fmt;
use std::sync::Arc;

/// Requests share connections if and only if their keys are equal.
///
/// The key includes the tenant so that no tenant's request arrives over a connection that another tenant opened, and
/// the TLS profile so that no request is sent with another's client certificate.
///
/// ```
/// use herald_core::egress::agent::AgentKey;
///
/// let acme = AgentKey { tenant: Some("acme".into()), is_tenants: true, tls: None };
/// assert_ne!(acme, AgentKey::default());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AgentKey {
    /// The subscription's tenant.
    pub tenant: Option<Arc<str>>,
    /// Whether the rules for tenants apply: they may reach less, and are told less.
    pub is_tenants: bool,
    /// The subscription's own certificates; `None` for the server-wide settings.
    pub tls: Option<Arc<TlsProfile>>,
}

/// A subscription's own certificates, in PEM. Equal profiles share connections.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TlsProfile {
    /// Certificate authorities to trust beside the server-wide ones.
    pub ca_certificates: String,
    /// The client certificate with its chain, and its private key.
    pub client_certificate: Option<(String, String)>,
}

impl TlsProfile {
    /// Builds a profile from its members as given. Returns `None` for a certificate without a key, or a key without a
    /// certificate.
    ///
    /// ```
    /// use herald_core::egress::agent::TlsProfile;
    ///
    /// assert!(TlsProfile::new(Some("-----BEGIN CERTIFICATE-----".into()), None, None).is_some());
    /// assert!(TlsProfile::new(None, Some("-----BEGIN CERTIFICATE-----".into()), None).is_none());
    /// ```
    pub fn new(
        ca_certificates: Option<String>,
        certificate: Option<String>,
        key: Option<String>,
    ) -> Option<Self> {
        let client_certificate = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return None,
        };
        Some(Self {
            ca_certificates: ca_certificates.unwrap_or_default(),
            client_certificate,
        })
    }
}

/// Keeps the private key out of every log.
impl fmt::Debug for TlsProfile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TlsProfile")
            .field("has_ca_certificates", &!self.ca_certificates.is_empty())
            .field("has_client_certificate", &self.client_certificate.is_some())
            .finish()
    }
}
