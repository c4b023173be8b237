//! TLS with a server outside the mesh: believed by the name that it proves and by who vouches for it, as browsers do.
//!
//! In: the name and the roots, in PEM. Out: [`Outside`], with the configurations of a client and the judgement of a chain.
//!
//! 1. It shows no certificate of ours, whoever asks for one.
//! 2. TLS 1.3, or 1.2 with forward secrecy and authenticated encryption (rustls has nothing less): what is outside is not ours to
//!    renew, and servers that are in use today end at 1.2. Within the mesh there is no 1.2 (the module above).
//! 3. No session is resumed and nothing is sent early, as everywhere: a resumed one would not be judged.
//! 4. The verifier is webpki's by way of rustls; nothing of SPIFFE is looked for, and no trust domain's roots vouch here.
//! 5. Revocation is not looked at: there is no list that a server outside would have us read.

use super::refusal::refusal;
use super::{never_resuming, provider};
use crate::Refused;
use crate::certificate::sha256;
use crate::moment::{from_seconds, to_unix};
use crate::pem::{self, PemError};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

/// Roots of one file at most: a system believes about 150.
pub const OUTSIDE_ROOTS_MAX: usize = 1000;

/// Whom we believe outside the mesh, under one name.
pub struct Outside {
    name: ServerName<'static>,
    /// Of the text of the roots.
    roots_sha256: [u8; 32],
    verifier: Arc<WebPkiServerVerifier>,
    /// Without ALPN.
    client: ClientConfig,
}

/// Why nobody can be believed so.
#[derive(Debug)]
#[non_exhaustive]
pub enum OutsideError {
    /// The text holds no readable certificates.
    Pem(PemError),
    /// More roots than [`OUTSIDE_ROOTS_MAX`].
    TooMany {
        /// How many.
        roots: usize,
    },
    /// Not one of them can vouch.
    NoRoot,
    /// The name can be in no certificate.
    Name,
    /// rustls made no configuration of it.
    Tls(rustls::Error),
}

impl fmt::Display for OutsideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutsideError::Pem(why) => write!(f, "{why}"),
            OutsideError::TooMany { roots } => {
                write!(f, "{roots} roots, at most {OUTSIDE_ROOTS_MAX} are read")
            }
            OutsideError::NoRoot => f.write_str("not one certificate in it can vouch for others"),
            OutsideError::Name => f.write_str("the name of the server can be in no certificate"),
            OutsideError::Tls(why) => write!(f, "no TLS configuration could be made of it: {why}"),
        }
    }
}
impl std::error::Error for OutsideError {}

/// Whoever believes by the same name and roots believes the same.
impl PartialEq for Outside {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.roots_sha256 == other.roots_sha256
    }
}

impl Outside {
    /// Believes whoever proves `name`, a DNS name or an IP address, and is vouched for by one of the roots in `roots_pem`. Roots
    /// that cannot be read are left out: systems carry some, and to leave one out is to believe less.
    pub fn new(name: &str, roots_pem: &[u8]) -> Result<Self, OutsideError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| OutsideError::Name)?;
        let found = pem::certificates(roots_pem).map_err(OutsideError::Pem)?;
        if found.len() > OUTSIDE_ROOTS_MAX {
            return Err(OutsideError::TooMany { roots: found.len() });
        }
        let mut roots = RootCertStore::empty();
        let (taken, _unreadable) = roots.add_parsable_certificates(found);
        if taken == 0 {
            return Err(OutsideError::NoRoot);
        }
        // Key exchange as within the mesh, hybrid first; cipher suites of both versions.
        let provider = Arc::new(rustls::crypto::CryptoProvider {
            kx_groups: provider().kx_groups,
            ..default_provider()
        });
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
        let verifier = verifier.build().map_err(|_| OutsideError::NoRoot)?;
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(OutsideError::Tls)?
            .with_webpki_verifier(verifier.clone())
            .with_no_client_auth();
        Ok(Self {
            name,
            roots_sha256: sha256(roots_pem),
            verifier,
            client: never_resuming(client),
        })
    }

    /// What it must prove; a DNS name is sent as SNI.
    pub fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    /// A client's configuration that offers these protocols.
    pub(crate) fn client_offering(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut client = self.client.clone();
        client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(client)
    }

    /// Judges a chain, leaf first, at this moment: when its leaf ends, or why it is not believed.
    pub fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        now: SystemTime,
    ) -> Result<SystemTime, Refused> {
        let (leaf, others) = chain.split_first().ok_or(Refused::NoCertificate)?;
        let judged = self
            .verifier
            .verify_server_cert(leaf, others, &self.name, &[], to_unix(now));
        let unreadable = || Refused::Path {
            why: webpki::Error::BadDer,
        };
        judged.map_err(|error| refusal(&error).unwrap_or_else(unreadable))?;
        let read = x509_parser::parse_x509_certificate(leaf);
        let ends = read.ok().and_then(|(_, leaf)| {
            let not_after = leaf.validity().not_after;
            from_seconds(not_after.timestamp())
        });
        ends.ok_or_else(unreadable)
    }
}
