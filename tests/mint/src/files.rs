//! What is minted, as PEM and as files.

use crate::Key;
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

/// One PEM section.
pub fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in der.chunks(48) {
        for triple in line.chunks(3) {
            let byte = |at: usize| u32::from(triple.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for at in 0..4 {
                let six = (bits >> (18 - 6 * at)) & 0x3f;
                text.push(if at > triple.len() {
                    '='
                } else {
                    char::from(ALPHABET[six as usize])
                });
            }
        }
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
