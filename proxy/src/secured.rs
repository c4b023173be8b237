//! How each service of a configuration is secured, with what that takes from files.
//!
//! In: a valid configuration and the texts of the roots that it names. Out: one [`Secured`] for each service, in their order, or
//! every finding. What is not mutual is so because the configuration says it, and nothing is left out.

use config::sidecar::{Service, Sidecar as Config, Tls};
use config::{Finding, Findings, SpiffeId};
use identity::{Outside, OutsideError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Texts of files, by their paths.
pub(crate) type RootTexts = BTreeMap<PathBuf, String>;

/// How a service is secured.
#[derive(Clone)]
pub(crate) enum Secured {
    /// By mutual TLS with this peer.
    Mutual(SpiffeId),
    /// By ordinary TLS with a server outside the mesh.
    Outside(Arc<Outside>),
    /// Not at all.
    Clear,
}

/// The files of roots that a configuration names, each once.
pub(crate) fn files(config: &Config) -> impl Iterator<Item = &Path> {
    let services = config.services.iter();
    services.filter_map(|service| match &service.tls {
        Tls::Server { roots, .. } => Some(roots.as_path()),
        Tls::Mutual { .. } | Tls::None => None,
    })
}

/// All services of a configuration; `path` is what it was read from.
pub(crate) fn all(
    config: &Config,
    texts: &RootTexts,
    path: &Path,
) -> Result<Vec<Secured>, Findings> {
    let (mut all, mut findings) = (Vec::new(), Vec::new());
    for (at, service) in config.services.iter().enumerate() {
        match secured(service, texts) {
            Ok(secured) => all.push(secured),
            Err(error) => findings.push(finding(error, at, service, path)),
        }
    }
    match findings.is_empty() {
        true => Ok(all),
        false => Err(Findings(findings)),
    }
}

fn secured(service: &Service, texts: &RootTexts) -> Result<Secured, OutsideError> {
    match &service.tls {
        Tls::Mutual { identity } => Ok(Secured::Mutual(identity.clone())),
        Tls::None => Ok(Secured::Clear),
        Tls::Server { name, roots } => {
            let text = texts.get(roots).map_or("", String::as_str);
            let outside = Outside::new(name, text.as_bytes())?;
            Ok(Secured::Outside(Arc::new(outside)))
        }
    }
}

/// About the file of roots; about the configuration if that is what is wrong.
fn finding(error: OutsideError, at: usize, service: &Service, path: &Path) -> Finding {
    let (file, at, help) = match (&error, &service.tls) {
        (OutsideError::Name, _) | (_, Tls::Mutual { .. } | Tls::None) => {
            let help = "name it by `sni`";
            (path, format!("services[{at}].tls"), help.to_owned())
        }
        (_, Tls::Server { roots, .. }) => {
            let help = format!(
                "wanted certificates in PEM of who may vouch for the server of `{}`",
                service.name
            );
            (roots.as_path(), String::new(), help)
        }
    };
    Finding {
        file: Arc::new(file.to_owned()),
        line: 0,
        column: 0,
        at,
        what: error.to_string(),
        help,
    }
}
