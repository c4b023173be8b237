#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

fn token(seed: u8) -> Token {
    Token(Zeroizing::new([seed; SECRET_BYTES]))
}

#[test]
fn a_token_is_read_back_with_blanks_around_it() {
    let made = Token::generate().unwrap();
    let text = made.to_text();

    let read = Token::parse(&format!("\t {}\r\n", *text)).unwrap();

    assert_eq!(read.hash(), made.hash());
    assert_eq!(text.len(), 76);
}

#[test]
fn two_tokens_differ() {
    assert_ne!(
        Token::generate().unwrap().hash(),
        Token::generate().unwrap().hash()
    );
}

#[test]
fn the_text_of_a_token_never_changes() {
    // Tokens lie in files and secrets: what was handed out must be read by every later version.
    let text = "cst_07070707070707070707070707070707070707070707070707070707070707073e7c7331";

    assert_eq!(*token(7).to_text(), text);
}

#[test]
fn what_is_no_token_is_told_apart() {
    let good = token(7).to_text().to_string();
    let check = |text: &str, expected| {
        assert_eq!(Token::parse(text).map(|_| ()), Err(expected), "{text}");
    };

    check("", TokenMalformed::Prefix);
    check(&good[4..], TokenMalformed::Prefix);
    check(&good.to_uppercase(), TokenMalformed::Prefix);
    check("cst_", TokenMalformed::Length { digits: 0 });
    check(&good[..75], TokenMalformed::Length { digits: 71 });
    check(&format!("{good}0"), TokenMalformed::Length { digits: 73 });
    check(
        &good.replace("cst_07", "cst_0G"),
        TokenMalformed::Character { position: 2 },
    );
    check(
        &good.replace("cst_07", "cst_0ü"),
        TokenMalformed::Character { position: 2 },
    );
    check(&good.replace("cst_07", "cst_70"), TokenMalformed::Checksum);
}

#[test]
fn debug_shows_neither_text_nor_bits() {
    let token = token(0xab);
    let shown = format!("{token:?} {:?}", token.hash());

    assert!(!shown.contains("abab"), "{shown}");
    assert_eq!(shown, format!("Token({0}) TokenHash({0})", token.hash()));
}

proptest! {
    #[test]
    fn any_one_mistyped_digit_is_noticed(secret in any::<[u8; 32]>(), at in 0..DIGITS, by in 1_u8..16) {
        let mut text = Token(Zeroizing::new(secret)).to_text().as_bytes().to_vec();
        let digit = &mut text[TOKEN_PREFIX.len() + at];
        *digit = b"0123456789abcdef"[usize::from(nibble(*digit).unwrap() ^ by)];

        prop_assert_eq!(
            Token::parse(&String::from_utf8(text).unwrap()).map(|_| ()),
            Err(TokenMalformed::Checksum)
        );
    }

    #[test]
    fn nothing_that_is_read_panics(text in ".{0,100}") {
        let _ = Token::parse(&text);
        let _ = Token::parse(&format!("cst_{text}"));
    }
}

#[test]
fn terms_have_bounds() {
    let id = SpiffeId::parse("spiffe://shop.example/orders").unwrap();
    let check = |ttl_s, uses, expected: Result<(), TermsRefused>| {
        let terms = Terms::new(id.clone(), Duration::from_secs(ttl_s), uses);
        assert_eq!(terms.map(|_| ()), expected);
    };
    let ttl = |seconds| {
        Err(TermsRefused::Ttl {
            ttl: Duration::from_secs(seconds),
        })
    };

    check(1, 1, Ok(()));
    check(30 * 86_400, 100_000, Ok(()));
    check(0, 1, ttl(0));
    check(30 * 86_400 + 1, 1, ttl(30 * 86_400 + 1));
    check(600, 0, Err(TermsRefused::Uses { uses: 0 }));
    check(600, 100_001, Err(TermsRefused::Uses { uses: 100_001 }));
}

#[test]
fn a_token_admits_as_many_keys_as_it_has_uses_until_it_ends() {
    let check = |used, before, now_s, expected| {
        let standing = Standing {
            ends_s: 100,
            uses: 2,
            used,
            before,
        };
        assert_eq!(spend(standing, now_s), expected);
    };

    check(0, None, 99, Ok(Spend::First));
    check(1, None, 99, Ok(Spend::First));
    check(2, None, 99, Err(TokenRefused::Spent { uses: 2 }));
    check(2, Some('g'), 99, Ok(Spend::Again('g')));
    check(0, None, 100, Err(TokenRefused::Ended { ended_s: 100 }));
    check(2, Some('g'), 100, Err(TokenRefused::Ended { ended_s: 100 }));
}
