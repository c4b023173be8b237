//! A whole sidecar: from a configuration file to what runs.

use crate::attached::Attached;
use crate::listeners::{Listeners, Listening};
use crate::pages::{Pages, Shown};
use crate::reload::Reload;
use crate::start_error::StartError;
use crate::wanted::{Wanted, open_log};
use daemon::health::Health;
use identity::source::Source;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use telemetry::SidecarMetrics;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

/// A sidecar that runs. Dropping it cuts everything; [`Running::end`] ends it well.
pub struct Running {
    numbers: watch::Receiver<u64>,
    pages: Arc<Pages>,
    listeners: Arc<Mutex<Listeners>>,
    reload: JoinHandle<()>,
}

/// Starts a sidecar from its configuration file.
///
/// Its pages are up when this returns, and if there is an identity, so is everything. If none is there yet, because whoever
/// issues it is still to be asked, ports are bound and nobody is let in until it comes: `/started` says why. Whatever is
/// wrong on this machine is an error, all of it at once, and leaves nothing running. Needs a tokio runtime.
pub async fn start(path: &Path) -> Result<Running, StartError> {
    let wanted = Arc::new(Wanted::load(path).map_err(StartError::Config)?);
    let source = Source::open(&wanted.config.identity).map_err(StartError::Identity)?;
    let metrics = SidecarMetrics::new();
    let access_log = open_log(wanted.config.telemetry.access_log.as_ref(), &metrics)
        .map_err(|(path, error)| StartError::AccessLog(path, error))?;
    let mut listeners = Listeners::default();
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
    let pages = Pages::new(shown, health, metrics);
    listeners.apply(fresh, &wanted.config, None, &pages, Duration::ZERO);

    let (number, numbers) = watch::channel(0);
    let listeners = Arc::new(Mutex::new(listeners));
    let mut reload = Reload::new(
        path,
        wanted,
        source,
        access_log,
        number,
        listeners.clone(),
        pages.clone(),
    );
    reload.begin().await?;
    reload.say();
    Ok(Running {
        numbers,
        pages,
        listeners,
        reload: tokio::spawn(reload.run()),
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
    /// Stops accepting, lets what is in flight end within `patience`, cuts the rest; returns how many connections were cut.
    pub async fn end(self, patience: Duration) -> usize {
        self.pages.health.drain();
        self.reload.abort();
        let cut = self.listeners.lock().await.end(patience).await;
        let access_log = self.pages.world();
        let access_log = access_log.and_then(|world| world.snapshot().access_log.clone());
        if let Some(access_log) = access_log {
            access_log.flush();
        }
        cut
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.reload.abort();
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
