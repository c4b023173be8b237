//! An identity from a SPIFFE Workload API: an agent of SPIRE, or of whoever else serves it.
//!
//! In: a unix socket, our trust domain, the other trust domains that may be believed. Out: generations through [`Current`],
//! each of one message, which is the agent's complete word; and through [`Standing`] why there is none, or no newer one. It
//! makes one call, `FetchX509SVID`, and keeps it open; it keeps nothing on disk, because the agent gives it all again.
//!
//! 1. A message is taken whole or refused whole; what was refused changes nothing, and the old generation keeps serving.
//! 2. That holds when the agent goes away and when it says that there is no identity any more, too: identities of this kind
//!    are short, and end with their leaf. (The standard would have them laid down at once, §5.2.1; then an agent that lost
//!    sight of its server would end them all.)
//! 3. A call that is silent for half of what its leaf had left is made anew; so a stuck agent does not go unseen until the
//!    leaf ends.
//! 4. However fast the agent sends, a message is judged once a second at most; an equal one makes no generation.

mod endpoint;

mod answer;
mod call;

pub use endpoint::EndpointError;

pub use answer::{AnswerRefused, MESSAGE_BYTES_MAX, RootsRefused};
pub use call::CallError;

use super::chance::{boot_now, chance};
use super::standing::{Standing, State, Why};
use crate::renew::{APART_MIN, SLEEP_MAX};
use crate::{Boot, Current, Due, Retry};
use answer::{Judged, Unmet, judge};
use call::Answers;
use config::TrustDomain;
use config::sidecar::WorkloadApi;
use rustls::pki_types::UnixTime;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Until the first message of a call, at most: it is to come at once (§4.3).
const FIRST_WITHIN: Duration = Duration::from_secs(10);

/// What is wanted of the agent.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Where it listens.
    pub socket: PathBuf,
    /// Which SVID is ours: the first in this trust domain.
    pub trust_domain: TrustDomain,
    /// The other trust domains that are believed if their roots come with it.
    pub federated: Vec<TrustDomain>,
}

/// An open or wanted call to a Workload API.
#[derive(Debug)]
pub struct WorkloadApiSource {
    wanted: Wanted,
    current: Current,
    standing: Standing,
    /// Of the generation in force; 0: there is none.
    number: u64,
    digest: [u8; 32],
    unmet: Vec<Unmet>,
    retry: Retry,
}

/// Why there is no newer identity.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorkloadApiError {
    /// No message came.
    Call(CallError),
    /// No first message came in time.
    Silent {
        /// After how long.
        after: Duration,
    },
    /// A message came that cannot be used.
    Answer(Box<AnswerRefused>),
}

impl WorkloadApiError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            WorkloadApiError::Call(why) => why.reason(),
            WorkloadApiError::Silent { .. } => "workload_api_silent",
            WorkloadApiError::Answer(why) => why.reason(),
        }
    }

    fn was_answered(&self) -> bool {
        match self {
            WorkloadApiError::Call(why) => why.was_answered(),
            WorkloadApiError::Silent { .. } => false,
            WorkloadApiError::Answer(_) => true,
        }
    }
}

impl fmt::Display for WorkloadApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorkloadApiError::Call(why) => why.fmt(f),
            WorkloadApiError::Silent { after } => write!(
                f,
                "the Workload API said nothing within {} s; look whether the agent hangs",
                after.as_secs()
            ),
            WorkloadApiError::Answer(why) => why.fmt(f),
        }
    }
}

impl std::error::Error for WorkloadApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WorkloadApiError::Call(why) => Some(why),
            WorkloadApiError::Silent { .. } => None,
            WorkloadApiError::Answer(why) => Some(why),
        }
    }
}

/// Until when a call may be silent.
#[derive(Clone, Copy)]
enum Until {
    /// Half of what the leaf had left.
    Renewal(Due),
    /// The next attempt after a refusal.
    Retry(Retry),
}

impl Until {
    fn sleep(self, now: Boot) -> Option<Duration> {
        match self {
            Until::Renewal(due) => due.sleep(now),
            Until::Retry(retry) => retry.sleep(now),
        }
    }
}

