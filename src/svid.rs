//! `countersign svid`: certificates looked at and verified, from files.
//!
//! In: a PEM of a chain, leaf first; to verify, the roots of its trust domain. Out: what the certificates say, or whether a
//! peer would believe them. No key is read and nobody is asked.

use crate::failure::Failure;
use crate::output::{Output, OutputOption, print, roughly};
use ::config::TrustDomain;
use identity::pki_types::{CertificateDer, UnixTime};
use identity::{Bundle, Bundles, Facts, Peer, Refused, Role, Verifier, pem, rfc3339};
use serde_json::json;
use std::fmt::{Display, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

/// What to do with an identity.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Svid {
    /// Print what the certificates of a PEM file say.
    #[command(after_help = "Exit codes: 0 printed, 2 the file cannot be read.\n\
                            Example: countersign svid show svid.pem")]
    Show(Show),
    /// Say whether a peer with this bundle would believe this chain.
    #[command(
        after_help = "Exit codes: 0 valid, 1 refused, 2 a file cannot be used.\n\
                            Example: countersign svid verify svid.pem --bundle bundle.pem --trust-domain shop.example"
    )]
    Verify(Verify),
}

/// Arguments of `svid show`.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Certificates in PEM
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    output: OutputOption,
}

/// Arguments of `svid verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The chain in PEM, leaf first
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The roots of the trust domain in PEM
    #[arg(long, value_name = "BUNDLE")]
    bundle: PathBuf,
    /// Whose roots these are
    #[arg(long, value_name = "TD", value_parser = trust_domain)]
    trust_domain: TrustDomain,
    /// When, such as 2026-12-24T18:00:00Z; now without it
    #[arg(long, value_name = "RFC3339", value_parser = moment)]
    at: Option<SystemTime>,
}

impl Svid {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Svid::Show(show) => show.run(),
            Svid::Verify(verify) => verify.run(),
        }
    }
}

fn trust_domain(text: &str) -> Result<TrustDomain, String> {
    TrustDomain::parse(text).map_err(|error| error.why)
}

fn moment(text: &str) -> Result<SystemTime, String> {
    use time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text, &Rfc3339)
        .map(SystemTime::from)
        .map_err(|_| "a moment such as 2026-12-24T18:00:00Z is wanted".into())
}

/// A file that cannot be used, in the contract's line.
fn unfit(file: &Path, why: impl Display, advice: &str) -> Failure {
    Failure::Unfit(format!("{}: {why}; {advice}", file.display()))
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|why| unfit(file, why, "name a PEM file that can be read"))
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    pem::certificates(&read(file)?).map_err(|why| unfit(file, why, "give a whole PEM file"))
}

