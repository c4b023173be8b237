//! Roots of trust domains.
use config::TrustDomain;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
/// The roots of one trust domain.
#[derive(Clone, Debug)]
pub struct Bundle {
    _td: TrustDomain,
    _roots: Vec<CertificateDer<'static>>,
}
/// All bundles of a generation.
#[derive(Clone, Debug)]
pub struct Bundles {
    _by: HashMap<TrustDomain, Bundle>,
}
/// Why a bundle could not be read.
#[derive(Debug)]
pub enum BundleError {}
