//! The CA's process: serves, and answers on its standard input what it has used.
//!
//! ```text
//! used            nanoseconds of processor time, entries in the record, KiB of resident memory
//! bare N          nanoseconds of processor time for N times: proof of possession, sign, check; no wire, no disk
//! tokens N USES   N join tokens, one a line; the identity of token K is `/w/K`
//! ```
//!
//! It ends with its standard input.

use super::{DOMAIN, Failed};
use ca::store::{Ledger, Store};
use ca::{
    Authority, AuthorityServer, Csr, Dir, Grant, Grants, Limits, Rate, Terms, Token,
    serve as answer,
};
use config::{Address, SpiffeId, TrustDomain};
use daemon::{bind, drain};
use identity::Key;
use rustix::time::{ClockId, clock_gettime};
use std::io::{BufRead, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::CaMetrics;
use tokio::runtime::Runtime;

/// What the CA's process is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// Leaves of an hour, and budgets that nobody reaches: they are not what is measured.
    Plenty,
    /// Budgets as they are by default, and leaves of so many seconds.
    AsShipped {
        /// How long a leaf lives.
        ttl_s: u64,
    },
}

const TTL: Duration = Duration::from_secs(60 * 60);
const TTL_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// As many as by default.
const LIMITS: Limits = Limits {
    handshakes: 500,
    handshake: Duration::from_secs(10),
};
const PLENTY: Rate = Rate {
    times: u32::MAX,
    per: Duration::from_secs(1),
};
/// Different requests of the bare loop: more than any cache would notice.
const REQUESTS: usize = 256;

impl Serving {
    /// As it is told to the process: 0 or the seconds.
    pub(super) fn word(self) -> String {
        match self {
            Serving::Plenty => "0".to_owned(),
            Serving::AsShipped { ttl_s } => ttl_s.to_string(),
        }
    }

    fn read(word: &str) -> Result<Self, Failed> {
        Ok(match word.parse()? {
            0 => Serving::Plenty,
            ttl_s => Serving::AsShipped { ttl_s },
        })
    }

    fn grants(self) -> Grants {
        let per = |times, per| Rate {
            times,
            per: Duration::from_secs(per),
        };
        let (ttl, per_identity, per_source) = match self {
            Serving::Plenty => (TTL, PLENTY, PLENTY),
            Serving::AsShipped { ttl_s } => (Duration::from_secs(ttl_s), per(10, 60), per(100, 1)),
        };
        Grants {
            ttl,
            ttl_max: TTL_MAX,
            grace: Duration::ZERO,
            per_identity,
            per_source,
        }
    }
}

/// Serves the authority in this folder until standard input ends.
pub fn serve(folder: &Path, serving: &str) -> Result<(), Failed> {
    let serving = Serving::read(serving)?;
    let runtime = Runtime::new()?;
    let domain = TrustDomain::parse(DOMAIN)?;
    let dir = Dir::open(folder)?;
    let authority = dir.authority()?;
    let store = Store::open(dir.path(), &domain)?;
    let (drain, draining) = drain::pair();
    let address = runtime.block_on(async {
        let now = SystemTime::now();
        let server =
            AuthorityServer::open(dir, store.clone(), serving.grants(), CaMetrics::new(), now)
                .await?;
        let listener = bind::listen(&Address::parse("127.0.0.1:0")?).await?;
        let address = listener.local_addr();
        draining.track(answer(listener, draining.clone(), Arc::new(server), LIMITS));
        Ok::<_, Failed>(address)
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}")?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["used"] => {
                let entries = runtime.block_on(store.summary())?.entries;
                writeln!(out, "{} {entries} {}", cpu().as_nanos(), resident_kib()?)?;
            }
            ["bare", times] => {
                writeln!(out, "{}", bare(&authority, times.parse()?)?.as_nanos())?;
            }
            ["tokens", tokens, uses] => {
                for number in 0..tokens.parse::<usize>()? {
                    let id = SpiffeId::parse(&format!("spiffe://{DOMAIN}/w/{number}"))?;
                    let token = Token::generate()?;
                    let terms = Terms::new(id, TTL_MAX, uses.parse()?)?;
                    let kept = store.create_token(token.hash(), terms, SystemTime::now());
                    runtime.block_on(kept)?;
                    writeln!(out, "{}", token.to_text().as_str())?;
                }
            }
            _ => return Err(format!("not a question: {line}").into()),
        }
        out.flush()?;
    }
    runtime.block_on(drain.start_and_wait(Duration::from_secs(5)));
    Ok(())
}

/// Of this process, all threads, with the kernel's part.
pub(super) fn cpu() -> Duration {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        used.tv_sec.try_into().unwrap_or(0),
        used.tv_nsec.try_into().unwrap_or(0),
    )
}

fn resident_kib() -> Result<u64, Failed> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    Ok(number.ok_or("no VmRSS in /proc/self/status")?.parse()?)
}

/// What no CA can leave out.
fn bare(authority: &Authority, times: usize) -> Result<Duration, Failed> {
    let id = SpiffeId::parse(&format!("spiffe://{DOMAIN}/w/bare"))?;
    let requests = (0..REQUESTS.min(times.max(1)))
        .map(|_| {
            Ok(identity::Csr::create(&Key::generate()?, &id)?
                .der()
                .to_vec())
        })
        .collect::<Result<Vec<_>, Failed>>()?;
    let before = cpu();
    for request in requests.iter().cycle().take(times) {
        let csr = Csr::from_der(request)?;
        let grant = Grant::decide(authority.trust_domain(), &id, TTL, TTL_MAX)?;
        std::hint::black_box(authority.certify_granted(&csr, &grant, SystemTime::now())?);
    }
    Ok(cpu() - before)
}
