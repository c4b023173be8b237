//! One end of an HTTP/2 connection that sends what it is told to, right or wrong, and remembers what came.

use super::hpack::{Field, Reader};
use super::notation::{Act, frame};
use std::collections::BTreeMap;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What a client begins with (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What came of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Every block of fields, in order.
    pub blocks: Vec<Vec<Field>>,
    pub body: Vec<u8>,
    /// It ended well.
    pub ended: bool,
    /// It was reset, with this code.
    pub reset: Option<u32>,
}

impl Heard {
    /// Nothing more will come of it.
    pub fn is_over(&self) -> bool {
        self.ended || self.reset.is_some()
    }
    /// The head that is no interim one.
    pub fn head(&self) -> Option<&[Field]> {
        let interim =
            |block: &[Field]| text(block, ":status").is_some_and(|it| it.starts_with('1'));
        let mut heads = self.blocks.iter().map(Vec::as_slice);
        heads.find(|block| !interim(block))
    }
}

/// The first field of that name.
pub fn text(block: &[Field], name: &str) -> Option<String> {
    let found = block.iter().find(|(held, _)| held == name.as_bytes())?;
    Some(String::from_utf8_lossy(&found.1).into_owned())
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    /// What came before may be lost.
    Reset,
}

/// All that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub streams: BTreeMap<u32, Heard>,
    /// The code of the last GOAWAY.
    pub goaway: Option<u32>,
    pub end: Option<End>,
    /// Its settings came.
    pub settled: bool,
    /// It took ours.
    pub acked: bool,
    /// Bytes that are no frames.
    pub other: Vec<u8>,
}

impl Seen {
    /// Whether it was told of an error that is more than an end: neither NO_ERROR nor CANCEL.
    pub fn is_refused(&self) -> bool {
        let resets = self.streams.values().filter_map(|heard| heard.reset);
        resets.chain(self.goaway).any(|code| !matches!(code, 0 | 8))
    }
}

/// One end.
pub struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
    reader: Reader,
    /// The stream and the beginning of a block that has not ended.
    block: Option<(u32, bool, Vec<u8>)>,
    pub seen: Seen,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Self {
        Wire {
            stream,
            buffer: Vec::new(),
            reader: Reader::default(),
            block: None,
            seen: Seen::default(),
        }
    }

    /// Sends bytes as they are; that they are not taken any more shows in what comes.
    pub async fn send(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).await.is_ok() {
            let _ = self.stream.flush().await;
        }
    }

    /// Says what a client begins with, hears what a server does, and takes it.
    pub async fn begin(&mut self) {
        self.send(&[PREFACE, &frame(4, 0, 0, &[])].concat()).await;
        while !self.seen.settled && self.next().await {}
        self.send(&frame(4, 1, 0, &[])).await;
    }

    /// The same of a server.
    pub async fn begin_as_server(&mut self) -> io::Result<()> {
        let mut preface = [0; 24];
        self.stream.read_exact(&mut preface).await?;
        self.send(&frame(4, 0, 0, &[])).await;
        while !self.seen.settled && self.next().await {}
        self.send(&frame(4, 1, 0, &[])).await;
        Ok(())
    }

    /// Does what it is told to, on behalf of the request on this stream.
    pub async fn play(&mut self, acts: &[Act], request: u32) {
        let mut said = Vec::new();
        for act in acts {
            if let Some(mut bytes) = act.bytes(request) {
                said.append(&mut bytes);
                continue;
            }
            self.send(&std::mem::take(&mut said)).await;
            match act {
                Act::Wait(stream) => {
                    let stream = stream.number(request);
                    while !self.seen.streams.contains_key(&stream) && self.next().await {}
                }
                Act::WaitReset(stream) => {
                    let stream = stream.number(request);
                    let is_reset = |seen: &Seen| {
                        let heard = seen.streams.get(&stream);
                        heard.is_some_and(|heard| heard.reset.is_some())
                    };
                    while !is_reset(&self.seen) && self.next().await {}
                }
                Act::Fin => {
                    let _ = self.stream.shutdown().await;
                }
                Act::Send(_) | Act::Frame { .. } | Act::GoAway { .. } => {}
            }
        }
        self.send(&said).await;
    }

    /// Hears the next frame; `false`: there will be none.
    pub async fn next(&mut self) -> bool {
        loop {
            if let Some((kind, flags, stream, payload)) = self.cut() {
                self.hear(kind, flags, stream, payload).await;
                return true;
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) => {
                    self.seen.end.get_or_insert(End::Closed);
                    self.seen.other.append(&mut self.buffer);
                    return false;
                }
                Ok(_) => {}
                Err(_) => {
                    self.seen.end.get_or_insert(End::Reset);
                    return false;
                }
            }
        }
    }

    fn cut(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let [a, b, c, kind, flags, s1, s2, s3, s4] = *self.buffer.first_chunk()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let rest = self.buffer.get(9..9 + length)?;
        let whole = (
            kind,
            flags,
            u32::from_be_bytes([s1, s2, s3, s4]),
            rest.to_vec(),
        );
        self.buffer.drain(..9 + length);
        Some(whole)
    }

    async fn hear(&mut self, kind: u8, flags: u8, stream: u32, payload: Vec<u8>) {
        let code = |at: usize| {
            payload
                .get(at..at + 4)
                .and_then(<[u8]>::first_chunk)
                .map(|it| u32::from_be_bytes(*it))
        };
        match kind {
            0 => {
                let heard = self.seen.streams.entry(stream).or_default();
                heard.body.extend(&payload);
                heard.ended |= flags & 1 != 0;
            }
            1 => self.block(stream, flags, payload, flags & 1 != 0),
            9 => self.block(stream, flags, payload, false),
            3 => self.seen.streams.entry(stream).or_default().reset = code(0),
            4 if flags & 1 != 0 => self.seen.acked = true,
            4 => self.seen.settled = true,
            6 if flags & 1 == 0 => self.send(&frame(6, 1, 0, &payload)).await,
            7 => self.seen.goaway = code(4),
            _ => {}
        }
    }

    /// A part of a block: neither sidecar pads what it sends, nor gives it a priority.
    fn block(&mut self, stream: u32, flags: u8, payload: Vec<u8>, ends: bool) {
        let (ends, mut block) = match self.block.take() {
            Some((held, ends, before)) if held == stream => (ends, before),
            _ => (ends, Vec::new()),
        };
        block.extend(payload);
        if flags & 4 == 0 {
            self.block = Some((stream, ends, block));
            return;
        }
        let heard = self.seen.streams.entry(stream).or_default();
        let none = vec![(b"not HPACK".to_vec(), block.clone())];
        heard.blocks.push(self.reader.read(&block).unwrap_or(none));
        heard.ended |= ends;
    }
}
