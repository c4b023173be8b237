//! That something new is in force, heard by whatever is open.
//!
//! Asking costs an atomic load: the list of those who wait, which all of them share, is touched at the first time of asking
//! and after it woke somebody, not every time that a busy connection is woken.
//!
//! 1. Whoever is on the list is woken through its own [`Woken`], which remembers that: whatever else wakes the same task, and
//!    whatever is read in between, no wake-up is taken for one that was answered.

use futures_util::task::AtomicWaker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};
use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

/// Resolves whenever there is something newer than what was heard of.
pub(crate) struct News {
    waiting: ReusableBoxFuture<'static, watch::Receiver<u64>>,
    woken: Arc<Woken>,
    /// The same, as what waits knows it.
    waker: Waker,
}

/// Whether what waits was woken since it was last asked, and whom that wakes in turn.
struct Woken {
    is_due: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task: it finds it so however soon it looks.
        self.is_due.store(true, Ordering::Release);
        self.task.wake();
    }
}

async fn changed(mut numbers: watch::Receiver<u64>) -> watch::Receiver<u64> {
    if numbers.changed().await.is_err() {
        // Whoever published is gone: nothing will come.
        std::future::pending::<()>().await;
    }
    numbers
}

impl News {
    /// Everything after `seen`.
    pub(crate) fn since(seen: u64, mut numbers: watch::Receiver<u64>) -> Self {
        if *numbers.borrow_and_update() > seen {
            numbers.mark_changed();
        }
        let woken = Arc::new(Woken {
            is_due: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            waiting: ReusableBoxFuture::new(changed(numbers)),
            waker: Waker::from(woken.clone()),
            woken,
        }
    }

    /// Ready once for all the news that there is.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Before looking: a wake-up that comes after the look finds this task.
        self.woken.task.register(cx.waker());
        if !self.woken.is_due.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        // Before asking: a wake-up that comes after the question is asked about next time.
        self.woken.is_due.store(false, Ordering::Release);
        let numbers = ready!(self.waiting.poll(&mut Context::from_waker(&self.waker)));
        self.waiting.set(changed(numbers));
        // It is on no list until it is asked.
        self.woken.is_due.store(true, Ordering::Release);
        Poll::Ready(())
    }

    /// Resolves once for all the news that there is. Cancel safe.
    pub(crate) async fn come(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn what_was_published_between_looking_and_listening_is_heard() {
        let (numbers, heard) = watch::channel(1);
        numbers.send_replace(2);
        assert!(
            timeout(SOON, News::since(1, heard.clone()).come())
                .await
                .is_ok()
        );
        assert!(timeout(NEVER, News::since(2, heard).come()).await.is_err());
    }

    #[tokio::test]
    async fn who_waits_is_woken_each_time_also_from_another_task() {
        let (numbers, heard) = watch::channel(1);
        let mut news = News::since(1, heard);
        for number in 2..50 {
            // Asked in vain first, here: the task that waits then is another one.
            let in_vain = timeout(Duration::ZERO, news.come()).await;
            assert!(in_vain.is_err());
            let waiting = tokio::spawn(async move {
                news.come().await;
                news
            });
            tokio::task::yield_now().await;
            numbers.send_replace(number);
            news = timeout(SOON, waiting).await.unwrap().unwrap();
        }
        drop(numbers);
        assert!(timeout(NEVER, news.come()).await.is_err());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_lost_on_who_is_woken_for_something_else_at_that_moment() {
        let (numbers, heard) = watch::channel(0);
        let (told, mut hears) = watch::channel(0);
        let mut news = News::since(0, heard.clone());
        let busy = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = news.come() => {
                        told.send_replace(*heard.borrow());
                    }
                    () = tokio::task::yield_now() => {}
                }
            }
        });
        for number in 1..100_000 {
            numbers.send_replace(number);
            let knows = hears.wait_for(|known| *known == number);
            assert!(timeout(SOON, knows).await.is_ok(), "{number} is not heard");
        }
        busy.abort();
    }
}
