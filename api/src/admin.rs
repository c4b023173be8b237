//! What an operator's verbs and a running CA say to each other over the CA's unix socket: JSON in HTTP.
//!
//! In: a value, or the bytes of the other side. Out: bytes, or the value, or [`Malformed`] with the field at fault.
//!
//! ```text
//! POST /token    TokenCall  -> TokenMade
//! GET  /list     ListCall as the query -> ListPage
//! GET  /show     ?serial=HEX -> Listed
//! GET  /status              -> Status
//! GET  /bundle              -> the roots now trusted, PEM
//! any            refused    -> Refusal, with a status of 4xx or 5xx
//! ```
//!
//! 1. Unknown fields of an answer are ignored, so that an older command can ask a newer CA; unknown fields of a call are
//!    refused, so that no wish is dropped without a word.
//! 2. `Debug` shows no token.
use serde_json::{Map, Value, json};
use std::fmt;

/// Certificates in one page of a list, unless fewer are asked for.
pub const LIST_MAX: u64 = 500;

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
            Malformed::NotAnObject => f.write_str("not understood: it is no JSON object"),
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

/// Make a join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCall {
    /// Whom it is to admit: a SPIFFE ID.
    pub id: String,
    /// How long it is good, in seconds.
    pub ttl_s: u64,
    /// How many keys it admits.
    pub uses: u32,
}

impl TokenCall {
    /// Its body.
    pub fn to_json(&self) -> String {
        json!({"id": self.id, "ttl_s": self.ttl_s, "uses": self.uses}).to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        fields.only(&["id", "ttl_s", "uses"])?;
        Ok(TokenCall {
            id: fields.text("id")?,
            ttl_s: fields.number("ttl_s")?,
            uses: u32::try_from(fields.number("uses")?).map_err(|_| Malformed::Field("uses"))?,
        })
    }
}

/// A join token was made.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenMade {
    /// The token: whoever has it may join.
    pub token: String,
    /// The first second, since 1970, in which it is no longer good.
    pub ends_unix_s: u64,
}

impl fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenMade")
            .field("token", &format_args!("…"))
            .field("ends_unix_s", &self.ends_unix_s)
            .finish()
    }
}

