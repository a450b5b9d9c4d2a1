//! Errors of the sender itself. A failed request is never an [`Error`].

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the sender did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file of trusted certificates (`herald.ca_file`) cannot be read.
    CaFile {
        /// The file as it was given.
        path: PathBuf,
        /// Why it cannot be read or parsed.
        reason: String,
    },
    /// The file of trusted certificates can be read but contains no usable certificate.
    NoCertificate {
        /// The file as it was given.
        path: PathBuf,
    },
    /// The operating system refused a thread: `herald.sender_threads` exceeds what the server may have.
    Thread(io::Error),
    /// The TLS library rejected its own settings.
    Tls(rustls::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaFile { path, reason } => {
                write!(
                    formatter,
                    "could not read certificates from \"{}\": {reason}",
                    path.display()
                )
            }
            Self::NoCertificate { path } => {
                write!(formatter, "no certificate found in \"{}\"", path.display())
            }
            Self::Thread(error) => write!(formatter, "could not start a sender thread: {error}"),
            Self::Tls(error) => write!(formatter, "could not set up TLS: {error}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Thread(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::CaFile { .. } | Self::NoCertificate { .. } => None,
        }
    }
}
