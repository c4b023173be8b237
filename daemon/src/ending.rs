//! How a process that stands beside an app ends: not ready at once, then no new work, then what is left is cut.
//!
//! In: what was asked and when, what is still open, how the app stands, the time. Out: what each side does now, and when to
//! look again. Pure: no clock, no I/O; times are counted from a moment that the caller chose. It closes nothing itself.
//!
//! 1. Stages only go forward, and what was asked is never taken back.
//! 2. What the app calls through us stays open until the app needs it no more, or the deadline has passed.
//! 3. After the deadline nothing is open. It is one: counted from the wish to end, the delay included.
use std::time::Duration;

/// How long what is under way gets once the app has exited: it can only be last bytes.
pub const AFTER_EXIT: Duration = Duration::from_secs(5);

/// How much time an end takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// New work is still taken for so long: whoever sends it has to hear first that we are not ready any more.
    pub delay: Duration,
    /// What is open after this is cut; never before the delay is looked at, which it bounds.
    pub deadline: Duration,
}

/// What is asked of a process; a later one includes the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// That it serves.
    Serve,
    /// That it takes nothing more from the network; it goes on serving the app.
    Drain,
    /// That it ends.
    End,
}

impl Wish {
    /// As a verb.
    pub fn as_str(self) -> &'static str {
        match self {
            Wish::Serve => "serve",
            Wish::Drain => "drain",
            Wish::End => "end",
        }
    }
}

/// How the app stands, as far as can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// It may still call through us.
    Runs,
    /// It seems to be gone, or has no way through us.
    Done,
    /// It has exited, for certain.
    Exited,
}

/// What is seen at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Listeners and connections from the network to the app.
    pub inbound: usize,
    /// Listeners and connections from the app to the network.
    pub outbound: usize,
    /// The app.
    pub app: App,
}

/// Where in its end a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nobody asked.
    Serving,
    /// Not ready, and everything is still taken.
    Delaying,
    /// What is open ends; nothing new comes from the network.
    Draining,
    /// Nothing from the network is open, and nobody asked for the end.
    Drained,
    /// Nothing is open.
    Over,
}

impl Stage {
    /// A label that never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Serving => "serving",
            Stage::Delaying => "delaying",
            Stage::Draining => "draining",
            Stage::Drained => "drained",
            Stage::Over => "over",
        }
    }
}

/// What becomes of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// It takes what comes.
    Open,
    /// It takes nothing new and lets what is open end.
    Closing,
    /// It is cut.
    Cut,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Orders {
    /// Where in its end the process is.
    pub stage: Stage,
    /// From the network to the app.
    pub inbound: Side,
    /// From the app to the network.
    pub outbound: Side,
    /// Whether the app may be told to end: nothing more comes to it.
    pub tell_app: bool,
    /// When there is something to do even if nothing else happens.
    pub look_at: Option<Duration>,
}

/// The course of one end.
#[derive(Clone, Debug, Default)]
pub struct Course {
    /// When the drain was asked for, and its plan.
    drain: Option<(Duration, Plan)>,
    /// When the end was asked for.
    end: Option<Duration>,
    /// When the app was first seen to have exited.
    exited: Option<Duration>,
    stage: Option<Stage>,
}

impl Course {
    /// Takes a wish; the plan of the first that is more than to serve holds.
    pub fn ask(&mut self, wish: Wish, plan: Plan, now: Duration) {
        if wish >= Wish::Drain {
            self.drain.get_or_insert((now, plan));
        }
        if wish >= Wish::End {
            self.end.get_or_insert(now);
        }
    }

    /// Judges what is seen.
    pub fn step(&mut self, seen: &Seen, now: Duration) -> Orders {
        if seen.app == App::Exited {
            self.exited.get_or_insert(now);
        }
        let Some((asked, plan)) = self.drain else {
            return Orders {
                stage: Stage::Serving,
                inbound: Side::Open,
                outbound: Side::Open,
                tell_app: false,
                look_at: None,
            };
        };
        let times = Times::of(asked, plan, self.end, self.exited);
        let closing = self.stage.is_some_and(|stage| stage > Stage::Delaying)
            || now >= times.closes
            || seen.inbound == 0
            || self.exited.is_some();
        let mut orders = match closing {
            false => Orders {
                stage: Stage::Delaying,
                inbound: Side::Open,
                outbound: Side::Open,
                tell_app: false,
                look_at: Some(times.closes),
            },
            true => closed(&times, seen, now),
        };
        if let Some(before) = self.stage {
            orders.stage = orders.stage.max(before);
        }
        self.stage = Some(orders.stage);
        orders
    }
}

/// The moments of one end.
struct Times {
    /// New work is taken until then.
    closes: Duration,
    /// What came from the network is cut then.
    inbound_cut: Duration,
    /// The app is told at the latest then, though it is still at work; `None`: nobody asked for the end.
    tells: Option<Duration>,
    /// Everything is cut then.
    over: Option<Duration>,
}

impl Times {
    fn of(asked: Duration, plan: Plan, end: Option<Duration>, exited: Option<Duration>) -> Self {
        let closes = asked.saturating_add(plan.delay.min(plan.deadline));
        let soon = exited.map_or(Duration::MAX, |exited| exited.saturating_add(AFTER_EXIT));
        let over = end.map(|end| end.saturating_add(plan.deadline).min(soon));
        // What never ends by itself (a subscription, a WebSocket) is the app's to end: it gets half of the time for that.
        let tells = end.zip(over).map(|(end, over)| {
            let from = closes.max(end);
            from + over.saturating_sub(from) / 2
        });
        Self {
            closes,
            inbound_cut: asked.saturating_add(plan.deadline).min(soon),
            tells,
            over,
        }
    }
}

/// Orders once new work is refused.
fn closed(times: &Times, seen: &Seen, now: Duration) -> Orders {
    let inbound_over = seen.inbound == 0;
    let done = match seen.app {
        App::Runs => false,
        // What holds a request from the network is not gone, whatever it looks like.
        App::Done => inbound_over,
        App::Exited => true,
    };
    let ending = times.over.is_some();
    let cut = times.over.is_some_and(|over| now >= over);
    let nothing_open = inbound_over && seen.outbound == 0 && done;
    let stage = match ending {
        true if cut || nothing_open => Stage::Over,
        true => Stage::Draining,
        false if inbound_over => Stage::Drained,
        false => Stage::Draining,
    };
    let moments = [Some(times.inbound_cut), times.tells, times.over];
    Orders {
        stage,
        inbound: match cut || now >= times.inbound_cut {
            true => Side::Cut,
            false => Side::Closing,
        },
        outbound: match (cut, ending && done) {
            (true, _) => Side::Cut,
            (false, true) => Side::Closing,
            (false, false) => Side::Open,
        },
        tell_app: ending && (inbound_over || times.tells.is_some_and(|tells| now >= tells)),
        look_at: moments.into_iter().flatten().filter(|at| *at > now).min(),
    }
}

#[cfg(test)]
mod tests;
