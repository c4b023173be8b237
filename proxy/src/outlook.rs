//! How our own identity stands, in plain words: what health, log, metrics and pages say of it.
//!
//! In: the end of the leaf in force, if there is one, what its source says of itself, and the time. Out: an [`Outlook`].
//! Pure: no clock, no I/O.
//!
//! 1. Without an identity, or with one that has ended, a sidecar is not up, and the reason is what its source says.
//! 2. One that cannot be renewed is good until it ends: that is told, and takes nobody down.

use config::sidecar::{Source, State as Kept};
use identity::source::{State, Why};
use std::path::PathBuf;
use std::time::SystemTime;

/// How our own identity stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// In one word.
    pub(crate) condition: Condition,
    /// Why, if its source has something to say.
    pub(crate) why: Option<Why>,
}

/// How an identity stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// There is none yet.
    Waiting,
    /// It is good, and so was the last attempt to renew it.
    Good,
    /// It is good, and the last attempt to renew it failed.
    Failing,
    /// It has ended, and there is no newer one.
    Ended(SystemTime),
}

impl Condition {
    /// As pages show it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Good => "good",
            Self::Failing => "failing",
            Self::Ended(_) => "ended",
        }
    }
}

impl Outlook {
    /// `leaf` is the end of the leaf in force.
    pub(crate) fn of(leaf: Option<SystemTime>, state: &State, now: SystemTime) -> Self {
        let condition = match leaf {
            None => Condition::Waiting,
            Some(end) if end <= now => Condition::Ended(end),
            Some(_) if state.why.is_some() => Condition::Failing,
            Some(_) => Condition::Good,
        };
        Self {
            condition,
            why: state.why.clone(),
        }
    }

    /// Why the sidecar is not up, as far as its identity goes; `None`: it is.
    pub(crate) fn down(&self) -> Option<String> {
        let why = self.why.as_ref().map(|why| why.text.as_str());
        match self.condition {
            Condition::Good | Condition::Failing => None,
            Condition::Waiting => Some(
                why.unwrap_or("there is none yet; it was just asked for")
                    .to_owned(),
            ),
            Condition::Ended(end) => Some(format!(
                "the certificate ended at {}, and no newer one came: {}",
                identity::rfc3339(end),
                why.unwrap_or("its source has given no reason")
            )),
        }
    }

    /// Whether condition or reason changed. That whoever still waits has no reason to any more is none: what it waits for is
    /// about to be in force.
    fn is_news(&self, before: Option<&Outlook>) -> bool {
        let Some(before) = before else {
            return true;
        };
        let reason = |outlook: &Outlook| outlook.why.as_ref().map(|why| why.reason);
        match (before.condition, self.condition) {
            (Condition::Waiting, Condition::Waiting) if self.why.is_none() => false,
            (then, now) => then != now || reason(before) != reason(self),
        }
    }

    /// Writes to the log what is news since `before`: once per change of condition or reason, whatever the words.
    pub(crate) fn log(&self, before: Option<&Outlook>) {
        if !self.is_news(before) {
            return;
        }
        let reason = self.why.as_ref().map_or("", |why| why.reason);
        let text = self.why.as_ref().map_or("", |why| why.text.as_str());
        match self.condition {
            Condition::Waiting if reason.is_empty() => {
                tracing::info!("waiting for an identity; traffic is refused until there is one");
            }
            Condition::Waiting => tracing::warn!(reason, "still without an identity: {text}"),
            Condition::Failing => tracing::warn!(reason, "the identity was not renewed: {text}"),
            Condition::Ended(end) => tracing::error!(
                reason,
                "the own certificate ended at {}, and nothing new is served or called until there is another: {text}",
                identity::rfc3339(end)
            ),
            Condition::Good => {
                if before.is_some_and(|before| before.condition != Condition::Good) {
                    tracing::info!("the identity is good");
                }
            }
        }
    }
}

/// The source's name in the configuration.
pub(crate) fn source_name(source: &Source) -> &'static str {
    match source {
        Source::Files(_) => "files",
        Source::Ca { .. } => "ca",
        Source::WorkloadApi(_) => "workloadApi",
    }
}

/// The state directory that both would hold, which has one owner at a time.
pub(crate) fn shared_state(one: &Source, two: &Source) -> Option<PathBuf> {
    let folder = |source: &Source| match source {
        Source::Ca {
            state: Kept::Folder(path),
            ..
        } => Some(path.clone()),
        _ => None,
    };
    folder(one).filter(|one| folder(two).as_ref() == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn check(leaf_s: Option<u64>, why: bool, condition: &str, down: Option<&str>) {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let why = why.then(|| Why {
            reason: "away",
            text: "the CA is away".into(),
        });
        let state = State {
            why,
            ..State::default()
        };
        let outlook = Outlook::of(leaf_s.map(at), &state, at(1000));
        assert_eq!(outlook.condition.as_str(), condition);
        assert_eq!(outlook.down().as_deref(), down, "{leaf_s:?}");
    }

    fn outlook(leaf_s: Option<u64>, reason: Option<&'static str>) -> Outlook {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let why = reason.map(|reason| Why {
            reason,
            text: String::new(),
        });
        let state = State {
            why,
            ..State::default()
        };
        Outlook::of(leaf_s.map(at), &state, at(1000))
    }

    #[test]
    fn a_reason_is_told_once_and_its_end_is_told_by_the_identity_that_comes() {
        let (away, denied) = (Some("away"), Some("denied"));
        for (before, now, expected) in [
            ((None, None), (None, None), false),
            ((None, None), (None, away), true),
            ((None, away), (None, away), false),
            ((None, away), (None, denied), true),
            ((None, away), (None, None), false),
            ((None, None), (Some(2000), None), true),
            ((Some(2000), None), (Some(2000), away), true),
            ((Some(2000), away), (Some(3000), away), false),
            ((Some(2000), away), (Some(2000), None), true),
            ((Some(2000), away), (Some(999), away), true),
        ] {
            let (then, told) = (outlook(before.0, before.1), outlook(now.0, now.1));
            assert_eq!(told.is_news(Some(&then)), expected, "{before:?} {now:?}");
            assert!(told.is_news(None));
        }
    }

    #[test]
    fn an_identity_is_down_when_there_is_none_or_it_has_ended() {
        check(
            None,
            false,
            "waiting",
            Some("there is none yet; it was just asked for"),
        );
        check(None, true, "waiting", Some("the CA is away"));
        check(Some(1001), false, "good", None);
        check(Some(1001), true, "failing", None);
        check(
            Some(1000),
            true,
            "ended",
            Some(
                "the certificate ended at 1970-01-01T00:16:40Z, and no newer one came: the CA is away",
            ),
        );
    }
}
