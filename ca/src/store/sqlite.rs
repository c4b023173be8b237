//! The store on SQLite.
//!
//! ```text
//! DIR/store/           0700, locked by the process that serves
//!   ca.sqlite          0600, and what SQLite keeps beside it: -wal, -shm
//! ```

use crate::disk::{self, DiskError, SECRET};
use crate::record::KeyHash;
use crate::revocation::{Mark, Revoked};
use crate::store::append::{Done, Work};
use crate::store::fault::{Fault, StoreError};
use crate::store::ledger::{
    Admits, Contested, JoinRecord, Ledger, Listed, OperatorRecord, Page, Recorded, Refused,
    RenewRecord, StoredStatement, Summary, TokenCreated,
};
use crate::store::queue::{Class, Queue};
use crate::store::writer::{self, Job};
use crate::store::{read, schema};
use crate::template::Serial;
use crate::token::{Spend, Terms, TokenHash, TokenRefused, spend};
use config::{SpiffeId, TrustDomain};
use rusqlite::Connection;
use std::fmt;
use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{Semaphore, oneshot};

/// How many may wait in each of the queues: about two seconds of work, and 10 MB.
pub const QUEUED_MAX: usize = 16_384;
/// How many read at the same time.
const READERS: usize = 2;

const FOLDER: &str = "store";
const DATABASE: &str = "ca.sqlite";

/// The store on SQLite. Clones share it; with the last the thread ends and the folder is free.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    queue: Arc<Queue<Job>>,
    writer: Option<JoinHandle<()>>,
    readers: Arc<Mutex<Vec<Connection>>>,
    reading: Arc<Semaphore>,
    /// Held after everything above has ended.
    _lock: File,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // It ends after the work that is left; a panic in it was reported when it happened.
            let _ = writer.join();
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Whether an authority's folder has one: whether a CA has ever served from it.
    pub fn is_in(dir: &Path) -> bool {
        dir.join(FOLDER).symlink_metadata().is_ok()
    }

    /// Opens the store of an authority's folder, or makes it. Blocks for a few milliseconds.
    pub fn open(dir: &Path, domain: &TrustDomain) -> Result<Self, StoreError> {
        let folder = dir.join(FOLDER);
        let lock = own(&folder)?;
        // What was just made must be there after a crash: a record that is on the platter in a folder that is not, is lost.
        disk::sync(dir)?;
        let path = folder.join(DATABASE);
        make_private(&path)?;
        let connection = schema::open_writer(&path, domain)?;
        // What SQLite has just made must be in the folder after a crash, as its contents will be.
        disk::sync(&folder)?;
        let readers = (0..READERS)
            .map(|_| schema::open_reader(&path))
            .collect::<Result<_, _>>()
            .map_err(|error| StoreError::Database {
                path,
                source: Fault::from(error),
            })?;
        let queue = Arc::new(Queue::new(QUEUED_MAX));
        let served = Arc::clone(&queue);
        let writer = std::thread::Builder::new()
            .name("ca-store".to_owned())
            .spawn(move || writer::run(&connection, &served))
            .map_err(|source| StoreError::Thread { source })?;
        Ok(Store(Arc::new(Inner {
            queue,
            writer: Some(writer),
            readers: Arc::new(Mutex::new(readers)),
            reading: Arc::new(Semaphore::new(READERS)),
            _lock: lock,
        })))
    }

    /// As when its threads have died: for tests of what is done then.
    #[cfg(test)]
    pub(crate) fn break_down(&self) {
        self.0.queue.abandon();
        lock(&self.0.readers).clear();
    }

    async fn write(&self, class: Class, work: Work) -> Result<Done, Refused> {
        let (answer, answered) = oneshot::channel();
        self.0.queue.push(class, Job { work, answer })?;
        answered.await.unwrap_or(Err(Fault::Closed.into()))
    }

    async fn record(&self, class: Class, work: Work) -> Result<Recorded, Refused> {
        match self.write(class, work).await? {
            Done::Recorded(recorded) => Ok(recorded),
            _ => Err(mixed_up().into()),
        }
    }

    /// Reads off the runtime's threads. No more threads are taken than there are connections.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = Arc::clone(&self.0.reading).acquire_owned().await;
        let permit = permit.map_err(|_| Fault::Closed)?;
        let readers = Arc::clone(&self.0.readers);
        let done = tokio::task::spawn_blocking(move || {
            let connection = lock(&readers).pop().ok_or(Fault::Closed)?;
            let done = read(&connection).map_err(Fault::from);
            lock(&readers).push(connection);
            drop(permit);
            done
        });
        done.await.map_err(|_| Fault::Closed)?
    }
}

fn lock(readers: &Mutex<Vec<Connection>>) -> std::sync::MutexGuard<'_, Vec<Connection>> {
    readers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn mixed_up() -> Fault {
    Fault::Damaged {
        detail: "the answer belongs to other work".to_owned(),
    }
}