impl TokenMade {
    /// Its body.
    pub fn to_json(&self) -> String {
        json!({"token": self.token, "ends_unix_s": self.ends_unix_s}).to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        Ok(TokenMade {
            token: fields.text("token")?,
            ends_unix_s: fields.number("ends_unix_s")?,
        })
    }
}

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
    /// On what ground: `join_token`, `renewal`, `grace`, and what later versions add.
    pub ground: String,
    /// The serial of the certificate that it renewed.
    pub parent: Option<String>,
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
            "ground": self.ground, "parent": self.parent, "instance": self.instance,
            "replaced": self.replaced,
        })
    }

    fn from_fields(fields: &Fields) -> Result<Self, Malformed> {
        Ok(Listed {
            serial: fields.text("serial")?,
            id: fields.text("id")?,
            index: fields.number("index")?,
            issued_unix_s: fields.number("issued_unix_s")?,
            not_after_unix_s: fields.number("not_after_unix_s")?,
            ground: fields.text("ground")?,
            parent: fields.optional("parent", Fields::text)?,
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
    pub fn from_query(query: Option<&str>) -> Result<Self, Malformed> {
        let mut call = ListCall::default();
        for pair in query
            .unwrap_or("")
            .split('&')
            .filter(|pair| !pair.is_empty())
        {
            match pair.split_once('=') {
                Some(("id", id)) if call.id.is_none() => call.id = Some(id.to_owned()),
                Some(("after", at)) if call.after.is_none() => call.after = Some(at.to_owned()),
                Some(("id", _)) => return Err(Malformed::Field("id")),
                Some(("after", _)) => return Err(Malformed::Field("after")),
                other => {
                    let name = other.map_or(pair, |(name, _)| name);
                    return Err(Malformed::Unknown(name.to_owned()));
                }
            }
        }
        Ok(call)
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

/// How a CA stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its trust domain.
    pub trust_domain: String,
    /// Its clock, in seconds since 1970.
    pub now_unix_s: u64,
    /// How many certificates it ever issued.
    pub issued: u64,
    /// The sequence of the newest statement about the roots.
    pub statement_sequence: u64,
    /// What ends when: its roots, its issuer, its own certificate.
    pub ends: Vec<End>,
    /// Which identity would be without a certificate first if nothing more were issued; `None` if none has one.
    pub first_to_end: Option<Listed>,
}

/// Something that ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// `root`, `issuer` or `leaf`, as in the metric of expiries.
    pub what: String,
    /// Its key identifier or serial in lower-case hexadecimal.
    pub name: String,
    /// Its begin, in seconds since 1970.
    pub not_before_unix_s: u64,
    /// Its end, in seconds since 1970.
    pub not_after_unix_s: u64,
    /// Whether what will take its place is there already.
    pub has_successor: bool,
}

impl End {
    fn value(&self) -> Value {
        json!({
            "what": self.what, "name": self.name, "not_before_unix_s": self.not_before_unix_s,
            "not_after_unix_s": self.not_after_unix_s, "has_successor": self.has_successor,
        })
    }

    fn from_fields(fields: &Fields) -> Result<Self, Malformed> {
        Ok(End {
            what: fields.text("what")?,
            name: fields.text("name")?,
            not_before_unix_s: fields.number("not_before_unix_s")?,
            not_after_unix_s: fields.number("not_after_unix_s")?,
            has_successor: fields.flag("has_successor")?,
        })
    }

    /// Whether half of its life is over and nothing is there to take its place: what `ca status` answers no for.
    pub fn is_overdue(&self, now_unix_s: u64) -> bool {
        let life = self.not_after_unix_s.saturating_sub(self.not_before_unix_s);
        !self.has_successor && now_unix_s >= self.not_before_unix_s.saturating_add(life / 2)
    }
}

impl Status {
    /// Its body.
    pub fn to_json(&self) -> String {
        json!({
            "trust_domain": self.trust_domain, "now_unix_s": self.now_unix_s, "issued": self.issued,
            "statement_sequence": self.statement_sequence,
            "ends": self.ends.iter().map(End::value).collect::<Vec<_>>(),
            "first_to_end": self.first_to_end.as_ref().map(Listed::value),
        })
        .to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        Ok(Status {
            trust_domain: fields.text("trust_domain")?,
            now_unix_s: fields.number("now_unix_s")?,
            issued: fields.number("issued")?,
            statement_sequence: fields.number("statement_sequence")?,
            ends: fields.each("ends", End::from_fields)?,
            first_to_end: fields.optional("first_to_end", |fields, name| {
                Listed::from_fields(&fields.below(name)?)
            })?,
        })
    }
}

/// The answer is no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A label that never changes.
    pub error: String,
    /// What went wrong: why; what to do.
    pub message: String,
}

impl Refusal {
    /// Its body.
    pub fn to_json(&self) -> String {
        json!({"error": self.error, "message": self.message}).to_string()
    }

    /// From a body.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Malformed> {
        let fields = Fields::read(bytes)?;
        Ok(Refusal {
            error: fields.text("error")?,
            message: fields.text("message")?,
        })
    }
}

