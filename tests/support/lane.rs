//! One way from a client that sends any bytes to an app that answers with any, and what a case of the corpora is on it.
//!
//! On a lane one case follows another. After each, others ask for something on connections of their own, and must get it and
//! nothing else: a connection that the proxy kept could have been left with bytes in it that answer, or become, somebody else's.

use super::corpus::{Step, all, told};
use super::strict::{Found, Message, Side, read};
use super::tls;
use super::verdict::{check_came, check_heard, tell};
use super::witness::{Came, PROBE, Witness, without_ours};
use super::wrong_proxy::WrongProxy;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;

/// The way.
pub struct Lane {
    pub entry: Entry,
    pub witness: Witness,
    /// How long what must come is waited for.
    pub patience: Duration,
    pub control: Option<WrongProxy>,
    /// How the request began that the case before cut: it may begin to arrive when that is over.
    late: Mutex<Option<Vec<u8>>>,
}

/// Where a client comes in.
pub enum Entry {
    Plain(SocketAddr),
    Tls(SocketAddr, Arc<ClientConfig>),
}

/// A case.
#[derive(Clone, Debug)]
pub struct Case {
    /// `file:line`.
    pub at: String,
    pub name: String,
    /// What the client does.
    pub asks: Vec<Step>,
    /// What the app does; `None`: it answers rightly.
    pub answers: Option<Vec<Step>>,
    pub expected: Expected,
    /// The same as it is written.
    pub written: String,
}

#[derive(Clone, Debug)]
pub enum Expected {
    /// Of what is sent these arrive and are answered; what follows is refused.
    Refused {
        after: Vec<Message>,
        how: How,
        status: Option<u16>,
        reason: Option<String>,
    },
    /// These arrive, and every one is answered.
    Arrive(Vec<Message>),
    /// The client gets these.
    Answers(Vec<Message>),
    /// The client gets a 502, with this reason.
    BadGateway(String),
    /// The client never gets the end of an answer of the app.
    Cut,
}

/// How a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Nothing of it arrives, and the connection ends.
    Whole,
    /// Its beginning may arrive, and the connection ends.
    Cut,
    /// Nothing of it arrives, and the connection goes on with what is asked next.
    Open,
}

/// What a client heard.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) answers: Vec<Message>,
    rest: Vec<u8>,
    pub(super) end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It has heard all that it wanted to.
    Enough,
    Closed,
    Reset,
    /// The connection was still open when there was no more patience.
    Open,
    /// What came is no answer.
    Wrong(&'static str),
}

pub(super) fn is_interim(answer: &Message) -> bool {
    let status = answer.second();
    status.starts_with('1') && status != "101"
}

impl Heard {
    pub(super) fn finals(&self) -> Vec<&Message> {
        self.answers.iter().filter(|it| !is_interim(it)).collect()
    }
    fn told(&self) -> String {
        let answers: Vec<_> = self.answers.iter().map(|it| told(&it.plain())).collect();
        format!("{answers:?}, then {:?}, {:?}", told(&self.rest), self.end)
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What is asked on a connection on which something was refused.
pub(super) const NEXT: &str = "/probe/next";

fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: orders\r\n\r\n").into_bytes()
}

static PROBES: AtomicUsize = AtomicUsize::new(0);

impl Lane {
    pub fn new(entry: Entry, witness: Witness, patience: Duration) -> Self {
        Lane {
            entry,
            witness,
            patience,
            control: None,
            late: Mutex::default(),
        }
    }

    /// Whether the case is as it should be, and what was seen if not.
    pub async fn run(&self, case: &Case) -> Result<(), String> {
        self.witness.answer(case.answers.clone());
        let heard = self.talk(case).await;
        let heard_well = check_heard(&heard, &case.expected);
        let mut probed = Ok(());
        for _ in 0..2 {
            probed = probed.and(self.probe().await);
        }
        self.settled().await;
        let came = self.on_time(self.came(), case);
        let came_well = check_came(&came, &case.expected);
        let seen: Vec<_> = [heard_well, came_well, probed]
            .into_iter()
            .filter_map(Result::err)
            .collect();
        if seen.is_empty() {
            return Ok(());
        }
        let (
            Case {
                at, name, written, ..
            },
            sent,
        ) = (case, told(&all(&case.asks)));
        let answered = case.answers.as_ref().map(|steps| told(&all(steps)));
        let answered = answered.map_or(String::new(), |it| format!("\n  answered {it}"));
        let came: Vec<_> = came.iter().map(tell).collect();
        Err(format!(
            "{at} {name}\n  sent     {sent}{answered}\n  expected {written}\n  seen     {}\n  client   {}\n  app      {came:?}",
            seen.join("; "),
            heard.told(),
        ))
    }

