//! Keeps a CA's own certificates alive while it runs, and tells of it once.
//!
//! In: the authority, the drain, the state of health. Out: renewals where they are due, lines of the log, the parts
//! `certificate` and `record` of health.
//!
//! 1. Due is judged again at most [`LOOKED_EVERY`] apart: timers stand still while the machine sleeps, certificates end.
//! 2. What stays the same is told once.

use crate::authority_server::{AuthorityServer, Upkeep};
use crate::dir::Renewal;
use crate::in_force::Ends;
use crate::server_error::ServerError;
use crate::store::Ledger;
use crate::text::date;
use daemon::drain::Draining;
use daemon::health::Health;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

/// How often it is looked whether something is due.
const LOOKED_EVERY: Duration = Duration::from_secs(5);
/// How long before its end the root is spoken of: time enough to reach everybody who trusts it.
const ROOT_NOTE: Duration = Duration::from_secs(90 * 24 * 60 * 60);

/// What health calls the CA's own certificate.
pub(crate) const CERTIFICATE: &str = "certificate";

/// What health calls the place where certificates are recorded.
pub(crate) const RECORD: &str = "record";
/// Why it is lost: its writer never ends by itself.
const RECORD_LOST: &str =
    "its writer has died and nothing is issued any more; look at the log, and start the ca again";

/// Looks and renews until the drain starts.
pub(crate) async fn run<L: Ledger + 'static>(
    server: Arc<AuthorityServer<L>>,
    draining: Draining,
    health: Arc<Health>,
) {
    let mut told = Told::default();
    loop {
        let (at_work, now) = (Arc::clone(&server), SystemTime::now());
        // It reads files and may wait for a lock.
        let done = tokio::task::spawn_blocking(move || at_work.renew_itself(now)).await;
        match done {
            Ok(done) => {
                for line in told.news(&done, server.ends(), now) {
                    line.log();
                }
                match certificate(&done, server.ends(), SystemTime::now()) {
                    Ok(()) => health.up(CERTIFICATE),
                    Err(why) => health.down(CERTIFICATE, why),
                }
            }
            // Reported when it happened; the next look may do better, and until then probes should know.
            Err(panicked) if panicked.is_panic() => {
                health.down(CERTIFICATE, "its renewal panicked; look at the log");
            }
            Err(_runtime_is_ending) => return,
        }
        if server.ledger().is_over() && health.live().is_ok() {
            tracing::error!("the record: {RECORD_LOST}");
            health.lose(RECORD, RECORD_LOST);
        }
        if timeout(LOOKED_EVERY, draining.started()).await.is_ok() {
            return;
        }
    }
}

/// Whether clients can shake hands with what the CA answers with.
fn certificate(
    done: &Result<Upkeep, ServerError>,
    ends: Ends,
    now: SystemTime,
) -> Result<(), String> {
    if now < ends.own {
        return Ok(());
    }
    let why = match done {
        Err(error) => error.to_string(),
        Ok(_) => "the next one is about to be made".to_owned(),
    };
    Err(format!("ended at {}: {why}", at(ends.own)))
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    Good(String),
    Bad(String),
}

impl News {
    fn log(&self) {
        match self {
            News::Good(line) => tracing::info!("{line}"),
            News::Bad(line) => tracing::warn!("{line}"),
        }
    }
}

/// What was told already.
#[derive(Debug, Default)]
struct Told {
    trouble: Option<String>,
    root: bool,
}

impl Told {
    /// What is new of what was done.
    fn news(
        &mut self,
        done: &Result<Upkeep, ServerError>,
        ends: Ends,
        now: SystemTime,
    ) -> Vec<News> {
        let mut news = Vec::new();
        let trouble = match done {
            Ok(Upkeep {
                issuer: Renewal::RootAway,
                ..
            }) => Some(format!(
                "the issuer ends at {} and no next one can be made: the root's key is away; put it back before that",
                at(ends.issuer)
            )),
            Ok(_) => None,
            Err(error) => Some(format!("the ca cannot renew itself: {error}")),
        };
        if let Ok(done) = done
            && done.issuer == Renewal::Renewed
        {
            let end = at(ends.issuer);
            news.push(News::Good(format!("a new issuer took over, until {end}")));
        }
        if trouble != self.trouble {
            news.push(match &trouble {
                Some(trouble) => News::Bad(trouble.clone()),
                None => News::Good("the ca renews itself again".to_owned()),
            });
            self.trouble = trouble;
        }
        if !self.root && now + ROOT_NOTE > ends.root {
            self.root = true;
            let end = at(ends.root);
            news.push(News::Bad(format!(
                "the root ends at {end}; put a new one beside it in every bundle before that"
            )));
        }
        news
    }
}

