//! The one writer: a thread that does the work of all who wait, in one transaction with one fsync.
//!
//! While the disk is busy with one batch the next gathers. A disk that is quicker than the load would make those batches small
//! and syncs many, each of which costs more than several records: so whoever follows a batch of several waits for company, and
//! one who is alone never does (PostgreSQL's `commit_delay` and `commit_siblings`). Answers leave only after the commit. What
//! is wrong with the disk is told to every caller, and to the log once: who runs the CA is not one of them.

use crate::store::append::{Done, Work, apply};
use crate::store::fault::Fault;
use crate::store::ledger::Refused;
use crate::store::queue::Queue;
use rusqlite::Connection;
use std::time::Duration;
use tokio::sync::oneshot;

/// The most work of one transaction: bounds how long the first of a batch waits for the last, about 20 ms.
const BATCH_MAX: usize = 512;

/// How long a batch gathers when several were in the one before: as long as a sync of a quick disk.
const GATHERING: Duration = Duration::from_millis(2);

/// Work, and who waits for it. Whoever went away is served like the others: his client will ask again.
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) answer: oneshot::Sender<Result<Done, Refused>>,
}

/// However the writer ends, nobody is left waiting for it: a panic must not make the CA silent.
struct Last<'a>(&'a Queue<Job>);

impl Drop for Last<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Until the queue is closed and empty.
pub(super) fn run(connection: &Connection, queue: &Queue<Job>) {
    let _last = Last(queue);
    let mut told = Told::default();
    let (mut was_full, mut gathering) = (false, Duration::ZERO);
    while let Some(jobs) = queue.take(BATCH_MAX, gathering) {
        gathering = match jobs.len() {
            0 | 1 => Duration::ZERO,
            _ => GATHERING,
        };
        if was_full {
            make_room(connection);
        }
        let answers = commit(connection, &jobs);
        match told.news(&answers) {
            Some(News::Bad(fault)) => tracing::warn!(reason = fault.reason(), "{fault}"),
            Some(News::Good) => tracing::info!("the record is written again"),
            None => {}
        }
        was_full = answers.contains(&Err(Fault::DiskFull.into()));
        for (job, answer) in jobs.into_iter().zip(answers) {
            // Nobody waits there any more: what he asked for is recorded, and he can ask again.
            let _ = job.answer.send(answer);
        }
    }
}

/// What the log says of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
enum News {
    Bad(Fault),
    Good,
}

/// What it said last.
#[derive(Default)]
struct Told(Option<Fault>);

impl Told {
    fn news(&mut self, answers: &[Result<Done, Refused>]) -> Option<News> {
        let fault = answers.iter().find_map(|answer| match answer {
            Err(Refused::Store(fault)) => Some(fault.clone()),
            _ => None,
        });
        let same = self.0.as_ref().map(Fault::reason) == fault.as_ref().map(Fault::reason);
        if same {
            return None;
        }
        self.0.clone_from(&fault);
        Some(fault.map_or(News::Good, News::Bad))
    }
}

fn commit(connection: &Connection, jobs: &[Job]) -> Vec<Result<Done, Refused>> {
    match together(connection, jobs) {
        Ok(answers) => answers,
        Err(fault) if jobs.len() > 1 && !fault.is_outside() => {
            // Something about one of them: the others must not suffer for it.
            let alone = |job| commit(connection, std::slice::from_ref(job));
            jobs.iter().flat_map(alone).collect()
        }
        Err(fault) => jobs.iter().map(|_| Err(fault.clone().into())).collect(),
    }
}

/// After a full disk the log of changes may hold most of the room that there is again: moving it into the database frees that.
fn make_room(connection: &Connection) {
    // If there is no room for it either, the work that follows will say so.
    let _ = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()));
}

/// All of it or nothing.
fn together(connection: &Connection, jobs: &[Job]) -> Result<Vec<Result<Done, Refused>>, Fault> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let done = jobs
        .iter()
        .map(|job| apply(connection, &job.work))
        .collect::<Result<_, _>>()
        .and_then(|answers| connection.execute_batch("COMMIT").map(|()| answers));
    if done.is_err() && !connection.is_autocommit() {
        // After some errors SQLite has rolled back already. If this fails, BEGIN will, and that is answered.
        let _ = connection.execute_batch("ROLLBACK");
    }
    Ok(done?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::store::queue::Class;
    use crate::token::Terms;
    use crate::token::TokenHash;
    use config::SpiffeId;

    fn job() -> (Job, oneshot::Receiver<Result<Done, Refused>>) {
        let id = SpiffeId::parse("spiffe://shop.example/orders").unwrap();
        let work = Work::CreateToken {
            token: TokenHash::from_bytes([1; 32]),
            terms: Terms::new(id, Duration::from_secs(60), 1).unwrap(),
            now_s: 1000,
        };
        let (answer, answered) = oneshot::channel();
        (Job { work, answer }, answered)
    }

    #[test]
    fn when_the_writer_dies_whoever_waits_and_whoever_comes_is_told() {
        let queue = Queue::new(9);
        let (waiting, mut answered) = job();
        queue.push(Class::Joins, waiting).unwrap();

        let died = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let _last = Last(&queue);
                panic!("as a test wants it");
            });
            writer.join().is_err()
        });

        assert!(died);
        assert_eq!(
            answered.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        );
        assert_eq!(queue.push(Class::Joins, job().0), Err(Fault::Closed));
    }

    #[test]
    fn trouble_with_the_disk_is_told_once_and_so_is_its_end() {
        let mut told = Told::default();
        let full = || Err(Refused::Store(Fault::DiskFull));
        let disk = |detail: &str| Fault::Disk {
            detail: detail.to_owned(),
        };
        for (answers, news) in [
            (vec![Ok(Done::StatementKept)], None),
            (vec![full(), full()], Some(News::Bad(Fault::DiskFull))),
            (vec![full()], None),
            (vec![Err(disk("one").into())], Some(News::Bad(disk("one")))),
            (vec![Err(disk("another").into())], None),
            (vec![Err(Refused::TokenTaken)], Some(News::Good)),
            (vec![Ok(Done::StatementKept)], None),
        ] {
            assert_eq!(told.news(&answers), news, "{answers:?}");
        }
    }
}
