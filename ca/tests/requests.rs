//! Hostile signing requests: each is refused, or gets a certificate with nothing of theirs in it but the key.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use config::{SpiffeId, TrustDomain};
use countersign_ca::{Algorithm, Authority, CSR_BYTES_MAX, Checked, Csr};
use mint::der::{self, oid, sequence, tag, tlv};
use mint::{Basic, CsrDraft, Extension, Key, San, Usage, extension};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

const GRANTED: &str = "spiffe://shop.example/granted";
/// In every name that a hostile request asks for, and so in no certificate.
const MARK: &str = "mallory";

/// What a request led to: the reason of its refusal, or the certificate.
type Outcome = Result<Checked, &'static str>;

struct Ca {
    authority: Authority,
    granted: SpiffeId,
}

impl Ca {
    fn new() -> Self {
        let domain = TrustDomain::parse("shop.example").unwrap();
        Ca {
            authority: Authority::create(&domain, Algorithm::P256, SystemTime::now()).unwrap(),
            granted: SpiffeId::parse(GRANTED).unwrap(),
        }
    }

    fn answer(&self, request: &[u8]) -> Outcome {
        let csr = Csr::from_pem_or_der(request).map_err(|refused| refused.reason())?;
        let (ttl, now) = (Duration::from_secs(3600), SystemTime::now());
        let leaf = self
            .authority
            .certify(&csr, &self.granted, ttl, now)
            .unwrap();
        nothing_but_the_key(&leaf, &csr);
        Ok(leaf)
    }
}

/// Judged on the bytes, by a reader that our own check does not use for this.
fn nothing_but_the_key(leaf: &Checked, csr: &Csr) {
    let (rest, read) = X509Certificate::from_der(leaf.der()).unwrap();
    assert!(rest.is_empty());
    assert_eq!(read.public_key().raw, csr.key().spki());
    assert_eq!(read.subject().as_raw(), [0x30, 0x00]);
    assert_eq!(read.raw_serial(), leaf.serial().octets());
    assert!(read.issuer_uid.is_none() && read.subject_uid.is_none());
    let mut oids: Vec<String> = read
        .extensions()
        .iter()
        .map(|found| found.oid.to_id_string())
        .collect();
    oids.sort();
    let wanted = [
        "2.5.29.14",
        "2.5.29.15",
        "2.5.29.17",
        "2.5.29.19",
        "2.5.29.35",
        "2.5.29.37",
    ];
    assert_eq!(oids, wanted);
    for found in read.extensions() {
        match found.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                assert_eq!(san.general_names, [GeneralName::URI(GRANTED)]);
            }
            ParsedExtension::BasicConstraints(basic) => {
                assert_eq!((basic.ca, basic.path_len_constraint), (false, None));
            }
            ParsedExtension::KeyUsage(usage) => {
                assert_eq!(usage.flags, 1, "digitalSignature alone");
            }
            ParsedExtension::ExtendedKeyUsage(purposes) => {
                assert!(purposes.server_auth && purposes.client_auth && !purposes.any);
                assert!(!purposes.code_signing && purposes.other.is_empty());
            }
            ParsedExtension::SubjectKeyIdentifier(id) => assert_eq!(id.0, csr.key().id()),
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                assert!(id.key_identifier.is_some() && id.authority_cert_issuer.is_none());
            }
            other => panic!("{other:?}"),
        }
    }
    let marked = leaf
        .der()
        .windows(MARK.len())
        .any(|bytes| bytes.eq_ignore_ascii_case(MARK.as_bytes()));
    assert!(!marked, "a name of theirs stands in the certificate");
}

