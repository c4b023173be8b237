//! What the files ask for: read, checked, and compared with what is in force.

use crate::secured::{self, RootTexts, Secured};
use crate::snapshot::Ingredients;
use config::Findings;
use config::sidecar::{LogTarget, Sidecar as Config};
use policy::Rules;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telemetry::{AccessLog, SidecarMetrics};

/// The texts of a configuration and its policy, as they were read: equal texts need no reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) config: String,
    pub(crate) policy: Option<String>,
    /// Of the roots that services outside the mesh are believed by.
    pub(crate) roots: RootTexts,
}

/// A configuration and its policy, both valid.
pub(crate) struct Wanted {
    pub(crate) config: Arc<Config>,
    pub(crate) rules: Arc<Rules>,
    /// How its services are secured, in their order.
    pub(crate) secured: Arc<[Secured]>,
    pub(crate) texts: Texts,
    /// The policy's text, for the admin page.
    pub(crate) policy_text: Arc<str>,
}

impl Wanted {
    /// Reads the configuration and what it names; every finding of configuration and policy at once.
    pub(crate) fn load(path: &Path) -> Result<Self, Findings> {
        let text = text_of(path)?;
        let config = Config::parse(&text, path)
            .map_err(|findings| with_those_of_policy(findings, &text, path))?;
        let config = Arc::new(config);
        let mut texts = Texts {
            config: text,
            policy: None,
            roots: RootTexts::new(),
        };
        // Without an inbound listener there may be no policy, and then nothing is allowed.
        let mut document = config::policy::Policy::default();
        if let Some(file) = &config.policy {
            let text = text_of(file)?;
            document = config::policy::Policy::parse_for(&config, &text, file)?;
            texts.policy = Some(text);
        }
        for file in secured::files(&config) {
            texts.roots.insert(file.to_owned(), text_of(file)?);
        }
        let secured = secured::all(&config, &texts.roots, path)?.into();
        Ok(Self {
            config,
            secured,
            rules: Arc::new(Rules::compile(&document)),
            policy_text: texts.policy.as_deref().unwrap_or_default().into(),
            texts,
        })
    }
    /// The SHA-256 of the policy's text; `None`: there is no policy.
    pub(crate) fn policy_sha256(&self) -> Option<[u8; 32]> {
        let text = self.texts.policy.as_ref()?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().try_into().ok()
    }
    pub(crate) fn ingredients(
        &self,
        identity: Arc<identity::Generation>,
        access_log: Option<AccessLog>,
    ) -> Ingredients {
        Ingredients {
            config: self.config.clone(),
            rules: self.rules.clone(),
            secured: self.secured.clone(),
            identity,
            access_log,
        }
    }
}

/// One run tells everything: the policy's findings do not wait until the configuration has none.
fn with_those_of_policy(mut findings: Findings, text: &str, path: &Path) -> Findings {
    if let Some(file) = Config::policy_file(text, path) {
        let read =
            text_of(&file).and_then(|text| config::policy::Policy::parse(&text, &file).map(drop));
        findings
            .0
            .extend(read.err().into_iter().flat_map(|more| more.0));
    }
    findings
}

fn text_of(path: &Path) -> Result<String, Findings> {
    config::text_of(path).map_err(|finding| Findings(vec![finding]))
}

/// The texts now on disk, of the files that `in_force` names; `None` while they cannot be read.
pub(crate) fn texts(path: &Path, in_force: &Config) -> Option<Texts> {
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    let root = |path: &Path| Some((path.to_owned(), read(path)?));
    Some(Texts {
        config: read(path)?,
        policy: match &in_force.policy {
            Some(policy) => Some(read(policy)?),
            None => None,
        },
        roots: secured::files(in_force).map(root).collect::<Option<_>>()?,
    })
}

/// Opens the access log; the error names the file.
pub(crate) fn open_log(
    target: Option<&LogTarget>,
    metrics: &SidecarMetrics,
) -> Result<Option<AccessLog>, (PathBuf, std::io::Error)> {
    let (target, path) = match target {
        None => return Ok(None),
        Some(LogTarget::Stdout) => (
            telemetry::LogTarget::Stdout,
            PathBuf::from("standard output"),
        ),
        Some(LogTarget::File(path)) => (telemetry::LogTarget::File(path.clone()), path.clone()),
    };
    let opened = AccessLog::open(target, metrics.dropped("access_log"));
    opened.map(Some).map_err(|error| (path, error))
}
