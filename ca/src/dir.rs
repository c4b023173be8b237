//! The folder in which an authority lives.
//!
//! ```text
//! DIR/                 0700
//!   format             `1`: a version that knows only older formats refuses with one line
//!   bundle.pem         the roots now trusted: what every sidecar gets
//!   roots/ID/          cert.pem, key.pem (0600), named by the first eight bytes of the key identifier
//!   issuers/ID/        the same; old ones stay, they are what is looked up when a leaf is in question
//!   root -> roots/ID   the ones in force
//!   issuer -> issuers/ID
//!   statement          the first statement about the roots, signed by all of them
//!   standby -> roots/ID  a second root, if there is one: its certificate alone
//!   standby-root/      its cert.pem and key.pem (0600), to be taken away; nothing here reads them again
//! ```
//!
//! 1. The folder appears whole or not at all, and never in the place of anything.
//! 2. A root or issuer is complete and on the platter before a link points at it.
//! 3. A key that others may read is refused, not used.
//! 4. `root/key.pem` may be away: the issuer then works until it ends.
//! 5. What needs every root's key is done when the folder is made, so that each may be away from then on.

use crate::authority::{Authority, IssueError, Root};
use crate::dir_error::{DirError, FORMAT};
use crate::disk::{self, DiskError, PUBLIC, SECRET, Staging};
use crate::signer::{AuthorityCertificate, Signer};
use crate::stated::first_statement;
use crate::template::short_id;
use identity::{Key, SignedStatement, pem};
use rustls::pki_types::CertificateDer;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use zeroize::Zeroizing;

/// The first statement about the roots.
const STATEMENT: &str = "statement";
/// Where the second root waits to be taken away.
const STANDBY_ROOT: &str = "standby-root";

/// An authority's folder.
#[derive(Clone, Debug)]
pub struct Dir {
    path: PathBuf,
}

impl Dir {
    /// Writes a new authority, all or nothing. `path` must be free, or an empty folder; its parent must be there.
    pub fn create(path: &Path, authority: &Authority) -> Result<Self, DirError> {
        let occupied = || DirError::Occupied {
            path: path.to_owned(),
        };
        if path.symlink_metadata().is_ok()
            && !fs::read_dir(path).is_ok_and(|mut inside| inside.next().is_none())
        {
            return Err(occupied());
        }
        let staging = Staging::begin(path)?;
        let at = staging.path();
        for slots in ["roots", "issuers"] {
            disk::folder(&at.join(slots))?;
        }
        let root = authority.root();
        fill(at, Slot::ROOT, root.certificate(), root.key())?;
        if let Some(standby) = authority.standby() {
            fill(at, Slot::STANDBY, standby.certificate(), None)?;
            let apart = at.join(STANDBY_ROOT);
            disk::folder(&apart)?;
            put(&apart, standby.certificate(), standby.key())?;
            disk::sync(&apart)?;
        }
        if root.key().is_some() {
            let first = first_statement(authority)?;
            disk::write(&at.join(STATEMENT), &first.to_bytes(), PUBLIC)?;
        }
        let issuer = authority.issuer();
        fill(at, Slot::ISSUER, issuer.certificate(), Some(issuer.key()))?;
        disk::write(
            &at.join("bundle.pem"),
            authority.bundle().to_pem().as_bytes(),
            PUBLIC,
        )?;
        disk::write(&at.join("format"), format!("{FORMAT}\n").as_bytes(), PUBLIC)?;
        staging
            .finish()
            .map_err(|error| match error.source.kind() {
                io::ErrorKind::DirectoryNotEmpty
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::AlreadyExists => occupied(),
                io::ErrorKind::ResourceBusy => DirError::MountPoint {
                    path: path.to_owned(),
                },
                _ => error.into(),
            })?;
        Ok(Dir {
            path: path.to_owned(),
        })
    }