/// Extensions that somebody might hope to get, right and wrong ones.
fn wishes() -> Vec<(String, Vec<Extension>)> {
    let uri = |path: &str| San::Uri(format!("spiffe://shop.example/{MARK}{path}"));
    let san = |names: &[San]| vec![extension::san(names, false)];
    let ca = |path_len| {
        Basic {
            ca: true,
            path_len,
            critical: true,
        }
        .extension()
    };
    let any_oid = |oid: &str| {
        vec![Extension::new(
            oid,
            true,
            tlv(tag::UTF8_STRING, MARK.as_bytes()),
        )]
    };
    let mut wishes = vec![
        ("CA:TRUE".into(), vec![ca(None)]),
        ("CA:TRUE with a path length".into(), vec![ca(Some(9))]),
        (
            "CA:FALSE, not critical".into(),
            vec![
                Basic {
                    ca: false,
                    path_len: None,
                    critical: false,
                }
                .extension(),
            ],
        ),
        (
            "CA:FALSE with a path length".into(),
            vec![
                Basic {
                    ca: false,
                    path_len: Some(1),
                    critical: true,
                }
                .extension(),
            ],
        ),
        ("basicConstraints twice".into(), vec![ca(None), ca(Some(0))]),
        (
            "keyCertSign".into(),
            vec![extension::key_usage(
                &[Usage::KeyCertSign, Usage::CrlSign],
                true,
            )],
        ),
        (
            "every usage".into(),
            vec![extension::key_usage(
                &[
                    Usage::DigitalSignature,
                    Usage::KeyEncipherment,
                    Usage::KeyCertSign,
                ],
                false,
            )],
        ),
        ("no usage".into(), vec![extension::key_usage(&[], true)]),
        (
            "code signing".into(),
            vec![extension::extended_key_usage(
                &[extension::CODE_SIGNING.into()],
                true,
            )],
        ),
        (
            "any purpose".into(),
            vec![extension::extended_key_usage(
                &["2.5.29.37.0".into()],
                false,
            )],
        ),
        (
            "a foreign key identifier".into(),
            vec![
                extension::subject_key_id(MARK.as_bytes()),
                extension::authority_key_id(MARK.as_bytes()),
            ],
        ),
        (
            "name constraints".into(),
            vec![extension::permitted_uri_host(MARK)],
        ),
        (
            "the ID of the CA".into(),
            san(&[San::uri("spiffe://shop.example/countersign/ca")]),
        ),
        (
            "a foreign trust domain".into(),
            san(&[San::Uri(format!("spiffe://{MARK}.example/x"))]),
        ),
        (
            "the trust domain itself".into(),
            san(&[San::uri("spiffe://shop.example")]),
        ),
        ("one URI".into(), san(&[uri("")])),
        ("two URIs".into(), san(&[uri("/1"), uri("/2")])),
        ("a thousand URIs".into(), san(&vec![uri(""); 200])),
        (
            "a DNS name".into(),
            san(&[San::Dns(format!("{MARK}.example"))]),
        ),
        (
            "a wildcard".into(),
            san(&[San::Dns(format!("*.{MARK}.example"))]),
        ),
        ("an address".into(), san(&[San::Ip(vec![127, 0, 0, 1])])),
        (
            "an address of five octets".into(),
            san(&[San::Ip(vec![1, 2, 3, 4, 5])]),
        ),
        (
            "a mail address".into(),
            san(&[San::Email(format!("{MARK}@shop.example"))]),
        ),
        (
            "a NUL in a name".into(),
            san(&[San::Dns(format!("shop.example\0{MARK}"))]),
        ),
        (
            "a name that is not ASCII".into(),
            san(&[San::Uri(format!("spiffe://shop.example/{MARK}é"))]),
        ),
        ("no names at all".into(), san(&[])),
        (
            "a name cut short".into(),
            san(&[San::Raw(vec![0x86, 0x7f, b'm'])]),
        ),
        (
            "names twice".into(),
            [san(&[uri("/1")]), san(&[uri("/2")])].concat(),
        ),
        (
            "everything".into(),
            [
                san(&[uri("")]),
                vec![ca(None), extension::key_usage(&[Usage::KeyCertSign], true)],
            ]
            .concat(),
        ),
        (
            "an extension without a value".into(),
            vec![Extension::new("2.5.29.19", true, vec![])],
        ),
        (
            "an extension of garbage".into(),
            vec![Extension::new("2.5.29.17", true, vec![0xff; 40])],
        ),
    ];
    // TLS features, CRL and OCSP places, policies, Netscape, a precertificate's poison, one of nobody.
    for oid in [
        "1.3.6.1.5.5.7.1.24",
        "2.5.29.31",
        "1.3.6.1.5.5.7.1.1",
        "2.5.29.32",
        "2.16.840.1.113730.1.1",
        "1.3.6.1.4.1.11129.2.4.3",
        "1.3.6.1.4.1.99999.1",
    ] {
        wishes.push((format!("extension {oid}"), any_oid(oid)));
    }
    wishes
}

