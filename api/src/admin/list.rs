//! `GET /list` and `GET /show`.

use super::fields::{Fields, Malformed, query};
use serde_json::{Value, json};

/// Certificates in one page of a list, unless fewer are asked for.
pub const LIST_MAX: u64 = 500;

/// An issued certificate, as operators read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its serial in lower-case hexadecimal.
    pub serial: String,
    /// Whom it names.
    pub id: String,
    /// Its place in the record.
    pub index: u64,
    /// When it was issued, in seconds since 1970.
    pub issued_unix_s: u64,
    /// Its end, in seconds since 1970.
    pub not_after_unix_s: u64,
    /// On what ground: `join_token`, `renewal`, `grace`, `operator`, and what later versions add.
    pub ground: String,
    /// The serial of the certificate that it renewed.
    pub parent: Option<String>,
    /// Which user of the CA's machine wanted it, where an operator did.
    pub uid: Option<u64>,
    /// Which instance asked; empty if it did not say.
    pub instance: String,
    /// Whether a newer one took its place.
    pub replaced: bool,
}

impl Listed {
    /// Its body.
    pub fn to_json(&self) -> String {
        self.value().to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        Listed::from_fields(&Fields::read(bytes)?)
    }

    /// As a member of something bigger.
    pub fn value(&self) -> Value {
        json!({
            "serial": self.serial, "id": self.id, "index": self.index,
            "issued_unix_s": self.issued_unix_s, "not_after_unix_s": self.not_after_unix_s,
            "ground": self.ground, "parent": self.parent, "uid": self.uid, "instance": self.instance,
            "replaced": self.replaced,
        })
    }

    pub(super) fn from_fields(fields: &Fields) -> Result<Self, Malformed> {
        Ok(Listed {
            serial: fields.text("serial")?,
            id: fields.text("id")?,
            index: fields.number("index")?,
            issued_unix_s: fields.number("issued_unix_s")?,
            not_after_unix_s: fields.number("not_after_unix_s")?,
            ground: fields.text("ground")?,
            parent: fields.optional("parent", Fields::text)?,
            uid: fields.optional("uid", Fields::number)?,
            instance: fields.text("instance")?,
            replaced: fields.flag("replaced")?,
        })
    }
}

/// Which certificates to list: unexpired ones, the soonest to end first. Goes as the query of `/list`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListCall {
    /// Only of this identity.
    pub id: Option<String>,
    /// Only behind this place: [`ListPage::next`] of the page before.
    pub after: Option<String>,
}

impl ListCall {
    /// The path and query. Neither a SPIFFE ID nor a place has a character that a query must escape.
    pub fn to_target(&self) -> String {
        let pairs = [("id", &self.id), ("after", &self.after)];
        let pairs = pairs.map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
        let query = pairs.into_iter().flatten().collect::<Vec<_>>().join("&");
        match query.as_str() {
            "" => "/list".to_owned(),
            query => format!("/list?{query}"),
        }
    }

    /// From a query.
    pub fn from_query(text: Option<&str>) -> Result<Self, Malformed> {
        let [id, after] = query(text, ["id", "after"])?;
        Ok(ListCall { id, after })
    }
}

/// Which certificate to show. Goes as the query of `/show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowCall {
    /// Its serial in lower-case hexadecimal.
    pub serial: String,
}

impl ShowCall {
    /// The path and query. A serial has no character that a query must escape.
    pub fn to_target(&self) -> String {
        format!("/show?serial={}", self.serial)
    }

    /// From a query.
    pub fn from_query(text: Option<&str>) -> Result<Self, Malformed> {
        let [serial] = query(text, ["serial"])?;
        let serial = serial.ok_or(Malformed::Field("serial"))?;
        Ok(ShowCall { serial })
    }
}

/// Some of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// At most [`LIST_MAX`].
    pub listed: Vec<Listed>,
    /// What to ask on with; `None` at the end. Letters, digits, `.`, `-` and `_`; means something to the CA only.
    pub next: Option<String>,
}

impl ListPage {
    /// Its body.
    pub fn to_json(&self) -> String {
        let listed: Vec<Value> = self.listed.iter().map(Listed::value).collect();
        json!({"listed": listed, "next": self.next}).to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        Ok(ListPage {
            listed: fields.each("listed", Listed::from_fields)?,
            next: fields.optional("next", Fields::text)?,
        })
    }
}
