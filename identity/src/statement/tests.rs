#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::{Bundle, Key};
use config::TrustDomain;
use proptest::prelude::*;
use rustls::pki_types::CertificateDer;
use std::sync::LazyLock;

/// A root and its key.
struct Root {
    certificate: CertificateDer<'static>,
    key: Key,
}

fn root(key: mint::Key) -> Root {
    let read = Key::from_pkcs8(&key.pkcs8()).unwrap();
    let certificate = mint::Authority::root_with("shop.example", key, |_| {}).root;
    Root {
        certificate: CertificateDer::from(certificate),
        key: read,
    }
}

static ROOTS: LazyLock<[Root; 4]> = LazyLock::new(|| {
    [
        root(mint::Key::p256()),
        root(mint::Key::p384()),
        root(mint::Key::p256()),
        root(mint::Key::p256()),
    ]
});

fn bundle(roots: &[usize]) -> Bundle {
    let roots = roots.iter().map(|at| ROOTS[*at].certificate.clone());
    Bundle::from_roots(TrustDomain::parse("shop.example").unwrap(), roots.collect()).unwrap()
}

fn signed(sequence: u64, roots: &[usize], by: &[usize]) -> SignedStatement {
    let statement = Statement::new(&bundle(roots), sequence, 1_700_000_000).unwrap();
    let keys: Vec<&Key> = by.iter().map(|at| &ROOTS[*at].key).collect();
    SignedStatement::sign(statement, &keys).unwrap()
}

fn reason(walked: Result<SignedStatement, StatementRefused>) -> Result<u64, &'static str> {
    walked
        .map(|newest| newest.statement().sequence())
        .map_err(|why| why.reason())
}

#[test]
fn a_chain_leads_only_forward_and_only_by_held_and_added_roots() {
    let held = signed(10, &[0], &[0]);
    let check = |chain: &[(u64, &[usize], &[usize])], expected| {
        let chain: Vec<_> = chain
            .iter()
            .map(|(n, roots, by)| signed(*n, roots, by))
            .collect();
        assert_eq!(reason(walk(&held, &chain)), expected, "{chain:?}");
    };
    check(&[], Ok(10));
    check(&[(9, &[1], &[1])], Ok(10));
    check(&[(11, &[0], &[0])], Ok(11));
    check(&[(11, &[0, 1], &[0, 1])], Ok(11));
    check(&[(11, &[1], &[0, 1])], Ok(11));
    // Asleep through two rotations.
    check(
        &[
            (9, &[3], &[3]),
            (11, &[0, 1], &[0, 1]),
            (12, &[1, 2], &[1, 2]),
            (20, &[2], &[2]),
        ],
        Ok(20),
    );
    // A root of the statement before, or of its own, and every added one.
    check(&[(11, &[0, 1], &[0])], Err("statement_not_by_added_root"));
    check(
        &[(11, &[0, 1, 2], &[0, 1])],
        Err("statement_not_by_added_root"),
    );
    check(&[(11, &[1], &[1])], Err("statement_not_by_held_root"));
    check(&[(11, &[0], &[])], Err("statement_not_by_held_root"));
    check(&[(11, &[0], &[1])], Err("statement_not_by_held_root"));
    check(&[(11, &[0], &[0, 0])], Err("statement_signatures"));
    // A removed root vouches for nothing that comes after.
    check(
        &[(11, &[1], &[0, 1]), (12, &[0], &[0])],
        Err("statement_not_by_held_root"),
    );
    // Order, and two truths.
    check(
        &[(12, &[0], &[0]), (11, &[0], &[0])],
        Err("statement_backward"),
    );
    check(
        &[(11, &[0], &[0]), (11, &[0], &[0])],
        Err("statement_backward"),
    );
    check(&[(10, &[0, 1], &[0, 1])], Err("statement_forked"));
}

