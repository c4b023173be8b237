//! PEM files that somebody else renews, watched and taken as one generation.
use crate::Current;
use config::sidecar::Identity;
/// A watched set of files.
pub struct FilesSource {
    _p: (),
}
/// What went wrong with the files: one line that says what to do.
#[derive(Debug)]
pub enum FilesError {}
impl std::fmt::Display for FilesError {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
impl std::error::Error for FilesError {}
impl FilesSource {
    /// Reads the files once, whole, and returns the first generation's holder.
    pub fn open(_identity: &Identity) -> Result<Self, FilesError> {
        todo!()
    }
    /// The holder that listeners and dialers read.
    pub fn current(&self) -> Current {
        todo!()
    }
    /// Watches until dropped: polls twice a second, compares contents, takes a complete new set as one generation, logs what it refuses and keeps the old one. Reports each outcome to `report`.
    pub async fn watch(self, _report: impl Fn(Result<u64, &FilesError>) + Send) {
        todo!()
    }
}
