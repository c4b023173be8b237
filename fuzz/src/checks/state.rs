//! The files of a state directory, whatever somebody left in them.

use super::bytes::Rest;
use identity::{Key, StateDir, pki_types::CertificateDer};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};

/// By the octet that stands before a file's content.
const FILES: [&str; 8] = [
    "g-1/format",
    "g-1/key.pem",
    "g-1/svid.pem",
    "g-1/statement",
    "g-1/issued",
    "pending.pem",
    "instance",
    "current",
];

/// What is resumed from is whole and can be kept again; what cannot be resumed from is an error, not a panic.
pub fn check(data: &[u8]) {
    let folder = Folder::new();
    folder.fill(data).expect("a file system to work on");
    let Ok(state) = StateDir::open(&folder.0) else {
        return;
    };
    assert_eq!(state.instance().len(), 32);
    let pending = state.pending();
    let Ok(Some(kept)) = state.resume() else {
        return;
    };
    let leaf = kept.svid.chain().first().map(CertificateDer::as_ref);
    let leaf = identity::Leaf::parse(leaf.expect("a leaf"));
    assert_eq!(leaf.as_ref(), Ok(kept.svid.leaf()));
    if let Ok(Some(pending)) = pending {
        assert_ne!(pending.spki(), kept.svid.key().spki(), "invariant 4");
    }
    let again = state.keep(&kept.svid, &kept.statement, kept.issued_at_unix_ms);
    if again.is_err() {
        return; // Such as a folder in the place of a file.
    }
    let again = state.resume().ok().flatten().expect("what was just kept");
    assert_eq!(again.svid.chain(), kept.svid.chain());
    assert_eq!(again.statement, kept.statement);
    assert_eq!(again.issued_at_unix_ms, kept.issued_at_unix_ms);
    let key = Key::from_pem(again.svid.key().to_pem().as_bytes());
    assert_eq!(key.map(|key| key.spki()).ok(), Some(kept.svid.key().spki()));
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let parent = match memory.is_dir() {
            true => memory.to_owned(),
            false => std::env::temp_dir(),
        };
        let folder = parent.join(format!("countersign-fuzz-state-{}", std::process::id()));
        // Of a run that ended in the middle.
        let _ = fs::remove_dir_all(&folder);
        Folder(folder)
    }

    fn fill(&self, data: &[u8]) -> io::Result<()> {
        let make = |path: &Path| DirBuilder::new().mode(0o700).create(path);
        make(&self.0)?;
        make(&self.0.join("g-1"))?;
        let mut rest = Rest(data);
        while let Some(which) = rest.octet() {
            let name = FILES[usize::from(which) % FILES.len()];
            let content = rest.piece().unwrap_or_default();
            let path = self.0.join(name);
            let _ = fs::remove_file(&path);
            if name == "current" {
                let target = String::from_utf8_lossy(content).replace(['\0', '/'], "");
                if !target.is_empty() && target.len() < 200 {
                    symlink(target, path)?;
                }
                continue;
            }
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).mode(0o600).open(path)?;
            file.write_all(content)?;
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
