//! Conducts the end of a sidecar: asks [`daemon::ending`] what is to be done, and does it.
//!
//! In: what is asked ([`Ending`]), the listeners, the app. Out: closed listeners, how far it is, what was cut.
//!
//! An app that was started beside us has ended when its process has. Of any other one sees only this: an app that accepts
//! nothing any more on any address, and for as long as the delay has neither kept a connection to us nor made one, is gone.
//!
//! 1. What is shown as over is closed.

use crate::ending::Ending;
use crate::listeners::{Crowd, Listeners};
use crate::pages::{Pages, accepts};
use config::Address;
use daemon::ending::{App, Course, Orders, Plan, Seen, Side, Stage, Wish};
use std::sync::Arc;
use std::time::Duration;
use telemetry::Direction;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// How often it is looked at what is open, while it ends: a few counters, which tell nobody of their changes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How often while nothing is to be done: what is open is only shown.
const SHOW_EVERY: Duration = Duration::from_secs(1);
/// How often, at most, the app is asked whether it accepts.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Ends a sidecar as it is asked to. Returns when nothing is open that carries traffic.
pub(crate) async fn conduct(pages: Arc<Pages>, listeners: Arc<Mutex<Listeners>>) {
    let ending = &pages.ending;
    ending.asked(Wish::Drain).await;
    pages.health.drain();
    if ending.app().is_none()
        && let Some(world) = pages.world()
    {
        // An app that we did not start is likely told at the same moment as we.
        let apps = &world.snapshot().apps;
        apps.iter().for_each(|app| app.is_about_to_end());
    }
    let mut conductor = Conductor::new(&pages, listeners);
    loop {
        let orders = conductor.look().await;
        conductor.follow(orders).await;
        match orders.stage {
            Stage::Over => return,
            Stage::Drained => changed(ending, SHOW_EVERY).await,
            Stage::Serving | Stage::Delaying | Stage::Draining => changed(ending, LOOK_EVERY).await,
        }
    }
}

/// Waits until something else is asked, or it is time to look again.
async fn changed(ending: &Ending, at_most: Duration) {
    let _changed_or_not = tokio::time::timeout(at_most, ending.changed()).await;
}

struct Conductor {
    pages: Arc<Pages>,
    listeners: Arc<Mutex<Listeners>>,
    plan: Plan,
    began: Instant,
    course: Course,
    app: Watched,
    said: Stage,
}

impl Conductor {
    fn new(pages: &Arc<Pages>, listeners: Arc<Mutex<Listeners>>) -> Self {
        let config = pages.config();
        let apps = config.inbound.iter().map(|it| it.app.clone()).collect();
        let plan = Plan {
            delay: config.limits.drain_delay,
            deadline: config.limits.drain_deadline,
        };
        Self {
            pages: pages.clone(),
            listeners,
            plan,
            began: Instant::now(),
            course: Course::default(),
            app: Watched::new(apps, plan.delay),
            said: Stage::Serving,
        }
    }

    /// What is to be done now.
    async fn look(&mut self) -> Orders {
        let (inbound, outbound) = {
            let listeners = self.listeners.lock().await;
            let inbound = listeners.crowd(Direction::Inbound);
            (inbound, listeners.crowd(Direction::Outbound))
        };
        let ending = &self.pages.ending;
        let app = match ending.app() {
            Some(true) => App::Exited,
            Some(false) => App::Runs,
            None => self.app.look(outbound).await,
        };
        let seen = Seen {
            inbound: inbound.open,
            outbound: outbound.open,
            app,
        };
        let now = self.began.elapsed();
        self.course.ask(ending.wish(), self.plan, now);
        self.course.step(&seen, now)
    }

    async fn follow(&mut self, orders: Orders) {
        let (mut cut, busy) = (Vec::new(), self.listeners.lock().await.busy());
        let sides = [
            (Direction::Inbound, orders.inbound),
            (Direction::Outbound, orders.outbound),
        ];
        {
            let mut listeners = self.listeners.lock().await;
            for (direction, side) in sides {
                match side {
                    Side::Open => {}
                    Side::Closing => listeners.close(direction),
                    Side::Cut => cut.extend(listeners.cut(direction).await),
                }
            }
        }
        if self.said != orders.stage {
            self.tell(orders.stage);
        }
        self.pages.ending.say(|progress| {
            progress.stage = orders.stage;
            progress.tell_app |= orders.tell_app;
            progress.open = busy;
            progress.cut.extend(cut);
        });
    }

    fn tell(&mut self, stage: Stage) {
        self.said = stage;
        match stage {
            Stage::Delaying => {
                let delay_ms = self.plan.delay.min(self.plan.deadline).as_millis();
                tracing::info!("not ready any more; what comes is taken for {delay_ms} ms more");
            }
            Stage::Draining => tracing::info!(
                "draining: what is open may end, nothing new is taken from the network"
            ),
            Stage::Drained => {
                tracing::info!(
                    "drained: nothing is open from the network; the app is still served"
                );
            }
            Stage::Serving | Stage::Over => {}
        }
    }
}

/// An app that was not started by us.
struct Watched {
    apps: Vec<Address>,
    /// How long it has to be quiet.
    quiet: Duration,
    /// Since when it is, and how many had come then.
    since: Instant,
    begun: u64,
    /// When it was last asked whether it accepts, and whether it did.
    asked: Option<(Instant, bool)>,
}

impl Watched {
    fn new(apps: Vec<Address>, quiet: Duration) -> Self {
        Self {
            apps,
            quiet,
            since: Instant::now(),
            begun: 0,
            asked: None,
        }
    }

    /// How it stands, by what it has open with us.
    async fn look(&mut self, outbound: Crowd) -> App {
        if outbound.begun == 0 {
            // It has no way through us.
            return App::Done;
        }
        if outbound.connections > 0 || outbound.begun != self.begun {
            self.begun = outbound.begun;
            self.since = Instant::now();
            if outbound.connections > 0 {
                return App::Runs;
            }
        }
        if self.since.elapsed() < self.quiet || self.accepts().await {
            return App::Runs;
        }
        App::Done
    }

    async fn accepts(&mut self) -> bool {
        if let Some((at, accepted)) = self.asked
            && at.elapsed() < ASK_EVERY
        {
            return accepted;
        }
        let mut accepted = false;
        for app in &self.apps {
            // One that is gone with its machine may not even refuse.
            let asked = tokio::time::timeout(ASK_EVERY, accepts("", app)).await;
            accepted |= asked.is_ok_and(|accepts| accepts.is_ok());
        }
        self.asked = Some((Instant::now(), accepted));
        accepted
    }
}
