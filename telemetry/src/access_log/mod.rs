//! One JSON object a line for every request, written by one thread.
//!
//! In: [`AccessRecord`]s from any thread. Out: lines in a file or on standard output. A line is encoded where it happens
//! and copied into a shared buffer; the writer is woken by the first line of a batch, waits [`BATCH`] for more and writes
//! them at once, so that a line costs neither a system call nor a wait for the disk.
//!
//! 1. Nothing that happens to the file holds up a request: what does not fit into [`BUFFER_BYTES_MAX`] is counted as lost.
//! 2. A line is in the file whole or not at all, whatever the disk did meanwhile.
//! 3. The last handle dropped writes what is there and ends the thread.

mod record;
mod writer;

pub use record::AccessRecord;
pub use writer::LogTarget;

use crate::metrics::Dropped;
use record::{Clock, encode};
use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};
use writer::Sink;

/// How much may wait for the disk: a second of 8 000 requests.
const BUFFER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Above this the writer does not wait for more.
const BATCH_BYTES: usize = BUFFER_BYTES_MAX / 4;
/// How long the writer waits for more lines after the first.
const BATCH: Duration = Duration::from_millis(20);
/// How long [`AccessLog::flush`] and the end wait for a reader that does not read.
const FLUSH: Duration = Duration::from_secs(2);

/// A handle on the log; clones write to the same one.
#[derive(Clone, Debug)]
pub struct AccessLog {
    thread: Arc<Writer>,
}

/// The thread and what it shares with the handles; ends it when the last handle goes.
#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Lines came, or somebody is in a hurry.
    wake: Condvar,
    /// A batch was taken care of.
    done: Condvar,
    dropped: Dropped,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole lines.
    bytes: Vec<u8>,
    /// How many bytes ever came, and how many of them have been written or given up.
    came: u64,
    went: u64,
    /// How far somebody waits for.
    wanted: u64,
    closing: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or counts it as lost.
    fn push(&self, line: &[u8]) {
        let mut queue = self.queue();
        let before = queue.bytes.len();
        if before + line.len() > BUFFER_BYTES_MAX {
            drop(queue);
            self.dropped.add(1);
            return;
        }
        queue.bytes.extend_from_slice(line);
        queue.came += line.len() as u64;
        let after = before + line.len();
        drop(queue);
        // Only the first line of a batch and the one that makes it big enough pay for waking the writer.
        if before == 0 || (before < BATCH_BYTES && after >= BATCH_BYTES) {
            self.wake.notify_one();
        }
    }

    /// Waits until all that came has been taken care of, at most [`FLUSH`].
    fn flush(&self) {
        let mut queue = self.queue();
        let target = queue.came;
        queue.wanted = queue.wanted.max(target);
        self.wake.notify_one();
        let waited = self
            .done
            .wait_timeout_while(queue, FLUSH, |queue| queue.went < target);
        drop(waited);
    }

    /// The next batch, swapped for `spare`; `None` at the end.
    fn next_batch(&self, spare: Vec<u8>) -> Option<Vec<u8>> {
        let mut queue = self.queue();
        while queue.bytes.is_empty() {
            if queue.closing {
                return None;
            }
            queue = self
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let until = Instant::now() + BATCH;
        while !queue.closing && queue.wanted <= queue.went && queue.bytes.len() < BATCH_BYTES {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            queue = self
                .wake
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        Some(std::mem::replace(&mut queue.bytes, spare))
    }

    /// The writer's life.
    fn write_to(&self, mut sink: Sink) {
        let mut spare = Vec::new();
        while let Some(mut batch) = self.next_batch(spare) {
            let lost = sink.write(&batch);
            self.dropped.add(lost);
            self.queue().went += batch.len() as u64;
            self.done.notify_all();
            batch.clear();
            // Gives back what a peak took.
            batch.shrink_to(BATCH_BYTES);
            spare = batch;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.flush();
        let Some(thread) = self.thread.take() else {
            return;
        };
        let idle = {
            let queue = self.shared.queue();
            queue.went == queue.came
        };
        // A thread that is stuck in a pipe which nobody reads is left behind: ending matters more than its lines.
        if idle && thread.join().is_err() {
            tracing::error!("the access log's writer panicked: this is a bug; please report it");
        }
    }
}

impl AccessLog {
    /// Opens the target and starts its writer. A file is made if it is not there (0640) and appended to.
    pub fn open(target: LogTarget, dropped: Dropped) -> io::Result<Self> {
        let sink = Sink::open(target)?;
        Self::start(sink, dropped)
    }

    fn start(sink: Sink, dropped: Dropped) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            wake: Condvar::new(),
            done: Condvar::new(),
            dropped,
        });
        let writer = shared.clone();
        let thread = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.write_to(sink))?;
        Ok(AccessLog {
            thread: Arc::new(Writer {
                shared,
                thread: Some(thread),
            }),
        })
    }

    /// Writes one line, stamped with the time of this call. Costs well under a microsecond, never blocks on the target.
    pub fn write(&self, record: &AccessRecord<'_>) {
        thread_local! {
            static SCRATCH: RefCell<(Clock, Vec<u8>)> = const { RefCell::new((Clock::new(), Vec::new())) };
        }
        SCRATCH.with_borrow_mut(|(clock, line)| {
            line.clear();
            encode(record, clock.stamp(SystemTime::now()), line);
            self.thread.shared.push(line);
        });
    }

    /// Waits until every line written before this call is in the target or counted as lost, at most two seconds.
    pub fn flush(&self) {
        self.thread.shared.flush();
    }
}

#[cfg(test)]
mod tests;
