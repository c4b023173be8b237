//! What is asked of a sidecar, and how far it is with it: shared by whoever asks, whoever does it and whoever looks.

use crate::open::Busy;
use daemon::ending::{Stage, Wish};
use serde_json::json;
use std::sync::Arc;
use tokio::sync::watch;

/// The end of one sidecar, from serving on.
pub(crate) struct Ending {
    wish: watch::Sender<Wish>,
    progress: watch::Sender<Progress>,
    /// Whether the app that was started beside us has exited; `None`: the app is not ours.
    app: watch::Sender<Option<bool>>,
}

/// How far an end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Where it is.
    pub(crate) stage: Stage,
    /// Whether the app may be told to end.
    pub(crate) tell_app: bool,
    /// What was under way at the last look.
    pub(crate) open: Busy,
    /// What was cut so far, by listener.
    pub(crate) cut: Vec<(Arc<str>, Busy)>,
}

impl Ending {
    pub(crate) fn new() -> Self {
        let progress = Progress {
            stage: Stage::Serving,
            tell_app: false,
            open: Busy::default(),
            cut: Vec::new(),
        };
        Self {
            wish: watch::Sender::new(Wish::Serve),
            progress: watch::Sender::new(progress),
            app: watch::Sender::new(None),
        }
    }
    /// Asks; what was asked before and is more stays.
    pub(crate) fn ask(&self, wish: Wish) {
        self.wish.send_if_modified(|asked| {
            let more = wish > *asked;
            *asked = wish.max(*asked);
            more
        });
    }
    /// What is asked now.
    pub(crate) fn wish(&self) -> Wish {
        *self.wish.borrow()
    }
    /// Resolves when as much is asked. Cancel safe.
    pub(crate) async fn asked(&self, wish: Wish) {
        // It cannot fail while `self` lives.
        let _ = self.wish.subscribe().wait_for(|asked| *asked >= wish).await;
    }
    /// Says whether the app, which was started beside us, has exited.
    pub(crate) fn app_exited(&self, exited: bool) {
        self.app.send_replace(Some(exited));
    }
    /// Whether the app has exited; `None`: it is not ours.
    pub(crate) fn app(&self) -> Option<bool> {
        *self.app.borrow()
    }
    /// Resolves when something changes that a look depends on.
    pub(crate) async fn changed(&self) {
        let (mut wish, mut app) = (self.wish.subscribe(), self.app.subscribe());
        tokio::select! {
            _ = wish.changed() => {}
            _ = app.changed() => {}
        }
    }
    /// Says how far it is.
    pub(crate) fn say(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(change);
    }
    /// Resolves when the app may be told to end. Cancel safe.
    pub(crate) async fn app_may_end(&self) {
        let mut progress = self.progress.subscribe();
        let _ = progress.wait_for(|progress| progress.tell_app).await;
    }
    /// Resolves when nothing is open. Cancel safe.
    pub(crate) async fn over(&self) {
        let mut progress = self.progress.subscribe();
        let _ = progress
            .wait_for(|progress| progress.stage == Stage::Over)
            .await;
    }
    /// What was cut so far, by listener.
    pub(crate) fn cut(&self) -> Vec<(Arc<str>, Busy)> {
        self.progress.borrow().cut.clone()
    }
    /// Where it is, in a word.
    pub(crate) fn stage(&self) -> &'static str {
        self.progress.borrow().stage.as_str()
    }
    /// How far it is, for the admin socket: what was under way at the last look is known from the wish on.
    pub(crate) fn shown(&self) -> String {
        let progress = self.progress.borrow();
        let mut cut = Busy::default();
        progress.cut.iter().for_each(|(_, more)| cut += *more);
        let shown = |busy: Busy| json!({ "requests": busy.requests, "streams": busy.streams, "upgraded": busy.upgraded, "tcp": busy.tcp });
        let stage = match self.wish() {
            Wish::Serve => progress.stage,
            // It may not have been looked at yet.
            Wish::Drain | Wish::End => progress.stage.max(Stage::Delaying),
        };
        let document = json!({
            "stage": stage.as_str(),
            "ending": self.wish() >= Wish::End,
            "open": shown(progress.open),
            "cut": shown(cut),
        });
        format!("{document:#}\n")
    }
}
