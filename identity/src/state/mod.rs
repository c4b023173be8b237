//! The folder from which a sidecar resumes: key, SVID and the statement of whom it believes, and the key that it was asking for.
//!
//! ```text
//! DIR/                 0700, ours, and of one process at a time
//!   lock               what that process holds
//!   instance           drawn at random when the folder is made: tells replicas of one identity apart
//!   pending.pem        the key of a request that is not answered yet: it is repeated with the same key, also after a restart
//!   g-N/               0700: a generation; files 0600
//!     format             `1`: a version that knows only older formats refuses with one line
//!     key.pem, svid.pem  svid.pem is leaf first
//!     statement          as one piece, see `SignedStatement::to_bytes`
//!     issued             when the leaf was issued by the CA's clock, in ms since 1970
//!   current -> g-N     the one in force
//! ```
//!
//! In: a path; SVIDs, statements and keys to keep. Out: what was kept last, whole. Blocks for as long as the disk takes. Not here:
//! whether what was kept is still good, which is for [`crate::Generation::check`] to say, and what to do without it.
//!
//! 1. A generation is kept whole or not at all: it lies on the platter before `current` names it, in one step.
//! 2. What a killed process left behind is never read, and cleared away by the next.
//! 3. What others may read, write or have made is refused, not mended: somebody may have a copy of the key.
//! 4. A pending key is never the key of the generation in force, and goes when its own generation is kept.

mod error;

pub use error::{Damage, StateError};

use crate::certificate::hex;
use crate::{Key, KeyError, SignedStatement, Svid, pem};
use error::on;
use rustix::fs::OFlags;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const FORMAT: &str = "1";
const CURRENT: &str = "current";
const NEXT: &str = ".current.next";
const GENERATION: &str = "g-";
const INSTANCE: &str = "instance";
const PENDING: &str = "pending.pem";
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Bytes of one file at most; a statement has 256 KiB.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Random octets in the name of an instance.
const INSTANCE_OCTETS: usize = 16;

/// A state directory, held by this process until dropped.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    instance: String,
    _lock: File,
}

/// What was kept.
#[derive(Debug)]
pub struct Kept {
    /// Who we are.
    pub svid: Svid,
    /// Whom we believe.
    pub statement: SignedStatement,
    /// When the leaf was issued by the CA's clock, in ms since 1970.
    pub issued_at_unix_ms: i64,
}

/// A name for an instance, drawn at random.
pub(crate) fn new_instance() -> Result<String, KeyError> {
    let mut octets = [0; INSTANCE_OCTETS];
    aws_lc_rs::rand::fill(&mut octets).map_err(|_| KeyError::Generate)?;
    Ok(hex(&octets))
}

impl StateDir {
    /// Takes the folder, or makes it if its parent is there, and clears away what is not in force.
    pub fn open(path: &Path) -> Result<Self, StateError> {
        match DirBuilder::new().mode(FOLDER_MODE).create(path) {
            // Else a crash may take the whole folder, with a key whose token is spent.
            Ok(()) => sync(parent(path))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return on("made", path, Err(error)),
        }
        let about = on("read", path, fs::metadata(path))?;
        if !about.is_dir() {
            return on("used", path, Err(io::ErrorKind::NotADirectory.into()));
        }
        check_ours(path, &about)?;
        let lock = lock(path)?;
        let state = StateDir {
            path: path.to_owned(),
            instance: instance(path)?,
            _lock: lock,
        };
        state.clear(state.in_force()?.as_deref())?;
        Ok(state)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same for the life of the folder, drawn at random: 32 digits of lower-case hex.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The key of a request that was not answered; `None`: there is none.
    pub fn pending(&self) -> Result<Option<Key>, StateError> {
        let path = self.path.join(PENDING);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => on("read", &path, found)?,
        };
        let key = Key::from_pem(&read(&path)?).map_err(|why| StateError::Damaged {
            path,
            why: Damage::Key(why),
        })?;
        // A process that was killed between keeping its generation and removing this.
        let kept = self.resume()?;
        Ok(Some(key).filter(|key| kept.is_none_or(|kept| kept.svid.key().spki() != key.spki())))
    }

    /// Keeps the key of a request before it is sent, in place of another one.
    pub fn keep_pending(&self, key: &Key) -> Result<(), StateError> {
        replace(&self.path, PENDING, key.to_pem().as_bytes())
    }

