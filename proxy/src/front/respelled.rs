//! Where heads are written: their names get the spelling back with which they were read.
//!
//! In: what hyper writes, names in lower case, and how the next head is to be spelled. Out: the same bytes, but for the case of its
//! names. Where nothing is to be spelled nothing is copied; otherwise a head is, once, and goes in one piece with what follows it.
//!
//! 1. Only a head changes that begins where nothing of what was written before it is left, `100 Continue` of hyper's included.
//! 2. What is no head stays as it is.

use super::http1::spell;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;

/// What hyper's server writes by itself, ahead of an answer.
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// A head goes with so many slices at once: more follow.
const SLICES_MAX: usize = 8;

/// How far one direction of a connection is written.
#[derive(Debug, Default)]
pub(crate) struct Respelled {
    /// Those of the next head; empty: it goes as it is.
    names: Vec<u8>,
    /// A head that goes in place of the one that hyper writes, and how much of it went.
    head: Vec<u8>,
    went: usize,
    /// Bytes that hyper wanted to write and that did not go: it will want to write them again.
    left: usize,
}

impl Respelled {
    /// The next head is spelled so.
    pub(crate) fn spell(&mut self, names: Vec<u8>) {
        self.names = names;
    }
    /// Writes what hyper writes.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        if !self.names.is_empty() && self.head.is_empty() {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            let first = first.map_or(&[][..], |first| first);
            let left = match self.left {
                0 if first.starts_with(CONTINUE) => CONTINUE.len(),
                left => left,
            };
            if left > 0 {
                let polled = Pin::new(stream).poll_write(cx, &first[..left.min(first.len())]);
                self.left = left.saturating_sub(went(&polled));
                return polled;
            }
            self.begin(first);
        }
        let polled = match self.head.is_empty() {
            true => Pin::new(stream).poll_write_vectored(cx, bufs),
            false => self.poll_head(stream, cx, bufs),
        };
        let wanted: usize = bufs.iter().map(|buf| buf.len()).sum();
        self.left = wanted.saturating_sub(went(&polled));
        polled
    }
    /// A head begins here.
    fn begin(&mut self, first: &[u8]) {
        let names = std::mem::take(&mut self.names);
        self.head = first.to_vec();
        let end = spell(&mut self.head, &names);
        self.head.truncate(end.unwrap_or_default());
    }
    /// Writes what is left of ours, and what follows it.
    fn poll_head<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let ours = &self.head[self.went..];
        let mut theirs = bufs.iter().skip_while(|buf| buf.is_empty());
        let after = theirs.next().and_then(|first| first.get(ours.len()..));
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        slices[0] = IoSlice::new(ours);
        slices[1] = IoSlice::new(after.unwrap_or_default());
        let rest = slices[2..].iter_mut().zip(theirs);
        let count = 2 + rest.map(|(slice, buf)| *slice = *buf).count();
        let polled = Pin::new(stream).poll_write_vectored(cx, &slices[..count]);
        self.went += went(&polled);
        if self.went >= self.head.len() {
            (self.head, self.went) = (Vec::new(), 0);
        }
        polled
    }
}

