//! Renewals while strangers send whatever the machine can.
//!
//! Workloads with short leaves renew at half of their life over the connection that they keep, and then open the next with what they
//! got, as a sidecar does. Attackers are a process of their own; see [`super::attack`]. A renewal that is due when half of a leaf's
//! life is over must be answered before half of what is left is over.

use super::client::{Asking, Connection, Trust};
use super::table::Table;
use super::{Failed, ServerProcess, Spread};
use api::ca_v1::IssueReply;
use identity::Generation;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until, timeout};

/// How long a renewal or a connection may take before it is tried again.
const TRY_MAX: Duration = Duration::from_secs(2);
/// The wait before that.
const WAIT: Duration = Duration::from_millis(100);

/// What an allocator keeps or gives back as it likes.
const NOISE_KIB: u64 = 8 * 1024;

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flood {
    /// Workloads that renew.
    pub workloads: usize,
    /// How long the flood lasts.
    pub lasts: Duration,
}

/// What the workloads felt of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Withstood {
    /// Renewals during the flood.
    pub renewals: usize,
    /// How long after they were due they were answered, in parts of what was left of the leaf.
    pub delay: Spread,
    /// The same, in milliseconds.
    pub delay_ms: Spread,
    /// Renewals that had to be tried again, or found no kept connection.
    pub retried: usize,
    /// The CA's memory before the flood, in its first half, and at its end.
    pub resident_kib: [u64; 3],
    /// Processor time of the CA.
    pub ca_cpu: Duration,
    /// What the attackers say that they did.
    pub attackers: String,
}

impl Withstood {
    /// Whether every renewal was answered before half of what was left of its leaf was over, and the second half of the flood
    /// made the CA no larger than the first.
    pub fn judge(&self) -> Result<(), Failed> {
        if self.delay.max >= 0.5 {
            return Err("a renewal was delayed past half of what was left of its leaf".into());
        }
        let [_, halfway, after] = self.resident_kib;
        if after > halfway + halfway / 4 + NOISE_KIB {
            return Err(format!("the CA grew from {halfway} to {after} KiB").into());
        }
        Ok(())
    }
}

/// One renewal.
struct Renewed {
    delay: Duration,
    of_left: f64,
    tries: usize,
}

impl Flood {
    /// Lets it come, from `program attack`.
    pub async fn measure(
        self,
        server: &mut ServerProcess,
        program: &Path,
    ) -> Result<Withstood, Failed> {
        // What went before may have left it full.
        Table::watch().room().await;
        let trust = Trust::new(server.bundle())?;
        let to = server.address();
        let mut members = Vec::new();
        for (number, token) in server.tokens(self.workloads, 1)?.iter().enumerate() {
            let phase = (number + 1) as f64 / self.workloads as f64;
            members.push(Member::join(&trust, to, token, phase).await?);
        }
        let before = server.used()?;
        let until = Instant::now() + self.lasts;
        let attackers = Attackers::start(program, to, self.lasts, &server.bundle().to_pem())?;
        let mut renewing = JoinSet::new();
        for member in members {
            renewing.spawn(member.renew_until(trust.clone(), to, until));
        }
        sleep(self.lasts / 2).await;
        let halfway = server.used()?;
        let mut renewed = Vec::new();
        while let Some(ended) = renewing.join_next().await {
            renewed.extend(ended??);
        }
        let after = server.used()?;
        let said = tokio::task::spawn_blocking(|| attackers.say()).await??;
        let none = "no renewal fell into the flood";
        Ok(Withstood {
            renewals: renewed.len(),
            delay: Spread::of(renewed.iter().map(|one| one.of_left)).ok_or(none)?,
            delay_ms: Spread::of(renewed.iter().map(|one| one.delay.as_secs_f64() * 1e3))
                .ok_or(none)?,
            retried: renewed.iter().filter(|one| one.tries > 1).count(),
            resident_kib: [before, halfway, after].map(|used| used.resident_kib),
            ca_cpu: after.cpu - before.cpu,
            attackers: said,
        })
    }
}

