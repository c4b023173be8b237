//! A unix socket that is listened on, and its file: made with the listener, gone with it.
use super::BindError;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// A bound unix socket. Its file is removed when this is dropped, unless another has taken its place meanwhile.
#[derive(Debug)]
pub struct SocketFile {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: which file is ours.
    ours: Option<(u64, u64)>,
}

impl SocketFile {
    /// Binds with this mode (such as `0o600`) and listens. A socket file that nobody listens on is replaced.
    pub fn listen(path: &Path, mode: u32) -> Result<Self, BindError> {
        let listener = super::unix(path, mode)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            ours: identity(path),
        })
    }

    /// Why others than our own user and root may put a file of theirs in its place, if they may: then who comes to it by its
    /// path comes to them.
    pub fn replaceable(&self) -> Option<String> {
        let parent = self.path.parent()?;
        let folder = match parent.as_os_str().is_empty() {
            true => Path::new("."),
            false => parent,
        };
        let found = std::fs::metadata(folder).ok()?;
        let mode = found.permissions().mode();
        let (shown, ours) = (folder.display(), rustix::process::geteuid().as_raw());
        if found.uid() != ours && found.uid() != 0 {
            let owner = found.uid();
            return Some(format!("{shown} belongs to user {owner}, who"));
        }
        // In a sticky folder nobody removes what is somebody else's.
        (mode & 0o022 != 0 && mode & 0o1000 == 0)
            .then(|| format!("{shown} has mode {:04o}: others", mode & 0o7777))
    }

    /// What accepts.
    pub fn listener(&self) -> &UnixListener {
        &self.listener
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // While we listen nobody takes the file for stale: so it is removed first and closed then.
        if self.ours.is_some()
            && self.ours == identity(&self.path)
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::debug!(path = %self.path.display(), %error, "socket file not removed");
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
