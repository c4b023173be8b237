//! PEM files that somebody else renews, watched and taken as one generation.
//!
//! In: the paths of certificate, key, bundle and federated bundles. Out: generations through [`Current`], each made of files
//! that were all there at one moment, belong together and would be believed by a peer right now.
//!
//! 1. A set is taken whole or refused whole; what was refused changes nothing.
//! 2. Files that change while they are read are read again (Kubernetes swaps `..data`, others write one after the other).
//! 3. A refusal is reported once, when it has outlived one look: a writer between two files is no news.

mod error;
mod set;

pub use error::{FilesError, What};
pub(super) use set::bundle;

use super::standing::{Standing, State, Why};
use crate::{Current, Generation};
use config::TrustDomain;
use config::sidecar::{Federated, Files};
use rustls::pki_types::UnixTime;
use set::{Paths, Set, Stamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// Between two looks at the files: effective within 2 s, with room for one set that is still being written.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Contents are compared without a change of size or times at every so many looks (5 s): some file systems keep coarse times.
const CONTENTS_EVERY: u32 = 10;

/// A watched set of files.
#[derive(Debug)]
pub struct FilesSource {
    paths: Arc<Paths>,
    current: Current,
    standing: Standing,
    seen: Seen,
}

/// What the last look saw.
#[derive(Clone, Debug)]
struct Seen {
    stamps: Vec<Option<Stamp>>,
    /// Of the set in force.
    digest: [u8; 32],
    /// Of the generation in force.
    number: u64,
    refusal: Refusal,
}

/// How far a refusal has come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// The last set was taken.
    None,
    /// Seen once.
    Suspected(String),
    /// Told.
    Told(String),
}

/// What a look finds.
enum Look {
    /// Nothing that was not there before.
    Same(Seen),
    /// A new set, taken.
    Taken(Seen, Box<Generation>),
    /// A set that cannot be taken.
    Refused(Seen, FilesError),
}

impl FilesSource {
    /// Reads the files once, whole, and returns the first generation's holder. Blocks for as long as reading takes.
    pub fn open(
        trust_domain: &TrustDomain,
        files: &Files,
        federated: &[Federated],
    ) -> Result<Self, FilesError> {
        let paths = Paths {
            trust_domain: trust_domain.clone(),
            files: files.clone(),
            federated: federated.to_vec(),
        };
        let set = Set::read(&paths)?;
        let generation = set.generation(&paths, 1, UnixTime::now())?;
        let seen = Seen {
            stamps: set.stamps.clone(),
            digest: set.digest,
            number: 1,
            refusal: Refusal::None,
        };
        Ok(FilesSource {
            paths: Arc::new(paths),
            current: Current::new(generation),
            standing: Standing::default(),
            seen,
        })
    }

    /// The holder that listeners and dialers read.
    pub fn current(&self) -> Current {
        self.current.clone()
    }

    /// What it says of itself: why the last set was refused.
    pub fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Watches until dropped.
    pub async fn run(self) {
        self.watch(|_| {}).await;
    }

    /// Watches until dropped: polls twice a second, compares contents, takes a complete new set as one generation, says
    /// of itself what it refuses and keeps the old one. Reports each outcome to `report`.
    pub async fn watch(self, report: impl Fn(Result<u64, &FilesError>) + Send) {
        let FilesSource {
            paths,
            current,
            standing,
            mut seen,
        } = self;
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut looks = 0u32;
        loop {
            ticks.tick().await;
            looks = looks.wrapping_add(1);
            let contents = looks.is_multiple_of(CONTENTS_EVERY);
            let (files, before) = (Arc::clone(&paths), seen.clone());
            // A file system that hangs must not stop the thread that serves.
            let look = tokio::task::spawn_blocking(move || {
                look(&files, before, contents, UnixTime::now())
            });
            let Ok(look) = look.await else { continue };
            seen = match look {
                Look::Same(seen) => {
                    if seen.refusal == Refusal::None {
                        standing.tell(State::default());
                    }
                    seen
                }
                Look::Taken(seen, generation) => {
                    tracing::info!(generation = seen.number, id = %generation.svid().leaf().id, "identity files taken");
                    current.publish(*generation);
                    standing.tell(State::default());
                    report(Ok(seen.number));
                    seen
                }
                Look::Refused(seen, error) => {
                    let seen = tell(seen, &error, &report);
                    if let Refusal::Told(text) = &seen.refusal {
                        standing.tell(failed(error.reason(), text));
                    }
                    seen
                }
            };
        }
    }
}

/// Tells of a refusal at its second look, once.
fn tell(mut seen: Seen, error: &FilesError, report: &impl Fn(Result<u64, &FilesError>)) -> Seen {
    let text = error.to_string();
    seen.refusal = match seen.refusal {
        Refusal::Told(told) if told == text => Refusal::Told(told),
        Refusal::Suspected(suspected) if suspected == text => {
            report(Err(error));
            Refusal::Told(text)
        }
        _ => Refusal::Suspected(text),
    };
    seen
}

/// Of files nobody is asked, so only the reason speaks.
fn failed(reason: &'static str, text: &str) -> State {
    State {
        why: Some(Why {
            reason,
            text: format!("new identity files refused, the old ones stay: {text}"),
        }),
        ..State::default()
    }
}

/// One look: times first, contents where they may differ, judgement where contents are not those in force. What was refused
/// is judged again whenever contents are looked at, because a clock may have mended it.
fn look(paths: &Paths, before: Seen, contents: bool, now: UnixTime) -> Look {
    let settled = matches!(before.refusal, Refusal::None | Refusal::Told(_));
    let stamps = set::stamps(paths);
    if settled && !contents && stamps == before.stamps {
        return Look::Same(before);
    }
    let set = match Set::read(paths) {
        Ok(set) => set,
        Err(error) => return Look::Refused(Seen { stamps, ..before }, error),
    };
    let seen = Seen {
        stamps: set.stamps.clone(),
        ..before
    };
    if set.digest == seen.digest {
        return Look::Same(Seen {
            refusal: Refusal::None,
            ..seen
        });
    }
    match set.generation(paths, seen.number + 1, now) {
        Ok(generation) => {
            let (digest, number) = (set.digest, generation.number());
            Look::Taken(
                Seen {
                    digest,
                    number,
                    refusal: Refusal::None,
                    ..seen
                },
                Box::new(generation),
            )
        }
        Err(error) => Look::Refused(seen, error),
    }
}

#[cfg(test)]
mod tests;
