//! Calls of the storefront, one after the other without a pause, for as long as a promise is observed.
//!
//! In: a running mesh. Out: how many calls there were and what became of those that failed.

use super::caller::Call;
use super::observe::Broken;
use super::trial::TEA;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Two at a time, each some hundred calls a second: the machine has more to do.
const CALLERS: usize = 2;
const BETWEEN: Duration = Duration::from_millis(5);

/// Calls under way.
pub(crate) struct Traffic {
    enough: CancellationToken,
    callers: JoinSet<Tally>,
}

/// What became of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    calls: u64,
    failures: u64,
    first: Option<String>,
}

impl Traffic {
    /// From now on, through the storefront's way out.
    pub(crate) fn begin(storefront_out: SocketAddr) -> Self {
        let enough = CancellationToken::new();
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(call_until(enough.clone(), TEA, storefront_out));
        }
        Traffic { enough, callers }
    }

    /// Lets the last calls end; all of them must have been answered well. Returns how many there were.
    pub(crate) async fn end(self) -> Result<u64, Broken> {
        self.enough.cancel();
        let tallies = self.callers.join_all().await;
        Tally::of(tallies).unfailed()
    }
}

async fn call_until(enough: CancellationToken, call: Call<'static>, to: SocketAddr) -> Tally {
    let mut tally = Tally::default();
    while !enough.is_cancelled() {
        tally.count(match call.in_clear(to).await {
            Ok(answer) if answer.status.is_success() => None,
            Ok(answer) => Some(answer.status.to_string()),
            Err(why) => Some(why.to_string()),
        });
        tokio::select! {
            () = tokio::time::sleep(BETWEEN) => {}
            () = enough.cancelled() => {}
        }
    }
    tally
}

impl Tally {
    fn count(&mut self, failure: Option<String>) {
        self.calls += 1;
        if let Some(failure) = failure {
            self.failures += 1;
            self.first.get_or_insert(failure);
        }
    }

    fn of(tallies: Vec<Tally>) -> Self {
        tallies
            .into_iter()
            .fold(Tally::default(), |all, one| Tally {
                calls: all.calls + one.calls,
                failures: all.failures + one.failures,
                first: all.first.or(one.first),
            })
    }

    fn unfailed(self) -> Result<u64, Broken> {
        match self.first {
            None => Ok(self.calls),
            Some(first) => Err(Broken::Failed {
                calls: self.calls,
                failures: self.failures,
                first,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn one_failure_among_many_calls_is_told() {
        let mut tally = Tally::default();
        (0..999).for_each(|_| tally.count(None));
        tally.count(Some("503 Service Unavailable".to_owned()));

        let broken = Tally::of(vec![Tally::default(), tally]).unfailed();

        assert_eq!(
            broken.unwrap_err().to_string(),
            "1 of 1000 calls failed, the first with: 503 Service Unavailable"
        );
    }

    #[test]
    fn calls_without_a_failure_are_counted() {
        let mut tally = Tally::default();
        (0..7).for_each(|_| tally.count(None));

        assert_eq!(Tally::of(vec![tally]).unfailed().unwrap(), 7);
    }
}