#[test]
fn whatever_is_asked_for_is_not_given() {
    let ca = Ca::new();
    let keys = [Key::p256(), Key::p384(), Key::rsa()];
    // Nobody looks at the last one, which is no name.
    let subjects = [der::name(""), der::name(MARK), sequence(&[MARK.as_bytes()])];
    let (mut requests, mut certified) = (0, 0);
    for (what, extensions) in wishes() {
        for key in &keys {
            for subject in &subjects {
                let mut draft = CsrDraft::of(key);
                draft.subject.clone_from(subject);
                draft.extensions.clone_from(&extensions);

                let outcome = ca.answer(&draft.sign(key));

                // A wish that cannot even be read is a request that cannot be read.
                if let Err(reason) = outcome {
                    assert_eq!(reason, "csr_malformed", "{what} by {key:?}");
                }
                requests += 1;
                certified += usize::from(outcome.is_ok());
            }
        }
    }
    assert!(requests >= 200, "{requests} requests");
    assert!(
        certified * 4 > requests * 3,
        "{certified} of {requests} were understood"
    );
}

#[test]
fn a_request_that_is_wrong_in_itself_is_refused_with_its_reason() {
    type Change = fn(&mut CsrDraft);
    let key = Key::p256();
    let other = Key::p256();
    let spki = |algorithm: &[u8], bits: &[u8]| sequence(&[algorithm, bits]);
    let ec = |curve: &str| sequence(&[&oid("1.2.840.10045.2.1"), &oid(curve)]);
    let rsa = |modulus: &[u8], exponent: &[u8]| {
        let algorithm = sequence(&[&oid("1.2.840.113549.1.1.1"), &tlv(tag::NULL, &[])]);
        spki(
            &algorithm,
            &der::bit_string(&sequence(&[
                &der::integer(modulus),
                &der::integer(exponent),
            ])),
        )
    };
    let ca = Ca::new();
    let drafts: &[(&str, Change, &str)] = &[
        ("version 2", |draft| draft.version = 1, "csr_version"),
        ("version 3", |draft| draft.version = 2, "csr_version"),
        (
            "a spoiled proof",
            |draft| draft.spoil_signature = true,
            "csr_proof",
        ),
        (
            "a zero behind it",
            |draft| draft.trailing = vec![0],
            "csr_left_over",
        ),
        (
            "a second request behind it",
            |draft| draft.trailing = CsrDraft::of(&Key::p256()).sign(&Key::p256()),
            "csr_left_over",
        ),
        (
            "an RSA proof of an EC key",
            |draft| draft.algorithm = Some(sequence(&[&oid("1.2.840.113549.1.1.11")])),
            "csr_proof_algorithm",
        ),
        (
            "an Ed25519 proof of an EC key",
            |draft| draft.algorithm = Some(sequence(&[&oid("1.3.101.112")])),
            "csr_proof_algorithm",
        ),
        (
            "no proof algorithm",
            |draft| draft.algorithm = Some(sequence(&[])),
            "csr_malformed",
        ),
        (
            "an attribute that is none",
            |draft| draft.attributes = vec![vec![0x31, 0x05, 0x00]],
            "csr_malformed",
        ),
    ];
    for (what, change, reason) in drafts {
        let mut draft = CsrDraft::of(&key);
        change(&mut draft);
        assert_eq!(ca.answer(&draft.sign(&key)), Err(*reason), "{what}");
    }
    let modulus = |octets: usize| [&[0], &vec![0xc1; octets][..]].concat();
    for (what, spki, reason) in [
        ("another's key", other.spki(), "csr_proof"),
        (
            "a point that is not on the curve",
            spki(
                &ec("1.2.840.10045.3.1.7"),
                &der::bit_string(&[&[4][..], &[7; 64]].concat()),
            ),
            "csr_proof",
        ),
        (
            "the point at infinity",
            spki(&ec("1.2.840.10045.3.1.7"), &der::bit_string(&[0])),
            "key_malformed",
        ),
        (
            "a P-256 point said to be on P-384",
            spki(
                &ec("1.3.132.0.34"),
                &der::bit_string(&[&[4][..], &[7; 64]].concat()),
            ),
            "key_malformed",
        ),
        (
            "a hybrid point",
            spki(
                &ec("1.2.840.10045.3.1.7"),
                &der::bit_string(&[&[6][..], &[7; 64]].concat()),
            ),
            "key_malformed",
        ),
        (
            "no curve",
            spki(
                &sequence(&[&oid("1.2.840.10045.2.1")]),
                &der::bit_string(&[4; 65]),
            ),
            "key_malformed",
        ),
        (
            "unused bits",
            spki(
                &ec("1.2.840.10045.3.1.7"),
                &tlv(tag::BIT_STRING, &[&[1, 4][..], &[2; 64]].concat()),
            ),
            "key_malformed",
        ),
        (
            "bytes behind the key",
            sequence(&[&key.spki()[2..], &[5, 0]]),
            "key_malformed",
        ),
        ("an empty key", sequence(&[]), "key_malformed"),
        (
            "X25519",
            spki(
                &sequence(&[&oid("1.3.101.110")]),
                &der::bit_string(&[7; 32]),
            ),
            "key_algorithm",
        ),
        (
            "RSA of 1024 bits",
            rsa(&modulus(128), &[1, 0, 1]),
            "key_rsa_size",
        ),
        (
            "RSA of 2040 bits",
            rsa(&modulus(255), &[1, 0, 1]),
            "key_rsa_size",
        ),
        (
            "RSA of 8192 bits",
            rsa(&modulus(1024), &[1, 0, 1]),
            "key_rsa_size",
        ),
        (
            "RSA with exponent 1",
            rsa(&modulus(256), &[1]),
            "key_rsa_exponent",
        ),
        (
            "RSA with an even exponent",
            rsa(&modulus(256), &[1, 0, 0]),
            "key_rsa_exponent",
        ),
        (
            "RSA with an exponent written long",
            rsa(&modulus(256), &[0, 1, 0, 1]),
            "key_rsa_exponent",
        ),
        (
            "RSA with a negative modulus",
            rsa(&[0xc1; 256], &[1, 0, 1]),
            "key_malformed",
        ),
        (
            "RSA with a modulus written long",
            rsa(&[&[0], &modulus(256)[..]].concat(), &[1, 0, 1]),
            "key_malformed",
        ),
        (
            "RSA with a modulus of nothing",
            rsa(&[], &[1, 0, 1]),
            "key_malformed",
        ),
    ] {
        let mut draft = CsrDraft::of(&key);
        draft.spki = spki;
        assert_eq!(ca.answer(&draft.sign(&key)), Err(reason), "{what}");
    }
}

