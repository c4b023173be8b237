//! The policy document.

use crate::describe::{Element, Word};
use crate::form::{As, Choice, List, Map, MaybeEmpty, Method, Name, Noun, OneOf, Text, object};
use crate::key::Key;
use crate::notes::{Read, text_of};
use crate::read::{Value, document};
use crate::sidecar::Sidecar;
use crate::{Findings, HostPattern, IdPattern, NameError, PathPattern};
use serde_json::Value as Json;
use std::collections::HashMap;
use std::path::Path;

/// A valid policy document, rules in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Policy {
    /// The rules.
    pub rules: Vec<Rule>,
}

/// One named rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Unique in the document.
    pub name: String,
    /// Where its `- name:` stands, from 1.
    pub line: usize,
    /// Whom it concerns; never empty.
    pub from: Vec<IdPattern>,
    /// What they may.
    pub allow: Vec<Clause>,
    /// What they may not, whatever allows it.
    pub deny: Vec<Clause>,
}

/// One clause: every named field must match; an absent field matches anything.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Clause {
    /// Where it stands in the file, from 1.
    pub line: usize,
    /// Names of inbound listeners.
    pub listeners: Option<Vec<String>>,
    /// Hosts of the request.
    pub hosts: Option<Vec<HostPattern>>,
    /// Methods, as on the wire (case matters, RFC 9110 §9.1).
    pub methods: Option<Vec<String>>,
    /// Canonical paths.
    pub paths: Option<Vec<PathPattern>>,
}

impl Policy {
    /// Reads the text of a document; `file` is what findings name.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Findings> {
        document(text, file, <Self as Noun>::read)
    }

    /// Reads a file. A file that cannot be read is a finding too.
    pub fn load(file: &Path) -> Result<Self, Findings> {
        let text = text_of(file).map_err(|finding| Findings(vec![finding]))?;
        Self::parse(&text, file)
    }

    /// [`Policy::parse`] for one sidecar: a clause that names a listener which it has not is a finding too, since such a
    /// clause would never match.
    pub fn parse_for(sidecar: &Sidecar, text: &str, file: &Path) -> Result<Self, Findings> {
        document(text, file, |value| {
            check_listeners(value, sidecar);
            <Self as Noun>::read(value)
        })
    }

    /// [`Policy::load`] for one sidecar, as [`Policy::parse_for`].
    pub fn load_for(sidecar: &Sidecar, file: &Path) -> Result<Self, Findings> {
        let text = text_of(file).map_err(|finding| Findings(vec![finding]))?;
        Self::parse_for(sidecar, &text, file)
    }
}

fn check_listeners(root: &Value<'_>, sidecar: &Sidecar) {
    let names: Vec<&str> = sidecar
        .inbound
        .iter()
        .map(|inbound| inbound.name.as_str())
        .collect();
    let rules = root.each("rules");
    let clauses = rules
        .iter()
        .flat_map(|rule| ["allow", "deny"].into_iter().flat_map(|key| rule.each(key)));
    for listener in clauses.flat_map(|clause| clause.each("listeners")) {
        let Some(name) = listener.quietly::<As<Name>>() else {
            continue;
        };
        if !names.contains(&name.as_str()) {
            let help = match crate::describe::nearest(&name, names.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if names.is_empty() => "the sidecar has no inbound listener".into(),
                None => format!("the sidecar has {}", names.join(", ")),
            };
            listener.note(format!("there is no inbound listener `{name}`"), help);
        }
    }
}

const DEFAULT: Key<Choice<Verdict>> =
    Key::new("default", "What holds for a request that no rule allows.")
        .default("deny", "what nobody thought of must not be open")
        .typical();
const RULES: Key<MaybeEmpty<Map<Rule>>> = Key::new(
    "rules",
    "Who may do what. Without rules nobody may do anything.",
)
.example("[]");

struct Verdict;
impl OneOf for Verdict {
    type Value = ();
    const WORDS: &'static [Word] = &[Word {
        text: "deny",
        doc: "it is refused; to allow everything to somebody, write a rule with `allow: [{}]`",
        built: true,
    }];
    fn means(word: &str) -> Option<()> {
        (word == "deny").then_some(())
    }
    fn word((): &()) -> &'static str {
        "deny"
    }
}

impl Noun for Policy {
    const ELEMENT: &'static Element = &Element {
        name: "policy",
        any_of: &[],
        doc: "Who may call the app behind a sidecar, and what for. Deny beats allow in any order.",
        keys: &[DEFAULT.about, RULES.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let default = match value.get("default") {
            Some(default) if default.is_text("allow") => fields.refuse(
                &DEFAULT,
                &default,
                "`allow` is no default here",
                "write `deny`, and a rule with `allow: [{}]` for whom you trust",
            ),
            _ => fields.take(&DEFAULT),
        };
        let rules = fields.take(&RULES);
        names_differ(value);
        let () = default?;
        Ok(Self { rules: rules? })
    }

    fn show(&self) -> Json {
        object([DEFAULT.show(&()), RULES.show(&self.rules)])
    }
}

fn names_differ(root: &Value<'_>) {
    let mut first: HashMap<String, usize> = HashMap::new();
    for rule in root.each("rules") {
        let (Some(name), Some(value)) = (rule.peek(&NAME), rule.get("name")) else {
            continue;
        };
        match first.get(&name) {
            Some(line) => {
                value.note(
                    format!("`{name}` is also the name of the rule at line {line}"),
                    "each name stands once",
                );
            }
            None => {
                first.insert(name, value.node.place.line);
            }
        }
    }
}

