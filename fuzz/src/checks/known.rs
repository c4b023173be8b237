//! Certificates that are known beforehand, since no fuzzer finds a signature: made by `cargo run --example seeds`.

use rustls::pki_types::CertificateDer;

/// Who of them may say who it is, and for whom.
pub(crate) struct Known {
    pub(crate) name: &'static str,
    pub(crate) der: &'static [u8],
}

macro_rules! known {
    ($($name:literal),* $(,)?) => {
        [$(Known { name: $name, der: include_bytes!(concat!("../../known/", $name, ".der")) }),*]
    };
}

/// In the order in which a fuzzer names them: new ones at the end.
pub(crate) static KNOWN: [Known; 25] = known![
    "shop-root",
    "shop-issuer",
    "shop-upper",
    "shop-lower",
    "shop-ended",
    "shop-signs-nothing",
    "other-root",
    "other-issuer",
    "orders",
    "ledger",
    "direct",
    "billing",
    "of-the-past",
    "of-an-ended-issuer",
    "of-who-signs-nothing",
    "of-another-domain",
    "two-names",
    "may-sign",
    "no-constraints",
    "client-only",
    "by-itself",
    "spoilt",
    "below-a-leaf",
    "too-deep-issuer",
    "too-deep",
];

/// When all of them are good that ever are, in seconds since 1970.
pub(crate) const NOW_S: u64 = 1_800_000_000;

/// Leaves that are good in the hour after [`NOW_S`], and the minute before, with the issuers that they need.
pub(crate) const GOOD: [(&str, &[&str]); 4] = [
    ("orders", &["shop-issuer"]),
    ("ledger", &["shop-lower", "shop-upper"]),
    ("direct", &[]),
    ("billing", &["other-issuer"]),
];

pub(crate) fn named(name: &str) -> CertificateDer<'static> {
    let known = KNOWN.iter().find(|known| known.name == name);
    CertificateDer::from(known.expect("a name of the list").der)
}
