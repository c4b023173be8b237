//! A whole sidecar: from a configuration file to what runs.

use crate::attached::Attached;
use crate::conduct::conduct;
use crate::listeners::{Listeners, Listening};
use crate::logging::{LogFilter, Logging};
use crate::lookout;
use crate::open::Busy;
use crate::pages::{Pages, Shown};
use crate::reload::{Begun, Reload};
use crate::reloaded::Reloaded;
use crate::shed;
use crate::start_error::StartError;
use crate::upstream::Means;
use crate::wanted::{Wanted, open_log};
use daemon::ending::Wish;
use daemon::health::Health;
use identity::source::Source;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use telemetry::{Direction, SidecarMetrics};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// A sidecar that runs. Dropping it cuts everything; [`Running::ask_to_end`] and [`Running::close`] end it well.
pub struct Running {
    numbers: watch::Receiver<u64>,
    pages: Arc<Pages>,
    listeners: Arc<Mutex<Listeners>>,
    reload: JoinHandle<()>,
    asks: mpsc::Sender<oneshot::Sender<Reloaded>>,
    conduct: JoinHandle<()>,
    lookout: JoinHandle<()>,
    shed: JoinHandle<()>,
}

/// How often it is looked whether everything is up.
const STARTED_EVERY: Duration = Duration::from_millis(20);

/// Starts a sidecar from its configuration file.
///
/// Its pages are up when this returns, and if there is an identity, so is everything. If none is there yet, because whoever
/// issues it is still to be asked, ports are bound and nobody is let in until it comes: `/started` says why. Whatever is
/// wrong on this machine is an error, all of it at once, and leaves nothing running. Needs a tokio runtime.
pub async fn start(path: &Path) -> Result<Running, StartError> {
    start_logging_by(path, None).await
}

/// The same where the log of this process is filtered by something that may be set: `/logging` on the admin socket.
pub async fn start_logging_by(
    path: &Path,
    filter: Option<Arc<dyn LogFilter>>,
) -> Result<Running, StartError> {
    let wanted = Arc::new(Wanted::load(path).map_err(StartError::Config)?);
    let source = Source::open(&wanted.config.identity).map_err(StartError::Identity)?;
    let metrics = SidecarMetrics::new();
    let access_log = open_log(wanted.config.telemetry.access_log.as_ref(), &metrics)
        .map_err(|(path, error)| StartError::AccessLog(path, error))?;
    let mut listeners = Listeners::default();
    let means = Means::new(metrics.clone(), listeners.own().clone(), &wanted.config.dns);
    let fresh = listeners
        .bind(&wanted.config, Listening::Pages)
        .await
        .map_err(StartError::Listen)?;

    let source = Attached::start(source);
    let health = Health::waiting_for(&[
        ("identity", "there is none yet"),
        ("listeners", "they open with the first identity"),
    ]);
    let shown = Shown {
        wanted: wanted.clone(),
        standing: source.standing.clone(),
    };
    let pages = Pages::new(shown, health, metrics, Logging::of(filter));
    listeners.apply(fresh, &wanted.config, None, &pages, Duration::ZERO);

    let (number, numbers) = watch::channel(0);
    let listeners = Arc::new(Mutex::new(listeners));
    let begun = Begun {
        wanted,
        source,
        access_log,
        means,
    };
    let mut reload = Reload::new(path, begun, number, listeners.clone(), pages.clone());
    reload.begin().await?;
    reload.say();
    let conduct = tokio::spawn(conduct(pages.clone(), listeners.clone()));
    let lookout = tokio::spawn(lookout::run(pages.clone(), numbers.clone()));
    let shed = tokio::spawn(shed::run(pages.clone()));
    let (asks, asked) = mpsc::channel(1);
    Ok(Running {
        asks,
        lookout,
        shed,
        numbers,
        pages,
        listeners,
        reload: tokio::spawn(reload.run(asked)),
        conduct,
    })
}

