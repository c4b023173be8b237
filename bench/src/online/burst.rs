//! Many of one thing, so many at a time.
//!
//! In: what is to be worked on, and how. Out: what came of each, in no order; the first failure ends it.

use super::Failed;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

pub(super) async fn burst<T, R, F>(
    items: Vec<T>,
    at_once: usize,
    work: impl Fn(T) -> F + Clone + Send + Sync + 'static,
) -> Result<Vec<R>, Failed>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Future<Output = Result<R, Failed>> + Send + 'static,
{
    let items = Arc::new(Mutex::new(items.into_iter()));
    let mut workers = JoinSet::new();
    for _ in 0..at_once.max(1) {
        let (items, work) = (Arc::clone(&items), work.clone());
        let next = move || items.lock().unwrap_or_else(PoisonError::into_inner).next();
        workers.spawn(async move {
            let mut done = Vec::new();
            while let Some(item) = next() {
                done.push(work(item).await?);
            }
            Ok::<_, Failed>(done)
        });
    }
    let mut done = Vec::new();
    while let Some(worker) = workers.join_next().await {
        done.extend(worker??);
    }
    Ok(done)
}