#[test]
fn the_statement_that_is_held_may_come_again_with_other_signatures() {
    // ECDSA signatures differ each time; what is said does not.
    assert_eq!(
        reason(walk(&signed(10, &[0], &[0]), &[signed(10, &[0], &[0])])),
        Ok(10)
    );
}

#[test]
fn a_statement_of_another_trust_domain_is_refused() {
    let other = mint::Authority::root("other.example");
    let roots = vec![CertificateDer::from(other.root)];
    let domain = TrustDomain::parse("other.example").unwrap();
    let statement = Statement::new(&Bundle::from_roots(domain, roots).unwrap(), 11, 0).unwrap();
    let chain = [SignedStatement::sign(statement, &[&ROOTS[0].key]).unwrap()];
    assert_eq!(
        reason(walk(&signed(10, &[0], &[0]), &chain)),
        Err("statement_of_other_domain")
    );
    assert_eq!(
        reason(FirstContact::Bundle(bundle(&[0])).walk(&chain)),
        Err("statement_of_other_domain")
    );
}

#[test]
fn first_contact_begins_where_all_that_is_trusted_is_named() {
    let rotation = [
        signed(1, &[0], &[0]),
        signed(2, &[0, 1], &[0, 1]),
        signed(3, &[1], &[0]),
        signed(4, &[1, 2], &[1, 2]),
    ];
    let check = |trusted: &[usize], chain: &[SignedStatement], expected| {
        assert_eq!(
            reason(FirstContact::Bundle(bundle(trusted)).walk(chain)),
            expected,
            "{trusted:?}"
        );
    };
    for trusted in [&[0][..], &[1], &[2], &[0, 1], &[1, 2]] {
        check(trusted, &rotation, Ok(4));
    }
    check(&[0, 2], &rotation, Err("statement_without_trusted_roots"));
    check(&[3], &rotation, Err("statement_without_trusted_roots"));
    check(&[0], &[], Err("statement_chain_empty"));
    // A time before the bundle is no answer, though a root in it signed.
    check(
        &[0, 1],
        &rotation[..1],
        Err("statement_without_trusted_roots"),
    );
    // Naming what is trusted is not enough.
    check(
        &[0],
        &[signed(1, &[0, 3], &[3])],
        Err("statement_not_by_held_root"),
    );
    check(
        &[0],
        &[signed(1, &[0, 3], &[0])],
        Err("statement_not_by_added_root"),
    );
    check(
        &[0],
        &[signed(1, &[0], &[])],
        Err("statement_not_by_held_root"),
    );
}

#[test]
fn a_fingerprint_trusts_one_root_and_whom_it_signs_with() {
    let print = |at: usize| {
        FirstContact::Fingerprint(
            TrustDomain::parse("shop.example").unwrap(),
            bundle(&[at]).fingerprints()[0],
        )
    };
    let chain = [signed(1, &[0], &[0]), signed(2, &[0, 1], &[0, 1])];
    assert_eq!(reason(print(0).walk(&chain)), Ok(2));
    assert_eq!(reason(print(1).walk(&chain)), Ok(2));
    assert_eq!(
        reason(print(3).walk(&chain)),
        Err("statement_without_trusted_roots")
    );
    let false_ca = [signed(5, &[0, 3], &[3])];
    assert_eq!(
        reason(print(0).walk(&false_ca)),
        Err("statement_not_by_held_root")
    );
}

#[test]
fn what_is_written_is_read_back_and_has_one_encoding() {
    let statement = signed(u64::MAX, &[2, 0, 1], &[0, 1]);
    assert_eq!(statement.body(), signed(u64::MAX, &[1, 2, 0], &[0]).body());
    assert_eq!(
        SignedStatement::from_bytes(&statement.to_bytes()).unwrap(),
        statement
    );
    let read = Statement::decode(statement.body()).unwrap();
    assert_eq!(
        (read.sequence(), read.issued_at_unix_s()),
        (u64::MAX, 1_700_000_000)
    );
    assert_eq!(read.encode(), statement.body());
    let check = |bytes: &[u8], expected: StatementRefused| {
        assert_eq!(Statement::decode(bytes).unwrap_err(), expected);
    };
    check(b"", StatementRefused::Version);
    check(
        &[0; STATEMENT_BYTES_MAX + 1],
        StatementRefused::TooLarge {
            bytes: STATEMENT_BYTES_MAX + 1,
        },
    );
    check(
        &[statement.body(), &[0]].concat(),
        StatementRefused::Encoding,
    );
    check(&statement.body()[..60], StatementRefused::Encoding);
}

