//! Prints `docs/reference/refusals.md` from the refusals themselves, and holds that each has its own label and says what to do.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::{IssuerError, LeafError, Malformed, Refused};
use config::SpiffeId;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// One of every kind. A new variant does not compile before [`kinds_of_refusal`] and its siblings name it.
fn one_of_each() -> Vec<Refused> {
    let id = |text| SpiffeId::parse(text).unwrap();
    let orders = || id("spiffe://shop.example/orders");
    let moment = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let (begins, ends, now) = (
        moment(1_800_000_000),
        moment(1_800_003_600),
        moment(1_800_007_200),
    );
    let mut all = vec![
        Refused::NoCertificate,
        Refused::ChainTooLong { certificates: 7 },
    ];
    all.extend(leaf_errors().map(Refused::Leaf));
    all.extend([
        Refused::UnknownTrustDomain {
            id: id("spiffe://elsewhere.example/orders"),
        },
        Refused::Expired {
            not_after: ends,
            now,
        },
        Refused::NotYetValid {
            not_before: begins,
            now: moment(1_799_999_990),
        },
        Refused::SelfSigned { id: orders() },
        Refused::IssuerMissing { id: orders() },
        Refused::UnknownIssuer,
        Refused::ForeignRoot {
            id: orders(),
            root_of: "partner.example".into(),
        },
    ]);
    all.extend(issuer_errors().map(Refused::Issuer));
    all.extend([
        Refused::IssuerExpired {
            not_after: ends,
            now,
        },
        Refused::IssuerNotYetValid {
            not_before: begins,
            now: moment(1_799_999_990),
        },
        Refused::PathLength,
        Refused::IssuerEku,
        Refused::NameConstraints,
        Refused::BadSignature,
        Refused::UnsupportedSignature,
        Refused::Path {
            why: webpki::Error::MaximumPathDepthExceeded,
        },
        Refused::WrongIdentity {
            expected: orders(),
            found: id("spiffe://shop.example/ledger"),
        },
        Refused::WrongName {
            expected: "api.partner.example".into(),
            found: vec!["DnsName(\"www.partner.example\")".into()],
        },
    ]);
    all
}

fn leaf_errors() -> impl Iterator<Item = LeafError> {
    let rules = [
        LeafError::NoBasicConstraints,
        LeafError::Ca,
        LeafError::NoUriSan,
        LeafError::TwoUriSans { uris: 2 },
        LeafError::NotSpiffe {
            why: "it has no path".into(),
        },
        LeafError::NoKeyUsage,
        LeafError::KeyUsageNotCritical,
        LeafError::NoDigitalSignature,
        LeafError::SigningKeyUsage,
        LeafError::Eku {
            missing: "clientAuth",
        },
    ];
    malformed().map(LeafError::Malformed).chain(rules)
}

fn malformed() -> impl Iterator<Item = Malformed> {
    let oid = || "1.3.6.1.4.1.99999.1".to_owned();
    [
        Malformed::TooLarge { bytes: 20_000 },
        Malformed::Encoding,
        Malformed::TrailingBytes,
        Malformed::Version,
        Malformed::Serial,
        Malformed::Validity,
        Malformed::TooManyExtensions { extensions: 100 },
        Malformed::DuplicateExtension { oid: oid() },
        Malformed::UnknownCriticalExtension { oid: oid() },
        Malformed::SanEntry,
    ]
    .into_iter()
}

fn issuer_errors() -> impl Iterator<Item = IssuerError> {
    [
        IssuerError::Malformed(Malformed::Version),
        IssuerError::NotCa,
        IssuerError::NoKeyCertSign,
        IssuerError::Id {
            why: "it has a path".into(),
        },
    ]
    .into_iter()
}

/// How many labels there are; every variant is named so that none is forgotten above.
fn kinds_of_refusal(refused: &Refused) -> usize {
    match refused {
        Refused::Leaf(_) => kinds_of_leaf_error(&LeafError::Ca),
        Refused::Issuer(_) => kinds_of_issuer_error(&IssuerError::NotCa),
        Refused::NoCertificate
        | Refused::ChainTooLong { .. }
        | Refused::UnknownTrustDomain { .. }
        | Refused::Expired { .. }
        | Refused::NotYetValid { .. }
        | Refused::SelfSigned { .. }
        | Refused::IssuerMissing { .. }
        | Refused::UnknownIssuer
        | Refused::ForeignRoot { .. }
        | Refused::IssuerExpired { .. }
        | Refused::IssuerNotYetValid { .. }
        | Refused::PathLength
        | Refused::IssuerEku
        | Refused::NameConstraints
        | Refused::BadSignature
        | Refused::UnsupportedSignature
        | Refused::Path { .. }
        | Refused::WrongIdentity { .. }
        | Refused::WrongName { .. } => 19,
    }
}

fn kinds_of_leaf_error(error: &LeafError) -> usize {
    match error {
        LeafError::Malformed(malformed) => match malformed {
            Malformed::TooLarge { .. }
            | Malformed::Encoding
            | Malformed::TrailingBytes
            | Malformed::Version
            | Malformed::Serial
            | Malformed::Validity
            | Malformed::TooManyExtensions { .. }
            | Malformed::DuplicateExtension { .. }
            | Malformed::UnknownCriticalExtension { .. }
            | Malformed::SanEntry => 10,
        },
        LeafError::NoBasicConstraints
        | LeafError::Ca
        | LeafError::NoUriSan
        | LeafError::TwoUriSans { .. }
        | LeafError::NotSpiffe { .. }
        | LeafError::NoKeyUsage
        | LeafError::KeyUsageNotCritical
        | LeafError::NoDigitalSignature
        | LeafError::SigningKeyUsage
        | LeafError::Eku { .. } => 10,
    }
}

fn kinds_of_issuer_error(error: &IssuerError) -> usize {
    match error {
        IssuerError::Malformed(_)
        | IssuerError::NotCa
        | IssuerError::NoKeyCertSign
        | IssuerError::Id { .. } => 4,
    }
}

fn page() -> String {
    let mut page = String::from(
        "# Why a peer is refused\n\nThe reason is the `result` of `countersign_handshakes_total` and stands in the log \
         and in `countersign svid verify`.\nThe peer itself learns no more than a TLS alert. This page is printed from \
         `identity/src/refused.rs`; change it there.\n\n| reason | what is said, with example values |\n|---|---|\n",
    );
    for refused in one_of_each() {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{}` | {refused} |", refused.reason());
    }
    page
}

#[test]
fn every_refusal_has_its_own_label_and_says_what_to_do_in_one_line() {
    let all = one_of_each();
    let labels: BTreeSet<&str> = all.iter().map(Refused::reason).collect();
    assert_eq!(labels.len(), all.len());
    let malformed = LeafError::Malformed(Malformed::Encoding);
    let kinds = kinds_of_refusal(&Refused::UnknownIssuer)
        + kinds_of_refusal(&Refused::Leaf(LeafError::Ca))
        + kinds_of_leaf_error(&malformed)
        + kinds_of_refusal(&Refused::Issuer(IssuerError::NotCa));
    assert_eq!(labels.len(), kinds);
    for refused in all {
        let line = refused.to_string();
        assert!(
            line.contains(": ") && line.contains("; ") && !line.contains('\n'),
            "{line}"
        );
        assert!(
            line.starts_with(|first: char| first.is_lowercase()) || line.starts_with("not an X509"),
            "{line}"
        );
    }
}

/// `BLESS=1` writes it.
#[test]
fn the_reference_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/refusals.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found,
        page(),
        "out of date: BLESS=1 cargo test -p countersign-identity"
    );
}
