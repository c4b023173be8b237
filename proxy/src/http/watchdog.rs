//! When a connection has waited, stalled or lived long enough.
//!
//! In: what its [`Activity`](crate::activity::Activity) says, its limits, when an identity on it ends. Out: a [`Verdict`] at every
//! look. Nothing is looked at between looks: a request costs nothing here.

use crate::activity::{Patience, Watch};
use crate::clock;
use crate::exchange::{CERTIFICATE_ENDED, Facts, STREAM_IDLE};
use config::sidecar::Limits;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// So long before an identity on it ends, a connection is asked to end. Callers stop using it a second earlier still, and nobody
/// who goes by a clock half as wrong meets a connection that its server is just closing.
const ENDING: Duration = Duration::from_secs(1);

/// A connection that was asked to end and on which nothing is in flight is left to its peer for so long: a round trip for the
/// last word, and a lost packet.
pub(crate) const LEAVE: Duration = Duration::from_secs(5);

/// What becomes of a connection.
pub(crate) enum Verdict {
    /// Looked at again after this.
    LookAgain(Duration),
    /// Asked to end, and looked at again after this.
    End(Duration),
    /// Ended here and now.
    Cut,
}

/// A connection as its watchdog sees it, from one look to the next.
pub(crate) struct Watched<'a> {
    limits: &'a Limits,
    ends: Option<Ends>,
    /// When it is old, if that is bounded.
    old_at: Option<Instant>,
    /// What had moved on it, and since when no more.
    moves: (u64, Instant),
}

impl<'a> Watched<'a> {
    /// Of a connection that begins, and on which an identity ends then.
    pub(crate) fn begin(limits: &'a Limits, ends: Option<SystemTime>) -> Self {
        let now = Instant::now();
        let ends = ends.map(|end| Ends::of(end, limits.after_expiry, SystemTime::now()));
        let age = limits.connection_age.map(|age| aged(age, random()));
        Self {
            limits,
            ends,
            old_at: age.map(|age| now + age),
            moves: (0, now),
        }
    }
    /// When it is looked at first.
    pub(crate) fn look_first(&self) -> Duration {
        let limits = self.limits;
        self.until(limits.head.min(limits.idle).min(limits.first_byte))
    }
    /// At most so long, and no longer than until something is due.
    pub(crate) fn until(&self, at_most: Duration) -> Duration {
        let old = self
            .old_at
            .map(|at| at.saturating_duration_since(Instant::now()))
            // Once it is old it has been asked to end.
            .filter(|left| !left.is_zero());
        until(self.ends, old.map_or(at_most, |left| left.min(at_most)))
    }
    fn is_stalled(&mut self, facts: &Facts) -> bool {
        let (moves, now) = (facts.activity.moves(), Instant::now());
        // Nothing moves there where each request is watched for itself.
        if moves != self.moves.0 || moves == 0 || facts.activity.quiet().is_some() {
            self.moves = (moves, now);
        }
        now - self.moves.1 >= self.limits.stream_idle
    }
    /// What becomes of it now.
    pub(crate) fn verdict(&mut self, facts: &Facts, ending: bool) -> Verdict {
        let (now, limits) = (SystemTime::now(), self.limits);
        let ended = self.ends.is_some_and(|ends| ends.ask <= now);
        let old = self.old_at.is_some_and(|at| at <= Instant::now());
        if self
            .ends
            .is_some_and(|ends| ends.cut.is_some_and(|cut| cut <= now))
        {
            facts.condemn(CERTIFICATE_ENDED);
            return Verdict::Cut;
        }
        if self.is_stalled(facts) {
            facts.condemn(STREAM_IDLE);
            facts.limited(STREAM_IDLE);
            return Verdict::Cut;
        }
        let patience = Patience {
            head: limits.head,
            idle: limits.idle,
            first_byte: limits.first_byte,
        };
        match facts.activity.watch(patience) {
            Watch::HeadTooSlow => {
                facts.metrics.refused_head("head_timeout");
                facts.tell_limited("head_timeout");
                Verdict::Cut
            }
            Watch::Silent => {
                facts.limited("silent");
                Verdict::Cut
            }
            // Asked to end once already, and the peer keeps the quiet connection open.
            Watch::Idle if ending => Verdict::Cut,
            Watch::Idle => {
                facts
                    .metrics
                    .limited(facts.direction, &facts.listener, "idle");
                Verdict::End(limits.head)
            }
            Watch::LookAgain(_) if ending && facts.activity.quiet() >= Some(LEAVE) => Verdict::Cut,
            Watch::LookAgain(after) if ending => Verdict::LookAgain(self.until(after.min(LEAVE))),
            Watch::LookAgain(_) if old && !ended => {
                facts.limited("connection_age");
                Verdict::End(limits.head)
            }
            Watch::LookAgain(_) if ended => Verdict::End(limits.head),
            Watch::LookAgain(after) => {
                Verdict::LookAgain(self.until(after.min(limits.stream_idle)))
            }
        }
    }
}

/// Between nine tenths of an age and all of it.
fn aged(age: Duration, random: u8) -> Duration {
    age - age / 10 * u32::from(random) / u32::from(u8::MAX)
}

fn random() -> u8 {
    let mut byte = [0];
    // Without randomness all get as old as they may.
    let _ = aws_lc_rs::rand::fill(&mut byte);
    byte[0]
}

/// At most so long; where identities end, no longer than until the next thing happens because of that, nor than the wall
/// clock may go unseen.
fn until(ends: Option<Ends>, at_most: Duration) -> Duration {
    let now = SystemTime::now();
    let moments = ends.into_iter().flat_map(|ends| [Some(ends.ask), ends.cut]);
    let next = moments
        .flatten()
        .filter_map(|moment| clock::wait(moment, now))
        .min();
    next.map_or(at_most, |next| next.min(at_most))
}

/// What an identity that ends does to its connection, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ends {
    /// It is asked to end after what is in flight.
    ask: SystemTime,
    /// What is still in flight is cut; `None`: never.
    cut: Option<SystemTime>,
}

impl Ends {
    /// Of an identity that ends then, on a connection that began at `began`: one that was made so late has its time.
    fn of(end: SystemTime, after_expiry: Duration, began: SystemTime) -> Self {
        let early = end.checked_sub(ENDING).filter(|early| *early > began);
        Self {
            ask: early.unwrap_or(end),
            cut: clock::cut_at(end, after_expiry),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_came_together_get_old_one_after_the_other() {
        let age = Duration::from_secs(1000);
        for (random, aged_s) in [(0, 1000), (51, 980), (255, 900)] {
            assert_eq!(aged(age, random), Duration::from_secs(aged_s), "{random}");
        }
    }

    #[test]
    fn a_connection_is_asked_to_end_a_second_early_unless_it_only_just_began() {
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        for (end_ms, began_ms, asked_ms) in [
            (10_000, 0, 9_000),
            (10_000, 8_999, 9_000),
            (10_000, 9_000, 10_000),
            (10_000, 9_999, 10_000),
        ] {
            let ends = Ends::of(at(end_ms), Duration::from_secs(5), at(began_ms));
            let wanted = Ends {
                ask: at(asked_ms),
                cut: Some(at(end_ms + 5_000)),
            };
            assert_eq!(ends, wanted, "{end_ms} {began_ms}");
        }
    }
}
