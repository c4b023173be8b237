//! SPIFFE IDs, trust domains, and the patterns that policies write.

use config::{HostPattern, IdPattern, PathPattern, SpiffeId, TrustDomain};

/// An ID is read if and only if it is what SPIFFE-ID §2 describes, and says what was written.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parts = model(text);
    match SpiffeId::parse(text) {
        Ok(id) => {
            assert_eq!(Some((id.trust_domain(), id.path())), parts, "{text:?}");
            assert_eq!(id.as_str(), text);
            let domain = TrustDomain::parse(id.trust_domain());
            assert!(domain.is_ok_and(|domain| id.is_in(&domain)), "{text:?}");
            if let Ok(pattern) = IdPattern::parse(text) {
                assert!(pattern.matches(&id), "{text:?} does not match itself");
            }
        }
        Err(why) => {
            assert_eq!(parts, None, "{text:?} is refused: {}", why.why);
            assert!(!why.why.contains(char::is_control), "{:?}", why.why);
        }
    }
    assert_eq!(
        TrustDomain::parse(text).is_ok(),
        is_domain(text),
        "{text:?}"
    );
    let own = text.strip_prefix("spiffe://").is_some_and(is_domain);
    assert_eq!(TrustDomain::parse_id(text).is_ok(), own, "{text:?}");
    patterns(text);
}

/// (trust domain, path).
fn model(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("spiffe://")?;
    let slash = rest.bytes().position(|byte| byte == b'/')?;
    let (domain, path) = rest.split_at(slash);
    let segment = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    let fits = text.len() <= 2048 && is_domain(domain) && path[1..].split('/').all(segment);
    fits.then_some((domain, path))
}

fn is_domain(name: &str) -> bool {
    let letter =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=255).contains(&name.len()) && name.bytes().all(letter)
}

/// What is written reads back as the same pattern.
fn patterns(text: &str) {
    if let Ok(pattern) = IdPattern::parse(text) {
        assert_eq!(IdPattern::parse(pattern.as_str()), Ok(pattern.clone()));
    }
    if let Ok(pattern) = PathPattern::parse(text) {
        assert_eq!(PathPattern::parse(pattern.as_str()), Ok(pattern.clone()));
    }
    if let Ok(pattern) = HostPattern::parse(text) {
        assert_eq!(HostPattern::parse(pattern.as_str()), Ok(pattern.clone()));
        let host = pattern.host();
        assert_eq!(host, host.to_ascii_lowercase(), "{text:?}");
    }
}
