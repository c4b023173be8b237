//! Hosts as services and policies name them.
use super::NameError;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// RFC 1035 §2.3.4, as text without the last dot.
const NAME_MAX_BYTES: usize = 253;
const LABEL_MAX_BYTES: usize = 63;

/// A host name or IP literal, lower-cased, with or without a port. With a port: only that authority; without: any port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPattern {
    text: Arc<str>,
    host: Arc<str>,
    port: Option<u16>,
}

impl HostPattern {
    /// Reads `orders`, `orders:8080`, `10.0.0.1:80` or `[::1]:80`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let Some(len) = rest.find(']') else {
                    return Err(NameError::at(text, 0, "is not closed by `]`"));
                };
                let address: Ipv6Addr = rest[..len].parse().map_err(|_| {
                    NameError::new(format!(
                        "`{}` in brackets is not an IPv6 address",
                        rest[..len].escape_debug()
                    ))
                })?;
                (address.to_string(), port(text, len + 2)?)
            }
            None if text.parse::<Ipv6Addr>().is_ok() => {
                return Err(NameError::new(format!(
                    "an IPv6 address stands in brackets: write `[{text}]`"
                )));
            }
            None => {
                let len = text.find(':').unwrap_or(text.len());
                (name(text, &text[..len])?, port(text, len)?)
            }
        };
        Ok(Self {
            text: text.into(),
            host: host.into(),
            port,
        })
    }
    /// The host alone, lower case, no trailing dot, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }
    /// The port, if one is named.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
    /// Whether an authority matches. Case, a trailing dot, brackets and the spelling of an IPv6 address make no
    /// difference, so that none of them leads around a rule. Does not allocate.
    pub fn matches(&self, host: &str, port: Option<u16>) -> bool {
        if self.port.is_some() && self.port != port {
            return false;
        }
        if self.host.contains(':') {
            let host = host
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
                .unwrap_or(host);
            return match (self.host.parse::<Ipv6Addr>(), host.parse::<Ipv6Addr>()) {
                (Ok(wanted), Ok(asked)) => wanted == asked,
                _ => false,
            };
        }
        host.strip_suffix('.')
            .unwrap_or(host)
            .eq_ignore_ascii_case(&self.host)
    }
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Reads `:port` at byte `at`, or nothing.
fn port(text: &str, at: usize) -> Result<Option<u16>, NameError> {
    let Some(digits) = text[at..].strip_prefix(':') else {
        return if at == text.len() {
            Ok(None)
        } else {
            Err(NameError::at(
                text,
                at,
                "stands where only `:port` may follow",
            ))
        };
    };
    if let Some(offset) = digits.bytes().position(|b| !b.is_ascii_digit()) {
        return Err(NameError::at(
            text,
            at + 1 + offset,
            "is not allowed in a port",
        ));
    }
    match digits.parse() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(NameError::new(format!(
            "`{digits}` is not a port: write 1 to 65535"
        ))),
    }
}

