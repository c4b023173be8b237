//! How a CA stands: what ends when, who lags, whose key two seem to hold, and who would be first without an identity.
//!
//! In: what signs now, the record, those who watch, the time. Out: a [`Status`]. The judgement of what is overdue is whoever's
//! reads it; here it is only said what will take whose place.

use super::refused::Refused;
use super::shown;
use crate::authority::Root;
use crate::authority_server::AuthorityServer;
use crate::enforced::Watching;
use crate::in_force::InForce;
use crate::signer::{AuthorityCertificate, SignerUnfit};
use crate::store::Ledger;
use crate::template::Validity;
use crate::text;
use api::admin::{CONTESTED_MAX, End, LAGGING_MAX, Lagging, Status};
use identity::Bundle;
use std::time::{SystemTime, UNIX_EPOCH};

/// What renews itself does so at half of its life. Who sees it a twentieth of its life later sees that it does not.
const LATE: u64 = 20;

/// All of it, now.
pub(super) async fn status<L: Ledger>(
    server: &AuthorityServer<L>,
    now: SystemTime,
) -> Result<Status, Refused> {
    let ledger = server.ledger();
    let summary = ledger.summary().await?;
    let first_to_end = ledger.first_to_end(now).await?;
    let contested = ledger.contested(CONTESTED_MAX).await?;
    let in_force = server.in_force();
    let trusted = server.trusted().ok_or(Refused::Statement)?;
    let state = server.state();
    let newest = (state.statement.sequence, state.revocation_epoch);
    let (streams, lagging) = behind(server.watching(), newest);
    let now_s = seconds(now);
    Ok(Status {
        trust_domain: in_force.authority.trust_domain().to_string(),
        now_unix_s: now_s,
        issued: summary.entries,
        statement_sequence: newest.0,
        revocation_epoch: newest.1,
        ends: ends(&in_force, &trusted, now_s)?,
        streams,
        lagging: lagging.len() as u64,
        lagging_first: lagging.into_iter().take(LAGGING_MAX).collect(),
        contested: contested.iter().map(shown::contested).collect(),
        first_to_end: first_to_end.as_ref().map(shown::listed),
    })
}

/// How many watch, and those who do not say that they enforce the newest statement and the last revocation, by name.
fn behind(watching: Vec<Watching>, (sequence, epoch): (u64, u64)) -> (u64, Vec<Lagging>) {
    let streams = watching.len() as u64;
    let lags = |one: &Watching| {
        one.statement_sequence < sequence
            || one.revocation_epoch < epoch
            || !one.unsupported.is_empty()
    };
    let mut lagging: Vec<Lagging> = watching
        .into_iter()
        .filter(lags)
        .map(|one| Lagging {
            id: one.id.to_string(),
            instance: one.instance,
            statement_sequence: one.statement_sequence,
            revocation_epoch: one.revocation_epoch,
            unsupported: one.unsupported,
        })
        .collect();
    lagging.sort_by(|a, b| (&a.id, &a.instance).cmp(&(&b.id, &b.instance)));
    (streams, lagging)
}

/// The CA's own certificate, its issuer, the roots that are trusted.
fn ends(in_force: &InForce, trusted: &Bundle, now_s: u64) -> Result<Vec<End>, SignerUnfit> {
    let (authority, own) = (&in_force.authority, in_force.own.svid().leaf());
    let of_leaf = Validity {
        not_before_s: seconds(own.not_before),
        not_after_s: seconds(own.not_after),
    };
    let issuer = authority.issuer().certificate();
    let of_issuer = issuer.validity();
    let root_is_here = matches!(authority.root(), Root::Here(_));
    let mut ends = vec![
        end("leaf", &own.serial, of_leaf, is_in_time(of_leaf, now_s)),
        end(
            "issuer",
            &text::hex(&issuer.key().id()),
            of_issuer,
            root_is_here && is_in_time(of_issuer, now_s),
        ),
    ];
    let roots = roots(trusted)?;
    ends.extend(roots.iter().map(|root| {
        let (name, validity) = (text::hex(&root.key().id()), root.validity());
        let has_successor = roots
            .iter()
            .any(|other| succeeds(other.validity(), validity, now_s));
        end("root", &name, validity, has_successor)
    }));
    Ok(ends)
}