const NAME: Key<As<RuleName>> = Key::new(
    "name",
    "Unique; metrics, logs and explanations call the rule so.",
)
.example("storefront reads orders");
const FROM: Key<List<As<IdPattern>>> = Key::new(
    "from",
    "Whom it concerns: identities, exact or with `{segment}` for one segment or a trailing `/**` for what stands there and \
     below.",
)
.example("[\"spiffe://shop.example/storefront\"]");
const ALLOW: Key<List<Map<Clause>>> = Key::new(
    "allow",
    "What they may: requests that match any of these clauses.",
)
.optional()
.typical();
const DENY: Key<List<Map<Clause>>> = Key::new(
    "deny",
    "What they may not, whatever allows it. `deny: [{}]` is everything.",
)
.optional();

/// A sentence of one line.
struct RuleName;
impl Text for RuleName {
    type Value = String;
    const WANTED: &'static str = "a name of 1 to 200 characters on one line";
    const PATTERN: &'static str = "^[^\\u0000-\\u001f\\u007f]{1,200}$";
    fn parse(text: &str) -> Result<String, NameError> {
        let why = if text.trim().is_empty() {
            "is empty".into()
        } else if text.chars().count() > 200 {
            format!("has {} characters", text.chars().count())
        } else if let Some(c) = text.chars().find(|c| c.is_control()) {
            format!("`{}` is not allowed in a name", c.escape_default())
        } else {
            return Ok(text.into());
        };
        Err(NameError { why })
    }
    fn text(name: &String) -> String {
        name.clone()
    }
}

impl Text for IdPattern {
    type Value = IdPattern;
    const WANTED: &'static str =
        "an identity such as `spiffe://shop.example/orders` or `spiffe://shop.example/staging/**`";
    const PATTERN: &'static str = "^spiffe://[a-z0-9._-]+/.+$";
    fn parse(text: &str) -> Result<Self, NameError> {
        IdPattern::parse(text)
    }
    fn text(pattern: &Self) -> String {
        pattern.as_str().into()
    }
}

impl Noun for Rule {
    const ELEMENT: &'static Element = &Element {
        name: "rule",
        any_of: &["allow", "deny"],
        doc: "What some callers may, or may not. At least one of `allow` and `deny`.",
        keys: &[NAME.about, FROM.about, ALLOW.about, DENY.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (name, from) = (fields.take(&NAME), fields.take(&FROM));
        let (allow, deny) = (fields.maybe(&ALLOW), fields.maybe(&DENY));
        fields.any()?;
        let line = value.node.place.line;
        Ok(Self {
            name: name?,
            line,
            from: from?,
            allow: allow?.unwrap_or_default(),
            deny: deny?.unwrap_or_default(),
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![NAME.show(&self.name), FROM.show(&self.from)];
        if !self.allow.is_empty() {
            pairs.push(ALLOW.show(&self.allow));
        }
        if !self.deny.is_empty() {
            pairs.push(DENY.show(&self.deny));
        }
        object(pairs)
    }
}

const LISTENERS: Key<List<As<Name>>> = Key::new("listeners", "Names of inbound listeners.")
    .optional()
    .example("[web]");
const HOSTS: Key<List<As<HostPattern>>> = Key::new(
    "hosts",
    "Hosts of the request; with a port only that one, without any.",
)
.optional()
.example("[orders, \"orders:8080\"]");
const METHODS: Key<List<As<Method>>> = Key::new("methods", "Methods as on the wire: case matters.")
    .optional()
    .typical()
    .example("[GET, HEAD]");
const PATHS: Key<List<As<PathPattern>>> = Key::new(
    "paths",
    "Paths, exact or with `{segment}` for one segment or a trailing `/**` for what stands there and below. `/x` and `/x/` \
     differ, case matters, the query is not looked at.",
)
.optional().typical()
.example("[\"/orders\", \"/orders/{id}\", \"/static/**\"]");

impl Text for PathPattern {
    type Value = PathPattern;
    const WANTED: &'static str = "a path such as `/orders/{id}` or `/static/**`";
    const PATTERN: &'static str = "^/";
    fn parse(text: &str) -> Result<Self, NameError> {
        PathPattern::parse(text)
    }
    fn text(pattern: &Self) -> String {
        pattern.as_str().into()
    }
}

impl Noun for Clause {
    const ELEMENT: &'static Element = &Element {
        name: "clause",
        any_of: &[],
        doc: "Requests: every key that is there must match, one that is absent matches anything, `{}` is any request. On tcp an \
              allow clause with `hosts`, `methods` or `paths` never matches, and a deny clause ignores them.",
        keys: &[LISTENERS.about, HOSTS.about, METHODS.about, PATHS.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (listeners, hosts) = (fields.maybe(&LISTENERS), fields.maybe(&HOSTS));
        let (methods, paths) = (fields.maybe(&METHODS), fields.maybe(&PATHS));
        let line = value.node.place.line;
        Ok(Self {
            line,
            listeners: listeners?,
            hosts: hosts?,
            methods: methods?,
            paths: paths?,
        })
    }

    fn show(&self) -> Json {
        let listeners = self.listeners.as_ref().map(|names| LISTENERS.show(names));
        let hosts = self.hosts.as_ref().map(|hosts| HOSTS.show(hosts));
        let methods = self.methods.as_ref().map(|methods| METHODS.show(methods));
        let paths = self.paths.as_ref().map(|paths| PATHS.show(paths));
        object([listeners, hosts, methods, paths].into_iter().flatten())
    }
}