/// Reads a host name or IPv4 address into lower case without its trailing dot.
fn name(text: &str, host: &str) -> Result<String, NameError> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return Err(NameError::new("the host is empty"));
    }
    if host.len() > NAME_MAX_BYTES {
        return Err(NameError::new(format!(
            "the host has {} bytes, at most {NAME_MAX_BYTES} are allowed",
            host.len()
        )));
    }
    let mut at = 0;
    for label in host.split('.') {
        if label.is_empty() {
            return Err(NameError::new(format!("the label at {at} is empty")));
        }
        if label.len() > LABEL_MAX_BYTES {
            return Err(NameError::new(format!(
                "the label at {at} has {} bytes, at most {LABEL_MAX_BYTES} are allowed",
                label.len()
            )));
        }
        if let Some(offset) = label
            .bytes()
            .position(|b| !matches!(b, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_'))
        {
            return Err(NameError::at(
                text,
                at + offset,
                match label.as_bytes()[offset] {
                    b'*' => {
                        "is not allowed in a host: wildcards are not supported yet; name each host"
                    }
                    b'{' | b'}' => {
                        "is not allowed in a host: host templates are not supported yet; name each host"
                    }
                    b'/' => {
                        "is not allowed in a host: write the name alone, without scheme or path"
                    }
                    b'@' => "is not allowed in a host: it has no user",
                    _ => "is not allowed in a host: it holds `a-z`, `0-9`, `.`, `-` and `_`",
                },
            ));
        }
        at += label.len() + 1;
    }
    // A last label of digits makes it an address to every resolver (WHATWG URL §3.5), so it must be a plain one.
    let last_is_number = host
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()));
    if last_is_number && host.parse::<Ipv4Addr>().is_err() {
        return Err(NameError::new(format!(
            "`{host}` is not an IPv4 address: write four decimal numbers"
        )));
    }
    Ok(host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_host_gives_back_its_parts() {
        for (text, host, port) in [
            ("orders", "orders", None),
            ("Orders.Shop.", "orders.shop", None),
            ("orders:8080", "orders", Some(8080)),
            ("a_b-c.example:1", "a_b-c.example", Some(1)),
            ("10.0.0.1:80", "10.0.0.1", Some(80)),
            ("[::1]", "::1", None),
            ("[0:0::0001]:80", "::1", Some(80)),
        ] {
            let read = HostPattern::parse(text).unwrap();
            assert_eq!(
                (read.host(), read.port(), read.as_str()),
                (host, port, text)
            );
        }
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        let refused = |text: &str, why: &str| {
            assert_eq!(
                HostPattern::parse(text),
                Err(NameError::new(why)),
                "{text:?}"
            );
        };
        refused("", "the host is empty");
        refused(".", "the host is empty");
        refused(":80", "the host is empty");
        refused("a..b", "the label at 2 is empty");
        refused(".a", "the label at 0 is empty");
        refused("a:", "`` is not a port: write 1 to 65535");
        refused("a:0", "`0` is not a port: write 1 to 65535");
        refused("a:65536", "`65536` is not a port: write 1 to 65535");
        refused("a:+1", "`+` at 2 is not allowed in a port");
        refused("a:b", "`b` at 2 is not allowed in a port");
        refused("http://a", "`/` at 5 is not allowed in a port");
        refused(
            "a/b",
            "`/` at 1 is not allowed in a host: write the name alone, without scheme or path",
        );
        refused("u@a", "`@` at 1 is not allowed in a host: it has no user");
        refused(
            "*.a",
            "`*` at 0 is not allowed in a host: wildcards are not supported yet; name each host",
        );
        refused(
            "{n}.a",
            "`{` at 0 is not allowed in a host: host templates are not supported yet; name each host",
        );
        refused(
            "é",
            "`é` at 0 is not allowed in a host: it holds `a-z`, `0-9`, `.`, `-` and `_`",
        );
        refused("::1", "an IPv6 address stands in brackets: write `[::1]`");
        refused("[::1", "`[` at 0 is not closed by `]`");
        refused("[::g]", "`::g` in brackets is not an IPv6 address");
        refused("[::1]x", "`x` at 5 stands where only `:port` may follow");
        refused(
            "010.0.0.1",
            "`010.0.0.1` is not an IPv4 address: write four decimal numbers",
        );
        refused(
            "1",
            "`1` is not an IPv4 address: write four decimal numbers",
        );
        refused(
            &"a".repeat(64),
            "the label at 0 has 64 bytes, at most 63 are allowed",
        );
        refused(
            &"ab.".repeat(90),
            "the host has 269 bytes, at most 253 are allowed",
        );
    }

    #[test]
    fn a_port_narrows_and_its_absence_does_not() {
        for (pattern, host, port, want) in [
            ("orders", "orders", None, true),
            ("orders", "orders", Some(1), true),
            ("orders:80", "orders", Some(80), true),
            ("orders:80", "orders", Some(81), false),
            ("orders:80", "orders", None, false),
            ("orders", "order", None, false),
            ("orders", "ORDERS.", None, true),
            ("[::1]:80", "0:0::1", Some(80), true),
            ("[::1]:80", "[0:0::1]", Some(80), true),
            ("[::1]", "[::1", None, false),
            ("[::1]", "::2", None, false),
            ("[::1]", "orders", None, false),
        ] {
            assert_eq!(
                HostPattern::parse(pattern).unwrap().matches(host, port),
                want,
                "{pattern} on {host} {port:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "[a-c0-9.:\\[\\]é*-]{0,12}") {
            if let Ok(pattern) = HostPattern::parse(&text) {
                prop_assert!(pattern.matches(pattern.host(), pattern.port()));
            }
        }
    }
}
