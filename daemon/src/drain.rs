//! Ending well: first say it, then wait, then cut.
//!
//! In: tasks to track, the word to start, a deadline. Out: how many tasks had to be cut. Tasks hear of the start through
//! [`Draining::started`] and end by themselves; how (no more accepts, `Connection: close`, GOAWAY) is theirs. When to start
//! and when to cut is decided in [`crate::ending`], or by whoever has one deadline for everything.
//!
//! 1. No tracked task outlives its [`Drain`]: dropping that cuts what is left.
use pin_project_lite::pin_project;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a cut task may take to be gone: it only has to be polled once more.
const CUT: Duration = Duration::from_secs(1);

/// The side that ends things. One per set of tasks that end together.
#[derive(Debug)]
pub struct Drain(Arc<Shared>);

/// The side of the tasks; clones belong to the same [`Drain`].
#[derive(Clone, Debug)]
pub struct Draining(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    started: CancellationToken,
    tasks: TaskTracker,
    // A handle per task, rather than a token in each: that would cost every poll of every connection a look at it.
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    next: u64,
    handles: HashMap<u64, AbortHandle>,
    /// Set once what runs was cut: what comes later is cut at once.
    over: bool,
}

/// Takes a task off the list when it ends, however it ends.
struct Listed {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.shared.running().handles.remove(&self.id);
    }
}

impl Shared {
    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Aborts what runs and what may yet be tracked; returns how many ran.
    fn cut(&self) -> usize {
        // Aborting may drop the task here and now, which locks again: so not under the lock.
        let handles: Vec<AbortHandle> = {
            let mut running = self.running();
            running.over = true;
            running.handles.values().cloned().collect()
        };
        handles.iter().for_each(AbortHandle::abort);
        handles.len()
    }
}

/// A drain that has not started, and its watching side.
pub fn pair() -> (Drain, Draining) {
    let shared = Arc::new(Shared::default());
    (Drain(shared.clone()), Draining(shared))
}

impl Drain {
    /// One more watching side.
    pub fn watch(&self) -> Draining {
        Draining(self.0.clone())
    }

    /// Tells every task to end. Starting again changes nothing.
    pub fn start(&self) {
        self.0.started.cancel();
    }

    /// How many tracked tasks have not ended.
    pub fn open(&self) -> usize {
        self.0.tasks.len()
    }

    /// Whether it was started.
    pub fn is_started(&self) -> bool {
        self.0.started.is_cancelled()
    }

    /// How many tasks were ever tracked: where it has not grown, nobody came meanwhile.
    pub fn begun(&self) -> u64 {
        self.0.running().next
    }

    /// Starts, waits until every task has ended or the deadline has passed, then cuts the rest; returns how many were cut.
    pub async fn start_and_wait(&self, deadline: Duration) -> usize {
        if self.ended(Instant::now() + deadline).await {
            return 0;
        }
        let cut = self.cut();
        self.gone().await;
        cut
    }

    /// Starts, and waits until every task has ended or the moment has come; whether all have.
    pub async fn ended(&self, until: Instant) -> bool {
        self.start();
        self.0.tasks.close();
        let ended = tokio::time::timeout_at(until, self.0.tasks.wait());
        ended.await.is_ok()
    }

    /// Starts, and cuts whatever runs and whatever is tracked later; returns how many ran. Their sockets close when they are
    /// next looked at: [`Drain::gone`] waits for that.
    pub fn cut(&self) -> usize {
        self.start();
        self.0.tasks.close();
        self.0.cut()
    }

    /// Waits until what was cut is gone. A task that is busy without ever yielding is not waited for.
    pub async fn gone(&self) {
        let _gone_or_busy = tokio::time::timeout(CUT, self.0.tasks.wait()).await;
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.start();
        self.0.cut();
    }
}

pin_project! {
    /// A task on the list until it has ended. No async block, which would hold it twice: as what it captures and as what it awaits.
    struct Tracked<F> {
        #[pin]
        task: F,
        // Dropped last.
        listed: Listed,
    }
}

impl<F: Future<Output = ()>> Future for Tracked<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

impl Draining {
    /// Resolves when the drain starts, at once if it has. Cancel safe.
    pub async fn started(&self) {
        self.0.started.cancelled().await;
    }

    /// Whether it has started.
    pub fn is_started(&self) -> bool {
        self.0.started.is_cancelled()
    }

    /// Spawns a task that the drain waits for, cuts at its deadline and counts. Needs a tokio runtime.
    pub fn track<F>(&self, task: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // Held until the handle is listed, so that a task which ends at once finds itself on the list.
        let mut running = self.0.running();
        let id = running.next;
        running.next += 1;
        let listed = Listed {
            shared: self.0.clone(),
            id,
        };
        let joined = self.0.tasks.spawn(Tracked { task, listed });
        running.handles.insert(id, joined.abort_handle());
        let over = running.over;
        drop(running);
        if over {
            joined.abort();
        }
        joined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_task_that_heeds_the_start_is_not_cut() {
        let (drain, draining) = pair();
        for _ in 0..100 {
            let watch = draining.clone();
            draining.track(async move { watch.started().await });
        }
        assert_eq!(drain.open(), 100);
        assert_eq!(drain.start_and_wait(Duration::from_secs(10)).await, 0);
        assert_eq!(drain.open(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_open_at_the_deadline_is_cut_and_counted() {
        let (drain, draining) = pair();
        let watch = draining.clone();
        draining.track(async move { watch.started().await });
        let (held, cut) = oneshot::channel::<()>();
        draining.track(async move {
            let _held = held;
            pending::<()>().await;
        });
        draining.track(pending());

        assert_eq!(drain.start_and_wait(Duration::from_secs(30)).await, 2);
        assert!(cut.await.is_err(), "what a cut task held is dropped");
        assert_eq!(drain.open(), 0);
    }

    #[tokio::test]
    async fn a_task_that_ends_at_once_leaves_nothing_behind() {
        let (drain, draining) = pair();
        for _ in 0..100 {
            assert!(draining.track(async {}).await.is_ok());
        }
        assert_eq!((drain.open(), drain.0.running().handles.len()), (0, 0));
    }

    #[tokio::test]
    async fn no_task_outlives_its_drain_not_even_one_that_came_late() {
        let (drain, draining) = pair();
        let early = draining.track(pending());
        drop(drain);
        let late = draining.track(pending());
        assert!(draining.is_started());
        assert!(early.await.is_err_and(|ended| ended.is_cancelled()));
        assert!(late.await.is_err_and(|ended| ended.is_cancelled()));
    }
}