    async fn talk(&self, case: &Case) -> Heard {
        let wanted = match &case.expected {
            Expected::Refused {
                after,
                how: How::Open,
                ..
            } => after.len() + 2,
            Expected::Refused { .. } => usize::MAX,
            Expected::Arrive(expected) => expected.len(),
            Expected::Answers(answers) => answers.iter().filter(|it| !is_interim(it)).count(),
            Expected::BadGateway(_) | Expected::Cut => 1,
        };
        let mut asks = case.asks.clone();
        if wanted != usize::MAX && matches!(case.expected, Expected::Refused { .. }) {
            // What was refused and what stood before it.
            asks.extend(vec![Step::Answer; wanted - 1]);
            asks.push(Step::Send(get(NEXT)));
        }
        self.converse(&asks, &asked(&asks), wanted).await
    }

    /// Until so many final answers have come.
    async fn converse(&self, steps: &[Step], methods: &[String], wanted: usize) -> Heard {
        let until = Instant::now() + self.patience;
        let stream = match timeout_at(until, self.connect()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) => return nothing(End::Reset),
            Err(_) => return nothing(End::Open),
        };
        let (reader, writer) = tokio::io::split(stream);
        let (count, counted) = watch::channel(0);
        let mut hearing = std::pin::pin!(hear(reader, methods, wanted, &count, until));
        let mut saying = std::pin::pin!(say(writer, steps, counted));
        let mut said = false;
        loop {
            tokio::select! {
                heard = hearing.as_mut() => return heard,
                // The writing half lives on: it would be closed by being dropped only together with the other.
                _writer = saying.as_mut(), if !said => said = true,
            }
        }
    }

    async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.entry {
            Entry::Plain(at) => Ok(Box::new(TcpStream::connect(at).await?)),
            Entry::Tls(at, config) => {
                let name = ServerName::try_from("orders").expect("it is a name");
                let socket = TcpStream::connect(at).await?;
                let connector = TlsConnector::from(config.clone());
                Ok(Box::new(connector.connect(name, socket).await?))
            }
        }
    }

    /// Somebody else asks for something.
    async fn probe(&self) -> Result<(), String> {
        let target = format!("{PROBE}{}", PROBES.fetch_add(1, Ordering::Relaxed));
        let steps = [Step::Send(get(&target))];
        let heard = self.converse(&steps, &["GET".to_owned()], 1).await;
        let good = match &heard.answers[..] {
            [answer] => answer.second() == "200" && answer.content() == target.as_bytes(),
            _ => false,
        };
        let seen = || format!("{target} got {}", heard.told());
        good.then_some(()).ok_or_else(seen)
    }

    /// Waits until the app knows the end of what it began to read: what is cut ends soon.
    async fn settled(&self) {
        let until = Instant::now() + self.patience;
        while self.witness.is_reading() && Instant::now() < until {
            sleep(Duration::from_millis(2)).await;
        }
    }

    /// Without what the case before may have left.
    fn on_time(&self, mut came: Vec<Came>, case: &Case) -> Vec<Came> {
        let cuts = matches!(case.expected, Expected::Refused { how: How::Cut, .. });
        let start = cuts.then(|| all(&case.asks)).map(|bytes| {
            let end = bytes.iter().position(|byte| *byte == b'\r');
            bytes[..end.unwrap_or(bytes.len())].to_vec()
        });
        let mut late = self.late.lock().expect("no lane panics");
        if let Some(before) = std::mem::replace(&mut *late, start) {
            let is_late =
                |came: &Came| matches!(came, Came::Begun(bytes) if bytes.starts_with(&before));
            let begun = came.iter().filter(|came| matches!(came, Came::Begun(_)));
            let too_many = begun.count() > usize::from(cuts);
            if let (true, Some(at)) = (too_many, came.iter().position(is_late)) {
                came.remove(at);
            }
        }
        came
    }

    /// What came to the app but for probes that came as they were sent.
    fn came(&self) -> Vec<Came> {
        let is_probe = |came: &Came| match came {
            Came::Whole(message) => {
                let fields = without_ours(message.clone()).fields;
                message.second().starts_with(PROBE)
                    && matches!(&fields[..], [(name, value)] if name == b"host" && value == b"orders")
            }
            _ => false,
        };
        let came = self.witness.came().into_iter();
        came.filter(|came| !is_probe(came)).collect()
    }
}