#[test]
fn bytes_that_are_no_request_are_refused_with_their_reason() {
    let ca = Ca::new();
    let key = Key::p256();
    let der = CsrDraft::of(&key).sign(&key);
    let pem = CsrDraft::of(&key).sign_pem(&key);
    let large = |octets: usize| {
        let mut draft = CsrDraft::of(&key);
        draft.extensions = vec![Extension::new(
            "1.3.6.1.4.1.99999.1",
            false,
            vec![0; octets],
        )];
        draft.sign(&key)
    };
    for (what, bytes, reason) in [
        ("nothing", vec![], "csr_empty"),
        (
            "more than is looked at",
            large(CSR_BYTES_MAX),
            "csr_too_large",
        ),
        ("a lot of zeros", vec![0; CSR_BYTES_MAX], "csr_malformed"),
        (
            "an indefinite length",
            [&[0x30, 0x80], &der[2..], &[0, 0]].concat(),
            "csr_malformed",
        ),
        ("nesting without end", vec![0x30; 9000], "csr_left_over"),
        ("a private key", key.pem().into_bytes(), "csr_pem"),
        ("two in PEM", pem.repeat(2).into_bytes(), "csr_pem"),
        (
            "half in PEM",
            pem.as_bytes()[..pem.len() / 2].to_vec(),
            "csr_pem",
        ),
        (
            "a certificate",
            mint::Authority::root("shop.example").leaf(GRANTED).chain[0].clone(),
            "csr_malformed",
        ),
        ("text", b"please".to_vec(), "csr_malformed"),
    ] {
        assert_eq!(ca.answer(&bytes), Err(reason), "{what}");
    }
    assert!(
        ca.answer(&large(CSR_BYTES_MAX / 2)).is_ok(),
        "what is not looked at may be there"
    );
}

