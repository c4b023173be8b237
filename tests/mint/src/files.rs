//! What is minted, as PEM and as files.

use crate::{Key, pem};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A chain, leaf first, without the root; and the leaf's key.
#[derive(Clone, Debug)]
pub struct Svid {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The leaf's key.
    pub key: Key,
}

impl Svid {
    /// The chain in PEM.
    pub fn chain_pem(&self) -> String {
        self.chain
            .iter()
            .map(|certificate| pem("CERTIFICATE", certificate))
            .collect()
    }

    /// Writes `svid.pem`, `key.pem` (mode 0600) and `bundle.pem` into `dir`, as `countersign ca issue` does.
    pub fn write_files(&self, dir: &Path, bundle_pem: &str) {
        write(&dir.join("svid.pem"), 0o644, &self.chain_pem());
        write(&dir.join("key.pem"), 0o600, &self.key.pem());
        write(&dir.join("bundle.pem"), 0o644, bundle_pem);
    }
}

fn write(path: &Path, mode: u32, text: &str) {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .expect("a file of a test");
}
