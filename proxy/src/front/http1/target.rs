//! Which forms a target has (RFC 9112 §3.2), once each of its bytes may stand in one.

use super::Fault;
use super::class::{AUTHORITY, SCHEME, run};

/// So long a target may be at most: readers that follow keep its places in two bytes.
pub(super) const BYTES_MAX: usize = u16::MAX as usize - 1;
const SCHEME_BYTES_MAX: usize = 64;

/// Whether it has one of the forms: `/…`, `*`, `scheme://authority…`, `authority`. Which of them a method takes is looked at later.
pub(super) fn judge(target: &[u8]) -> Result<(), Fault> {
    match target {
        [b'/', ..] | b"*" => Ok(()),
        target if is_absolute(target) || is_authority(target) => Ok(()),
        _ => Err(Fault::Target),
    }
}

fn is_absolute(target: &[u8]) -> bool {
    let Some((scheme, rest)) = split(target, b"://") else {
        return false;
    };
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.len() <= SCHEME_BYTES_MAX
        && run(scheme, SCHEME) == scheme.len();
    let authority = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
    is_scheme && is_authority(&rest[..authority.unwrap_or(rest.len())])
}

fn split<'t>(text: &'t [u8], by: &[u8]) -> Option<(&'t [u8], &'t [u8])> {
    let at = text.windows(by.len()).position(|window| window == by)?;
    Some((&text[..at], &text[at + by.len()..]))
}

/// `[ userinfo "@" ] host [ ":" port ]`; a host has no percent signs here: nobody's does, but to be read in two ways.
fn is_authority(text: &[u8]) -> bool {
    if run(text, AUTHORITY) < text.len() {
        return false;
    }
    let (userinfo, at) = match text.iter().position(|byte| *byte == b'@') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (&[][..], text),
    };
    let (host, port) = match (at.first(), at.iter().position(|byte| *byte == b']')) {
        (Some(b'['), Some(end)) => at.split_at(end + 1),
        _ => at.split_at(at.iter().position(|byte| *byte == b':').unwrap_or(at.len())),
    };
    is_userinfo(userinfo) && is_host(host) && is_port(port)
}

fn is_userinfo(userinfo: &[u8]) -> bool {
    let colons = userinfo.iter().filter(|byte| **byte == b':').count();
    colons <= 1 && !userinfo.iter().any(|byte| matches!(byte, b'[' | b']'))
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [] => false,
        [b'[', address @ .., b']'] => {
            let colons = address.iter().filter(|byte| **byte == b':').count();
            colons < 8
                && !address.is_empty()
                && address
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.'))
        }
        name => !name
            .iter()
            .any(|byte| matches!(byte, b'[' | b']' | b'@' | b':' | b'%')),
    }
}

fn is_port(port: &[u8]) -> bool {
    match port {
        [] => true,
        [b':', digits @ ..] => digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}
