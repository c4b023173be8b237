//! Where lines end up, and what happens when they cannot.
//!
//! In: batches of whole lines. Out: the same bytes in the target, and how many lines were lost. A file that was renamed or
//! removed (logrotate) is opened anew; a line that the disk took only half of is completed once there is room.
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the path is compared with the open file.
const ROTATION_CHECK: Duration = Duration::from_secs(1);
/// How often trouble is told.
const WARNING: Duration = Duration::from_secs(60);

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// An open target.
pub(super) struct Sink {
    out: Box<dyn Write + Send>,
    file: Option<Rotated>,
    /// The rest of a line whose first part was written before the target failed.
    torn: Vec<u8>,
    warned: Option<Instant>,
}

/// What is known of a target that is a file.
struct Rotated {
    path: PathBuf,
    identity: (u64, u64),
    checked: Instant,
}

impl Sink {
    pub(super) fn open(target: LogTarget) -> io::Result<Self> {
        match target {
            // Past the standard library's line buffer, which would lock and split a batch.
            LogTarget::Stdout => Ok(Sink::of(Box::new(File::from(
                io::stdout().as_fd().try_clone_to_owned()?,
            )))),
            LogTarget::File(path) => {
                let (file, identity) = append(&path)?;
                let rotated = Rotated {
                    path,
                    identity,
                    checked: Instant::now(),
                };
                Ok(Sink {
                    file: Some(rotated),
                    ..Sink::of(Box::new(file))
                })
            }
        }
    }

    pub(super) fn of(out: Box<dyn Write + Send>) -> Self {
        Sink {
            out,
            file: None,
            torn: Vec::new(),
            warned: None,
        }
    }

    /// Writes the batch; returns how many of its lines were lost.
    pub(super) fn write(&mut self, batch: &[u8]) -> u64 {
        self.follow_rotation();
        let torn = std::mem::take(&mut self.torn);
        if let Err((rest, error)) = write_all(&mut self.out, &torn) {
            self.torn = torn[torn.len() - rest..].to_vec();
            return self.lost(batch, &error);
        }
        let Err((rest, error)) = write_all(&mut self.out, batch) else {
            return 0;
        };
        let written = batch.len() - rest;
        let mut left = &batch[written..];
        if written > 0 && batch[written - 1] != b'\n' {
            let end = left
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(left.len(), |place| place + 1);
            self.torn = left[..end].to_vec();
            left = &left[end..];
        }
        self.lost(left, &error)
    }

    /// Opens the path again when it no longer names the open file. Where that fails, lines go on into the old one.
    fn follow_rotation(&mut self) {
        let Some(rotated) = &mut self.file else {
            return;
        };
        if rotated.checked.elapsed() < ROTATION_CHECK {
            return;
        }
        rotated.checked = Instant::now();
        if fs::metadata(&rotated.path).is_ok_and(|found| identity(&found) == rotated.identity) {
            return;
        }
        match append(&rotated.path) {
            Ok((file, identity)) => {
                rotated.identity = identity;
                // The rest of a torn line belongs to the old file; there it still fits as well as ever.
                let torn = std::mem::take(&mut self.torn);
                let _lost_with_the_old_file = write_all(&mut self.out, &torn);
                self.out = Box::new(file);
            }
            Err(error) => {
                let path = rotated.path.display().to_string();
                self.warn(|| {
                    tracing::warn!("access log {path} was moved and cannot be opened anew: {error}; lines go to the old file");
                });
            }
        }
    }

    fn lost(&mut self, lines: &[u8], error: &io::Error) -> u64 {
        let lost = lines.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.warn(|| {
            tracing::warn!("access log: {lost} lines lost: {error}; traffic goes on, countersign_dropped_total counts them");
        });
        lost
    }

    fn warn(&mut self, say: impl FnOnce()) {
        if self.warned.is_none_or(|at| at.elapsed() >= WARNING) {
            self.warned = Some(Instant::now());
            say();
        }
    }
}

fn append(path: &Path) -> io::Result<(File, (u64, u64))> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)?;
    let identity = identity(&file.metadata()?);
    Ok((file, identity))
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Like [`Write::write_all`], but a failure says how many bytes are left.
fn write_all(out: &mut impl Write, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => return Err((rest.len(), io::ErrorKind::WriteZero.into())),
            Ok(written) => rest = &rest[written.min(rest.len())..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((rest.len(), error)),
        }
    }
    Ok(())
}
