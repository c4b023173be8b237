//! A signed statement of roots, as it lies on a disk and comes over a wire.

use identity::{FirstContact, SignedStatement, Statement, walk};
use std::sync::LazyLock;

/// Made by `cargo run --example seeds`: a trust domain that rotated its root, and then four that say something else.
static MADE: [&[u8]; 7] = [
    include_bytes!("../../known/statement-1"),
    include_bytes!("../../known/statement-2"),
    include_bytes!("../../known/statement-3"),
    include_bytes!("../../known/statement-4"),
    include_bytes!("../../known/statement-5"),
    include_bytes!("../../known/statement-6"),
    include_bytes!("../../known/statement-7"),
];

static KNOWN: LazyLock<Vec<SignedStatement>> = LazyLock::new(|| {
    let read = |made: &&[u8]| SignedStatement::from_bytes(made);
    MADE.iter()
        .map(read)
        .collect::<Result<_, _>>()
        .expect("statements")
});

/// A statement has one encoding, and only what roots signed is believed.
pub fn check(data: &[u8]) {
    let Ok(signed) = SignedStatement::from_bytes(data) else {
        return;
    };
    assert_eq!(signed.to_bytes(), data, "another encoding");
    let statement = signed.statement();
    assert_eq!(statement.encode(), signed.body());
    let again = Statement::decode(signed.body()).expect("what was read");
    assert_eq!(again.encode(), signed.body());

    let is_known = |found: &SignedStatement| KNOWN.iter().any(|known| known.body() == found.body());
    let [held, second, third, ..] = &KNOWN[..] else {
        return;
    };
    let bundle = held.statement().bundle().clone();
    let one = [signed.clone()];
    for found in [walk(held, &one), FirstContact::Bundle(bundle).walk(&one)] {
        assert!(
            found.is_err() || found.is_ok_and(|found| is_known(&found)),
            "a forgery is believed"
        );
    }
    // Behind what leads on, and before it.
    let behind = [second.clone(), third.clone(), signed.clone()];
    for chain in [behind, [signed, second.clone(), third.clone()]] {
        if let Ok(found) = walk(held, &chain) {
            assert!(is_known(&found), "a forgery is believed in a chain");
            assert!(found.statement().sequence() >= held.statement().sequence());
        }
    }
}