    /// Finds the authority that lives there.
    pub fn open(path: &Path) -> Result<Self, DirError> {
        let format = path.join("format");
        match fs::read_to_string(&format) {
            Ok(found) if found.trim() == FORMAT => Ok(Dir {
                path: path.to_owned(),
            }),
            Ok(found) => Err(DirError::Format {
                path: format,
                found: found.trim().chars().take(16).collect(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(DirError::NoAuthority {
                path: path.to_owned(),
            }),
            Err(source) => Err(DiskError {
                done: "read",
                path: format,
                source,
            }
            .into()),
        }
    }

    /// Reads root and issuer, and looks whether they belong together.
    pub fn authority(&self) -> Result<Authority, DirError> {
        let root = self.certificate(Slot::ROOT)?;
        let root = match self.key(Slot::ROOT)? {
            Some(key) => Root::Here(Box::new(self.signer(Slot::ROOT, root, key)?)),
            None => Root::Away(root),
        };
        let certificate = self.certificate(Slot::ISSUER)?;
        let key = self.key(Slot::ISSUER)?.ok_or_else(|| {
            let path = self.key_path(Slot::ISSUER);
            DiskError {
                done: "read",
                path,
                source: io::ErrorKind::NotFound.into(),
            }
        })?;
        let issuer = self.signer(Slot::ISSUER, certificate, key)?;
        let authority = Authority::of_parts(root, issuer);
        let authority = authority.map_err(|error| self.unfit(Slot::ISSUER, error))?;
        match self.path.join(Slot::STANDBY.in_force).symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(authority),
            _ => {
                let standby = Root::Away(self.certificate(Slot::STANDBY)?);
                let authority = authority.with_standby(standby);
                authority.map_err(|error| self.unfit(Slot::STANDBY, error))
            }
        }
    }

    /// What is wrong with what is in force there.
    fn unfit(&self, slot: Slot, error: IssueError) -> DirError {
        match error {
            IssueError::Unfit(source) => {
                let path = self.certificate_path(slot);
                DirError::Unfit { path, source }
            }
            error => DirError::Issue(error),
        }
    }

    /// The first statement about the roots, as it was made with the folder; `None` in one that an older version made.
    pub fn first_statement(&self) -> Result<Option<SignedStatement>, DirError> {
        let path = self.path.join(STATEMENT);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => disk::on("read", &path, read)?,
        };
        match SignedStatement::from_bytes(&bytes) {
            Ok(first) => Ok(Some(first)),
            Err(source) => Err(DirError::Statement { path, source }),
        }
    }

    /// Reads the authority and, if its issuer is past half of its life, lets a new one take over: written, then linked. Also
    /// says whether that happened. Processes that do it at once wait for each other.
    pub fn authority_renewed(&self, now: SystemTime) -> Result<(Authority, Renewal), DirError> {
        let authority = self.authority()?;
        if !authority.successor_due(now) {
            return Ok((authority, Renewal::NotDue));
        }
        let _lock = disk::lock(&self.path)?;
        // Another process may have been faster.
        let authority = self.authority()?;
        match authority.successor(now)? {
            Some(issuer) => {
                fill(
                    &self.path,
                    Slot::ISSUER,
                    issuer.certificate(),
                    Some(issuer.key()),
                )?;
                Ok((self.authority()?, Renewal::Renewed))
            }
            None if authority.successor_due(now) => Ok((authority, Renewal::RootAway)),
            None => Ok((authority, Renewal::NotDue)),
        }
    }

    /// Where the second root and its key lie until they are taken away.
    pub fn standby_path(&self) -> PathBuf {
        self.path.join(STANDBY_ROOT)
    }

    /// Where the roots to trust lie.
    pub fn bundle_path(&self) -> PathBuf {
        self.path.join("bundle.pem")
    }

    /// Whether `path` is this folder or lies in it, so that nothing of others may be written there.
    pub fn contains(&self, path: &Path) -> bool {
        // What is not there yet lies where its parent lies.
        let parent = || {
            path.parent()
                .and_then(|parent| fs::canonicalize(Path::new(".").join(parent)).ok())
        };
        let found = fs::canonicalize(path).ok().or_else(parent);
        found
            .zip(fs::canonicalize(&self.path).ok())
            .is_some_and(|(found, own)| found.starts_with(own))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn certificate_path(&self, slot: Slot) -> PathBuf {
        self.path.join(slot.in_force).join("cert.pem")
    }

    fn key_path(&self, slot: Slot) -> PathBuf {
        self.path.join(slot.in_force).join("key.pem")
    }

    fn certificate(&self, slot: Slot) -> Result<AuthorityCertificate, DirError> {
        let path = self.certificate_path(slot);
        let text = disk::on("read", &path, fs::read(&path))?;
        let found = pem::certificates(&text).map(<[CertificateDer<'static>; 1]>::try_from);
        let Ok(Ok([der])) = found else {
            return Err(DirError::Pem { path });
        };
        AuthorityCertificate::read(der).map_err(|source| DirError::Unfit { path, source })
    }

    /// `None` if the key is away.
    fn key(&self, slot: Slot) -> Result<Option<Key>, DirError> {
        let path = self.key_path(slot);
        let mode = match fs::metadata(&path) {
            Ok(metadata) => metadata.permissions().mode() & 0o7777,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => {
                return Err(DiskError {
                    done: "read",
                    path,
                    source,
                }
                .into());
            }
        };
        if mode & 0o077 != 0 {
            return Err(DirError::Readable { path, mode });
        }
        let text = Zeroizing::new(disk::on("read", &path, fs::read(&path))?);
        match Key::from_pem(&text) {
            Ok(key) => Ok(Some(key)),
            Err(source) => Err(DirError::Key { path, source }),
        }
    }

    fn signer(
        &self,
        slot: Slot,
        certificate: AuthorityCertificate,
        key: Key,
    ) -> Result<Signer, DirError> {
        Signer::new(certificate, key).map_err(|source| DirError::Unfit {
            path: self.certificate_path(slot),
            source,
        })
    }
}

/// What became of the issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It is in the first half of its life, or none would live longer.
    NotDue,
    /// A new one took over.
    Renewed,
    /// A new one is due, but the root's key is away.
    RootAway,
}

/// Where authorities of one kind lie.
#[derive(Clone, Copy)]
struct Slot {
    all: &'static str,
    in_force: &'static str,
}

impl Slot {
    const ROOT: Slot = Slot {
        all: "roots",
        in_force: "root",
    };
    const STANDBY: Slot = Slot {
        all: "roots",
        in_force: "standby",
    };
    const ISSUER: Slot = Slot {
        all: "issuers",
        in_force: "issuer",
    };
}

/// Writes an authority into its slot, and links it once it is complete.
fn fill(
    dir: &Path,
    slot: Slot,
    certificate: &AuthorityCertificate,
    key: Option<&Key>,
) -> Result<(), DirError> {
    let relative = Path::new(slot.all).join(short_id(certificate.key()));
    let staging = Staging::begin(&dir.join(&relative))?;
    put(staging.path(), certificate, key)?;
    // Root may issue from the folder of a CA that runs as somebody else, which must read its next issuer.
    disk::leave_to_owner(staging.path(), dir)?;
    staging.finish()?;
    disk::point(dir, slot.in_force, &relative)?;
    Ok(())
}

/// Writes an authority into a folder.
fn put(
    folder: &Path,
    certificate: &AuthorityCertificate,
    key: Option<&Key>,
) -> Result<(), DiskError> {
    if let Some(key) = key {
        disk::write(&folder.join("key.pem"), key.to_pem().as_bytes(), SECRET)?;
    }
    let certificate = pem::encode("CERTIFICATE", certificate.der());
    disk::write(&folder.join("cert.pem"), certificate.as_bytes(), PUBLIC)
}
