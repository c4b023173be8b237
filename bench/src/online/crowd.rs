//! Workloads that come all at once and have never been there.
//!
//! Each makes a key, connects (TCP, TLS), joins with a token of its own and verifies what it got. One that is turned away, or
//! finds nobody, waits and tries again, as a sidecar does. Nothing else is kept between tries.

use super::client::{Asking, Trust};
use super::server::cpu;
use super::{Failed, ServerProcess, Spread};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The first wait before another try; each further one is twice as long.
const WAIT_MIN: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(2);
/// A try that takes longer is given up.
const TRY_MAX: Duration = Duration::from_secs(20);
/// A workload that has no identity by then has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// Workloads.
    pub workloads: usize,
}

/// How they fared.
#[derive(Clone, Debug, PartialEq)]
pub struct Fared {
    /// Workloads that have no identity, and why the last of them has none.
    pub failed: usize,
    /// Why the last of those has none.
    pub why: Option<String>,
    /// Tries of all.
    pub tries: usize,
    /// From the first try to the last identity.
    pub makespan: Duration,
    /// Until a workload had its identity, in seconds.
    pub took_s: Spread,
    /// Processor time of the CA.
    pub ca_cpu: Duration,
    /// Processor time of all workloads.
    pub workloads_cpu: Duration,
    /// The CA's memory before and after.
    pub resident_kib: (u64, u64),
}

impl Crowd {
    /// Lets them come.
    pub async fn measure(self, server: &mut ServerProcess) -> Result<Fared, Failed> {
        let trust = Trust::new(server.bundle())?;
        let tokens = server.tokens(self.workloads, 1)?;
        let tries = Arc::new(AtomicUsize::new(0));
        let (before, own_before, began) = (server.used()?, cpu(), Instant::now());
        let mut workloads = JoinSet::new();
        for token in tokens {
            let joined = identity_of(trust.clone(), server.address(), token, Arc::clone(&tries));
            workloads.spawn(async move { joined.await.map(|()| began.elapsed()) });
        }
        let (mut took, mut why) = (Vec::new(), None);
        while let Some(ended) = workloads.join_next().await {
            match ended? {
                Ok(after) => took.push(after.as_secs_f64()),
                Err(failed) => why = Some(failed.to_string()),
            }
        }
        let (makespan, own_after, after) = (began.elapsed(), cpu(), server.used()?);
        if after.entries - before.entries < took.len() as u64 {
            return Err("more identities were given than recorded".into());
        }
        Ok(Fared {
            failed: self.workloads - took.len(),
            why,
            tries: tries.load(Ordering::Relaxed),
            makespan,
            took_s: Spread::of(took).ok_or("none has an identity")?,
            ca_cpu: after.cpu - before.cpu,
            workloads_cpu: own_after - own_before,
            resident_kib: (before.resident_kib, after.resident_kib),
        })
    }
}

/// Tries until there is an identity, or patience ends.
async fn identity_of(
    trust: Trust,
    ca: SocketAddr,
    token: String,
    tries: Arc<AtomicUsize>,
) -> Result<(), Failed> {
    let asking = Asking::new()?;
    let began = Instant::now();
    let mut wait = WAIT_MIN;
    let reply = loop {
        tries.fetch_add(1, Ordering::Relaxed);
        let joined = timeout(TRY_MAX, join(&trust, ca, &asking, &token)).await;
        match joined.unwrap_or_else(|late| Err(late.into())) {
            Ok(reply) => break reply,
            Err(refused) if began.elapsed() > PATIENCE => return Err(refused),
            // The spread comes of itself: no two are turned away at the same moment.
            Err(_) => sleep(wait).await,
        }
        wait = (wait * 2).min(WAIT_MAX);
    };
    trust.verified(reply, asking.key)?;
    Ok(())
}

async fn join(
    trust: &Trust,
    ca: SocketAddr,
    asking: &Asking,
    token: &str,
) -> Result<api::ca_v1::IssueReply, Failed> {
    let mut connection = trust.connect(ca).await?;
    let reply = connection.join(asking.with_token(token)).await?;
    Ok(reply.into_inner())
}
