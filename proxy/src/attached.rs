//! A source of identity at work: it renews in the background until it is let go.

use identity::Current;
use identity::source::{Source, Standing};
use tokio::task::JoinHandle;

/// A source at work. Dropping it ends it.
pub(crate) struct Attached {
    /// Its generations.
    pub(crate) current: Current,
    /// What it says of itself, and is told.
    pub(crate) standing: Standing,
    running: JoinHandle<()>,
    released: bool,
}

impl Attached {
    /// Sets it to work. Needs a tokio runtime.
    pub(crate) fn start(source: Source) -> Self {
        Self {
            current: source.current(),
            standing: source.standing(),
            running: tokio::spawn(source.run()),
            released: false,
        }
    }

    /// Ends it, and waits until it has let go of what it held, such as a state directory. What it gave stays.
    pub(crate) async fn release(&mut self) {
        self.running.abort();
        // That it was aborted is what was wanted.
        let _ = (&mut self.running).await;
        self.released = true;
    }

    /// Whether it was made to let go.
    pub(crate) fn is_released(&self) -> bool {
        self.released
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.running.abort();
    }
}
