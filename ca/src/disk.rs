//! Files that are there whole or not at all.
//!
//! In: paths and bytes. Out: files with exactly the mode that was named (whatever the umask), on the platter before they are
//! in their place. What a crash leaves behind has a name that nobody reads, and the next run clears it away.

use std::fmt;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown, symlink,
};
use std::path::{Path, PathBuf};

/// For keys.
pub(crate) const SECRET: u32 = 0o600;
/// For certificates.
pub(crate) const PUBLIC: u32 = 0o644;
/// For folders.
pub(crate) const FOLDER: u32 = 0o700;

/// What could not be done to which path.
#[derive(Debug)]
pub struct DiskError {
    /// Such as `written`.
    pub done: &'static str,
    /// To which path.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let todo = match self.source.kind() {
            io::ErrorKind::NotFound => "make the folder above it, or name another",
            io::ErrorKind::NotADirectory => "name another",
            io::ErrorKind::PermissionDenied => "run as its owner",
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "make room and run it again"
            }
            io::ErrorKind::ReadOnlyFilesystem => "name a place that can be written",
            _ => "look at this path and run it again",
        };
        write!(
            f,
            "{} is not {}: {}; {todo}",
            self.path.display(),
            self.done,
            self.source
        )
    }
}
impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Names the path and the deed in an error of the system.
pub(crate) fn on<T>(
    done: &'static str,
    path: &Path,
    result: io::Result<T>,
) -> Result<T, DiskError> {
    result.map_err(|source| DiskError {
        done,
        path: path.to_owned(),
        source,
    })
}

/// A new file of the user that we run as; one that is there already is an error.
pub(crate) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), DiskError> {
    write_for(path, bytes, mode, None)
}

/// The same for the owner of a folder, so that root can renew the key of a sidecar that runs as somebody else. Who is not
/// root cannot give files away; they stay ours then, which exposes nothing.
fn write_for(
    path: &Path,
    bytes: &[u8],
    mode: u32,
    owner: Option<&Metadata>,
) -> Result<(), DiskError> {
    let written = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)?;
        if let Some(owner) = owner {
            match fchown(&file, Some(owner.uid()), Some(owner.gid())) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => return Err(error),
                _ => {}
            }
        }
        file.set_permissions(Permissions::from_mode(mode))?; // the umask may have taken bits away
        file.write_all(bytes)?;
        file.sync_all()
    };
    on("written", path, written())
}

/// A new folder that only its owner may enter.
pub(crate) fn folder(path: &Path) -> Result<(), DiskError> {
    let made = || {
        DirBuilder::new().mode(FOLDER).create(path)?;
        fs::set_permissions(path, Permissions::from_mode(FOLDER))
    };
    on("made", path, made())
}

/// Waits until the folder's entries are on the platter.
pub(crate) fn sync(folder: &Path) -> Result<(), DiskError> {
    on(
        "synced",
        folder,
        File::open(folder).and_then(|folder| folder.sync_all()),
    )
}

/// Leaves a folder and its files to whom another folder belongs, so that root can work in what somebody else reads. Who is not
/// root cannot give files away; they stay ours then, which exposes nothing.
pub(crate) fn leave_to_owner(folder: &Path, of: &Path) -> Result<(), DiskError> {
    let owner = on("read", of, fs::metadata(of))?;
    let leave = |path: &Path| match chown(path, Some(owner.uid()), Some(owner.gid())) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
            on("given to its owner", path, Err(error))
        }
        _ => Ok(()),
    };
    for file in on("read", folder, fs::read_dir(folder))? {
        leave(&on("read", folder, file)?.path())?;
    }
    leave(folder)
}

/// Keeps other processes of ours out of a folder until dropped.
pub(crate) fn lock(folder: &Path) -> Result<File, DiskError> {
    let locked = || {
        let folder = File::open(folder)?;
        folder.lock()?;
        Ok(folder)
    };
    on("locked", folder, locked())
}

/// Points the link `name` in `folder` at `target`, in one step.
pub(crate) fn point(folder: &Path, name: &str, target: &Path) -> Result<(), DiskError> {
    let next = folder.join(format!(".{name}.next"));
    clear(&next)?;
    on("written", &next, symlink(target, &next))?;
    let path = folder.join(name);
    on("replaced", &path, fs::rename(&next, &path))?;
    sync(folder)
}

/// Replaces several files of a folder, in their order, as nearly at once as files can be: all of them lie on the platter
/// before the first takes its place.
pub(crate) fn replace(folder: &Path, files: &[(&str, &[u8], u32)]) -> Result<(), DiskError> {
    let next = |name: &str| folder.join(format!(".{name}.next"));
    let owner = on("read", folder, fs::metadata(folder))?;
    let staged = files.iter().try_for_each(|(name, bytes, mode)| {
        clear(&next(name))?;
        write_for(&next(name), bytes, *mode, Some(&owner))
    });
    let replaced = staged.and_then(|()| {
        files.iter().try_for_each(|(name, _, _)| {
            let path = folder.join(name);
            on("replaced", &path, fs::rename(next(name), &path))
        })
    });
    if replaced.is_err() {
        // The first error is the one to report.
        files
            .iter()
            .for_each(|(name, _, _)| drop(clear(&next(name))));
    }
    replaced?;
    sync(folder)
}

fn clear(path: &Path) -> Result<(), DiskError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => on("removed", path, Err(error)),
        _ => Ok(()),
    }
}

/// A folder under another name beside its place, which it takes only when complete. Removed when dropped before that.
#[derive(Debug)]
pub(crate) struct Staging {
    path: PathBuf,
    place: PathBuf,
    _lock: File,
}

impl Staging {
    /// Begins, clearing away what a killed process left.
    pub(crate) fn begin(place: &Path) -> Result<Self, DiskError> {
        let nameless = || io::Error::new(io::ErrorKind::InvalidInput, "it has no name of its own");
        let name = on("made", place, place.file_name().ok_or_else(nameless))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(".incomplete");
        let path = place.with_file_name(hidden);
        if path.symlink_metadata().is_ok() {
            let left = on("locked", &path, File::open(&path))?;
            on(
                "locked (another process is at work there)",
                &path,
                left.try_lock().map_err(io::Error::from),
            )?;
            on("removed", &path, fs::remove_dir_all(&path))?;
        }
        folder(&path)?;
        let lock = lock(&path)?;
        Ok(Staging {
            path,
            place: place.to_owned(),
            _lock: lock,
        })
    }

    /// Where to write meanwhile.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Takes its place, which must be free or an empty folder. Everything within must have been synced.
    pub(crate) fn finish(self) -> Result<(), DiskError> {
        sync(&self.path)?;
        // rename(2) replaces an empty folder and nothing else, in one step: nobody's file is ever overwritten.
        on(
            "put in its place",
            &self.place,
            fs::rename(&self.path, &self.place),
        )?;
        let parent = self
            .place
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        sync(parent.unwrap_or(Path::new(".")))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After `finish` there is nothing under this name. If it cannot be removed, the next run will.
        let _ = fs::remove_dir_all(&self.path);
    }
}
