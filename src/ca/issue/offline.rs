//! From a CA's folder, without a running CA.
//!
//! A folder in which a CA has served holds its record. Then what is issued here stands there too, on the word of the user who
//! runs this, and never beside a CA that runs: it alone writes its record. A folder without one is left without.

use super::super::folder::{refused, unfit};
use super::{Granted, Wish};
use crate::failure::Failure;
use ca::store::{Store, StoreError};
use ca::{Authority, Csr, Dir, Fault, Refusal, Renewal, TTL_DEFAULT, TTL_MAX, Wanted, date, vouch};
use config::TrustDomain;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

/// How long before its end the root is spoken of: time enough to reach everybody who trusts it.
const ROOT_NOTE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// How long to wait for others who issue from the same folder, as cron jobs of one minute do: each takes some milliseconds.
const OTHERS: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(20);

pub(super) fn issue(dir: &Dir, wish: &Wish) -> Result<Granted, Failure> {
    let now = SystemTime::now();
    let domain = dir.authority().map_err(unfit)?.trust_domain().clone();
    // Before anything is renewed: a CA that runs does that itself.
    let store = match Store::is_in(dir.path()) {
        true => Some(open(dir, &domain)?),
        false => None,
    };
    let (authority, renewal) = dir.authority_renewed(now).map_err(unfit)?;
    tell(&authority, renewal);
    match store {
        Some(store) => recorded(&authority, &store, wish, now),
        None => unrecorded(&authority, wish, now),
    }
}

fn ttl(wish: &Wish) -> Duration {
    wish.ttl_s.map_or(TTL_DEFAULT, Duration::from_secs)
}

fn unrecorded(authority: &Authority, wish: &Wish, now: SystemTime) -> Result<Granted, Failure> {
    let csr = Csr::from_pem_or_der(wish.request.bytes());
    let csr = csr.map_err(|error| Failure::No(error.to_string()))?;
    let leaf = authority
        .certify(&csr, &wish.id, ttl(wish), now)
        .map_err(refused)?;
    Ok(Granted {
        serial: leaf.serial().to_string(),
        not_after_s: leaf.validity().not_after_s,
        chain_pem: authority.chain_pem(&leaf),
        bundle_pem: authority.bundle().to_pem(),
    })
}

fn recorded(
    authority: &Authority,
    store: &Store,
    wish: &Wish,
    now: SystemTime,
) -> Result<Granted, Failure> {
    let wanted = Wanted {
        id: &wish.id,
        csr: wish.request.bytes(),
        ttl: ttl(wish),
        ttl_max: TTL_MAX,
        uid: rustix::process::getuid().as_raw(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|error| {
        Failure::Unfit(format!(
            "cannot wait for the disk: {error}; is a limit of open files reached?"
        ))
    })?;
    let vouched = runtime.block_on(vouch(authority, store, &wanted, now));
    let vouched = vouched.map_err(|refusal: Refusal| match refusal.fault() {
        Fault::Passing | Fault::Ours => Failure::Unfit(refusal.to_string()),
        _ => Failure::No(refusal.to_string()),
    })?;
    Ok(Granted {
        serial: vouched.leaf().serial().to_string(),
        not_after_s: vouched.leaf().validity().not_after_s,
        chain_pem: vouched.chain_pem().to_owned(),
        bundle_pem: authority.bundle().to_pem(),
    })
}

/// The record of a CA that does not run.
fn open(dir: &Dir, domain: &TrustDomain) -> Result<Store, Failure> {
    let began = Instant::now();
    loop {
        match Store::open(dir.path(), domain) {
            Ok(store) => return Ok(store),
            // Nobody announces that a file is free.
            Err(StoreError::InUse { .. }) if began.elapsed() < OTHERS => sleep(ASK_AGAIN),
            Err(StoreError::InUse { .. }) => {
                return Err(Failure::Unfit(format!(
                    "ca issue --dir {}: a CA runs from this folder and alone writes its record; ask it, without --dir",
                    dir.path().display()
                )));
            }
            Err(error) => return Err(Failure::Unfit(error.to_string())),
        }
    }
}

/// What an operator should know of the authority besides the answer, on standard error.
fn tell(authority: &Authority, renewal: Renewal) {
    let end = date(authority.issuer().certificate().validity().not_after_s);
    match renewal {
        Renewal::NotDue => {}
        Renewal::Renewed => eprintln!("note: a new issuer took over, until {end}"),
        Renewal::RootAway => {
            eprintln!(
                "note: the issuer ends at {end} and no next one can be made while the root's key is away"
            );
        }
    }
    let root = authority.root().certificate().validity();
    if SystemTime::now() + ROOT_NOTE > root.not_after() {
        eprintln!(
            "note: the root ends at {}; put a new one beside it in every bundle before that",
            date(root.not_after_s)
        );
    }
}