impl WorkloadApiSource {
    /// A source of what the configuration says; `environment` is asked for what it leaves open. Asks no agent yet.
    pub fn open(
        trust_domain: &TrustDomain,
        configured: &WorkloadApi,
        environment: impl FnOnce(&str) -> Option<OsString>,
    ) -> Result<Self, EndpointError> {
        Ok(WorkloadApiSource::new(Wanted {
            socket: match &configured.socket {
                Some(socket) => socket.clone(),
                None => endpoint::from_environment(environment)?,
            },
            trust_domain: trust_domain.clone(),
            federated: configured.federated.clone(),
        }))
    }

    /// A source that is nobody yet. It asks nobody before it runs.
    pub fn new(wanted: Wanted) -> Self {
        WorkloadApiSource {
            wanted,
            current: Current::empty(),
            standing: Standing::default(),
            number: 0,
            digest: [0; 32],
            unmet: Vec::new(),
            retry: Retry::new(None),
        }
    }

    /// Where its generations come through.
    pub fn current(&self) -> Current {
        self.current.clone()
    }

    /// What it says of itself.
    pub fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Calls, and calls again, until dropped.
    pub async fn run(mut self) {
        loop {
            if let Err(why) = self.attend().await {
                self.failed(&why);
            }
            while let Some(sleep) = self.retry.sleep(boot_now()) {
                tokio::time::sleep(sleep).await;
            }
        }
    }

    /// One call, from its beginning to its end; `Ok`: it was silent for too long, and nothing else is known against it.
    async fn attend(&mut self) -> Result<(), WorkloadApiError> {
        let first = async {
            let mut answers = Answers::open(&self.wanted.socket).await?;
            let message = answers.next().await?;
            Ok::<_, CallError>((answers, message))
        };
        let (mut answers, mut message) = tokio::time::timeout(FIRST_WITHIN, first)
            .await
            .map_err(|_| WorkloadApiError::Silent {
                after: FIRST_WITHIN,
            })?
            .map_err(WorkloadApiError::Call)?;
        loop {
            let until = self.take(&message);
            drop(message);
            tokio::time::sleep(APART_MIN).await;
            message = loop {
                let Some(sleep) = until.sleep(boot_now()) else {
                    return Ok(());
                };
                tokio::select! {
                    next = answers.next() => break next.map_err(WorkloadApiError::Call)?,
                    () = tokio::time::sleep(sleep.min(SLEEP_MAX)) => {}
                }
            };
        }
    }

    /// Uses a message, or says why not. After a refusal the call stays open, for the next message may be better, but not for
    /// long, because a clock may mend what was refused.
    fn take(&mut self, message: &[u8]) -> Until {
        let now = UnixTime::now();
        match judge(message, &self.wanted, self.number + 1, now) {
            Ok(judged) => Until::Renewal(self.taken(judged, now)),
            Err(why) => {
                self.failed(&WorkloadApiError::Answer(Box::new(why)));
                Until::Retry(self.retry)
            }
        }
    }

    fn taken(&mut self, judged: Judged, now: UnixTime) -> Due {
        let Judged {
            generation,
            digest,
            hint,
            unmet,
        } = judged;
        let leaf = generation.svid().leaf();
        let ends_unix_s = unix_s(leaf.not_after);
        let now_ms = i64::try_from(now.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_mul(1000);
        let due = Due::of(boot_now(), now_ms, ends_unix_s, &leaf.id);
        self.retry = Retry::new(Some(due.life()));
        self.tell_unmet(unmet);
        if self.number == 0 || digest != self.digest {
            (self.number, self.digest) = (generation.number(), digest);
            tracing::info!(generation = self.number, id = %leaf.id, hint, "identity taken from the Workload API");
            self.current.publish(generation);
        }
        self.standing.tell(State {
            why: None,
            reachable: Some(true),
            skew: None,
        });
        due
    }

    /// Other trust domains are news when they change.
    fn tell_unmet(&mut self, unmet: Vec<Unmet>) {
        for one in unmet.iter().filter(|one| !self.unmet.contains(one)) {
            match one {
                Unmet::NotNamed(_) => tracing::info!("{one}"),
                Unmet::NotSent(_) | Unmet::Unfit(..) => tracing::warn!("{one}"),
            }
        }
        self.unmet = unmet;
    }

    /// Says why there is nothing newer, and when to try again.
    fn failed(&mut self, error: &WorkloadApiError) {
        self.retry = self.retry.failed(boot_now(), chance());
        let why = Why {
            reason: error.reason(),
            text: error.to_string(),
        };
        self.standing.tell(State {
            why: Some(why),
            reachable: Some(error.was_answered()),
            skew: None,
        });
    }
}

fn unix_s(moment: SystemTime) -> i64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