#[test]
fn no_bit_of_a_request_can_be_turned_unnoticed() {
    let ca = Ca::new();
    let key = Key::p256();
    // A signature that ends in a zero bit: its BIT STRING can be said to have an unused bit.
    let whole = std::iter::repeat_with(|| CsrDraft::of(&key).sign(&key))
        .find(|whole| whole.last().unwrap() & 1 == 0)
        .unwrap();
    assert!(ca.answer(&whole).is_ok());
    for at in 0..whole.len() * 8 {
        let mut turned = whole.clone();
        turned[at / 8] ^= 1 << (at % 8);
        let outcome = ca.answer(&turned);
        assert!(outcome.is_err(), "bit {at}");
    }
    for length in 0..whole.len() {
        assert!(ca.answer(&whole[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn requests_made_by_openssl_are_told_apart_by_their_keys_and_proofs() {
    let ca = Ca::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/requests");
    let table: &[(&str, Result<(), &str>)] = &[
        ("p256", Ok(())),
        ("p256-sha384", Ok(())),
        ("p256-sha512", Err("csr_proof_algorithm")),
        ("p256-sha1", Err("csr_proof_algorithm")),
        ("p256-compressed", Err("key_malformed")),
        ("p256-explicit", Err("key_malformed")),
        // What rcgen would have made a broken certificate of.
        ("p384-sha256", Ok(())),
        ("p384", Ok(())),
        ("p521", Err("key_curve")),
        ("secp256k1", Err("key_curve")),
        ("ed25519", Err("key_algorithm")),
        ("ed448", Err("key_algorithm")),
        ("rsa1024", Err("key_rsa_size")),
        ("rsa2047", Err("key_rsa_size")),
        ("rsa2048", Ok(())),
        ("rsa2048-sha1", Err("csr_proof_algorithm")),
        ("rsa2048-pss", Err("csr_proof_algorithm")),
        ("rsa2048-exponent-3", Err("key_rsa_exponent")),
        ("rsa-pss-key", Err("key_algorithm")),
        ("rsa3072-sha512", Ok(())),
        ("rsa4096-sha384", Ok(())),
        ("rsa4104", Err("key_rsa_size")),
    ];
    for (name, wanted) in table {
        let request = fs::read(folder.join(format!("{name}.pem"))).unwrap();
        assert_eq!(ca.answer(&request).map(drop), *wanted, "{name}");
    }
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        table.len(),
        "one line for each file"
    );
}
