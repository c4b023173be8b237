//! All files of one generation, read as they were at one moment.
//!
//! In: paths. Out: their bytes, known not to have changed in between, or why not; and of these bytes a [`Generation`], known
//! to be good now.

use super::{FilesError, What};
use crate::{Bundle, Bundles, Generation, Key, Svid};
use config::TrustDomain;
use config::sidecar::{Federated, Files};
use rustls::pki_types::UnixTime;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use zeroize::Zeroizing;

/// Bytes of one file at most: 64 large roots fit four times.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How often a set that moves is read before it is called moving: with the pauses, 200 ms.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(20);

/// What tells one state of a file from another without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Stamp {
            device: file.dev(),
            inode: file.ino(),
            bytes: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }
}

/// The bytes of one generation.
pub(super) struct Set {
    pub(super) stamps: Vec<Option<Stamp>>,
    pub(super) digest: [u8; 32],
    certificate: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    bundles: Vec<Zeroizing<Vec<u8>>>,
}

/// Which files, and of which trust domains.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub(super) trust_domain: TrustDomain,
    pub(super) files: Files,
    pub(super) federated: Vec<Federated>,
}

/// Certificate, key, own bundle, then the federated ones.
fn all(paths: &Paths) -> impl Iterator<Item = (What, &Path)> {
    let files = &paths.files;
    [
        (What::Certificate, files.certificate.as_path()),
        (What::Key, files.key.as_path()),
        (What::Bundle, files.bundle.as_path()),
    ]
    .into_iter()
    .chain(
        paths
            .federated
            .iter()
            .map(|federated| (What::Bundle, federated.bundle.as_path())),
    )
}

/// The stamps of all files, links followed; `None` for one that cannot be looked at.
pub(super) fn stamps(paths: &Paths) -> Vec<Option<Stamp>> {
    all(paths)
        .map(|(_, path)| path.metadata().ok().map(|file| Stamp::of(&file)))
        .collect()
}

impl Set {
    /// Reads all files; again if one of them changed meanwhile, which is how a swapped directory shows.
    pub(super) fn read(paths: &Paths) -> Result<Self, FilesError> {
        let mut before = stamps(paths);
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(PAUSE);
                before = stamps(paths);
            }
            let read = all(paths)
                .map(|(what, path)| read(what, path))
                .collect::<Result<Vec<_>, _>>();
            if stamps(paths) == before {
                return read.map(|contents| Set::of(before, contents));
            }
        }
        Err(FilesError::Moving)
    }

    fn of(stamps: Vec<Option<Stamp>>, contents: Vec<Zeroizing<Vec<u8>>>) -> Self {
        let mut digest = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        for content in &contents {
            digest.update(&content.len().to_be_bytes());
            digest.update(content);
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest.finish().as_ref());
        let mut contents = contents.into_iter();
        Set {
            stamps,
            digest: sha256,
            certificate: contents.next().unwrap_or_default(),
            key: contents.next().unwrap_or_default(),
            bundles: contents.collect(),
        }
    }

    /// The generation that these bytes make, if a peer would believe it now.
    pub(super) fn generation(
        &self,
        paths: &Paths,
        number: u64,
        now: UnixTime,
    ) -> Result<Generation, FilesError> {
        let files = &paths.files;
        let key = Key::from_pem(&self.key).map_err(|why| FilesError::Key {
            path: files.key.clone(),
            why,
        })?;
        let svid = Svid::from_pem(&self.certificate, key).map_err(|why| FilesError::Svid {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            why,
        })?;
        let found = svid.leaf().id.clone();
        if !found.is_in(&paths.trust_domain) {
            let wanted = paths.trust_domain.clone();
            return Err(FilesError::TrustDomain {
                path: files.certificate.clone(),
                found,
                wanted,
            });
        }
        let generation =
            Generation::new(number, svid, self.bundles(paths)?).map_err(FilesError::Tls)?;
        generation.check(now).map_err(|why| FilesError::Refused {
            path: files.certificate.clone(),
            bundle: files.bundle.clone(),
            why,
        })?;
        Ok(generation)
    }

    fn bundles(&self, paths: &Paths) -> Result<Bundles, FilesError> {
        let own = (&paths.trust_domain, &paths.files.bundle);
        let federated = paths
            .federated
            .iter()
            .map(|federated| (&federated.trust_domain, &federated.bundle));
        let mut bundles = Bundles::default();
        for ((trust_domain, path), text) in std::iter::once(own).chain(federated).zip(&self.bundles)
        {
            let bundle =
                Bundle::from_pem(trust_domain.clone(), text).map_err(|why| FilesError::Bundle {
                    path: path.clone(),
                    why,
                })?;
            bundles
                .add(bundle)
                .map_err(|twice| FilesError::BundleTwice {
                    path: path.clone(),
                    trust_domain: twice.0,
                })?;
        }
        Ok(bundles)
    }
}

/// The roots of a trust domain in their file, as they are at this moment.
pub(in crate::source) fn bundle(
    trust_domain: &TrustDomain,
    path: &Path,
) -> Result<Bundle, FilesError> {
    let text = read(What::Bundle, path)?;
    Bundle::from_pem(trust_domain.clone(), &text).map_err(|why| FilesError::Bundle {
        path: path.to_owned(),
        why,
    })
}

fn read(what: What, path: &Path) -> Result<Zeroizing<Vec<u8>>, FilesError> {
    let unreadable = |why| FilesError::Unreadable {
        what,
        path: path.to_owned(),
        why,
    };
    let file = File::open(path).map_err(unreadable)?;
    let about = file.metadata().map_err(unreadable)?;
    // Its mode would be told otherwise, which is not what is wrong.
    if about.is_dir() {
        return Err(unreadable(io::ErrorKind::IsADirectory.into()));
    }
    if what == What::Key {
        check_mode(path, &about)?;
    }
    // Room for all of it at once: a buffer that grows leaves copies of a key behind.
    let room = usize::try_from(about.size().min(FILE_BYTES_MAX)).unwrap_or(0) + 1;
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(FilesError::TooLarge {
            path: path.to_owned(),
            bytes_max: FILE_BYTES_MAX,
        });
    }
    Ok(content)
}

/// A key is its owner's. A group may read it where root owns the file: that is how Kubernetes (fsGroup) and system packages
/// hand a key to one user without making that user its owner.
fn check_mode(path: &Path, about: &Metadata) -> Result<(), FilesError> {
    let mode = about.mode() & 0o7777;
    let by_others = mode & 0o007 != 0;
    let by_group = mode & 0o070 != 0;
    let group_may_read = about.uid() == 0 && mode & 0o030 == 0;
    if by_others || (by_group && !group_may_read) {
        return Err(FilesError::KeyMode {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}
