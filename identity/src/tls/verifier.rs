//! rustls asks here whether to believe a peer.

use super::refusal::into_rustls;
use crate::{Refused, Role, Verifier};
use config::SpiffeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible, SignatureScheme};
use std::sync::Arc;

/// Who may be at the other end.
#[derive(Debug)]
enum Whom {
    /// Anybody of a trust domain we know: the policy decides later.
    Anybody,
    /// The same, or somebody who shows nothing: a CA is first asked by who has no certificate yet.
    AnybodyOrNobody,
    /// This one only.
    Only(SpiffeId),
    /// Not set yet: a template.
    Nobody,
}

#[derive(Debug)]
pub(super) struct PeerVerifier {
    verifier: Arc<Verifier>,
    whom: Whom,
}

impl PeerVerifier {
    pub(super) fn callers(verifier: Arc<Verifier>) -> Self {
        PeerVerifier {
            verifier,
            whom: Whom::Anybody,
        }
    }

    pub(super) fn callers_and_strangers(verifier: Arc<Verifier>) -> Self {
        PeerVerifier {
            verifier,
            whom: Whom::AnybodyOrNobody,
        }
    }

    pub(super) fn only(verifier: Arc<Verifier>, expected: SpiffeId) -> Self {
        PeerVerifier {
            verifier,
            whom: Whom::Only(expected),
        }
    }

    pub(super) fn nobody(verifier: Arc<Verifier>) -> Self {
        PeerVerifier {
            verifier,
            whom: Whom::Nobody,
        }
    }

    fn judge(
        &self,
        first: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        role: Role,
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(first)
            .chain(others)
            .map(|certificate| CertificateDer::from(certificate.as_ref()))
            .collect();
        let peer = self
            .verifier
            .verify(&chain, role, now)
            .map_err(into_rustls)?;
        match &self.whom {
            Whom::Anybody | Whom::AnybodyOrNobody => Ok(()),
            Whom::Only(expected) if peer.id == *expected => Ok(()),
            Whom::Only(expected) => Err(into_rustls(Refused::WrongIdentity {
                expected: expected.clone(),
                found: peer.id,
            })),
            Whom::Nobody => Err(Error::General(
                "a client configuration without an expected identity".into(),
            )),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            self.verifier.algorithms(),
        )
    }
}

/// Never asked: no configuration of ours speaks TLS 1.2.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        !matches!(self.whom, Whom::AnybodyOrNobody)
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.judge(end_entity, intermediates, Role::Client, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.algorithms().supported_schemes()
    }
}

impl ServerCertVerifier for PeerVerifier {
    /// The server's name is not looked at: an SVID names a workload, not a host, and that one is pinned.
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(end_entity, intermediates, Role::Server, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.algorithms().supported_schemes()
    }
}
