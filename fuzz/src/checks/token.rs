//! Join tokens.

use crate::token::Token;

/// A token has one text.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match Token::parse(text) {
        Ok(token) => {
            assert_eq!(token.to_text().as_str(), text.trim());
            let again = Token::parse(&token.to_text()).map(|token| token.hash());
            assert_eq!(again, Ok(token.hash()));
            let shown = format!("{token:?}");
            assert!(!token.to_text().contains(&shown), "{shown}");
        }
        // It may be a token with a slip of the pen: nothing of it is shown.
        Err(why) => {
            let said = why.to_string();
            let is_hex = |part: &&[u8]| part.iter().all(u8::is_ascii_hexdigit);
            for part in data.windows(8).filter(is_hex) {
                let part = String::from_utf8_lossy(part);
                assert!(!said.contains(&*part), "{said:?} shows {part}");
            }
        }
    }
}