/// The folder, made if it is not there, locked.
fn own(folder: &Path) -> Result<File, StoreError> {
    match disk::folder(folder) {
        Err(DiskError { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
            let private = Permissions::from_mode(disk::FOLDER);
            let protected = std::fs::set_permissions(folder, private);
            disk::on("protected", folder, protected)?;
        }
        made => made?,
    }
    let opened = disk::on("opened", folder, File::open(folder))?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(DiskError {
            done: "locked",
            path: folder.to_owned(),
            source,
        }
        .into()),
    }
}

/// An empty file with our mode if there is none, and our mode if there is one.
fn make_private(path: &Path) -> Result<(), DiskError> {
    match disk::write(path, &[], SECRET) {
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => {
            let private = Permissions::from_mode(SECRET);
            disk::on("protected", path, std::fs::set_permissions(path, private))
        }
        written => written,
    }
}

fn seconds(now: SystemTime) -> u64 {
    now.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl Ledger for Store {
    fn is_over(&self) -> bool {
        // Nobody but the writer closes it while there is somebody to ask.
        self.0.queue.is_closed()
    }

    async fn join(&self, join: JoinRecord) -> Result<Recorded, Refused> {
        self.record(Class::Joins, Work::Join(join)).await
    }

    async fn renew(&self, renewal: RenewRecord) -> Result<Recorded, Refused> {
        self.record(Class::Renewals, Work::Renew(renewal)).await
    }

    async fn issue(&self, wanted: OperatorRecord) -> Result<Recorded, Refused> {
        self.record(Class::Operators, Work::Issue(wanted)).await
    }

    async fn revoke(&self, what: Revoked, now: SystemTime) -> Result<u64, Refused> {
        let now_s = seconds(now);
        match self
            .write(Class::Operators, Work::Revoke { what, now_s })
            .await?
        {
            Done::Revoked { epoch } => Ok(epoch),
            _ => Err(mixed_up().into()),
        }
    }

    async fn revocations(&self, after_epoch: u64, limit: usize) -> Result<Vec<Mark>, Fault> {
        self.read(move |db| read::revocations(db, after_epoch, limit))
            .await
    }

    async fn create_token(
        &self,
        token: TokenHash,
        terms: Terms,
        now: SystemTime,
    ) -> Result<TokenCreated, Refused> {
        let work = Work::CreateToken {
            token,
            terms,
            now_s: seconds(now),
        };
        match self.write(Class::Operators, work).await? {
            Done::TokenCreated { ends_s } => Ok(TokenCreated { ends_s }),
            _ => Err(mixed_up().into()),
        }
    }

    async fn look_up(
        &self,
        token: TokenHash,
        key: KeyHash,
        now: SystemTime,
    ) -> Result<Admits, Refused> {
        let standing = self
            .read(move |db| read::standing(db, &token, &key))
            .await?;
        let (id, standing) = standing.ok_or(TokenRefused::Unknown)?;
        let ends_s = standing.ends_s;
        let spent = spend(standing, seconds(now))?;
        Ok(Admits {
            id,
            ends_s,
            again: matches!(spent, Spend::Again(_)),
        })
    }

    async fn list(
        &self,
        of: Option<SpiffeId>,
        now: SystemTime,
        after: Option<(u64, u64)>,
        limit: usize,
    ) -> Result<Page, Fault> {
        self.read(move |db| read::list(db, of.as_ref(), seconds(now), after, limit))
            .await
    }

    async fn show(&self, serial: Serial) -> Result<Option<Listed>, Fault> {
        self.read(move |db| read::show(db, &serial)).await
    }

    async fn first_to_end(&self, now: SystemTime) -> Result<Option<Listed>, Fault> {
        self.read(move |db| read::first_to_end(db, seconds(now)))
            .await
    }

    async fn contested(&self, limit: usize) -> Result<Vec<Contested>, Fault> {
        self.read(move |db| read::contested(db, limit)).await
    }

    async fn summary(&self) -> Result<Summary, Fault> {
        self.read(read::summary).await
    }

    async fn entries(&self, from: u64, limit: usize) -> Result<Vec<Vec<u8>>, Fault> {
        self.read(move |db| read::entries(db, from, limit)).await
    }

    async fn statements(&self, from: u64, limit: usize) -> Result<Vec<StoredStatement>, Fault> {
        self.read(move |db| read::statements(db, from, limit)).await
    }

    async fn append_statement(&self, statement: StoredStatement) -> Result<(), Refused> {
        let work = Work::AppendStatement(statement);
        match self.write(Class::Operators, work).await? {
            Done::StatementKept => Ok(()),
            _ => Err(mixed_up().into()),
        }
    }
}
