//! Whether something that is open may stay open: a connection of bytes, an upgraded one, a tunnel.
//!
//! In: when an identity on it must have done with it, and how a snapshot judges it. Out: a future that resolves when it must
//! end now, with the reason. Nothing happens between one snapshot and the next: an open thing costs nothing for being judged.
//!
//! 1. What a snapshot forbids ends with it; what it allows does not notice that there was one.
//! 2. No snapshot is passed over: one that came while the thing was being opened judges it too.

use crate::clock::Passed;
use crate::exchange::{CERTIFICATE_ENDED, Exchange, Facts};
use crate::news::News;
use crate::over::Over;
use crate::snapshot::Snapshot;
use crate::under_way::Claim;
use crate::world::World;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

/// How a snapshot judges a request.
type JudgeRequest = dyn Fn(&Snapshot, &Claim) -> Result<(), Over> + Send + Sync;

/// How the requests of one connection are judged while they are under way: for the connection itself, and for what becomes of
/// one of them. Clones judge alike.
#[derive(Clone)]
pub(crate) struct Judging {
    world: Arc<World>,
    judge: Arc<JudgeRequest>,
}

impl Judging {
    /// By this judge.
    pub(crate) fn by(
        world: &Arc<World>,
        judge: impl Fn(&Snapshot, &Claim) -> Result<(), Over> + Send + Sync + 'static,
    ) -> Self {
        Self {
            world: world.clone(),
            judge: Arc::new(judge),
        }
    }
    /// Where the snapshots come from.
    pub(crate) fn world(&self) -> &World {
        &self.world
    }
    /// What hears of every snapshot from now on.
    pub(crate) fn news(&self) -> News {
        self.world.news(self.world.snapshot().number)
    }
    /// Ends the requests that what is in force forbids. Whether the connection itself has to end for that.
    pub(crate) fn look(&self, facts: &Facts) -> bool {
        let now = self.world.snapshot();
        facts.under_way.judge(|claim| (self.judge)(&now, claim))
    }
    /// For what becomes of a request that was permitted: a connection of another protocol. `cut_at` as in [`Still::new`].
    pub(crate) fn still(&self, exchange: &Exchange, cut_at: Option<SystemTime>) -> Still {
        let (claim, judge) = (exchange.claim(), self.judge.clone());
        let permitted_by = claim.as_ref().map_or(0, |claim| claim.permitted_by);
        Still::new(&self.world, permitted_by, cut_at, move |now| {
            claim.as_ref().map_or(Ok(()), |claim| judge(now, claim))
        })
    }
}

/// How a snapshot judges something that is open.
type Judge = Box<dyn FnMut(&Snapshot) -> Result<(), Over> + Send>;

/// Resolves when something that is open must end, with the reason; never, if it may stay.
pub(crate) struct Still {
    world: Arc<World>,
    news: News,
    cut: Passed,
    judge: Judge,
}

impl Still {
    /// Of something that was permitted under the snapshot of this number. `cut_at` is when an identity on it has ended for so long
    /// that what is open ends too. Needs a tokio runtime.
    pub(crate) fn new(
        world: &Arc<World>,
        permitted_by: u64,
        cut_at: Option<SystemTime>,
        judge: impl FnMut(&Snapshot) -> Result<(), Over> + Send + 'static,
    ) -> Self {
        Self {
            world: world.clone(),
            news: world.news(permitted_by),
            cut: Passed::at(cut_at),
            judge: Box::new(judge),
        }
    }
}

impl Future for Still {
    type Output = Over;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Over> {
        let this = &mut *self;
        if Pin::new(&mut this.cut).poll(cx).is_ready() {
            return Poll::Ready(Over::because(
                CERTIFICATE_ENDED,
                "a certificate on it had ended",
            ));
        }
        while this.news.poll(cx).is_ready() {
            if let Err(over) = (this.judge)(&this.world.snapshot()) {
                return Poll::Ready(over);
            }
        }
        Poll::Pending
    }
}