    /// What was kept last; `None`: nothing yet.
    pub fn resume(&self) -> Result<Option<Kept>, StateError> {
        let Some(name) = self.in_force()? else {
            return Ok(None);
        };
        let folder = self.path.join(name);
        check_ours(
            &folder,
            &on("read", &folder, fs::symlink_metadata(&folder))?,
        )?;
        let format = read(&folder.join("format"))?;
        if format.trim_ascii() != FORMAT.as_bytes() {
            return Err(StateError::Format {
                path: folder.join("format"),
                found: String::from_utf8_lossy(&format)
                    .trim()
                    .chars()
                    .take(16)
                    .collect(),
            });
        }
        let damaged = |name: &str, why| StateError::Damaged {
            path: folder.join(name),
            why,
        };
        let key = Key::from_pem(&read(&folder.join("key.pem"))?)
            .map_err(|why| damaged("key.pem", Damage::Key(why)))?;
        let svid = Svid::from_pem(&read(&folder.join("svid.pem"))?, key)
            .map_err(|why| damaged("svid.pem", Damage::Svid(why)))?;
        let statement = SignedStatement::from_bytes(&read(&folder.join("statement"))?)
            .map_err(|why| damaged("statement", Damage::Statement(why)))?;
        let issued = read(&folder.join("issued"))?;
        let issued_at_unix_ms = std::str::from_utf8(issued.trim_ascii())
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| damaged("issued", Damage::Issued))?;
        Ok(Some(Kept {
            svid,
            statement,
            issued_at_unix_ms,
        }))
    }

    /// Keeps a generation in place of the one before. If that fails, the one before stays. `issued_at_unix_ms` is by the CA's
    /// clock.
    pub fn keep(
        &self,
        svid: &Svid,
        statement: &SignedStatement,
        issued_at_unix_ms: i64,
    ) -> Result<(), StateError> {
        let before = self.in_force()?;
        self.clear(before.as_deref())?;
        let number = before
            .as_deref()
            .and_then(number)
            .map_or(1, |number| number.wrapping_add(1));
        let name = format!("{GENERATION}{number}");
        let kept = self
            .write(&name, svid, statement, issued_at_unix_ms)
            .and_then(|()| self.point(&name));
        // Whichever is in force now: an error may have come before or after the step.
        let cleared = self.in_force().and_then(|now| self.clear(now.as_deref()));
        kept.and(cleared).and_then(|()| self.forget_pending(svid))
    }

    /// Removes the pending key if it is this SVID's; another one is of the next request.
    fn forget_pending(&self, svid: &Svid) -> Result<(), StateError> {
        let path = self.path.join(PENDING);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => on("read", &path, found)?,
        };
        let spki = Key::from_pem(&read(&path)?).map(|key| key.spki());
        match spki.is_ok_and(|spki| spki != svid.key().spki()) {
            true => Ok(()),
            false => on("removed", &path, fs::remove_file(&path)),
        }
    }

    /// A complete generation that nothing points at yet.
    fn write(
        &self,
        name: &str,
        svid: &Svid,
        statement: &SignedStatement,
        issued_at_unix_ms: i64,
    ) -> Result<(), StateError> {
        let folder = self.path.join(name);
        on(
            "made",
            &folder,
            DirBuilder::new().mode(FOLDER_MODE).create(&folder),
        )?;
        let chain: String = svid
            .chain()
            .iter()
            .map(|der| pem::encode("CERTIFICATE", der).to_string())
            .collect();
        write(&folder.join("key.pem"), svid.key().to_pem().as_bytes())?;
        write(&folder.join("svid.pem"), chain.as_bytes())?;
        write(&folder.join("statement"), &statement.to_bytes())?;
        let issued = format!("{issued_at_unix_ms}\n");
        write(&folder.join("issued"), issued.as_bytes())?;
        write(&folder.join("format"), format!("{FORMAT}\n").as_bytes())?;
        sync(&folder)?;
        sync(&self.path)
    }

    /// Puts a generation in force, in one step.
    fn point(&self, name: &str) -> Result<(), StateError> {
        let next = self.path.join(NEXT);
        on("made", &next, symlink(name, &next))?;
        let current = self.path.join(CURRENT);
        on("replaced", &current, fs::rename(&next, &current))?;
        sync(&self.path)
    }

    /// The name of the generation in force.
    fn in_force(&self) -> Result<Option<String>, StateError> {
        let link = self.path.join(CURRENT);
        match fs::read_link(&link) {
            Ok(target) => match target.to_str().filter(|name| number(name).is_some()) {
                Some(name) => Ok(Some(name.to_owned())),
                None => Err(StateError::Foreign { path: link }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Err(StateError::Foreign { path: link })
            }
            Err(error) => on("read", &link, Err(error)),
        }
    }

    /// Removes every generation but this one, and a link that was never put in force.
    fn clear(&self, keep: Option<&str>) -> Result<(), StateError> {
        for name in [NEXT.to_owned(), next_of(PENDING), next_of(INSTANCE)] {
            let next = self.path.join(name);
            match fs::remove_file(&next) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return on("removed", &next, Err(error));
                }
                _ => {}
            }
        }
        for entry in on("read", &self.path, fs::read_dir(&self.path))? {
            let entry = on("read", &self.path, entry)?;
            let name = entry.file_name();
            let stale = name
                .to_str()
                .is_some_and(|name| number(name).is_some() && Some(name) != keep);
            if stale {
                on("removed", &entry.path(), fs::remove_dir_all(entry.path()))?;
            }
        }
        Ok(())
    }
}

