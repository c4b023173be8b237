//! The authority that a request names: checked, lower-cased, split into host and port.
//!
//! In: the bytes of `Host` or `:authority`. Out: an [`Authority`], or the reason why it names none. No allocation when it
//! is lower case already, as almost all are.

use http::HeaderValue;
use std::ops::Range;

/// A host and, maybe, a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Authority {
    text: HeaderValue,
    host: Range<usize>,
    port: Option<u16>,
}

/// Why it is none; the label never changes.
pub(crate) type Reason = &'static str;

impl Authority {
    /// Reads `host`, `host:port` or `[v6]:port` (RFC 3986 §3.2.2, registered names without percent-encoding or userinfo).
    pub(crate) fn read(value: &HeaderValue) -> Result<Self, Reason> {
        let bytes = value.as_bytes();
        let (host, port) = split(bytes)?;
        let port = port.map(read_port).transpose()?;
        let text = if bytes.iter().any(u8::is_ascii_uppercase) {
            HeaderValue::from_bytes(&bytes.to_ascii_lowercase()).map_err(|_| "bad_host")?
        } else {
            value.clone()
        };
        Ok(Self { text, host, port })
    }
    /// Lower case, without port, trailing dot and brackets.
    pub(crate) fn host(&self) -> &str {
        // `split` let only ASCII through.
        self.text
            .to_str()
            .ok()
            .and_then(|text| text.get(self.host.clone()))
            .unwrap_or_default()
    }
    /// The port, if it names one.
    pub(crate) fn port(&self) -> Option<u16> {
        self.port
    }
    /// As it came, lower case.
    pub(crate) fn text(&self) -> &HeaderValue {
        &self.text
    }
}

fn split(bytes: &[u8]) -> Result<(Range<usize>, Option<&[u8]>), Reason> {
    if bytes.is_empty() {
        return Err("no_host");
    }
    if bytes[0] == b'[' {
        let end = bytes
            .iter()
            .position(|byte| *byte == b']')
            .ok_or("bad_host")?;
        let address = std::str::from_utf8(&bytes[1..end])
            .ok()
            .and_then(|text| text.parse::<std::net::Ipv6Addr>().ok());
        address.ok_or("bad_host")?;
        return match &bytes[end + 1..] {
            [] => Ok((1..end, None)),
            [b':', port @ ..] => Ok((1..end, Some(port))),
            _ => Err("bad_host"),
        };
    }
    let colon = bytes.iter().position(|byte| *byte == b':');
    let name = &bytes[..colon.unwrap_or(bytes.len())];
    let name = name.strip_suffix(b".").unwrap_or(name);
    if bytes.contains(&b'@') {
        return Err("userinfo");
    }
    if !is_name(name) {
        return Err("bad_host");
    }
    Ok((0..name.len(), colon.map(|at| &bytes[at + 1..])))
}

/// A name of labels that are not empty. Where the last of them is a number, resolvers and URL parsers take the whole for an
/// IPv4 address, in spellings that hardly two of them share (WHATWG URL §3.5: `0x7f.1`, `127.1`, `2130706433`): it must be
/// a plain one.
fn is_name(name: &[u8]) -> bool {
    let is_label = |label: &[u8]| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_~".contains(byte);
        !label.is_empty() && label.iter().all(plain)
    };
    let mut labels = name.split(|byte| *byte == b'.');
    let is_number = labels.clone().next_back().is_some_and(|last| {
        let hex = last.strip_prefix(b"0x").or(last.strip_prefix(b"0X"));
        match hex {
            Some(digits) => digits.iter().all(u8::is_ascii_hexdigit),
            None => last.iter().all(u8::is_ascii_digit),
        }
    });
    labels.all(is_label) && (!is_number || is_plain_ipv4(name))
}

fn is_plain_ipv4(name: &[u8]) -> bool {
    let address = std::str::from_utf8(name).map(str::parse::<std::net::Ipv4Addr>);
    matches!(address, Ok(Ok(_)))
}

fn read_port(digits: &[u8]) -> Result<u16, Reason> {
    // Neither 0 nor `080`: some read the latter as octal, some refuse it.
    let begins = matches!(digits.first(), Some(b'1'..=b'9'));
    let plain = begins && digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit);
    let port = plain
        .then(|| std::str::from_utf8(digits).ok()?.parse().ok())
        .flatten();
    port.ok_or("bad_port")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn authorities_are_read_strictly() {
        let good = [
            ("orders", "orders", None),
            ("Orders.Shop:8080", "orders.shop", Some(8080)),
            ("orders.", "orders", None),
            ("orders.:80", "orders", Some(80)),
            ("10.0.0.1:1", "10.0.0.1", Some(1)),
            ("[::1]", "::1", None),
            ("[FE80::1]:443", "fe80::1", Some(443)),
        ];
        for (text, host, port) in good {
            let read = Authority::read(&HeaderValue::from_static(text)).unwrap();
            assert_eq!((read.host(), read.port()), (host, port), "{text}");
        }
        let bad = [
            ("", "no_host"),
            (".", "bad_host"),
            ("a b", "bad_host"),
            ("user@orders", "userinfo"),
            ("user:pw@orders", "userinfo"),
            ("orders:80@evil", "userinfo"),
            ("orders..", "bad_host"),
            (".orders", "bad_host"),
            ("ord..ers", "bad_host"),
            ("127.1", "bad_host"),
            ("0x7f.0.0.1", "bad_host"),
            ("10.0.0.0x1", "bad_host"),
            ("010.0.0.1", "bad_host"),
            ("2130706433", "bad_host"),
            ("orders:0", "bad_port"),
            ("orders:080", "bad_port"),
            ("orders:00", "bad_port"),
            ("orders:", "bad_port"),
            ("orders:+1", "bad_port"),
            ("orders:65536", "bad_port"),
            ("orders:1:2", "bad_port"),
            ("[::1", "bad_host"),
            ("[::1]x", "bad_host"),
            ("[orders]", "bad_host"),
            ("ord/ers", "bad_host"),
            ("ord%65rs", "bad_host"),
        ];
        for (text, reason) in bad {
            assert_eq!(
                Authority::read(&HeaderValue::from_static(text)).unwrap_err(),
                reason,
                "{text}"
            );
        }
    }
}
