//! Certificates for receivers: a throw-away authority, and server certificates that are good or deliberately bad.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

use crate::error::{Error, Result};

/// The names by which a receiver can be reached.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Signs the certificates of any number of receivers, all trusted through one file.
#[derive(Debug)]
pub struct Authority {
    dir: TempDir,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    Expired,
    NotYetValid,
    OtherHost,
    /// Signed only by itself.
    SelfSigned,
}

/// The TLS side of one receiver.
#[derive(Debug, Clone)]
pub struct Tls {
    pub(super) config: Arc<ServerConfig>,
}

/// A client certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub struct ClientIdentity {
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Authority {
    pub fn new() -> Result<Self> {
        let key = KeyPair::generate().map_err(setup)?;
        let mut params = CertificateParams::new(Vec::new()).map_err(setup)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // The server reads the file as another user, but a temporary directory is private to its owner.
        let dir = TempDir::with_prefix("herald-trial-ca-")
            .map_err(Error::io("making a directory for the CA"))?;
        // Each authority has a unique name: with the name of another it would be an impostor, not unknown.
        let name = dir.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).map_err(setup)?;
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755))
            .and_then(|()| fs::write(dir.path().join("ca.pem"), certificate.pem()))
            .map_err(Error::io("writing the CA file"))?;
        Ok(Self {
            dir,
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Returns the file for `herald.ca_file`, which exists as long as the authority does.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// Returns the directory of the CA file, which any user can read, for other PEM files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn server(&self, flaw: Flaw) -> Result<Tls> {
        let builder = config_builder()?.with_no_client_auth();
        let (chain, key) = self.chain(flaw)?;
        let config = builder.with_single_cert(chain, key).map_err(setup)?;
        Ok(Tls {
            config: Arc::new(config),
        })
    }

    /// Makes a server that only talks to clients with a certificate of this authority.
    pub fn server_for_known_clients(&self) -> Result<Tls> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).map_err(setup)?;
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(setup)?;
        let (chain, key) = self.chain(Flaw::None)?;
        let builder = config_builder()?.with_client_cert_verifier(verifier);
        let config = builder.with_single_cert(chain, key).map_err(setup)?;
        Ok(Tls {
            config: Arc::new(config),
        })
    }

    pub fn client_identity(&self) -> Result<ClientIdentity> {
        let key = KeyPair::generate().map_err(setup)?;
        let params = CertificateParams::new(vec!["client.example".to_owned()]).map_err(setup)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(setup)?;
        Ok(ClientIdentity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    fn chain(&self, flaw: Flaw) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let names = match flaw {
            Flaw::OtherHost => vec!["elsewhere.example".to_owned()],
            _ => NAMES.map(str::to_owned).to_vec(),
        };
        let mut params = CertificateParams::new(names).map_err(setup)?;
        match flaw {
            Flaw::Expired => params.not_after = date_time_ymd(2001, 1, 1),
            Flaw::NotYetValid => params.not_before = date_time_ymd(3001, 1, 1),
            Flaw::None | Flaw::OtherHost | Flaw::SelfSigned => {}
        }
        let key = KeyPair::generate().map_err(setup)?;
        let certificate = match flaw {
            Flaw::SelfSigned => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        };
        let chain = vec![certificate.map_err(setup)?.der().clone()];
        Ok((chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }
}

fn config_builder() -> Result<rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier>> {
    // Name the provider, because a process-wide default would depend on what else is linked in.
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(setup)
}

fn setup(error: impl std::fmt::Display) -> Error {
    Error::Setup(format!("TLS for a receiver: {error}"))
}
