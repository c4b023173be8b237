//! Who is signed for next: threads of their own for what costs processor time, so that no connection waits behind it.
//!
//! In: work and its [`Rank`]. Out: what the work gave, or [`Crowded`]. As many threads as the machine has processors.
//!
//! 1. Renewals go before joins, and among renewals the certificate that ends soonest: the queue decides who waits when there
//!    are more than can be signed for, not the order of arrival.
//! 2. Each queue has its own bound. A renewal that finds its queue full takes the place of the one that could wait longest, if
//!    that ends later; else it is refused.
//! 3. Work whose asker went away is not done.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, available_parallelism};
use tokio::sync::oneshot;

/// Renewals that wait: two seconds of work of one processor; 2 MB, or 64 MB if every request is as long as it may be.
const RENEWALS_MAX: usize = 4096;
/// Joins that wait.
const JOINS_MAX: usize = 1024;

/// Whose work goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// The successor of a certificate that ends in this second since 1970.
    Renewal { ends_s: u64 },
    /// A first certificate.
    Join,
}

/// More wait than may, and all of them are at least as urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowded;

type Work = Box<dyn FnOnce() + Send>;

/// The queue and its threads. They end when this is dropped.
pub(crate) struct Turns {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Turns {
    /// Starts the threads.
    pub(crate) fn begin() -> io::Result<Self> {
        let threads = available_parallelism().map_or(1, usize::from);
        Self::with(threads, RENEWALS_MAX, JOINS_MAX)
    }

    fn with(threads: usize, renewals_max: usize, joins_max: usize) -> io::Result<Self> {
        let queue = Arc::new(Queue::new(renewals_max, joins_max));
        let threads = (0..threads)
            .map(|_| {
                let queue = Arc::clone(&queue);
                std::thread::Builder::new()
                    .name("ca-sign".to_owned())
                    .spawn(move || queue.work())
            })
            .collect::<io::Result<_>>()?;
        Ok(Turns { queue, threads })
    }

    /// Waits for its turn and for what the work gives. Who stops waiting gives up the turn.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        rank: Rank,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Crowded> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move || {
            if !answer.is_closed() {
                // Whoever stopped waiting in this moment needs no answer.
                let _ = answer.send(work());
            }
        });
        self.queue.push(rank, work)?;
        // Dropped unanswered: somebody more urgent took the place.
        answered.await.map_err(|_| Crowded)
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic in it was reported when it happened.
            let _ = thread.join();
        }
    }
}

struct Queue {
    renewals_max: usize,
    joins_max: usize,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    closed: bool,
    arrived: u64,
    /// By end, then by arrival.
    renewals: BTreeMap<(u64, u64), Work>,
    joins: VecDeque<Work>,
}

impl Queue {
    fn new(renewals_max: usize, joins_max: usize) -> Self {
        Queue {
            renewals_max,
            joins_max,
            waiting: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    fn push(&self, rank: Rank, work: Work) -> Result<(), Crowded> {
        let mut waiting = self.lock();
        match rank {
            Rank::Renewal { ends_s } => {
                if waiting.renewals.len() >= self.renewals_max {
                    let last = waiting.renewals.last_entry();
                    let last = last.filter(|last| last.key().0 > ends_s).ok_or(Crowded)?;
                    drop(last.remove());
                }
                waiting.arrived += 1;
                let place = (ends_s, waiting.arrived);
                waiting.renewals.insert(place, work);
            }
            Rank::Join if waiting.joins.len() >= self.joins_max => return Err(Crowded),
            Rank::Join => waiting.joins.push_back(work),
        }
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    fn work(&self) {
        while let Some(work) = self.next() {
            // One piece of work that panics must not take the thread from all the others; its asker is told nothing came.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        }
    }

    /// Waits for the next one; `None` once closed.
    fn next(&self) -> Option<Work> {
        let mut waiting = self.lock();
        while !waiting.closed {
            let renewal = waiting.renewals.pop_first().map(|(_, work)| work);
            if let Some(work) = renewal.or_else(|| waiting.joins.pop_front()) {
                return Some(work);
            }
            waiting = self
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        None
    }

    fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Nothing that happens under this lock can leave the queues half changed.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use std::sync::mpsc;

    /// A queue without threads, with named work in it, and the order in which it would be done.
    fn order(max: usize, asked: &[(&'static str, Rank)]) -> (Vec<&'static str>, Vec<&'static str>) {
        let queue = Queue::new(max, max);
        let (done, seen) = mpsc::channel();
        let mut refused = Vec::new();
        for (name, rank) in asked {
            let (name, done) = (*name, done.clone());
            let work = Box::new(move || done.send(name).unwrap());
            if queue.push(*rank, work) == Err(Crowded) {
                refused.push(name);
            }
        }
        while !(queue.lock().renewals.is_empty() && queue.lock().joins.is_empty()) {
            queue.next().unwrap()();
        }
        drop(done);
        (seen.iter().collect(), refused)
    }

    fn renewal(ends_s: u64) -> Rank {
        Rank::Renewal { ends_s }
    }

    #[test]
    fn renewals_go_before_joins_and_soonest_end_first() {
        let (done, refused) = order(
            9,
            &[
                ("join", Rank::Join),
                ("late", renewal(30)),
                ("soon", renewal(10)),
                ("soon too", renewal(10)),
                ("ended", renewal(5)),
            ],
        );

        assert_eq!(done, ["ended", "soon", "soon too", "late", "join"]);
        assert_eq!(refused, Vec::<&str>::new());
    }

    #[test]
    fn in_a_crowd_the_least_urgent_is_turned_away_whenever_it_came() {
        let (done, refused) = order(
            2,
            &[
                ("late", renewal(30)),
                ("soon", renewal(10)),
                ("sooner", renewal(9)),
                ("later", renewal(40)),
                ("same", renewal(10)),
                ("join 1", Rank::Join),
                ("join 2", Rank::Join),
                ("join 3", Rank::Join),
            ],
        );

        assert_eq!(done, ["sooner", "soon", "join 1", "join 2"]);
        assert_eq!(refused, ["later", "same", "join 3"]);
    }

    #[tokio::test]
    async fn who_is_displaced_hears_it_and_who_went_away_costs_nothing() {
        let turns = Turns::with(0, 1, 1).unwrap();
        let displaced = turns.take(renewal(30), || 1);
        let urgent = turns.take(renewal(10), || 2);
        let mut displaced = std::pin::pin!(displaced);
        tokio::select! {
            biased;
            _ = &mut displaced => panic!("nobody works here"),
            _ = urgent => panic!("nobody works here"),
            () = std::future::ready(()) => {}
        }

        assert_eq!(displaced.await, Err(Crowded));
        let left = turns.queue.next().unwrap();
        left(); // its asker was dropped by `select!`: the work is not done, and nothing is sent to nobody
    }

    #[tokio::test]
    async fn work_that_panics_leaves_the_others_their_turn() {
        let turns = Turns::with(1, 9, 9).unwrap();

        let broken = turns
            .take(Rank::Join, || panic!("as a test wants it"))
            .await;
        let whole = turns.take(Rank::Join, || 7).await;

        assert_eq!((broken, whole), (Err::<(), _>(Crowded), Ok(7)));
    }
}
