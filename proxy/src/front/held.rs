//! What came on a connection and was not handed on to who reads there: a head that is not whole, or what follows a message.

use tokio::io::ReadBuf;

/// The bytes, in their order.
#[derive(Debug, Default)]
pub(crate) struct Held {
    bytes: Vec<u8>,
    /// So many of them may be handed on.
    cleared: usize,
}

impl Held {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
    /// Takes back what was read from there on.
    pub(crate) fn hold(&mut self, buf: &mut ReadBuf<'_>, from: usize) {
        self.bytes.extend_from_slice(&buf.filled()[from..]);
        buf.set_filled(from);
    }
    /// Hands on what may be. Whether there was anything.
    pub(crate) fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let given = self.cleared.min(buf.remaining());
        if given == 0 {
            return false;
        }
        buf.put_slice(&self.bytes[..given]);
        self.cleared -= given;
        if given == self.bytes.len() {
            // A quiet connection holds nothing.
            self.bytes = Vec::new();
        } else {
            self.bytes.drain(..given);
        }
        true
    }
    /// What may not be handed on.
    pub(crate) fn kept(&self) -> &[u8] {
        self.bytes.get(self.cleared..).unwrap_or_default()
    }
    /// The bytes, to be judged and put back.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.cleared = 0;
        std::mem::take(&mut self.bytes)
    }
    /// Puts them back: so many may be handed on.
    pub(crate) fn put(&mut self, bytes: Vec<u8>, cleared: usize) {
        (self.bytes, self.cleared) = (bytes, cleared);
    }
    /// All may be handed on, after these, which were read before.
    pub(crate) fn clear_after(&mut self, before: &[u8]) {
        self.bytes.splice(..0, before.iter().copied());
        self.cleared = self.bytes.len();
    }
}
