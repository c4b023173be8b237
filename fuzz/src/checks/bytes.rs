//! Structure out of a fuzzer's bytes: numbers and pieces off the front.

/// What is still to be read.
pub(crate) struct Rest<'a>(pub(crate) &'a [u8]);

impl<'a> Rest<'a> {
    pub(crate) fn octet(&mut self) -> Option<u8> {
        let (&octet, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(octet)
    }
    /// At most so many bytes.
    pub(crate) fn up_to(&mut self, length: usize) -> &'a [u8] {
        let (piece, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        piece
    }
    /// A piece behind its length in two octets, or what there is of it.
    pub(crate) fn piece(&mut self) -> Option<&'a [u8]> {
        let (high, low) = (self.octet()?, self.octet().unwrap_or(0));
        Some(self.up_to(usize::from(u16::from_be_bytes([high, low]))))
    }
}

/// `bytes` in pieces, whose lengths a seed draws.
pub(crate) fn cut(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut state) = (bytes, u32::from(seed) | 0x100);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // Short pieces most of the time: what goes wrong does so at the edges.
        let most = if state & 0x3000 == 0 { 512 } else { 7 };
        let length = (1 + (state >> 16) as usize % most).min(rest.len());
        let (piece, after) = rest.split_at(length);
        rest = after;
        Some(piece)
    })
}
