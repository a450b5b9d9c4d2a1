//! The key file, read when a secret is sealed or opened, and not kept.
//!
//! A session seals what is stored (sql/subscription/secret.sql). Only the worker, `preview()`, `public_key()` and the
//! exchange of a secret open it, in here. No SQL function returns an opened secret.

use crate::pg::random;
use crate::settings;
use herald_core::signing::Secret;
use herald_core::vault::{Keys, Sealed};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use std::cell::OnceCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// Permissions that are too open: the group may write, or others may do anything.
const TOO_OPEN: u32 = 0o027;

/// The keys, read when first needed.
#[derive(Default)]
pub struct Vault(OnceCell<Result<Option<Keys>, String>>);

impl Vault {
    /// Opens a value as `load_subscriptions.sql` gives it: the id of its key, a colon and the stored text. A value
    /// without an id was never sealed.
    pub fn open(&self, stored: &str, about: &str) -> Result<Zeroizing<String>, String> {
        let (key_id, text) = stored.split_once(':').unwrap_or(("", stored));
        if key_id.is_empty() {
            return Ok(Zeroizing::new(text.to_owned()));
        }
        let keys = match self.0.get_or_init(keys) {
            Ok(Some(keys)) => keys,
            Ok(None) => {
                return Err("the value is sealed, but herald.secret_key_file is not set".into());
            }
            Err(fault) => return Err(fault.clone()),
        };
        let sealed = Sealed {
            key_id: key_id.into(),
            text: text.into(),
        };
        keys.open(&sealed, about).map_err(|fault| fault.to_string())
    }
}

/// Reads the keys of the file currently set.
fn keys() -> Result<Option<Keys>, String> {
    settings::secret_key_file()
        .map(|path| {
            read(&path)
                .map_err(|fault| format!("herald.secret_key_file ({}): {fault}", path.display()))
        })
        .transpose()
}

fn read(path: &Path) -> Result<Keys, String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.permissions().mode() & TOO_OPEN != 0 {
        return Err("users other than its owner can access the file; run chmod 600".into());
    }
    let file = fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| error.to_string())?;
    Keys::parse(&file).map_err(|error| {
        let detail = error.detail().unwrap_or_else(|| error.message());
        format!("{detail} {}", error.hint().unwrap_or_default())
    })
}

/// Returns the id of the current key; null if secrets are stored unencrypted.
#[pg_extern(sql = false)]
fn secret_key_id() -> Result<Option<String>, ErrorReport> {
    let keys = keys().map_err(no_key)?;
    Ok(keys.map(|keys| keys.current_id().to_owned()))
}

/// Returns the id of the key and the sealed value; null if secrets are stored unencrypted.
#[pg_extern(sql = false)]
fn seal_secret(value: &str, about: &str) -> Result<Option<Vec<String>>, ErrorReport> {
    let Some(keys) = keys().map_err(no_key)? else {
        return Ok(None);
    };
    seal(&keys, value, about).map(Some)
}

/// Seals a stored value with the current key.
#[pg_extern(sql = false)]
fn reseal_secret(stored: &str, about: &str) -> Result<Vec<String>, ErrorReport> {
    let keys = keys()
        .map_err(no_key)?
        .ok_or_else(|| no_key("herald.secret_key_file is not set".into()))?;
    let opened = Vault::default().open(stored, about).map_err(cannot_open)?;
    seal(&keys, &opened, about)
}

/// Returns whether a stored secret equals this one; false if it cannot be opened.
#[pg_extern(sql = false)]
fn is_secret(stored: &str, about: &str, secret: &str) -> bool {
    Vault::default()
        .open(stored, about)
        .is_ok_and(|opened| *opened == secret)
}

/// Returns the public key of a stored signing secret, if that is a private key.
#[pg_extern(sql = false)]
fn public_key_of(stored: &str, about: &str) -> Result<Option<String>, ErrorReport> {
    let opened = Vault::default().open(stored, about).map_err(cannot_open)?;
    Ok(Secret::parse(&opened)
        .ok()
        .and_then(|secret| secret.public_key()))
}

fn seal(keys: &Keys, value: &str, about: &str) -> Result<Vec<String>, ErrorReport> {
    let sealed = keys
        .seal(value, about, random::strong())
        .ok_or_else(|| no_key("it is too long".into()))?;
    Ok(vec![sealed.key_id, sealed.text])
}

fn no_key(fault: String) -> ErrorReport {
    key_fault("cannot seal the secret", fault)
}

fn cannot_open(fault: String) -> ErrorReport {
    key_fault("cannot open the stored secret", fault)
}

fn key_fault(message: &'static str, fault: String) -> ErrorReport {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_CONFIG_FILE_ERROR,
        message,
        "secret",
    )
    .set_detail(fault)
    .set_hint(
        "Set herald.secret_key_file to a file that only the server's user may read, with one key per line, \
         the current one first.",
    )
}
