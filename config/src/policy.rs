//! The policy document.
use crate::{Findings, HostPattern, IdPattern, PathPattern};
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
    pub fn parse(_text: &str, _file: &Path) -> Result<Self, Findings> {
        todo!()
    }
    /// Reads a file. A file that cannot be read is a finding too.
    pub fn load(_file: &Path) -> Result<Self, Findings> {
        todo!()
    }
}
