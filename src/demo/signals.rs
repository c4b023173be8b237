//! Asked to end: Ctrl-C, SIGTERM, or the terminal going away.

use crate::failure::Failure;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from its making on, so that nothing is left behind however early the wish comes.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error: io::Error| {
                Failure::Unfit(format!(
                    "cannot listen to signals: {error}; run it elsewhere"
                ))
            })
        };
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
    /// Resolves when the process is asked to end.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