fn nothing(end: End) -> Heard {
    Heard {
        answers: Vec::new(),
        rest: Vec::new(),
        end,
    }
}

/// The methods of all requests that are sent, as far as they are any.
fn asked(steps: &[Step]) -> Vec<String> {
    let (asked, _) = messages(&all(steps), &[], false);
    asked.iter().map(Message::method).collect()
}

/// As a hop passes it on that speaks a version of its own, and whose connections are its own.
pub fn passed_on(mut message: Message) -> Message {
    let is_hops = |name: &[u8]| {
        name.eq_ignore_ascii_case(b"connection") || name.eq_ignore_ascii_case(b"upgrade")
    };
    message.fields.retain(|(name, _)| !is_hops(name));
    if message.start.ends_with(b"1.0") {
        message.start.pop();
        message.start.push(b'1');
    }
    message
}

/// The messages that these bytes are, as far as they are messages, and what is left: requests, or answers to these methods.
pub fn messages<'b>(bytes: &'b [u8], answer_to: &[&str], ended: bool) -> (Vec<Message>, &'b [u8]) {
    let (mut messages, mut rest, mut answered) = (Vec::new(), bytes, 0);
    loop {
        let side = match answer_to.get(answered).or(answer_to.last()) {
            None => Side::Request,
            Some(method) => Side::Answer(method),
        };
        match read(rest, side, ended) {
            Found::Whole(message, used) => {
                answered += usize::from(!is_interim(&message));
                messages.push(message);
                rest = &rest[used..];
            }
            Found::Part | Found::Wrong(_) => return (messages, rest),
        }
    }
}

async fn say<W: AsyncWrite + Unpin>(
    mut writer: W,
    steps: &[Step],
    mut counted: watch::Receiver<usize>,
) -> W {
    let mut awaited = 0;
    for step in steps {
        // Who was refused is not read any more: what it got is what counts.
        let done = match step {
            Step::Send(bytes) => match writer.write_all(bytes).await {
                Ok(()) => writer.flush().await,
                Err(error) => Err(error),
            },
            Step::Close => writer.shutdown().await,
            Step::Answer => {
                awaited += 1;
                let come = counted.wait_for(|answers| *answers >= awaited).await;
                come.map(|_| ()).map_err(io::Error::other)
            }
        };
        if done.is_err() {
            break;
        }
    }
    writer
}

async fn hear(
    mut reader: impl AsyncRead + Unpin,
    methods: &[String],
    wanted: usize,
    count: &watch::Sender<usize>,
    until: Instant,
) -> Heard {
    let (mut heard, mut finals, mut switched) = (nothing(End::Open), 0, false);
    let mut room = vec![0; 64 * 1024];
    loop {
        let came = match timeout_at(until, reader.read(&mut room)).await {
            Ok(came) => came,
            Err(_) => return heard,
        };
        heard.end = match came {
            Ok(0) => End::Closed,
            Ok(n) => {
                heard.rest.extend(&room[..n]);
                End::Open
            }
            Err(_) => End::Reset,
        };
        while !switched {
            let method = methods.get(finals).map_or("GET", String::as_str);
            let ended = heard.end == End::Closed && !heard.rest.is_empty();
            match read(&heard.rest, Side::Answer(method), ended) {
                Found::Part => break,
                Found::Wrong(why) => {
                    heard.end = End::Wrong(why);
                    return heard;
                }
                Found::Whole(answer, used) => {
                    heard.rest.drain(..used);
                    switched = answer.second() == "101";
                    finals += usize::from(!is_interim(&answer));
                    heard.answers.push(answer);
                    count.send_modify(|answers| *answers += 1);
                }
            }
        }
        if finals >= wanted {
            heard.end = End::Enough;
        }
        if heard.end != End::Open {
            return heard;
        }
    }
}

/// A client of the mesh that shows this identity and speaks HTTP/1.
pub fn caller(svid: &mint::Svid) -> Arc<ClientConfig> {
    tls::client(Some(svid), &["http/1.1"])
}
