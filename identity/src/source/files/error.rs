//! What can be wrong with identity files: the whole space, each in one line that says what to do.

use crate::{BundleError, GenerationError, KeyError, PemError, Refused, SvidError};
use config::{SpiffeId, TrustDomain};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Which of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The chain.
    Certificate,
    /// The private key.
    Key,
    /// Roots, own or federated.
    Bundle,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            What::Certificate => "certificate",
            What::Key => "key",
            What::Bundle => "bundle",
        })
    }
}

/// What went wrong with the files: one line that says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum FilesError {
    /// A file cannot be read.
    Unreadable {
        /// Which.
        what: What,
        /// Where.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A file is larger than any of its kind.
    TooLarge {
        /// Where.
        path: PathBuf,
        /// How many bytes are read at most.
        bytes_max: u64,
    },
    /// Others than its owner may read or write the key.
    KeyMode {
        /// Where.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
    },
    /// The files did not hold still while they were read.
    Moving,
    /// The key cannot be used.
    Key {
        /// Where.
        path: PathBuf,
        /// Why.
        why: KeyError,
    },
    /// Certificate and key make no SVID.
    Svid {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
        /// Why.
        why: SvidError,
    },
    /// A bundle cannot be used.
    Bundle {
        /// Where.
        path: PathBuf,
        /// Why.
        why: BundleError,
    },
    /// Two bundles for one trust domain.
    BundleTwice {
        /// Where the second is.
        path: PathBuf,
        /// Which trust domain.
        trust_domain: TrustDomain,
    },
    /// The certificate is for another trust domain than the configured one.
    TrustDomain {
        /// Where.
        path: PathBuf,
        /// Who it is for.
        found: SpiffeId,
        /// The configured one.
        wanted: TrustDomain,
    },
    /// A peer with this bundle would refuse this certificate now.
    Refused {
        /// Where the certificate is.
        path: PathBuf,
        /// Where the bundle is.
        bundle: PathBuf,
        /// Why.
        why: Refused,
    },
    /// rustls takes neither.
    Tls(GenerationError),
}

impl FilesError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            FilesError::Unreadable { .. } => "unreadable",
            FilesError::TooLarge { .. } => "too_large",
            FilesError::KeyMode { .. } => "key_mode",
            FilesError::Moving => "moving",
            FilesError::Key { why, .. } => why.reason(),
            FilesError::Svid { why, .. } => why.reason(),
            FilesError::Bundle { why, .. } => why.reason(),
            FilesError::BundleTwice { .. } => "bundle_twice",
            FilesError::TrustDomain { .. } => "wrong_trust_domain",
            FilesError::Refused { why, .. } => why.reason(),
            FilesError::Tls(_) => "tls",
        }
    }
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilesError::Unreadable { what, path, why } => unreadable(f, *what, path, why),
            FilesError::TooLarge { path, bytes_max } => {
                write!(f, "{}: larger than {bytes_max} bytes; give the PEM file itself", path.display())
            }
            FilesError::KeyMode { path, mode } => {
                let at = path.display();
                let who = if mode & 0o007 != 0 { "others" } else { "its group" };
                write!(
                    f,
                    "{at}: mode {mode:04o} lets {who} read or change the private key; run chmod 600 {at} (a Kubernetes volume: defaultMode: 0400)"
                )
            }
            FilesError::Moving => {
                f.write_str("identity files: they kept changing while they were read; swap a finished directory in instead")
            }
            FilesError::Key { path, why } => write!(f, "{}: {why}", path.display()),
            FilesError::Svid { certificate, key, why: SvidError::KeyMismatch } => write!(
                f,
                "{}: the private key in {} does not belong to it; write both from one issuance",
                certificate.display(),
                key.display()
            ),
            FilesError::Svid { certificate, why: SvidError::Pem(why), .. } => pem(f, certificate, why),
            FilesError::Svid { certificate, why, .. } => {
                write!(f, "{}: {why}; have it issued again, leaf first", certificate.display())
            }
            FilesError::Bundle { path, why: BundleError::Pem(why) } => pem(f, path, why),
            FilesError::Bundle { path, why } => {
                write!(f, "{}: {why}; give the trust domain's root certificates and nothing else", path.display())
            }
            FilesError::BundleTwice { path, trust_domain } => write!(
                f,
                "{}: trust domain `{trust_domain}` has a bundle already; give one file with all its roots",
                path.display()
            ),
            FilesError::TrustDomain { path, found, wanted } => write!(
                f,
                "{}: it is for {found}, and `identity.trustDomain` is `{wanted}`; give this sidecar's own certificate",
                path.display()
            ),
            FilesError::Refused { path, bundle, why } => {
                write!(f, "{}: peers that trust {} would refuse it: {why}", path.display(), bundle.display())
            }
            FilesError::Tls(why) => why.fmt(f),
        }
    }
}

fn unreadable(
    f: &mut fmt::Formatter<'_>,
    what: What,
    path: &std::path::Path,
    why: &io::Error,
) -> fmt::Result {
    let at = path.display();
    match why.kind() {
        io::ErrorKind::NotFound => write!(
            f,
            "{at}: no such file; put the {what} there or correct `identity`"
        ),
        io::ErrorKind::PermissionDenied => {
            write!(
                f,
                "{at}: permission denied; let the user that runs this process read the {what}"
            )
        }
        io::ErrorKind::IsADirectory => {
            write!(f, "{at}: it is a directory; name the {what} file in it")
        }
        _ => write!(f, "{at}: {why}; check the {what} file"),
    }
}

fn pem(f: &mut fmt::Formatter<'_>, path: &std::path::Path, why: &PemError) -> fmt::Result {
    write!(
        f,
        "{}: {why}; write the whole PEM file again",
        path.display()
    )
}

impl std::error::Error for FilesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            FilesError::Unreadable { why, .. } => Some(why),
            FilesError::Key { why, .. } => Some(why),
            FilesError::Svid { why, .. } => Some(why),
            FilesError::Bundle { why, .. } => Some(why),
            FilesError::Refused { why, .. } => Some(why),
            FilesError::Tls(why) => Some(why),
            _ => None,
        }
    }
}
