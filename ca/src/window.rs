//! When the CA wants certificates renewed, where their holders' own rule would leave it too late.
//!
//! In: a leaf that somebody serves with, whose issuers were replaced and what an operator asked for, the clock. Out: from when
//! to when it should be renewed, or nothing: then the holder decides by its own rule. Pure.
//!
//! Two things make a certificate worth renewing before half of its life: an operator asks for it, or another issuer took the
//! place of its own. (That an issuer comes near its end is none: no leaf outlives its issuer, so each is renewed in time.)
//!
//! 1. The window is as long as it takes to renew for all who watch at [`RENEWALS_PER_S`], so that nobody comes in a herd.
//! 2. Whose own rule is due before the window closes is told nothing.
//! 3. Who comes late finds a short window, not none: it is still meant.
//!
//! What was asked for is not kept: a CA that starts anew has forgotten it, an issuer that was replaced is seen in the leaf.

use crate::template::{BACKDATED_S, Serial, Validity};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many renewals a second a window leaves room for: a tenth of what one processor signs.
const RENEWALS_PER_S: usize = 200;
/// The shortest window.
const SPREAD_MIN: Duration = Duration::from_secs(2);
/// The longest.
const SPREAD_MAX: Duration = Duration::from_secs(10 * 60);
/// The window of who comes after it has closed.
const LATE: Duration = Duration::from_secs(10);

/// What a client serves with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) serial: Serial,
    /// The key identifier of its issuer.
    pub(crate) issuer: [u8; 20],
    pub(crate) validity: Validity,
}

/// From when to when, counted from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) after: Duration,
    pub(crate) before: Duration,
}

/// Whose certificates are to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Renewals {
    issuer: [u8; 20],
    others_until: SystemTime,
    asked: Option<Asked>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    issued_before: SystemTime,
    until: SystemTime,
}

impl Renewals {
    /// Nothing asked; leaves of other issuers than this one are to be renewed while `clients` come back.
    pub(crate) fn begin(issuer: [u8; 20], clients: usize, now: SystemTime) -> Self {
        Renewals {
            issuer,
            others_until: now + spread(clients),
            asked: None,
        }
    }

    /// Another issuer signs from now on.
    pub(crate) fn replaced(&mut self, issuer: [u8; 20], clients: usize, now: SystemTime) {
        self.issuer = issuer;
        self.others_until = now + spread(clients);
    }

    /// An operator wants all renewed that were issued before now. Says by when they will be.
    pub(crate) fn ask(&mut self, clients: usize, now: SystemTime) -> SystemTime {
        let until = now + spread(clients);
        self.asked = Some(Asked {
            issued_before: now,
            until,
        });
        until
    }

    /// The window of one certificate.
    pub(crate) fn window(&self, held: &Held, now: SystemTime) -> Option<Window> {
        let issued_s = held.validity.not_before_s.saturating_add(BACKDATED_S);
        let issued = UNIX_EPOCH + Duration::from_secs(issued_s);
        let asked = self.asked.filter(|asked| issued < asked.issued_before);
        let replaced = (held.issuer != self.issuer).then_some(self.others_until);
        let closes = [asked.map(|asked| asked.until), replaced]
            .into_iter()
            .flatten()
            .min()?;
        let before = closes.duration_since(now).unwrap_or_default();
        let before = if before.is_zero() { LATE } else { before };
        let own_rule_s = issued_s + held.validity.not_after_s.saturating_sub(issued_s) / 2;
        if UNIX_EPOCH + Duration::from_secs(own_rule_s) <= now + before {
            return None;
        }
        Some(Window {
            after: Duration::ZERO,
            before,
        })
    }
}

fn spread(clients: usize) -> Duration {
    let seconds = clients.div_ceil(RENEWALS_PER_S) as u64;
    Duration::from_secs(seconds).clamp(SPREAD_MIN, SPREAD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const START: u64 = 1_790_000_000;

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(START + second)
    }

    /// A leaf of an hour, issued in this second after the start.
    fn held(issuer: u8, issued: u64) -> Held {
        Held {
            serial: Serial::from_random([1; 20]),
            issuer: [issuer; 20],
            validity: Validity {
                not_before_s: START + issued - BACKDATED_S,
                not_after_s: START + issued + HOUR,
            },
        }
    }

    fn check(renewals: &Renewals, held: &Held, now: u64, seconds: Option<u64>) {
        let window = renewals.window(held, at(now));
        let wanted = seconds.map(|before| Window {
            after: Duration::ZERO,
            before: Duration::from_secs(before),
        });
        assert_eq!(window, wanted, "{now}");
    }

    #[test]
    fn nobody_is_told_when_nothing_happened() {
        let renewals = Renewals::begin([1; 20], 20_000, at(0));

        check(&renewals, &held(1, 100), 101, None);
    }

    #[test]
    fn what_another_issuer_signed_is_renewed_over_a_window_as_long_as_it_takes_for_all() {
        let mut renewals = Renewals::begin([1; 20], 0, at(0));
        renewals.replaced([2; 20], 20_000, at(200));

        check(&renewals, &held(1, 100), 200, Some(100));
        check(&renewals, &held(1, 100), 260, Some(40));
        check(&renewals, &held(2, 200), 260, None);
    }

    #[test]
    fn whose_own_rule_is_due_before_that_is_told_nothing() {
        let mut renewals = Renewals::begin([1; 20], 0, at(0));
        renewals.replaced([2; 20], 20_000, at(1800));

        check(&renewals, &held(1, 101), 1800, Some(100));
        check(&renewals, &held(1, 100), 1800, None);
        check(&renewals, &held(1, 60), 1800, None);
    }

    #[test]
    fn an_operator_asks_those_who_are_there_and_those_who_come_late_but_not_the_renewed() {
        let mut renewals = Renewals::begin([1; 20], 0, at(0));

        let until = renewals.ask(1000, at(200));

        assert_eq!(until, at(205));
        check(&renewals, &held(1, 100), 200, Some(5));
        check(&renewals, &held(1, 199), 900, Some(10));
        check(&renewals, &held(1, 201), 900, None);
    }

    #[test]
    fn a_window_has_a_shortest_and_a_longest() {
        for (clients, seconds) in [(0, 2), (1, 2), (401, 3), (20_000, 100), (1_000_000, 600)] {
            assert_eq!(spread(clients), Duration::from_secs(seconds), "{clients}");
        }
    }
}
