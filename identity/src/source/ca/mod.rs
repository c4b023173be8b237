//! An identity from our CA, which renews itself.
//!
//! In: where the CA is, what to trust at first, a join token, a state directory. Out: generations through [`Current`] for as
//! long as [`CaSource::run`] runs, and through [`Standing`] why there is none, or why the last renewal failed.
//!
//! Renewing, watching and keeping go on side by side and meet in what is held. None of them ends by itself.
//!
//! 1. Roots change only by signed statement, and only forward: neither a false CA nor who holds an issuer's key changes whom
//!    we believe.
//! 2. What is held serves for as long as it is good, whatever becomes of the CA.
//! 3. Nobody has to act because a reply was lost, a certificate has ended, roots were slept through, or a process was killed.

mod clock;

mod token;

mod reply;

mod answer;

mod failed;

mod dial;

mod roots;

mod held;

mod report;

mod client;

mod upkeep;

mod watch;

mod error;

pub use answer::Answer;
pub use clock::Clock;
pub use error::CaSourceError;
pub use failed::Failed;
pub use reply::{Issued, ReplyRefused, statement_from_wire, statement_to_wire};
pub use token::{JoinToken, Readers, TokenError};

use super::files;
use super::standing::Standing;
use crate::state::new_instance;
use crate::{Current, FirstContact, Kept, StateDir};
use client::{Client, Line, Pending};
use config::sidecar::{Ca, Federated, FirstContact as Trusted, State};
use config::{Address, SpiffeId, TrustDomain};
use dial::Dial;
use held::Held;
use report::{About, Report};
use std::future::pending;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

/// A client of the CA that has not begun yet.
#[derive(Debug)]
pub struct CaSource {
    client: Client,
    federated: Vec<Federated>,
}

/// What a state directory held.
#[derive(Default)]
struct Found {
    state: Option<Arc<Mutex<StateDir>>>,
    instance: String,
    kept: Option<Kept>,
    pending: Pending,
}

impl CaSource {
    /// Reads what lies on this machine and serves at once with what was kept, if it is good. Asks nobody.
    pub fn open(
        trust_domain: &TrustDomain,
        ca: &Ca,
        state: &State,
        federated: &[Federated],
        clock: Clock,
    ) -> Result<Self, CaSourceError> {
        let Address::Tcp { host, port } = &ca.address else {
            return Err(CaSourceError::Address);
        };
        let name = format!("spiffe://{trust_domain}/countersign/ca");
        let name = SpiffeId::parse(&name).map_err(CaSourceError::Name)?;
        let first_contact = match &ca.first_contact {
            Trusted::Bundle(path) => FirstContact::Bundle(
                files::bundle(trust_domain, path).map_err(CaSourceError::Files)?,
            ),
            Trusted::Fingerprint(sha256) => {
                FirstContact::Fingerprint(trust_domain.clone(), *sha256)
            }
        };
        let found = Found::in_state(state, trust_domain)?;
        let client = Client {
            dial: Dial::new(host, *port, name, clock.clone()).map_err(CaSourceError::Tls)?,
            first_contact,
            join_token: ca.join_token.clone(),
            told_of_readers: AtomicBool::new(false),
            state: found.state,
            instance: found.instance,
            held: Held::new(upkeep::read(federated).map_err(CaSourceError::Files)?),
            report: Report::default(),
            pending: tokio::sync::Mutex::new(found.pending),
            line: Line::default(),
            clock,
        };
        if let Some(kept) = found.kept {
            resume(&client, kept)?;
        }
        Ok(CaSource {
            client,
            federated: federated.to_vec(),
        })
    }

    /// Where its generations come through.
    pub fn current(&self) -> Current {
        self.client.held.current().clone()
    }

    /// What it says of itself, and is told.
    pub fn standing(&self) -> Standing {
        self.client.report.standing().clone()
    }

    /// Joins, renews, watches and keeps until dropped.
    pub async fn run(self) {
        let CaSource { client, federated } = self;
        let keeping = async {
            match &client.state {
                Some(state) => upkeep::keeping(&client, state).await,
                None => pending().await,
            }
        };
        let federating = async {
            match federated.is_empty() {
                false => upkeep::federating(&client, federated).await,
                true => pending().await,
            }
        };
        // Keeping first: what it finds at its start is what lies on disk already.
        tokio::join!(
            biased;
            keeping,
            upkeep::renewing(&client),
            watch::watching(&client),
            federating
        );
    }
}

impl Found {
    fn in_state(state: &State, trust_domain: &TrustDomain) -> Result<Self, CaSourceError> {
        let State::Folder(path) = state else {
            return Ok(Found {
                instance: new_instance().map_err(CaSourceError::Random)?,
                ..Found::default()
            });
        };
        let dir = StateDir::open(path).map_err(CaSourceError::State)?;
        let kept = dir.resume().map_err(CaSourceError::State)?;
        let other = kept
            .as_ref()
            .map(|kept| &kept.svid.leaf().id)
            .filter(|id| !id.is_in(trust_domain));
        if let Some(found) = other {
            return Err(CaSourceError::OtherDomain {
                path: path.clone(),
                found: found.clone(),
                wanted: trust_domain.clone(),
            });
        }
        let pending = dir.pending().map_err(CaSourceError::State)?;
        Ok(Found {
            instance: dir.instance().to_owned(),
            kept,
            pending: Pending::resumed(pending),
            state: Some(Arc::new(Mutex::new(dir))),
        })
    }
}

/// Serves with what was kept, or says why not.
fn resume(client: &Client, kept: Kept) -> Result<(), CaSourceError> {
    let (boot, unix_ms) = (client.clock.boot(), client.clock.unix_ms());
    client.held.resume(kept, boot, unix_ms);
    let served = client.held.serve_if_good(client.clock.unix());
    if let Err(refused) = served.map_err(CaSourceError::Generation)? {
        let text = format!("the certificate in the state directory does not serve: {refused}");
        client.report.wrong(About::Identity, refused.reason(), text);
    }
    Ok(())
}
