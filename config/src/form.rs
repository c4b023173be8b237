//! The forms that values have: text of a grammar, words, numbers, durations, lists, mappings.

use crate::describe::{About, Element, Shape, Word, nearest};
use crate::key::Form;
use crate::notes::{Noted, Read};
use crate::read::Value;
use crate::unit::{self, Rate};
use crate::yaml::{Content, shown};
use crate::{Address, HostPattern, NameError, SpiffeId, TrustDomain};
use serde_json::Value as Json;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

/// A noun of a document: described, read and shown in one place.
pub(crate) trait Noun: Sized {
    const ELEMENT: &'static Element;
    fn read(value: &Value<'_>) -> Read<Self>;
    fn show(&self) -> Json;
}

/// A mapping.
pub(crate) struct Map<N>(PhantomData<N>);

impl<N: Noun> Form for Map<N> {
    type Value = N;
    const SHAPE: Shape = Shape::Map(N::ELEMENT);
    fn read(value: &Value<'_>, _: &About) -> Read<N> {
        N::read(value)
    }
    fn show(noun: &N) -> Json {
        noun.show()
    }
}

/// A list with at least one item: an empty one is either a mistake or says what leaving the key out says.
pub(crate) struct List<F>(PhantomData<F>);
/// A list that may be empty.
pub(crate) struct MaybeEmpty<F>(PhantomData<F>);

impl<F: Form> Form for List<F> {
    type Value = Vec<F::Value>;
    const SHAPE: Shape = Shape::List {
        of: &F::SHAPE,
        empty: false,
    };
    fn read(value: &Value<'_>, about: &About) -> Read<Self::Value> {
        let items = MaybeEmpty::<F>::read(value, about)?;
        if items.is_empty() {
            return Err(value.note("is an empty list", "name at least one, or remove the key"));
        }
        Ok(items)
    }
    fn show(items: &Self::Value) -> Json {
        MaybeEmpty::<F>::show(items)
    }
}

impl<F: Form> Form for MaybeEmpty<F> {
    type Value = Vec<F::Value>;
    const SHAPE: Shape = Shape::List {
        of: &F::SHAPE,
        empty: true,
    };
    fn read(value: &Value<'_>, about: &About) -> Read<Self::Value> {
        let read: Vec<Read<F::Value>> = value
            .items()?
            .iter()
            .map(|item| F::read(item, about))
            .collect();
        read.into_iter().collect()
    }
    fn show(items: &Self::Value) -> Json {
        items.iter().map(F::show).collect()
    }
}

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

impl Text for TrustDomain {
    type Value = TrustDomain;
    const WANTED: &'static str = "a trust domain such as `shop.example`";
    const PATTERN: &'static str = "^[a-z0-9._-]{1,255}$";
    fn parse(text: &str) -> Result<Self, NameError> {
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

/// Where we listen: port 0 lets the kernel choose.
pub(crate) struct Listen;
/// Where somebody else listens.
pub(crate) struct Reach;

impl Text for Listen {
    type Value = Address;
    const WANTED: &'static str = "`host:port` or `[v6]:port`";
    const PATTERN: &'static str = "^[^:]+:[0-9]{1,5}$|^\\[[0-9a-fA-F:.]+\\]:[0-9]{1,5}$";
    fn parse(text: &str) -> Result<Address, NameError> {
        match Address::parse(text)? {
            Address::Unix(_) => Err(NameError {
                why: "a unix socket here: not supported yet".into(),
            }),
            tcp @ Address::Tcp { .. } => Ok(tcp),
        }
    }
    fn text(address: &Address) -> String {
        address.to_string()
    }
}

impl Text for Reach {
    type Value = Address;
    const WANTED: &'static str = Listen::WANTED;
    const PATTERN: &'static str = Listen::PATTERN;
    fn parse(text: &str) -> Result<Address, NameError> {
        if text.starts_with("srv:") {
            return Err(NameError {
                why: "an endpoint found by SRV records: not supported yet".into(),
            });
        }
        match Listen::parse(text)? {
            Address::Tcp { port: 0, .. } => Err(NameError {
                why: "nobody is reached at port 0".into(),
            }),
            address => Ok(address),
        }
    }
    fn text(address: &Address) -> String {
        address.to_string()
    }
}

/// A path of the file system; relative ones start from the document's folder.
pub(crate) struct File;

impl Form for File {
    type Value = PathBuf;
    const SHAPE: Shape = Shape::Text {
        wanted: "the path of a file or folder",
        pattern: "",
    };
    fn read(value: &Value<'_>, _: &About) -> Read<PathBuf> {
        value
            .parse("the path of a file or folder", check_path)
            .map(|text| value.notes.resolve(&text))
    }
    fn show(path: &PathBuf) -> Json {
        path_text(path).into()
    }
}

pub(crate) fn check_path(text: &str) -> Result<String, NameError> {
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(NameError {
            why: format!("`{}` is not allowed in a path", c.escape_default()),
        }),
        None if text.is_empty() => Err(NameError {
            why: "is empty".into(),
        }),
        None => Ok(text.into()),
    }
}

pub(crate) fn path_text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// One of a few words.
pub(crate) trait OneOf {
    type Value;
    const WORDS: &'static [Word];
    /// The value of a word that is built.
    fn means(word: &str) -> Option<Self::Value>;
    fn word(value: &Self::Value) -> &'static str;
}

/// The form of a word.
pub(crate) struct Choice<W>(PhantomData<W>);

impl<W: OneOf> Form for Choice<W> {
    type Value = W::Value;
    const SHAPE: Shape = Shape::Words(W::WORDS);
    fn read(value: &Value<'_>, _: &About) -> Read<W::Value> {
        let built: Vec<_> = W::WORDS
            .iter()
            .filter(|word| word.built)
            .map(|word| format!("`{}`", word.text))
            .collect();
        let wanted = built.join(" or ");
        let text = match &value.node.content {
            // A word with settings, such as `server: {sni: …}`.
            Content::Map(entries) if entries.len() == 1 && is_later(W::WORDS, &entries[0].key) => {
                entries[0].key.as_str()
            }
            _ => value.text(&wanted)?,
        };
        W::means(text).ok_or_else(|| unknown_word(value, text, W::WORDS, &wanted))
    }
    fn show(value: &W::Value) -> Json {
        W::word(value).into()
    }
}

fn is_later(words: &[Word], text: &str) -> bool {
    words.iter().any(|word| word.text == text && !word.built)
}

fn unknown_word(value: &Value<'_>, text: &str, words: &[Word], wanted: &str) -> Noted {
    if is_later(words, text) {
        return value.note(
            format!("{}: not supported yet", shown(text)),
            format!("wanted {wanted}"),
        );
    }
    let meant = nearest(
        text,
        words.iter().filter(|word| word.built).map(|word| word.text),
    );
    let help = meant.map_or_else(
        || format!("wanted {wanted}"),
        |word| format!("did you mean `{word}`?"),
    );
    value.note(format!("is the text {}", shown(text)), help)
}

/// A whole number within the key's range.
pub(crate) struct Count;

impl Form for Count {
    type Value = usize;
    const SHAPE: Shape = Shape::Count;
    fn read(value: &Value<'_>, about: &About) -> Read<usize> {
        let wanted = wanted_between("a whole number", about);
        match &value.node.content {
            Content::Scalar { text, plain: true }
                if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) =>
            {
                let count = text.parse().unwrap_or(usize::MAX);
                in_range(value, text, count, about, &wanted, |text| text.parse().ok())
            }
            _ => Err(value.wrong_kind(&wanted)),
        }
    }
    fn show(count: &usize) -> Json {
        (*count).into()
    }
}

/// A size within the key's range; bytes.
pub(crate) struct Size;

impl Form for Size {
    type Value = usize;
    const SHAPE: Shape = Shape::Size;
    fn read(value: &Value<'_>, about: &About) -> Read<usize> {
        let wanted = wanted_between("a size such as `64KiB`", about);
        let bytes =
            |text: &str| unit::size(text).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let text = value.scalar(&wanted)?;
        let size = bytes(text).map_err(|error| {
            value.note(
                format!("{}: {error}", shown(text)),
                format!("wanted {wanted}"),
            )
        })?;
        in_range(value, text, size, about, &wanted, |text| bytes(text).ok())
    }
    fn show(bytes: &usize) -> Json {
        unit::size_text(*bytes as u64).into()
    }
}

/// A duration within the key's range.
pub(crate) struct Duration;

impl Form for Duration {
    type Value = std::time::Duration;
    const SHAPE: Shape = Shape::Duration;
    fn read(value: &Value<'_>, about: &About) -> Read<std::time::Duration> {
        let wanted = wanted_between("a duration such as `10s`", about);
        let text = value.scalar(&wanted)?;
        let duration = unit::duration(text).map_err(|error| {
            value.note(
                format!("{}: {error}", shown(text)),
                format!("wanted {wanted}"),
            )
        })?;
        in_range(value, text, duration, about, &wanted, |text| {
            unit::duration(text).ok()
        })
    }
    fn show(duration: &std::time::Duration) -> Json {
        unit::duration_text(*duration).into()
    }
}

fn wanted_between(kind: &str, about: &About) -> String {
    match about.range {
        Some((least, most)) => format!("{kind} from {least} to {most}"),
        None => kind.into(),
    }
}

fn in_range<T: PartialOrd>(
    value: &Value<'_>,
    text: &str,
    read: T,
    about: &About,
    wanted: &str,
    bound: impl Fn(&str) -> Option<T>,
) -> Read<T> {
    let Some((least, most)) = about.range else {
        return Ok(read);
    };
    if bound(least).is_some_and(|least| read < least) {
        return Err(value.note(
            format!("{} is too small", shown(text)),
            format!("wanted {wanted}"),
        ));
    }
    if bound(most).is_some_and(|most| read > most) {
        return Err(value.note(
            format!("{} is too large", shown(text)),
            format!("wanted {wanted}"),
        ));
    }
    Ok(read)
}

/// A mapping as it is printed.
pub(crate) fn object(pairs: impl IntoIterator<Item = (String, Json)>) -> Json {
    Json::Object(pairs.into_iter().collect())
}
