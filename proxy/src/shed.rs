//! Looks at the process' memory, and sheds before its ceiling.
//!
//! In: what is resident, `limits.memory` of the snapshot in force or what the cgroup allows. Out: the pressure that
//! [`Load`](crate::load::Load) goes by, connections asked back, a line in the log. Pages are not asked: probes and admin are always answered.

use crate::memory::{Pressure, ceiling, of_cgroup, resident};
use crate::pages::Pages;
use crate::world::World;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What comes in between two looks is far less than an eighth of a sensible ceiling; a look costs some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often connections are asked back, since memory is given back some time after they ended; and how often it is looked whether
/// there is a ceiling at all.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Looks as long as it is polled.
pub(crate) async fn run(pages: Arc<Pages>) {
    let mut told = Told::default();
    loop {
        let found = pages.world().map(|world| {
            let configured = world.snapshot().config.limits.memory;
            let configured = configured.and_then(|bytes| u64::try_from(bytes).ok());
            (world, ceiling(configured, of_cgroup()))
        });
        if let Some((world, ceiling)) = found {
            watch(world, ceiling, &mut told).await;
        } else {
            sleep(ASK_EVERY).await;
        }
    }
}

/// For as long as connections are asked back once.
async fn watch(world: &World, ceiling: Option<u64>, told: &mut Told) {
    let Some(ceiling) = ceiling else {
        world.load.press(Pressure::None);
        return sleep(ASK_EVERY).await;
    };
    let mut asks = true;
    let ends = Instant::now() + ASK_EVERY;
    while Instant::now() < ends {
        // Where the kernel does not say what is resident, nothing can be shed by it.
        let resident = resident().unwrap_or(0);
        let pressure = Pressure::of(resident, ceiling);
        world.load.press(pressure);
        let asked = match pressure {
            Pressure::High | Pressure::Full if asks => world.load.ask_back(),
            _ => 0,
        };
        told.tell(pressure, resident, ceiling, asked);
        asks = false;
        sleep(LOOK_EVERY).await;
    }
}

/// What was last told, and when.
struct Told {
    pressure: Pressure,
    at: Option<Instant>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            pressure: Pressure::None,
            at: None,
        }
    }
}

impl Told {
    fn tell(&mut self, pressure: Pressure, resident: u64, ceiling: u64, asked: usize) {
        let is_worse = pressure > self.pressure;
        let is_old = self.at.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        let (resident, ceiling) = (resident / 1024, ceiling / 1024);
        match pressure {
            Pressure::None if self.pressure > Pressure::None && is_old => {
                tracing::info!("memory: {resident} KiB of {ceiling} KiB, nothing is shed any more");
            }
            Pressure::None => return,
            Pressure::High if is_worse || is_old => tracing::warn!(
                asked,
                "memory: {resident} KiB of {ceiling} KiB (limits.memory); who holds most gets no more"
            ),
            Pressure::Full if is_worse || is_old => tracing::warn!(
                asked,
                "memory: {resident} KiB of {ceiling} KiB (limits.memory); nothing new is taken"
            ),
            Pressure::High | Pressure::Full => return,
        }
        (self.pressure, self.at) = (pressure, Some(Instant::now()));
    }
}