/// Their process, which ends with this.
struct Attackers(Child);

impl Attackers {
    fn start(
        program: &Path,
        to: SocketAddr,
        lasts: Duration,
        bundle: &str,
    ) -> Result<Self, Failed> {
        let child = Command::new(program)
            .arg("attack")
            .arg(to.to_string())
            .arg(lasts.as_secs().to_string())
            .arg(bundle)
            .stdout(Stdio::piped())
            .spawn()?;
        Ok(Attackers(child))
    }

    /// What they did, once they are done.
    fn say(mut self) -> Result<String, Failed> {
        let mut said = String::new();
        let mut stdout = self.0.stdout.take().ok_or("their output is not ours")?;
        stdout.read_to_string(&mut said)?;
        Ok(said)
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        // If they have ended already, so much the better.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A workload that has an identity.
struct Member {
    generation: Generation,
    connection: Option<Connection>,
    /// When it is to renew next.
    due: Instant,
    ends: Instant,
}

impl Member {
    /// Due within the first half of its leaf's life, at a time of its own.
    async fn join(trust: &Trust, to: SocketAddr, token: &str, phase: f64) -> Result<Self, Failed> {
        let asking = Asking::new()?;
        let mut stranger = trust.connect(to).await?;
        let reply = stranger.join(asking.with_token(token)).await?;
        let (generation, ends) = identity_of(trust, reply.into_inner(), asking)?;
        let now = Instant::now();
        Ok(Member {
            connection: Some(trust.connect_as(&generation, to).await?),
            generation,
            due: now + (ends - now).mul_f64(phase / 2.0),
            ends,
        })
    }

    async fn renew_until(
        mut self,
        trust: Trust,
        to: SocketAddr,
        until: Instant,
    ) -> Result<Vec<Renewed>, Failed> {
        let mut renewed = Vec::new();
        while self.due < until {
            sleep_until(self.due.into()).await;
            renewed.push(self.renew(&trust, to).await?);
            // The connection to renew over next time; without one the renewal opens its own.
            while self.connection.is_none() && Instant::now() + TRY_MAX < self.due {
                self.connect(&trust, to).await;
            }
        }
        Ok(renewed)
    }

    async fn renew(&mut self, trust: &Trust, to: SocketAddr) -> Result<Renewed, Failed> {
        let asking = Asking::new()?;
        let mut tries = 0;
        let reply = loop {
            tries += 1;
            if self.connection.is_none() {
                self.connect(trust, to).await;
            }
            if let Some(connection) = &mut self.connection {
                let answer = connection.renew(asking.with_certificate());
                match timeout(TRY_MAX, answer).await {
                    Ok(Ok(reply)) => break reply.into_inner(),
                    _ => self.connection = None,
                }
            }
            if Instant::now() >= self.ends {
                return Err("a leaf ended before it was renewed".into());
            }
        };
        let delay = self.due.elapsed();
        let of_left = delay.as_secs_f64() / (self.ends - self.due).as_secs_f64();
        (self.generation, self.ends) = identity_of(trust, reply, asking)?;
        self.due = Instant::now() + (self.ends - Instant::now()) / 2;
        self.connection = None;
        Ok(Renewed {
            delay,
            of_left,
            tries,
        })
    }

    /// Tries to have a connection, and waits a little if there is none.
    async fn connect(&mut self, trust: &Trust, to: SocketAddr) {
        let connected = timeout(TRY_MAX, trust.connect_as(&self.generation, to)).await;
        self.connection = connected.ok().and_then(Result::ok);
        if self.connection.is_none() {
            sleep(WAIT).await;
        }
    }
}

/// Who it is now, and until when.
fn identity_of(
    trust: &Trust,
    reply: IssueReply,
    asking: Asking,
) -> Result<(Generation, Instant), Failed> {
    let svid = trust.verified(reply, asking.key)?;
    let left = svid.leaf().not_after.duration_since(SystemTime::now())?;
    Ok((trust.member(svid)?, Instant::now() + left))
}
