//! Text of a grammar: names, methods, identities, hosts, rates.

use crate::describe::{About, Shape};
use crate::key::Form;
use crate::notes::Read;
use crate::read::Value;
use crate::unit::Rate;
use crate::{HostPattern, NameError, SpiffeId, TrustDomain};
use serde_json::Value as Json;
use std::marker::PhantomData;

/// Text of a grammar.
pub(crate) trait Text {
    type Value;
    const WANTED: &'static str;
    /// ECMA 262, for editors: everything that is valid matches it.
    const PATTERN: &'static str;
    fn parse(text: &str) -> Result<Self::Value, NameError>;
    fn text(value: &Self::Value) -> String;
}

/// The form of a text.
pub(crate) struct As<T>(PhantomData<T>);

impl<T: Text> Form for As<T> {
    type Value = T::Value;
    const SHAPE: Shape = Shape::Text {
        wanted: T::WANTED,
        pattern: T::PATTERN,
    };
    fn read(value: &Value<'_>, _: &About) -> Read<T::Value> {
        value.parse(T::WANTED, T::parse)
    }
    fn show(value: &T::Value) -> Json {
        T::text(value).into()
    }
}

/// The name of a listener or a service: it becomes a label of metrics and a word of policies.
pub(crate) struct Name;

impl Text for Name {
    type Value = String;
    const WANTED: &'static str =
        "a name of 1 to 63 letters, digits, `-`, `_` or `.`, beginning with a letter or digit";
    const PATTERN: &'static str = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
    fn parse(text: &str) -> Result<String, NameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let why = match text.chars().find(|c| !allowed(*c)) {
            Some(c) => format!("`{}` is not allowed in a name", c.escape_debug()),
            None if text.is_empty() => "is empty".into(),
            None if text.len() > 63 => format!("has {} characters", text.len()),
            None if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                "begins with a sign".into()
            }
            None => return Ok(text.into()),
        };
        Err(NameError { why })
    }
    fn text(name: &String) -> String {
        name.clone()
    }
}

/// A token of RFC 9110 §5.6.2. Methods in lower case exist for nobody: such a clause would silently never match.
pub(crate) struct Method;

impl Text for Method {
    type Value = String;
    const WANTED: &'static str = "a method such as `GET`";
    const PATTERN: &'static str = "^[!#$%&'*+.^_`|~0-9A-Z-]{1,64}$";
    fn parse(text: &str) -> Result<String, NameError> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let why = match text.chars().find(|c| !is_token(*c)) {
            Some(c) => format!("`{}` is not allowed in a method", c.escape_default()),
            None if text.is_empty() => "is empty".into(),
            None if text.len() > 64 => {
                format!("has {} characters, at most 64 are read", text.len())
            }
            None if text.contains(|c: char| c.is_ascii_lowercase()) => {
                format!(
                    "case matters (RFC 9110 §9.1), and `{}` is what callers send",
                    text.to_ascii_uppercase()
                )
            }
            None => return Ok(text.into()),
        };
        Err(NameError { why })
    }
    fn text(method: &String) -> String {
        method.clone()
    }
}

impl Text for TrustDomain {
    type Value = TrustDomain;
    const WANTED: &'static str = "a trust domain such as `shop.example`";
    const PATTERN: &'static str = "^[a-z0-9._-]{1,255}$";
    fn parse(text: &str) -> Result<Self, NameError> {
        // It stands for callers without a certificate: one that had one of it would be taken for them.
        if SpiffeId::plaintext().trust_domain() == text {
            return Err(NameError {
                why: "is kept for callers in clear text".into(),
            });
        }
        TrustDomain::parse(text)
    }
    fn text(domain: &Self) -> String {
        domain.to_string()
    }
}

impl Text for SpiffeId {
    type Value = SpiffeId;
    const WANTED: &'static str = "a SPIFFE ID such as `spiffe://shop.example/orders`";
    const PATTERN: &'static str = "^spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)+$";
    fn parse(text: &str) -> Result<Self, NameError> {
        SpiffeId::parse(text)
    }
    fn text(id: &Self) -> String {
        id.to_string()
    }
}

impl Text for HostPattern {
    type Value = HostPattern;
    const WANTED: &'static str = "a host such as `orders` or `orders:8080`";
    const PATTERN: &'static str = "";
    fn parse(text: &str) -> Result<Self, NameError> {
        if text.contains(['{', '}']) {
            return Err(NameError {
                why: "`{…}` in a host: not supported yet".into(),
            });
        }
        HostPattern::parse(text)
    }
    fn text(host: &Self) -> String {
        host.as_str().into()
    }
}

impl Text for Rate {
    type Value = Rate;
    const WANTED: &'static str = "a rate such as `10/m`";
    const PATTERN: &'static str = "^[0-9]+/[smh]$";
    fn parse(text: &str) -> Result<Self, NameError> {
        Rate::parse(text)
    }
    fn text(rate: &Self) -> String {
        rate.to_string()
    }
}