fn roots(trusted: &Bundle) -> Result<Vec<AuthorityCertificate>, SignerUnfit> {
    let roots = trusted.roots().iter();
    roots
        .map(|der| AuthorityCertificate::read(der.clone()))
        .collect()
}

fn end(what: &str, name: &str, of: Validity, has_successor: bool) -> End {
    End {
        what: what.to_owned(),
        name: name.to_owned(),
        not_before_unix_s: of.not_before_s,
        not_after_unix_s: of.not_after_s,
        has_successor,
    }
}

/// Whether what renews itself can still be about to.
fn is_in_time(of: Validity, now_s: u64) -> bool {
    let life_s = of.not_after_s.saturating_sub(of.not_before_s);
    now_s < of.half_s().saturating_add(life_s / LATE)
}

/// Whether a root that is trusted can take another's place: one that was made with it and ends with it cannot.
fn succeeds(next: Validity, present: Validity, now_s: u64) -> bool {
    next.not_after_s > present.not_after_s && now_s < next.half_s()
}

fn seconds(moment: SystemTime) -> u64 {
    moment
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use config::SpiffeId;

    fn lived(not_before_s: u64, not_after_s: u64) -> Validity {
        Validity {
            not_before_s,
            not_after_s,
        }
    }

    #[test]
    fn a_root_takes_anothers_place_if_it_ends_later_and_is_in_its_first_half() {
        let present = lived(0, 1000);
        for (next, now_s, wanted) in [
            (lived(500, 1500), 600, true),
            (lived(500, 1500), 999, true),
            (lived(500, 1500), 1000, false), // due itself
            (lived(0, 1000), 10, false),     // its twin, or itself
            (lived(0, 900), 10, false),
            (lived(0, 1001), 501, false),
        ] {
            assert_eq!(succeeds(next, present, now_s), wanted, "{next:?} {now_s}");
        }
    }

    #[test]
    fn what_renews_itself_is_late_a_twentieth_of_its_life_after_half_of_it() {
        let leaf = lived(1000, 4600);
        for (now_s, wanted) in [(1000, true), (2800, true), (2979, true), (2980, false)] {
            assert_eq!(is_in_time(leaf, now_s), wanted, "{now_s}");
        }
    }

    #[test]
    fn who_enforces_less_than_the_newest_or_cannot_enforce_something_lags() {
        let watching = |path: &str, enforces: (u64, u64), unsupported: &[&str]| Watching {
            id: SpiffeId::parse(&format!("spiffe://shop.example{path}")).unwrap(),
            instance: String::new(),
            statement_sequence: enforces.0,
            revocation_epoch: enforces.1,
            leaf_serial: Vec::new(),
            capabilities: Vec::new(),
            policy_hash: None,
            unsupported: unsupported.iter().map(|&what| what.into()).collect(),
        };
        let all = vec![
            watching("/orders", (7, 2), &[]),
            watching("/orders", (6, 2), &[]),
            watching("/web", (7, 2), &["renewals"]),
            watching("/mail", (7, 1), &[]),
            watching("/ledger", (0, 0), &[]),
            watching("/orders", (8, 3), &[]),
        ];

        let (streams, lagging) = behind(all, (7, 2));

        assert_eq!(streams, 6);
        let seen: Vec<_> = lagging
            .iter()
            .map(|one| {
                (
                    one.id.as_str(),
                    one.statement_sequence,
                    one.revocation_epoch,
                )
            })
            .collect();
        let expected = [
            ("spiffe://shop.example/ledger", 0, 0),
            ("spiffe://shop.example/mail", 7, 1),
            ("spiffe://shop.example/orders", 6, 2),
            ("spiffe://shop.example/web", 7, 2),
        ];
        assert_eq!(seen, expected);
    }
}