impl Running {
    /// Where a listener listens, or will, by its name in the configuration, or `metrics`, `health`, `admin`.
    pub async fn address(&self, name: &str) -> Option<SocketAddr> {
        self.listeners.lock().await.address(name)
    }
    /// The number of the snapshot in force: grows with every reload and every new identity. 0: there was no identity yet.
    pub fn generation(&self) -> u64 {
        *self.numbers.borrow()
    }
    /// Resolves when a snapshot newer than `seen` is in force.
    pub async fn newer_than(&self, seen: u64) {
        let mut numbers = self.numbers.clone();
        // It fails when the sidecar has ended: then there is nothing to wait for.
        let _ = numbers.wait_for(|number| *number > seen).await;
    }
    /// Looks at configuration and policy now, and says what became of it; what is refused is logged at once. The files of an
    /// identity are looked at twice a second as ever.
    /// What this returns may be awaited elsewhere: a look may take as long as files do, and who ends must be heard meanwhile.
    pub fn reload_now(&self) -> impl Future<Output = Reloaded> + Send + use<> {
        let asks = self.asks.clone();
        async move {
            let (ask, told) = oneshot::channel();
            if asks.send(ask).await.is_err() {
                return Reloaded::Ending;
            }
            told.await.unwrap_or(Reloaded::Ending)
        }
    }
    /// Asks it to take nothing more from the network: not ready at once, then no new connection, then what is open may end.
    /// It goes on serving the app.
    pub fn drain(&self) {
        self.pages.ending.ask(Wish::Drain);
    }
    /// Asks it to end: the same, and what the app calls ends with the app or at `limits.drainDeadline`.
    pub fn ask_to_end(&self) {
        self.pages.ending.ask(Wish::End);
    }
    /// Resolves when it is asked to end, by whomever. Cancel safe.
    pub async fn asked_to_end(&self) {
        self.pages.ending.asked(Wish::End).await;
    }
    /// Says that the app was started beside it, and whether it has exited: nothing is guessed of it then.
    pub fn app_exited(&self, exited: bool) {
        self.pages.ending.app_exited(exited);
    }
    /// Resolves when the app, asked to end with this sidecar, would not be missed by who calls it. Cancel safe.
    pub async fn app_may_end(&self) {
        self.pages.ending.app_may_end().await;
    }
    /// Resolves when there is an identity and everything listens, as `/started` has it. Cancel safe.
    pub async fn started(&self) {
        let mut every = tokio::time::interval(STARTED_EVERY);
        loop {
            every.tick().await;
            if self.pages.health.started().is_ok() {
                return;
            }
        }
    }
    /// Resolves when nothing is open any more that carries traffic, after it was asked to end. Cancel safe.
    pub async fn over(&self) {
        self.pages.ending.over().await;
    }
    /// Lets go of everything after [`Running::over`]; says what was cut.
    pub async fn close(self) -> Ended {
        self.over().await;
        self.let_go().await;
        Ended {
            cut: self.pages.ending.cut(),
        }
    }
    /// Ends it now: no delay, what is in flight may end within `patience`, the rest is cut; says what was.
    pub async fn end(self, patience: Duration) -> Ended {
        self.conduct.abort();
        self.pages.health.drain();
        let mut cut = Vec::new();
        {
            let mut listeners = self.listeners.lock().await;
            listeners.close(Direction::Inbound);
            listeners.close(Direction::Outbound);
            listeners.ended(patience).await;
            cut.extend(listeners.cut(Direction::Inbound).await);
            cut.extend(listeners.cut(Direction::Outbound).await);
        }
        self.let_go().await;
        Ended { cut }
    }
    async fn let_go(&self) {
        self.reload.abort();
        self.listeners.lock().await.end_pages().await;
        let access_log = self.pages.world();
        let access_log = access_log.and_then(|world| world.snapshot().access_log.clone());
        if let Some(access_log) = access_log {
            access_log.flush();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.reload.abort();
        self.conduct.abort();
        self.lookout.abort();
        self.shed.abort();
    }
}

/// What an end cut, by listener; a listener at which nothing was is not named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// The listeners, in no order.
    pub cut: Vec<(Arc<str>, Busy)>,
}

impl Ended {
    /// How many requests, streams and connections.
    pub fn total(&self) -> u64 {
        self.cut.iter().map(|(_, busy)| busy.total()).sum()
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.cut.is_empty() {
            return f.write_str("nothing was cut");
        }
        f.write_str("cut")?;
        for (n, (listener, busy)) in self.cut.iter().enumerate() {
            let before = if n == 0 { ":" } else { ";" };
            write!(f, "{before} {busy} on {listener}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use identity::source::Enforced;

    fn sha256(text: &str) -> Option<[u8; 32]> {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
        digest.as_ref().try_into().ok()
    }

    /// What a source acknowledges is what was put into force: both change with it, and not before.
    #[tokio::test]
    async fn a_source_hears_which_generation_and_which_policy_are_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let root = mint::Authority::root("shop.example");
        let renew = || {
            let leaf = root.leaf("spiffe://shop.example/orders");
            leaf.write_files(folder.path(), &root.bundle_pem());
        };
        renew();
        let free = "{ listen: \"127.0.0.1:0\" }";
        put(
            "sidecar.yaml",
            &format!(
                "identity: {{ trustDomain: shop.example, files: {{ certificate: svid.pem, key: key.pem, bundle: bundle.pem }} }}\n\
                 inbound: [{{ name: web, listen: \"127.0.0.1:0\", app: \"127.0.0.1:9\", protocol: http }}]\n\
                 policy: {{ file: policy.yaml }}\nadmin: {free}\nmetrics: {free}\nhealth: {free}\n\
                 telemetry: {{ accessLog: {{ format: none }} }}\n"
            ),
        );
        let (first, second) = ("rules: []\n", "rules: []\n# mended\n");
        put("policy.yaml", first);
        let running = start(&folder.path().join("sidecar.yaml")).await.unwrap();
        let standing = running.pages.standing();
        let mut seen = Enforced {
            generation: 1,
            policy_sha256: sha256(first),
        };
        assert_eq!(standing.enforced(), Some(seen));

        put("policy.yaml", second);
        let told = standing.enforced_other_than(Some(seen)).await;
        seen.policy_sha256 = sha256(second);
        assert_eq!(told, seen);

        renew();
        let told = standing.enforced_other_than(Some(seen)).await;
        seen.generation = 2;
        assert_eq!(told, seen);
        assert_eq!(running.generation(), 3);
    }
}
