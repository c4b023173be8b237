//! One run: a quiet half, an attacked half, and what is left of it afterwards.

use super::call::calls;
use super::counted::{Counted, counted};
use super::process::{Pair, Process};
use crate::online::{Failed, Spread};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How long memory may take to be given back.
const AFTER: Duration = Duration::from_secs(15);
/// How long strangers may take until all of their connections stand.
const GATHERING: Duration = Duration::from_secs(120);
/// How long after that the last of them may take to be ended by a limit: `limits.idle` is the longest of those.
const JUDGED: Duration = Duration::from_secs(150);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Of what was taken under attack at most this part, one in so many, may stay: what is warm now, such as pools and series.
const KEPT_ONE_IN: u64 = 10;

/// How long each half is.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Of a half.
    pub lasts: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Withstood {
    /// Milliseconds that a call took in the quiet half.
    pub quiet_ms: Spread,
    /// The same in the attacked half.
    pub attacked_ms: Spread,
    /// Calls that failed in the attacked half.
    pub failed: usize,
    /// Connections that idled.
    pub idle: usize,
    /// The sidecars' memory before, at most and after, in KiB.
    pub resident_kib: [u64; 3],
    /// What they counted.
    pub counted: Vec<Counted>,
}

impl Withstood {
    /// Median of the attacked half, in medians of the quiet one.
    pub fn ratio(&self) -> f64 {
        self.attacked_ms.median / self.quiet_ms.median
    }
    /// What is not as it must be.
    pub fn missed(&self) -> Vec<String> {
        let mut missed = Vec::new();
        if self.ratio() > 2.0 {
            missed.push(format!("others waited {:.2} times as long", self.ratio()));
        }
        if self.failed > 0 {
            missed.push(format!("{} calls of others failed", self.failed));
        }
        let [before, peak, after] = self.resident_kib;
        let taken = peak.saturating_sub(before);
        if after.saturating_sub(before) > taken / KEPT_ONE_IN {
            missed.push(format!("{after} KiB are kept, of {peak}"));
        }
        let uncounted = self.counted.iter().filter(|it| it.times == 0);
        missed.extend(uncounted.map(|it| format!("{} are not counted", it.attack)));
        missed
    }
}

impl Attack {
    /// Measures, with this program for sidecars and strangers.
    pub async fn measure(self, program: &Path, folder: &Path) -> Result<Withstood, Failed> {
        let pair = Pair::start(program, folder, "75s").await?;
        let (warm, _) = calls(pair.http, Duration::from_secs(2)).await?;
        drop(warm);
        let before = pair.process.resident_kib()?;
        let (quiet, _) = calls(pair.http, self.lasts).await?;

        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(program).arg("strangers");
        command.arg(pair.http.to_string()).arg(pair.web.to_string());
        let mut strangers = Process::start(command)?;
        let idle = strangers.line(GATHERING).await?.trim().parse()?;
        let (attacked, failed) = calls(pair.http, self.lasts).await?;
        let peak = pair.process.resident_kib()?;
        let counted = judged(&pair).await?;
        drop(strangers);
        sleep(AFTER).await;
        let after = pair.process.resident_kib()?;
        Ok(Withstood {
            quiet_ms: Spread::of(quiet).ok_or("no call in the quiet half")?,
            attacked_ms: Spread::of(attacked).ok_or("no call in the attacked half")?,
            failed,
            idle,
            resident_kib: [before, peak, after],
            counted,
        })
    }
}

/// What is counted once every attack has met its limit, or the time is over.
async fn judged(pair: &Pair) -> Result<Vec<Counted>, Failed> {
    let ends = Instant::now() + JUDGED;
    loop {
        let counted = counted(pair.metrics).await?;
        if counted.iter().all(|it| it.times > 0) || Instant::now() >= ends {
            return Ok(counted);
        }
        sleep(LOOK_EVERY).await;
    }
}