/// The fields of an object, read by their kind.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(_) | Err(_) => Err(Malformed::NotAnObject),
        }
    }

    fn only(&self, names: &[&str]) -> Result<(), Malformed> {
        let unknown = self.0.keys().find(|name| !names.contains(&name.as_str()));
        unknown.map_or(Ok(()), |name| Err(Malformed::Unknown(name.clone())))
    }

    fn text(&self, name: &'static str) -> Result<String, Malformed> {
        let text = self.0.get(name).and_then(Value::as_str);
        text.map(str::to_owned).ok_or(Malformed::Field(name))
    }

    fn number(&self, name: &'static str) -> Result<u64, Malformed> {
        let number = self.0.get(name).and_then(Value::as_u64);
        number.ok_or(Malformed::Field(name))
    }

    fn flag(&self, name: &'static str) -> Result<bool, Malformed> {
        let flag = self.0.get(name).and_then(Value::as_bool);
        flag.ok_or(Malformed::Field(name))
    }

    fn below(&self, name: &'static str) -> Result<Fields, Malformed> {
        let object = self.0.get(name).and_then(Value::as_object);
        object.cloned().map(Fields).ok_or(Malformed::Field(name))
    }

    /// `None` where the field is absent or null.
    fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Self, &'static str) -> Result<T, Malformed>,
    ) -> Result<Option<T>, Malformed> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(_) => read(self, name).map(Some),
        }
    }

    fn each<T>(
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(parent: Option<&str>) -> Listed {
        Listed {
            serial: "0b17".into(),
            id: "spiffe://shop.example/orders".into(),
            index: u64::MAX,
            issued_unix_s: 1_790_000_000,
            not_after_unix_s: 1_790_003_600,
            ground: "renewal".into(),
            parent: parent.map(str::to_owned),
            instance: "a \"quoted\" name".into(),
            replaced: parent.is_some(),
        }
    }

    fn status(first_to_end: Option<Listed>) -> Status {
        Status {
            trust_domain: "shop.example".into(),
            now_unix_s: 1_790_000_000,
            issued: 7,
            statement_sequence: 1_780_000_000,
            ends: vec![end(100, 200, true), end(0, 9, false)],
            first_to_end,
        }
    }

    fn end(not_before_unix_s: u64, not_after_unix_s: u64, has_successor: bool) -> End {
        let (what, name) = ("issuer".into(), "ab12".into());
        End {
            what,
            name,
            not_before_unix_s,
            not_after_unix_s,
            has_successor,
        }
    }

    #[test]
    fn what_was_said_is_heard() {
        let call = TokenCall {
            id: "spiffe://shop.example/orders".into(),
            ttl_s: 600,
            uses: u32::MAX,
        };
        assert_eq!(TokenCall::from_json(call.to_json().as_bytes()), Ok(call));
        let made = TokenMade {
            token: "hunter2".into(),
            ends_unix_s: 1,
        };
        assert_eq!(TokenMade::from_json(made.to_json().as_bytes()), Ok(made));
        for parent in [None, Some("0a")] {
            let one = listed(parent);
            assert_eq!(Listed::from_json(one.to_json().as_bytes()), Ok(one.clone()));
            let page = ListPage {
                listed: vec![one.clone(), listed(None)],
                next: parent.map(str::to_owned),
            };
            assert_eq!(ListPage::from_json(page.to_json().as_bytes()), Ok(page));
            let status = status(parent.map(|_| one));
            assert_eq!(Status::from_json(status.to_json().as_bytes()), Ok(status));
        }
        let refusal = Refusal {
            error: "token_ttl".into(),
            message: "no token made: …".into(),
        };
        assert_eq!(
            Refusal::from_json(refusal.to_json().as_bytes()),
            Ok(refusal)
        );
    }

    #[test]
    fn a_query_says_which_part_of_the_list_is_wanted() {
        for (id, after, target) in [
            (None, None, "/list"),
            (Some("spiffe://a/b"), None, "/list?id=spiffe://a/b"),
            (None, Some("17.4"), "/list?after=17.4"),
            (
                Some("spiffe://a/b"),
                Some("1.2"),
                "/list?id=spiffe://a/b&after=1.2",
            ),
        ] {
            let call = ListCall {
                id: id.map(str::to_owned),
                after: after.map(str::to_owned),
            };
            assert_eq!(call.to_target(), target);
            let query = target.split_once('?').map(|(_, query)| query);
            assert_eq!(ListCall::from_query(query), Ok(call), "{target}");
        }
        for (query, why) in [
            ("id=a&id=b", Malformed::Field("id")),
            ("after=1&after=1", Malformed::Field("after")),
            ("limit=3", Malformed::Unknown("limit".into())),
            ("id", Malformed::Unknown("id".into())),
        ] {
            assert_eq!(ListCall::from_query(Some(query)), Err(why), "{query}");
        }
    }

    #[test]
    fn what_is_not_understood_names_the_field() {
        let check = |body: &str, why: Malformed| {
            assert_eq!(TokenCall::from_json(body.as_bytes()), Err(why), "{body}");
        };
        for body in ["", "[]", "null", "{", "{\"id\":\"x\"}}", "\u{0}"] {
            check(body, Malformed::NotAnObject);
        }
        check("{}", Malformed::Field("id"));
        check("{\"id\":7}", Malformed::Field("id"));
        check("{\"id\":\"x\",\"ttl_s\":-1}", Malformed::Field("ttl_s"));
        check("{\"id\":\"x\",\"ttl_s\":1.5}", Malformed::Field("ttl_s"));
        check(
            "{\"id\":\"x\",\"ttl_s\":1,\"uses\":4294967296}",
            Malformed::Field("uses"),
        );
        check("{\"id\":\"x\",\"who\":1}", Malformed::Unknown("who".into()));
    }

    #[test]
    fn an_answer_of_a_newer_ca_is_understood() {
        let newer = br#"{"token":"t","ends_unix_s":5,"colour":"blue"}"#;
        let made = TokenMade {
            token: "t".into(),
            ends_unix_s: 5,
        };
        assert_eq!(TokenMade::from_json(newer), Ok(made.clone()));
        assert_eq!(
            format!("{made:?}"),
            "TokenMade { token: …, ends_unix_s: 5 }"
        );
    }

    #[test]
    fn what_is_past_half_of_its_life_without_a_successor_is_overdue() {
        for (end, now, overdue) in [
            (end(100, 200, false), 149, false),
            (end(100, 200, false), 150, true),
            (end(100, 200, false), 500, true),
            (end(100, 200, true), 500, false),
            (end(200, 100, false), 199, false),
            (end(u64::MAX, u64::MAX, false), u64::MAX, true),
        ] {
            assert_eq!(end.is_overdue(now), overdue, "{end:?} {now}");
        }
    }
}
