//! A connection to nobody in particular, for what proves itself: signed statements, and nothing else.
//!
//! In: nothing. Out: [`Unproven`], which is no `ClientConfig`: it cannot be handed to anything that wants to know who is at
//! the other end.

use super::{client_of, never_resuming, provider};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, SignatureScheme};
use std::sync::Arc;

/// A client's configuration for a server of which nothing is believed. It shows no certificate.
#[derive(Clone, Debug)]
pub(crate) struct Unproven(Arc<ClientConfig>);

impl Unproven {
    pub(crate) fn new(protocols: &[&[u8]]) -> Result<Self, Error> {
        let provider = Arc::new(provider());
        let anybody = Anybody(provider.signature_verification_algorithms);
        let client = client_of(&provider, anybody)?.with_no_client_auth();
        let mut client = never_resuming(client);
        client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok(Unproven(Arc::new(client)))
    }

    /// For the one place that shakes hands with it.
    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// Whoever it is. That the other end holds the key which it shows is checked all the same, as in any TLS.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
