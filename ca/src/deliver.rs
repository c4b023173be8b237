//! An identity's three files, for a sidecar that may be watching them.
//!
//! In: what was issued and a folder. Out: `bundle.pem`, `key.pem` (0600) and `svid.pem`, new. A new folder appears whole; in
//! one that is there, all three lie complete beside their places before the first takes it, and the certificate comes last:
//! whoever looks between two of these steps sees a key and a certificate that do not match, and waits. There they belong to
//! whom the folder belongs.

use crate::disk::{self, DiskError, PUBLIC, SECRET, Staging};
use std::fs;
use std::path::Path;

/// The three files, as texts.
#[derive(Debug)]
pub struct Delivery<'a> {
    /// The leaf, then the issuer.
    pub chain_pem: &'a str,
    /// Absent where the key is somebody else's.
    pub key_pem: Option<&'a str>,
    /// The roots to trust.
    pub bundle_pem: &'a str,
}

impl Delivery<'_> {
    /// Writes into a folder, which is made if only it is missing.
    pub fn write(&self, folder: &Path) -> Result<(), DiskError> {
        // What a sidecar trusts comes before what it shows; the key before its certificate.
        let mut files = vec![("bundle.pem", self.bundle_pem.as_bytes(), PUBLIC)];
        files.extend(self.key_pem.map(|key| ("key.pem", key.as_bytes(), SECRET)));
        files.push(("svid.pem", self.chain_pem.as_bytes(), PUBLIC));

        if folder.symlink_metadata().is_ok() {
            disk::on("a folder", folder, fs::read_dir(folder))?;
            let _lock = disk::lock(folder)?;
            return disk::replace(folder, &files);
        }
        let staging = Staging::begin(folder)?;
        for (name, bytes, mode) in files {
            disk::write(&staging.path().join(name), bytes, mode)?;
        }
        staging.finish()
    }
}
