//! What is on disk, compared with what is in force and with what waits.
//!
//! In: the path of the configuration, what is in force. Out: a [`Look`]. Blocks for as long as the files take.

use crate::outlook::shared_state;
use crate::start_error::StartError;
use crate::wanted::{Texts, Wanted, texts};
use config::sidecar::{self, Identity, State};
use identity::source::Source;
use std::path::{Path, PathBuf};

/// What is on disk.
pub(crate) enum Look {
    /// What is in force, or cannot be read now.
    InForce,
    /// What was taken already and waits for its identity.
    Awaited,
    /// Something else: read whole and checked, with where its identity comes from.
    Differs(Box<Result<(Wanted, Origin), StartError>>),
}

/// Where the identity of a configuration comes from.
pub(crate) enum Origin {
    /// From where it comes now.
    Same,
    /// From another source, opened.
    Opened(Source),
    /// From another source that needs the state directory which the one in force holds. All else of it is fit.
    Held(PathBuf),
}

/// Looks. `awaited` is what waits; `released`: the source in force has let go of what it held.
pub(crate) fn look(path: &Path, in_force: &Wanted, awaited: Option<Texts>, released: bool) -> Look {
    let now = texts(path, &in_force.config);
    if now.as_ref() == Some(&in_force.texts) {
        return Look::InForce;
    }
    let read = || {
        let next = Wanted::load(path).map_err(StartError::Config)?;
        if awaited.is_some_and(|awaited| awaited == next.texts) {
            return Ok(None);
        }
        let held = &in_force.config.identity;
        let origin = origin(&next.config.identity, held, released)?;
        Ok(Some((next, origin)))
    };
    match read() {
        Ok(None) => Look::Awaited,
        Ok(Some(read)) => Look::Differs(Box::new(Ok(read))),
        Err(error) => Look::Differs(Box::new(Err(error))),
    }
}

fn origin(wanted: &Identity, held: &Identity, released: bool) -> Result<Origin, StartError> {
    if wanted == held {
        return Ok(Origin::Same);
    }
    let shared = shared_state(&wanted.source, &held.source).filter(|_| !released);
    let (folder, identity) = match shared {
        Some(folder) => (Some(folder), without_state(wanted)),
        None => (None, wanted.clone()),
    };
    let opened = Source::open(&identity).map_err(StartError::Identity)?;
    Ok(folder.map_or(Origin::Opened(opened), Origin::Held))
}

/// The same identity, to see whether it is fit without touching what somebody else holds.
fn without_state(identity: &Identity) -> Identity {
    let mut identity = identity.clone();
    if let sidecar::Source::Ca { state, .. } = &mut identity.source {
        *state = State::Memory;
    }
    identity
}