/// The number in the name of a generation.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(GENERATION)?;
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

fn lock(folder: &Path) -> Result<File, StateError> {
    let path = folder.join("lock");
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .custom_flags(no_links())
        .open(&path);
    let file = on("opened", &path, opened)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateError::Owned {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => on("locked", &path, Err(error)),
    }
}

/// The name of this instance, drawn when the folder is new.
fn instance(folder: &Path) -> Result<String, StateError> {
    let path = folder.join(INSTANCE);
    match fs::symlink_metadata(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let drawn = new_instance().map_err(|why| StateError::Damaged {
                path: path.clone(),
                why: Damage::Key(why),
            })?;
            replace(folder, INSTANCE, drawn.as_bytes())?;
        }
        Err(error) => return on("read", &path, Err(error)),
    }
    let text = read(&path)?;
    let is_hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match std::str::from_utf8(text.trim_ascii()) {
        Ok(text) if text.len() == 2 * INSTANCE_OCTETS && text.as_bytes().iter().all(is_hex) => {
            Ok(text.to_owned())
        }
        _ => Err(StateError::Foreign { path }),
    }
}

fn next_of(name: &str) -> String {
    format!(".{name}.next")
}

/// Writes a file beside the generations, whole or not at all.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), StateError> {
    let (next, path) = (folder.join(next_of(name)), folder.join(name));
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return on("removed", &next, Err(error));
        }
        _ => {}
    }
    write(&next, bytes)?;
    on("replaced", &path, fs::rename(&next, &path))?;
    sync(folder)
}

/// Links are followed nowhere in the folder: what they name is not in it.
fn no_links() -> i32 {
    OFlags::NOFOLLOW.bits().cast_signed()
}

/// Invariant 3.
fn check_ours(path: &Path, about: &Metadata) -> Result<(), StateError> {
    let (owner, ours) = (about.uid(), rustix::process::geteuid().as_raw());
    if owner != ours {
        return Err(StateError::Owner {
            path: path.to_owned(),
            owner,
            ours,
        });
    }
    match about.mode() & 0o7777 {
        mode if mode & 0o077 != 0 => Err(StateError::Mode {
            path: path.to_owned(),
            mode,
            wanted: if about.is_dir() {
                FOLDER_MODE
            } else {
                FILE_MODE
            },
        }),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, StateError> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(no_links() | OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let file = on("read", path, opened)?;
    let about = on("read", path, file.metadata())?;
    check_ours(path, &about)?;
    if !about.is_file() || about.size() > FILE_BYTES_MAX {
        return Err(StateError::Foreign {
            path: path.to_owned(),
        });
    }
    // Room for all of it at once: a buffer that grows leaves copies of a key behind.
    let room = usize::try_from(about.size()).unwrap_or(0) + 1;
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    on(
        "read",
        path,
        file.take(about.size()).read_to_end(&mut content),
    )?;
    Ok(content)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let written = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    on("written", path, written())
}

/// The folder that has the entry of this path.
fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Waits until the folder's entries are on the platter.
fn sync(folder: &Path) -> Result<(), StateError> {
    on(
        "synced",
        folder,
        File::open(folder).and_then(|folder| folder.sync_all()),
    )
}

#[cfg(test)]
mod tests;