fn at(time: SystemTime) -> String {
    date(
        time.duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::fixture::server;
    use crate::stated::NotStated;
    use crate::store::Store;

    const NOW: SystemTime = UNIX_EPOCH;
    const DAY: Duration = Duration::from_secs(86_400);

    fn ends() -> Ends {
        Ends {
            own: NOW + DAY,
            issuer: NOW + 7 * DAY,
            root: NOW + 700 * DAY,
        }
    }

    fn away() -> Result<Upkeep, ServerError> {
        let (own, issuer) = (false, Renewal::RootAway);
        Ok(Upkeep { own, issuer })
    }

    /// Looks once, and says what probes hear then.
    async fn looked(
        server: &Arc<AuthorityServer<Store>>,
    ) -> (Result<(), String>, Result<(), String>) {
        let health = Arc::new(Health::waiting_for(&[(CERTIFICATE, "not looked at yet")]));
        let (drain, draining) = daemon::drain::pair();
        draining.track(run(
            Arc::clone(server),
            draining.clone(),
            Arc::clone(&health),
        ));
        // The drain is heard after the first look.
        assert_eq!(drain.start_and_wait(Duration::from_secs(10)).await, 0);
        (health.live(), health.ready())
    }

    #[tokio::test]
    async fn a_record_whose_writer_died_is_told_to_probes() {
        let folder = tempfile::TempDir::new().unwrap();
        let server = server(folder.path()).await;
        assert_eq!(looked(&server).await, (Ok(()), Ok(())));

        server.ledger().break_down();

        let lost = Err(format!("{RECORD}: {RECORD_LOST}"));
        assert_eq!(looked(&server).await, (lost.clone(), lost));
    }

    #[test]
    fn what_stays_the_same_is_told_once() {
        let mut told = Told::default();
        let bad = "the issuer ends at 1970-01-08T00:00:00Z and no next one can be made: the root's key is away; put it back \
                   before that";
        for (done, expected) in [
            (Ok(Upkeep::default()), vec![]),
            (away(), vec![News::Bad(bad.to_owned())]),
            (away(), vec![]),
            (
                Ok(Upkeep {
                    own: true,
                    issuer: Renewal::Renewed,
                }),
                vec![
                    News::Good("a new issuer took over, until 1970-01-08T00:00:00Z".to_owned()),
                    News::Good("the ca renews itself again".to_owned()),
                ],
            ),
            (Ok(Upkeep::default()), vec![]),
            (
                Err(ServerError::NotStated(NotStated::KeyAway)),
                vec![News::Bad(format!(
                    "the ca cannot renew itself: {}",
                    ServerError::NotStated(NotStated::KeyAway)
                ))],
            ),
            (Err(ServerError::NotStated(NotStated::KeyAway)), vec![]),
            (away(), vec![News::Bad(bad.to_owned())]),
        ] {
            assert_eq!(told.news(&done, ends(), NOW), expected, "{done:?}");
        }
    }

    #[test]
    fn a_root_that_ends_soon_is_told_once() {
        let mut told = Told::default();
        let line = "the root ends at 1971-12-02T00:00:00Z; put a new one beside it in every bundle before that";
        let done = Ok(Upkeep::default());

        assert_eq!(told.news(&done, ends(), NOW + 600 * DAY), vec![]);
        let news = told.news(&done, ends(), NOW + 650 * DAY);
        assert_eq!(news, [News::Bad(line.to_owned())]);
        assert_eq!(told.news(&done, ends(), NOW + 651 * DAY), vec![]);
    }

    #[test]
    fn a_certificate_that_has_ended_says_why() {
        let failed = Err(ServerError::NotStated(NotStated::KeyAway));
        let why = format!(
            "ended at 1970-01-02T00:00:00Z: {}",
            ServerError::NotStated(NotStated::KeyAway)
        );

        assert_eq!(certificate(&failed, ends(), NOW), Ok(()));
        assert_eq!(certificate(&failed, ends(), NOW + DAY), Err(why));
    }
}
