//! Members of a mesh: an identity in a folder, a configuration beside it, and the sidecar that runs from both.

use super::sidecar::Sidecar;
use mint::{Authority, Svid};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A trust domain: its root and its issuer.
pub struct Domain {
    pub root: Authority,
    pub issuer: Authority,
}

impl Domain {
    pub fn new(name: &str) -> Self {
        let root = Authority::root(name);
        let issuer = root.issuer();
        Domain { root, issuer }
    }

    /// The identity of a workload in it.
    pub fn id(&self, who: &str) -> String {
        format!("spiffe://{}/{who}", self.root.trust_domain)
    }

    /// A good certificate for a workload in it.
    pub fn svid(&self, who: &str) -> Svid {
        self.issuer.leaf(&self.id(who))
    }

    /// A member with a good certificate.
    pub fn member(&self, who: &str) -> Member {
        Member::new(&self.svid(who), &self.root.bundle_pem())
    }
}

/// A folder with everything that one sidecar reads.
pub struct Member {
    folder: TempDir,
}

/// Pages and the identity's files: what every member's configuration begins with. Six lines.
pub const COMMON: &str = "\
identity:
  trustDomain: shop.example
  files: { certificate: svid.pem, key: key.pem, bundle: bundle.pem }
admin: { listen: \"127.0.0.1:0\" }
metrics: { listen: \"127.0.0.1:0\" }
health: { listen: \"127.0.0.1:0\" }
";

impl Member {
    /// With this identity, believing these roots.
    pub fn new(svid: &Svid, bundle_pem: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder of a test");
        svid.write_files(folder.path(), bundle_pem);
        Member { folder }
    }

    /// With nothing in its folder: whoever it will be, it has to ask for.
    pub fn empty() -> Self {
        Member {
            folder: tempfile::tempdir().expect("a folder of a test"),
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a file in its place in one step, as a careful operator does.
    pub fn write(&self, name: &str, text: &str) {
        let (new, place) = (self.path(&format!(".{name}.new")), self.path(name));
        std::fs::write(&new, text).expect("a file of a test");
        std::fs::rename(new, place).expect("a file of a test");
    }

    /// Writes `sidecar.yaml`: [`COMMON`], then what this member has besides.
    pub fn configure(&self, besides: &str) {
        self.write("sidecar.yaml", &format!("{COMMON}{besides}"));
    }

    /// Writes `policy.yaml`.
    pub fn policy(&self, rules: &str) {
        self.write("policy.yaml", rules);
    }

    /// Runs it.
    pub fn start(&self) -> Sidecar {
        Sidecar::start(&self.path("sidecar.yaml"))
    }
}

/// A policy with one rule, by which these identities may do everything.
pub fn allow_all(from: &[&str]) -> String {
    format!("rules:\n  - {{ name: all, from: {from:?}, allow: [{{}}] }}\n")
}