fn went(polled: &Poll<Result<usize>>) -> usize {
    match polled {
        Poll::Ready(Ok(went)) => *went,
        Poll::Ready(Err(_)) | Poll::Pending => 0,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::task::Waker;

    /// A socket that takes so many bytes at a time and then none, over and over.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
        is_full: bool,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(buf)])
        }
        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<Result<usize>> {
            self.is_full = !self.is_full;
            if self.is_full {
                return Poll::Pending;
            }
            let before = self.taken.len();
            let bytes = bufs.iter().flat_map(|buf| buf.iter().copied());
            let bytes: Vec<u8> = bytes.take(self.room).collect();
            self.taken.extend(bytes);
            Poll::Ready(Ok(self.taken.len() - before))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// What hyper's buffers hold, and how what it puts there next is spelled: of these in turn.
    type Turn<'a> = (&'a [u8], &'a [&'a str]);

    /// Writes as hyper does: what it was given goes to the end of what is left, and all of that is offered until it went, or, where
    /// `tries` are, only so often before more comes.
    /// What comes stands in one buffer with what is left before it, or in another.
    fn write(turns: &[Turn<'_>], room: usize, tries: usize, is_one: bool) -> Vec<u8> {
        let mut cx = Context::from_waker(Waker::noop());
        let mut respelled = Respelled::default();
        let mut socket = Narrow {
            taken: Vec::new(),
            room,
            is_full: false,
        };
        let mut buffers: Vec<Vec<u8>> = Vec::new();
        let last = turns.len() - 1;
        for (turn, (names, given)) in turns.iter().enumerate() {
            if !names.is_empty() {
                respelled.spell(names.to_vec());
            }
            let mut given = given.iter().map(|buffer| buffer.as_bytes().to_vec());
            if let Some(left) = buffers.last_mut().filter(|_| is_one) {
                left.extend(given.next().unwrap());
            }
            buffers.extend(given);
            let mut tried = 0;
            while !buffers.is_empty() && (turn == last || tried < tries) {
                tried += 1;
                let slices: Vec<_> = buffers.iter().map(|buffer| IoSlice::new(buffer)).collect();
                let Poll::Ready(went) = respelled.poll_write(&mut socket, &mut cx, &slices) else {
                    continue;
                };
                let mut went = went.unwrap();
                assert!(went > 0);
                while went > 0 {
                    let some = went.min(buffers[0].len());
                    buffers[0].drain(..some);
                    went -= some;
                    if buffers[0].is_empty() {
                        buffers.remove(0);
                    }
                }
            }
        }
        socket.taken
    }

    #[track_caller]
    fn check(turns: &[Turn<'_>], tries: usize, expected: &str) {
        for (room, is_one) in [(ALL, false), (1, true), (1, false), (7, true), (30, true)] {
            let taken = write(turns, room, tries, is_one);
            assert_eq!(taken, expected.as_bytes(), "{}", taken.escape_ascii());
        }
    }

    const HEAD: &str = "HTTP/1.1 200 OK\r\nabc: d\r\n\r\n";
    const ALL: usize = usize::MAX;

    #[test]
    fn a_head_is_spelled_however_it_is_taken_and_what_follows_it_is_not() {
        let spelled = HEAD.replace("abc", "aBC");
        check(&[(b"\0\x03abcaBC", &[HEAD])], ALL, &spelled);
        check(&[(b"", &[HEAD])], ALL, HEAD);
        let both = format!("{spelled}{HEAD}{HEAD}");
        let body = format!("{HEAD}{HEAD}");
        check(&[(b"\0\x03abcaBC", &[HEAD, HEAD, HEAD])], ALL, &both);
        check(&[(b"\0\x03abcaBC", &[&body, HEAD])], ALL, &both);
        let many: Vec<&str> = std::iter::once(HEAD).chain(["abc"; 20]).collect();
        let expected = format!("{spelled}{}", "abc".repeat(20));
        check(&[(b"\0\x03abcaBC", &many)], ALL, &expected);
        check(&[(b"\0\x03abcaBC", &["", HEAD])], ALL, &spelled);
    }

    #[test]
    fn each_head_has_its_own_spelling() {
        check(
            &[
                (b"\0\x03abcABC", &[HEAD, "abc"]),
                (b"", &["abc"]),
                (b"\0\x03abcAbc", &[HEAD]),
                (b"", &[HEAD]),
            ],
            ALL,
            &format!(
                "{}abcabc{}{HEAD}",
                HEAD.replace("abc", "ABC"),
                HEAD.replace("abc", "Abc")
            ),
        );
    }

    #[test]
    fn what_is_left_of_what_stands_before_a_head_goes_as_it_is() {
        let spelled = HEAD.replace("abc", "ABC");
        let goes_on = "HTTP/1.1 100 Continue\r\n\r\n";
        let both = format!("{goes_on}{spelled}");
        let one = format!("{goes_on}{HEAD}");
        check(&[(b"\0\x03abcABC", &[&one])], ALL, &both);
        for tries in [1, 2, 3, 7, ALL] {
            check(
                &[(b"", &[goes_on]), (b"\0\x03abcABC", &[HEAD])],
                tries,
                &both,
            );
            let twice = format!("{HEAD}{spelled}");
            check(&[(b"", &[HEAD]), (b"\0\x03abcABC", &[HEAD])], tries, &twice);
        }
    }

    #[test]
    fn what_is_no_head_goes_as_it_is() {
        check(&[(b"\0\x03abcABC", &["abc", "abc"])], ALL, "abcabc");
    }
}