impl Show {
    fn run(self) -> Result<ExitCode, Failure> {
        let mut chain = Vec::new();
        for (at, der) in read_chain(&self.file)?.iter().enumerate() {
            let why = || format!("certificate {} cannot be read", at + 1);
            let facts =
                Facts::read(der).ok_or_else(|| unfit(&self.file, why(), "write it again"))?;
            chain.push(facts);
        }
        let now = SystemTime::now();
        print(&match self.output.output {
            Output::Table => chain.iter().map(|facts| for_people(facts, now)).collect(),
            Output::Json => {
                let chain: Vec<_> = chain.iter().map(|facts| for_programs(facts, now)).collect();
                format!("{:#}\n", serde_json::Value::Array(chain))
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What a certificate is in a chain.
fn part(facts: &Facts) -> &'static str {
    match facts.ca {
        false => "leaf",
        true if facts.subject == facts.issuer => "root",
        true => "issuer",
    }
}

fn for_people(facts: &Facts, now: SystemTime) -> String {
    let mut text = format!("{:8}{}\n", part(facts), or_none(&facts.uris));
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {name:13}{value}");
        }
    };
    let (from, until) = (rfc3339(facts.not_before), rfc3339(facts.not_after));
    line("serial", &facts.serial);
    line(
        "valid",
        &format!("{from} until {until}, {}", left(facts, now)),
    );
    line("usages", &facts.usages.join(" "));
    line("key", &facts.key_algorithm);
    line("dns names", &facts.dns_names.join(" "));
    line("subject", &facts.subject);
    line("issued by", &facts.issuer);
    line("sha256", &facts.sha256);
    text
}

fn or_none(uris: &[String]) -> String {
    match uris {
        [] => "(no URI)".into(),
        uris => uris.join(" "),
    }
}

fn for_programs(facts: &Facts, now: SystemTime) -> serde_json::Value {
    let left_s = match facts.not_after.duration_since(now) {
        Ok(left) => i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        Err(since) => i64::try_from(since.duration().as_secs()).map_or(i64::MIN, |since| -since),
    };
    json!({
        "part": part(facts),
        "uris": facts.uris,
        "dns_names": facts.dns_names,
        "subject": facts.subject,
        "issuer": facts.issuer,
        "serial": facts.serial,
        "not_before": rfc3339(facts.not_before),
        "not_after": rfc3339(facts.not_after),
        "left_s": left_s,
        "usages": facts.usages,
        "key": facts.key_algorithm,
        "sha256": facts.sha256,
    })
}

/// Such as `59 min left`, `begins in 2 h` or `ended 3 d ago`.
fn left(facts: &Facts, now: SystemTime) -> String {
    if let Ok(until) = facts.not_before.duration_since(now)
        && !until.is_zero()
    {
        return format!("begins in {}", roughly(until));
    }
    match facts.not_after.duration_since(now) {
        Ok(left) => format!("{} left", roughly(left)),
        Err(since) => format!("ended {} ago", roughly(since.duration())),
    }
}

impl Verify {
    fn run(self) -> Result<ExitCode, Failure> {
        let chain = read_chain(&self.file)?;
        let bundle = Bundle::from_pem(self.trust_domain, &read(&self.bundle)?).map_err(|why| {
            unfit(
                &self.bundle,
                why,
                "give the trust domain's roots and nothing else",
            )
        })?;
        let at = self.at.unwrap_or_else(SystemTime::now);
        let peer = verify(&chain, bundle, at).map_err(|refused| {
            let file = self.file.display();
            Failure::No(format!(
                "{file}: refused as {}: {refused}",
                refused.reason()
            ))
        })?;
        print(&format!(
            "valid: {} until {}\n",
            peer.id,
            rfc3339(peer.not_after)
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// As either end of a handshake.
fn verify(chain: &[CertificateDer<'_>], bundle: Bundle, at: SystemTime) -> Result<Peer, Refused> {
    let since_1970 = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let at = UnixTime::since_unix_epoch(since_1970);
    let verifier = Verifier::new(Bundles::of(bundle));
    verifier.verify(chain, Role::Client, at)?;
    verifier.verify(chain, Role::Server, at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use mint::Authority;
    use std::time::Duration;
    use tempfile::TempDir;

    const ORDERS: &str = "spiffe://shop.example/orders";

    struct Desk {
        dir: TempDir,
        root: Authority,
    }

    fn desk(minted: impl FnOnce(&Authority) -> mint::Svid) -> Desk {
        let root = Authority::root("shop.example");
        let dir = TempDir::new().unwrap();
        minted(&root).write_files(dir.path(), &root.bundle_pem());
        Desk { dir, root }
    }

    impl Desk {
        fn verify(&self, at: Option<&str>) -> Result<ExitCode, Failure> {
            Svid::Verify(Verify {
                file: self.dir.path().join("svid.pem"),
                bundle: self.dir.path().join("bundle.pem"),
                trust_domain: trust_domain("shop.example").unwrap(),
                at: at.map(|at| moment(at).unwrap()),
            })
            .run()
        }

        fn failure(&self, at: Option<&str>) -> Failure {
            let dir = format!("{}/", self.dir.path().display());
            match self.verify(at).unwrap_err() {
                Failure::No(text) => Failure::No(text.replace(&dir, "")),
                Failure::Unfit(text) => Failure::Unfit(text.replace(&dir, "")),
                Failure::Unreachable(text) => Failure::Unreachable(text),
            }
        }
    }

    #[test]
    fn a_chain_under_its_root_is_valid() {
        let desk = desk(|root| root.issuer().leaf(ORDERS));
        assert_eq!(desk.verify(None), Ok(ExitCode::SUCCESS));
    }

    #[test]
    fn the_answer_no_carries_its_reason_and_files_that_cannot_be_used_are_another_matter() {
        let ends = 1_790_000_000;
        let desk = desk(|root| {
            root.leaf_with(ORDERS, |draft| {
                draft.not_before = ends - 3600;
                draft.not_after = ends;
            })
        });
        let expected = "svid.pem: refused as expired: the certificate has expired: it ended at \
                        2026-09-21T14:13:20Z, now is 2026-09-21T14:13:21Z; renew it, or check this clock";
        assert_eq!(
            desk.failure(Some("2026-09-21T14:13:21Z")),
            Failure::No(expected.into())
        );
        std::fs::write(desk.dir.path().join("bundle.pem"), "").unwrap();
        let expected = "bundle.pem: no `-----BEGIN CERTIFICATE-----` in it; give the trust domain's roots and nothing else";
        assert_eq!(desk.failure(None), Failure::Unfit(expected.into()));
        std::fs::remove_file(desk.dir.path().join("svid.pem")).unwrap();
        let expected =
            "svid.pem: No such file or directory (os error 2); name a PEM file that can be read";
        assert_eq!(desk.failure(None), Failure::Unfit(expected.into()));
    }

    #[test]
    fn what_is_shown_is_what_the_certificate_says() {
        let desk = desk(|root| root.leaf(ORDERS));
        let minted = desk.root.leaf_with(ORDERS, |draft| {
            draft.not_before = 1_790_000_000;
            draft.not_after = 1_790_003_600;
            draft.serial = vec![0, 0xab, 0xcd];
        });
        let facts = Facts::read(&minted.chain[0]).unwrap();
        let at = moment("2026-09-21T14:13:21Z").unwrap();
        let shown = for_people(&facts, at);
        let lines: Vec<&str> = shown.lines().collect();
        let begins = "2026-09-21T14:13:20Z until 2026-09-21T15:13:20Z";
        assert_eq!(lines[0], format!("leaf    {ORDERS}"));
        assert_eq!(lines[1], "  serial       abcd");
        assert_eq!(lines[2], format!("  valid        {begins}, 59 min left"));
        assert_eq!(
            lines[3],
            "  usages       digitalSignature serverAuth clientAuth"
        );
        let json = for_programs(&facts, at + Duration::from_secs(4_000));
        assert_eq!(
            (&json["left_s"], &json["part"]),
            (&json!(-401), &json!("leaf"))
        );
        let root = Facts::read(&desk.root.root).unwrap();
        assert_eq!(part(&root), "root");
        assert_eq!(
            left(&facts, at - Duration::from_secs(7_201)),
            "begins in 2 h"
        );
    }
}
