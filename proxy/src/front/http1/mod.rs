//! What of HTTP/1 may pass: bytes in, verdicts out. Pure: `core` and `std` alone, no clock, no I/O.
//!
//! In: the bytes of one direction of a connection, in whatever pieces they come. Out: where each message ends, what its head says of
//! that ([`RequestHead`], [`AnswerHead`]), or the [`Fault`] for which it goes nowhere. Bytes are never changed. It does not decode:
//! hyper reads the same bytes again, and what passes here means one thing to every reader.
//!
//! 1. What RFC 9112 lets a recipient read in two ways is refused: bare CR and LF, folded lines, whitespace about a colon or a chunk's
//!    size, a length beside a coding, two lengths though they be equal, any coding but one `chunked`, none in HTTP/1.0.
//! 2. Every part has a bound ([`Bounds`]).
//! 3. A byte is looked at once, however the bytes were cut, and the verdict is the same for each way to cut them.
//! 4. Framing fields in trailers are neither obeyed nor refused here: whoever passes trailers on drops them (RFC 9110 §6.5.1).

mod class;
mod fault;
mod spelling;
mod fields;
mod body;
mod target;
mod requests;
mod answers;

pub(crate) use answers::{AnswerHead, Answers, Asked};
pub(crate) use body::Framing;
pub(crate) use fault::Fault;
pub(crate) use requests::{Kind, RequestHead, RequestLine, Requests};
pub(crate) use spelling::spell;

/// What one direction may make us look at before anything is known to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Bytes of a head from its first to the end of its empty line; the same for trailers.
    pub(crate) head_bytes: usize,
    /// Fields of a head, or of trailers.
    pub(crate) fields: usize,
}

/// `HTTP/1.x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    Http11,
}

/// What becomes of the bytes that were judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step<H> {
    /// A head that goes on: to be judged again from its first byte, once more of it has come.
    More,
    /// A whole head of so many bytes. The message ends with it where its framing is [`Framing::None`].
    Head(usize, H),
    /// So many bytes of a body pass, and whether it ends with them. What follows is to be judged by itself.
    Body(usize, End),
}

/// Whether a message has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It goes on.
    NotYet,
    /// The next byte is not its own.
    Here,
}

#[cfg(test)]
mod tests;
