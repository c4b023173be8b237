//! TLS as Countersign speaks it, in the only module that knows rustls' builders.
//!
//! In: an SVID and a verifier. Out: templates of a server's and a client's configuration. TLS 1.3 only, hybrid
//! post-quantum key exchange first, client certificates mandatory, the provider passed in and never installed. What is
//! otherwise with servers outside the mesh stands in [`outside`].
//!
//! 1. No session is ever resumed: servers send no tickets and keep no sessions, clients keep none. On resumption rustls asks
//!    neither verifier, so a resumed session would outlive expiry, revocation and a changed bundle. A full handshake costs
//!    0.7 ms for both ends; a pool of connections makes it rare.
//! 2. No early data: it can be replayed, and it would come before the client's certificate.
//! 3. No root hints: a list of every root's subject grows the handshake and tells strangers whom we trust.
//! 4. A refusal travels inside the error with its own reason; [`refusal`] takes it out again.

mod refusal;
mod outside;
mod unproven;
mod verifier;

pub use outside::{OUTSIDE_ROOTS_MAX, Outside, OutsideError};
pub use refusal::{handshake_reason, is_disbelieved, refusal};
pub(crate) use unproven::Unproven;

use crate::{Svid, Verifier};
use config::SpiffeId;
use rustls::NamedGroup;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WantsClientCert};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{ClientConfig, ConfigBuilder, ServerConfig};
use std::sync::Arc;
use verifier::PeerVerifier;

/// AES-128 first because it is the fastest where the processor helps; X25519MLKEM768 first so that what is recorded today
/// cannot be read when quantum computers come.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_AES_256_GCM_SHA384,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: vec![
            kx_group::X25519MLKEM768,
            kx_group::X25519,
            kx_group::SECP256R1,
        ],
        ..default_provider()
    }
}

/// A client's configuration so far: only its own certificate is still missing.
fn client_of(
    provider: &Arc<CryptoProvider>,
    verifier: impl ServerCertVerifier + 'static,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, rustls::Error> {
    let client = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .dangerous() // the word is rustls' for every verifier that is not for host names
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(client)
}

/// Invariants 1 and 2.
fn never_resuming(mut client: ClientConfig) -> ClientConfig {
    client.resumption = Resumption::disabled();
    client.enable_early_data = false;
    client
}

/// A client's configuration that believes nobody but `expected`, for one connection. `own` is what it shows; `None`: it has
/// nothing yet, or what it has ended.
pub(crate) fn client_for(
    expected: &SpiffeId,
    verifier: &Arc<Verifier>,
    own: Option<&Svid>,
    protocols: &[&[u8]],
) -> Result<ClientConfig, rustls::Error> {
    let only = PeerVerifier::only(Arc::clone(verifier), expected.clone());
    let client = client_of(&Arc::new(provider()), only)?;
    let mut client = never_resuming(match own {
        Some(svid) => client.with_client_cert_resolver(resolver(svid)?),
        None => client.with_no_client_auth(),
    });
    client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(client)
}

fn resolver(svid: &Svid) -> Result<Arc<SingleCertAndKey>, rustls::Error> {
    let own = CertifiedKey::new(svid.chain().to_vec(), svid.key().for_tls()?);
    Ok(Arc::new(SingleCertAndKey::from(own)))
}

/// Both sides' configurations of one generation, without ALPN and, for the client, without anybody to expect.
pub(crate) struct Templates {
    pub(crate) server: ServerConfig,
    strangers: ServerConfig,
    client: ClientConfig,
    verifier: Arc<Verifier>,
}

impl Templates {
    pub(crate) fn new(svid: &Svid, verifier: &Arc<Verifier>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(provider());
        let own = resolver(svid)?;
        let callers = PeerVerifier::callers(Arc::clone(verifier));
        let strangers = PeerVerifier::callers_and_strangers(Arc::clone(verifier));
        let server = |callers| -> Result<ServerConfig, rustls::Error> {
            let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&[&TLS13])?
                .with_client_cert_verifier(Arc::new(callers))
                .with_cert_resolver(Arc::<SingleCertAndKey>::clone(&own));
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
            server.max_early_data_size = 0;
            Ok(server)
        };
        let (server, strangers) = (server(callers)?, server(strangers)?);
        let client = client_of(&provider, PeerVerifier::nobody(Arc::clone(verifier)))?
            .with_client_cert_resolver(own);
        let client = never_resuming(client);
        Ok(Templates {
            server,
            strangers,
            client,
            verifier: Arc::clone(verifier),
        })
    }

    /// A server's configuration that offers these protocols. A client that offers none is served all the same.
    pub(crate) fn server(&self, protocols: &[&[u8]]) -> ServerConfig {
        let mut server = self.server.clone();
        server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        server
    }

    /// The same for a CA: a client may show no certificate, and one that it shows must hold.
    pub(crate) fn server_for_strangers(&self, protocols: &[&[u8]]) -> ServerConfig {
        let mut server = self.strangers.clone();
        server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        server
    }

    /// A client's configuration that believes nobody but `expected`.
    pub(crate) fn client(&self, expected: &SpiffeId, protocols: &[&[u8]]) -> ClientConfig {
        let mut client = self.client.clone();
        let only = PeerVerifier::only(Arc::clone(&self.verifier), expected.clone());
        client.dangerous().set_certificate_verifier(Arc::new(only));
        client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        client
    }
}

/// The name of a key exchange group, as logs and metrics show it.
pub fn group_name(group: Option<&'static dyn SupportedKxGroup>) -> &'static str {
    match group.map(SupportedKxGroup::name) {
        Some(NamedGroup::X25519MLKEM768) => "X25519MLKEM768",
        Some(NamedGroup::X25519) => "X25519",
        Some(NamedGroup::secp256r1) => "secp256r1",
        Some(NamedGroup::secp384r1) => "secp384r1",
        Some(_) => "other",
        None => "",
    }
}
