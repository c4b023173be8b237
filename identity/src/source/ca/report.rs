//! What the client of the CA says of itself: the worst of several things that can be wrong at once.
//!
//! In: how each of them went last. Out: one [`State`] through [`Standing`]. Who reads that tells people; here is logged what it
//! hides because something else is worse.

use crate::renew::Skew;
use crate::source::standing::{Standing, State, Why};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What can be wrong, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// There is no identity, or its last renewal failed.
    Identity,
    /// What somebody says of the roots is not believed.
    Roots,
    /// The state directory does not keep what is new.
    Disk,
    /// The CA refuses the stream.
    Stream,
    /// Bundles of other trust domains cannot be taken.
    Federated,
}

impl About {
    fn as_str(self) -> &'static str {
        match self {
            About::Identity => "identity",
            About::Roots => "roots",
            About::Disk => "state directory",
            About::Stream => "stream",
            About::Federated => "federated bundles",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Report {
    standing: Standing,
    parts: Mutex<Parts>,
}

#[derive(Debug, Default)]
struct Parts {
    wrong: BTreeMap<About, Why>,
    reachable: Option<bool>,
    skew: Option<Skew>,
}

impl Report {
    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Something is wrong.
    pub(super) fn wrong(&self, about: About, reason: &'static str, text: String) {
        let mut parts = self.parts();
        let why = Why { reason, text };
        let hidden = parts
            .wrong
            .keys()
            .next()
            .is_some_and(|worst| *worst < about);
        if hidden
            && parts
                .wrong
                .get(&about)
                .is_none_or(|told| told.reason != reason)
        {
            tracing::warn!(about = about.as_str(), reason, "{}", why.text);
        }
        parts.wrong.insert(about, why);
        self.tell(&parts);
    }

    /// It is right, or right again.
    pub(super) fn right(&self, about: About) {
        let mut parts = self.parts();
        if let Some(why) = parts.wrong.remove(&about) {
            tracing::debug!(about = about.as_str(), reason = why.reason, "mended");
            self.tell(&parts);
        }
    }

    /// Whether the CA was there.
    pub(super) fn reached(&self, reachable: bool) {
        let mut parts = self.parts();
        parts.reachable = Some(reachable);
        self.tell(&parts);
    }

    /// How far our clock is from the CA's.
    pub(super) fn skew(&self, skew: Skew) {
        let mut parts = self.parts();
        let was_harmful = parts.skew.is_some_and(|skew| skew.is_harmful());
        if skew.is_harmful() && !was_harmful {
            tracing::warn!(ahead_ms = skew.ahead_ms(), "{skew}");
        }
        parts.skew = Some(skew);
        self.tell(&parts);
    }

    fn tell(&self, parts: &Parts) {
        let harmful = parts.skew.filter(Skew::is_harmful);
        let why = parts.wrong.values().next().map(|why| Why {
            reason: why.reason,
            text: match harmful {
                // What fails because of a clock says so, whatever else it says.
                Some(skew) => format!("{}; {skew}", why.text),
                None => why.text.clone(),
            },
        });
        self.standing.tell(State {
            why,
            reachable: parts.reachable,
            skew: parts.skew,
        });
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(report: &Report) -> Option<(&'static str, String)> {
        let state = report.standing().load();
        state.why.as_ref().map(|why| (why.reason, why.text.clone()))
    }

    #[test]
    fn the_worst_is_told_and_what_is_mended_uncovers_the_next() {
        let report = Report::default();
        report.wrong(About::Disk, "state_disk", "full".to_owned());
        report.wrong(About::Identity, "ca_unreachable", "away".to_owned());

        assert_eq!(told(&report), Some(("ca_unreachable", "away".to_owned())));
        report.right(About::Identity);
        assert_eq!(told(&report), Some(("state_disk", "full".to_owned())));
        report.right(About::Disk);
        assert_eq!(told(&report), None);
    }

    #[test]
    fn a_clock_that_harms_is_named_beside_what_fails() {
        let report = Report::default();
        report.wrong(About::Identity, "expired", "refused".to_owned());
        report.skew(Skew::measured(0, 0, 1000));
        assert_eq!(told(&report), Some(("expired", "refused".to_owned())));

        report.skew(Skew::measured(181_000, 181_000, 1000));
        let text = "refused; this machine's clock is 180 s ahead of the CA's; set it right (NTP)";
        assert_eq!(told(&report), Some(("expired", text.to_owned())));
    }
}
