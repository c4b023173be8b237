//! The fields of a JSON object or a query, read by their kind.
//!
//! In: bytes, a query or a member of something bigger. Out: values, or [`Malformed`] with the field at fault.

use serde_json::{Map, Value};
use std::fmt;

/// The other side said something that is not what this interface says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is no JSON object.
    NotAnObject,
    /// A field is missing, or not of its kind.
    Field(&'static str),
    /// A call has a field that does not exist.
    Unknown(String),
}

impl Malformed {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            Malformed::NotAnObject => "not_an_object",
            Malformed::Field(_) => "bad_field",
            Malformed::Unknown(_) => "unknown_field",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::NotAnObject => {
                f.write_str("not understood: it is no JSON object; look at both versions")
            }
            Malformed::Field(field) => write!(
                f,
                "not understood: `{field}` is missing or not of its kind; look at both versions"
            ),
            Malformed::Unknown(field) => write!(
                f,
                "not understood: `{field}` is no field of this call; look at both versions"
            ),
        }
    }
}

impl std::error::Error for Malformed {}

/// The fields of an object, read by their kind.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) | Err(_) => Err(Malformed::NotAnObject),
        }
    }

    pub(super) fn only(&self, names: &[&str]) -> Result<(), Malformed> {
        let unknown = self.0.keys().find(|name| !names.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| Err(Malformed::Unknown(name.clone())))
    }

    pub(super) fn text(&self, name: &'static str) -> Result<String, Malformed> {
        let text = self.0.get(name).and_then(Value::as_str);
        text.map(str::to_owned).ok_or(Malformed::Field(name))
    }

    pub(super) fn number(&self, name: &'static str) -> Result<u64, Malformed> {
        let number = self.0.get(name).and_then(Value::as_u64);
        number.ok_or(Malformed::Field(name))
    }

    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Malformed> {
        let flag = self.0.get(name).and_then(Value::as_bool);
        flag.ok_or(Malformed::Field(name))
    }

    pub(super) fn below(&self, name: &'static str) -> Result<Fields, Malformed> {
        let object = self.0.get(name).and_then(Value::as_object);
        object.cloned().map(Fields).ok_or(Malformed::Field(name))
    }

    /// `None` where the field is absent or null.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Self, &'static str) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => read(self, name).map(Some),
        }
    }

    pub(super) fn each<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Fields) -> Result<T, Malformed>,
    ) -> Result<Vec<T>, Malformed> {
        let all = self.0.get(name).and_then(Value::as_array);
        let all = all.ok_or(Malformed::Field(name))?;
        let one = |value: &Value| {
            let fields = value.as_object().ok_or(Malformed::Field(name))?;
            read(&Fields(fields.clone()))
        };
        all.iter().map(one).collect()
    }

    pub(super) fn texts(&self, name: &'static str) -> Result<Vec<String>, Malformed> {
        let all = self.0.get(name).and_then(Value::as_array);
        let all = all.ok_or(Malformed::Field(name))?;
        let one = |value: &Value| value.as_str().map(str::to_owned);
        let texts: Option<Vec<String>> = all.iter().map(one).collect();
        texts.ok_or(Malformed::Field(name))
    }
}

/// The values of a query's fields, in the order of their names; each at most once, and no others.
pub(super) fn query<const N: usize>(
    text: Option<&str>,
    names: [&'static str; N],
) -> Result<[Option<String>; N], Malformed> {
    let mut values = [const { None }; N];
    let pairs = text
        .unwrap_or("")
        .split('&')
        .filter(|pair| !pair.is_empty());
    for pair in pairs {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(at) = names.iter().position(|known| *known == name) else {
            return Err(Malformed::Unknown(name.to_owned()));
        };
        if value.is_empty() || values[at].is_some() {
            return Err(Malformed::Field(names[at]));
        }
        values[at] = Some(value.to_owned());
    }
    Ok(values)
}
