//! Whether the process has started, is ready and lives, each with its reason.
//!
//! In: the named parts that must be up, set as they come and go, and a probe that asks the app. Out: pages for kubelet,
//! compose and people: 200, or 503 with one line that says what is missing.
//!
//! 1. `/started` is every part up: what others wait for. It does not ask the app, which may itself wait for us.
//! 2. `/ready` is that, not draining, and the app accepts.  3. `/live` is answered while anything is: restarting a process
//!    whose CA is away would only take its traffic down too. It says no once a part is lost that only a restart brings back.
use crate::pages::{Page, Request};
use http::StatusCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Within kubelet's own timeout of a second.
const PROBE_WITHIN: Duration = Duration::from_millis(900);
const PAGES: [&str; 4] = ["/started", "/ready", "/live", "/healthz/ready"];

/// The state of every part.
#[derive(Debug)]
pub struct Health(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Its name, and why it is not up, if it is not.
    parts: Vec<(&'static str, Option<String>)>,
    draining: bool,
    /// What only a restart brings back, and why.
    lost: Option<(&'static str, String)>,
}

impl Health {
    /// These parts are awaited, each with what it waits for (`("certificate", "waiting for the first one")`).
    pub fn waiting_for(parts: &[(&'static str, &str)]) -> Self {
        let parts = parts
            .iter()
            .map(|(part, why)| (*part, Some((*why).to_owned())))
            .collect();
        Health(Mutex::new(State {
            parts,
            draining: false,
            lost: None,
        }))
    }

    /// This part is up.
    pub fn up(&self, part: &'static str) {
        self.set(part, None);
    }

    /// This part is not up (any more), and why.
    pub fn down(&self, part: &'static str, why: impl Into<String>) {
        self.set(part, Some(why.into()));
    }

    /// This part is not up any more, and nothing but a restart of the process brings it back.
    pub fn lose(&self, part: &'static str, why: impl Into<String>) {
        let why = why.into();
        self.state().lost = Some((part, why.clone()));
        self.down(part, why);
    }

    /// Whether this part is awaited and not up.
    pub fn is_down(&self, part: &str) -> bool {
        let state = self.state();
        let mut parts = state.parts.iter();
        parts.any(|(name, why)| *name == part && why.is_some())
    }

    /// The process is ending: it is not ready from now on.
    pub fn drain(&self) {
        self.state().draining = true;
    }

    /// Whether every part is up, or one line that says which are not.
    pub fn started(&self) -> Result<(), String> {
        let state = self.state();
        let missing: Vec<String> = state
            .parts
            .iter()
            .filter_map(|(part, why)| Some(format!("{part}: {}", why.as_ref()?)))
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(missing.join("; "))
        }
    }

    /// Whether traffic is welcome, as far as we know without asking the app.
    pub fn ready(&self) -> Result<(), String> {
        if self.state().draining {
            return Err("draining".into());
        }
        self.started()
    }

    /// Whether the process is worth keeping, or one line that says why it is not.
    pub fn live(&self) -> Result<(), String> {
        match &self.state().lost {
            Some((part, why)) => Err(format!("{part}: {why}")),
            None => Ok(()),
        }
    }

    /// Whether traffic is welcome and the app accepts, which is asked only where the rest is so, and has 900 ms.
    pub async fn is_ready<F>(&self, app_accepts: impl FnOnce() -> F) -> Result<(), String>
    where
        F: Future<Output = Result<(), String>>,
    {
        self.ready()?;
        probe(app_accepts()).await
    }

    /// The page at the request's path. `app_accepts` is asked for readiness only, and has 900 ms.
    pub async fn page<F>(&self, request: &Request, app_accepts: impl FnOnce() -> F) -> Page
    where
        F: Future<Output = Result<(), String>>,
    {
        match request.uri().path() {
            "/live" => page("live", self.live()),
            "/started" => page("started", self.started()),
            "/ready" | "/healthz/ready" => page("ready", self.is_ready(app_accepts).await),
            _ => Page::not_found(&PAGES),
        }
    }

    fn set(&self, part: &'static str, why: Option<String>) {
        let mut state = self.state();
        match state.parts.iter_mut().find(|(name, _)| *name == part) {
            Some((_, slot)) => *slot = why,
            None => state.parts.push((part, why)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn probe(app_accepts: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    let too_late = || format!("app: no answer within {} ms", PROBE_WITHIN.as_millis());
    tokio::time::timeout(PROBE_WITHIN, app_accepts)
        .await
        .unwrap_or_else(|_| Err(too_late()))
}

fn page(what: &str, state: Result<(), String>) -> Page {
    match state {
        Ok(()) => Page::text(StatusCode::OK, what),
        // One line, whatever an error of the system put into it.
        Err(why) => Page::text(
            StatusCode::SERVICE_UNAVAILABLE,
            format!("not {what}: {}", why.replace(['\r', '\n'], " ")),
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::future::{pending, ready};

    fn health() -> Health {
        Health::waiting_for(&[
            ("certificate", "waiting for the first one"),
            ("listeners", "not bound yet"),
        ])
    }

    async fn check<F: Future<Output = Result<(), String>>>(
        health: &Health,
        path: &str,
        app: F,
        status: u16,
        text: &str,
    ) {
        let request = http::Request::get(path).body(()).unwrap();
        let page = health.page(&request, || app).await;
        assert_eq!(
            (page.status.as_u16(), page.body.as_ref()),
            (status, format!("{text}\n").as_bytes()),
            "{path}"
        );
    }

    #[tokio::test]
    async fn a_process_has_started_when_every_part_is_up() {
        let health = health();
        let waits = "not started: certificate: waiting for the first one; listeners: not bound yet";
        check(&health, "/started", ready(Ok(())), 503, waits).await;
        health.up("listeners");
        check(
            &health,
            "/started",
            ready(Ok(())),
            503,
            "not started: certificate: waiting for the first one",
        )
        .await;
        health.up("certificate");
        check(
            &health,
            "/started",
            ready(Err("app: not up".into())),
            200,
            "started",
        )
        .await;
        health.down("certificate", "ended\nat noon");
        check(
            &health,
            "/started",
            ready(Ok(())),
            503,
            "not started: certificate: ended at noon",
        )
        .await;
        check(&health, "/live", ready(Ok(())), 200, "live").await;
    }

    #[tokio::test]
    async fn a_process_that_lost_what_only_a_restart_brings_back_does_not_live() {
        let health = Health::waiting_for(&[]);
        health.down("certificate", "ended");
        check(&health, "/live", pending(), 200, "live").await;

        health.lose("record", "its writer died");
        health.up("certificate");

        let (live, ready) = (
            "not live: record: its writer died",
            "not ready: record: its writer died",
        );
        check(&health, "/live", pending(), 503, live).await;
        check(&health, "/ready", pending(), 503, ready).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_is_ready_when_started_not_draining_and_the_app_accepts() {
        let health = health();
        check(
            &health,
            "/ready",
            pending(),
            503,
            "not ready: certificate: waiting for the first one; listeners: not bound yet",
        )
        .await;
        health.up("listeners");
        health.up("certificate");
        for path in ["/ready", "/healthz/ready"] {
            check(&health, path, ready(Ok(())), 200, "ready").await;
            check(
                &health,
                path,
                ready(Err("app: connection refused".into())),
                503,
                "not ready: app: connection refused",
            )
            .await;
            check(
                &health,
                path,
                pending(),
                503,
                "not ready: app: no answer within 900 ms",
            )
            .await;
        }
        health.drain();
        check(&health, "/ready", ready(Ok(())), 503, "not ready: draining").await;
        check(&health, "/started", ready(Ok(())), 200, "started").await;
        check(
            &health,
            "/nothing",
            ready(Ok(())),
            404,
            "no such page; there are /started /ready /live /healthz/ready",
        )
        .await;
    }
}