#[test]
fn roots_out_of_order_or_twice_are_no_encoding() {
    let one = bundle(&[0, 1]);
    let statement = Statement::new(&one, 1, 1).unwrap();
    let body = statement.encode();
    let framed = |der: &[u8]| [&u16::try_from(der.len()).unwrap().to_be_bytes(), der].concat();
    let [low, high] = statement.bundle().roots() else {
        unreachable!("two roots")
    };
    let head = &body[..body.len() - framed(low).len() - framed(high).len()];
    let with = |first: &[u8], second: &[u8]| [head, &framed(first), &framed(second)].concat();
    assert_eq!(Statement::decode(&with(low, high)).unwrap().encode(), body);
    for wrong in [with(high, low), with(low, low)] {
        assert_eq!(
            Statement::decode(&wrong).unwrap_err(),
            StatementRefused::Encoding
        );
    }
}

#[test]
fn a_chain_and_its_signatures_are_bounded() {
    let held = signed(1, &[0], &[0]);
    let many = vec![held.clone(); CHAIN_STATEMENTS_MAX + 1];
    assert_eq!(reason(walk(&held, &many)), Err("statement_chain_too_long"));
    let given = held.signatures()[0].clone();
    let long = Signature {
        signature: vec![0; 129],
        ..given
    };
    for signatures in [vec![long], vec![given; 129]] {
        let read = SignedStatement::from_parts(held.body().to_vec(), signatures);
        assert_eq!(read.unwrap_err(), StatementRefused::Signatures);
    }
}

#[test]
fn a_sequence_never_goes_backward_after_a_restore() {
    assert_eq!(next_sequence(None, 1_700_000_000), 1_700_000_000);
    assert_eq!(next_sequence(Some(5), 1_700_000_000), 1_700_000_000);
    assert_eq!(
        next_sequence(Some(1_700_000_009), 1_700_000_000),
        1_700_000_010
    );
    assert_eq!(next_sequence(Some(u64::MAX), 1), u64::MAX);
}

/// Every statement and every signer set over three roots.
fn any_statement() -> impl Strategy<Value = SignedStatement> {
    let set = || proptest::sample::subsequence(vec![0usize, 1, 2], 1..=3);
    (1u64..20, set(), set()).prop_map(|(sequence, roots, by)| signed(sequence, &roots, &by))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nobody_ever_goes_backward(chain in proptest::collection::vec(any_statement(), 0..5), held in any_statement()) {
        if let Ok(newest) = walk(&held, &chain) {
            prop_assert!(newest.statement().sequence() >= held.statement().sequence());
            let again = walk(&newest, &chain).unwrap();
            prop_assert_eq!(again.body(), newest.body());
        }
    }

    #[test]
    fn any_changed_byte_is_refused(at in any::<proptest::sample::Index>(), flip in 1u8..) {
        let held = signed(10, &[0], &[0]);
        let mut bytes = signed(11, &[0, 1], &[0, 1]).to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let believed = SignedStatement::from_bytes(&bytes).and_then(|next| walk(&held, &[next]));
        // Made older than what is held, it is passed over.
        prop_assert_ne!(reason(believed).unwrap_or(10), 11);
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = SignedStatement::from_bytes(&bytes);
        let _ = Statement::decode(&[&signed(1, &[0], &[0]).body()[..23], &bytes].concat());
    }
}
