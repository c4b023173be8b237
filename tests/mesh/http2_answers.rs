//! Apps that lie over HTTP/2, frame by frame, through the pair of sidecars: what their callers get stands beside it in
//! `tests/corpus`. No broken answer ends as if it were whole.

use crate::support::app::nobody;
use crate::support::http2::judge;
use crate::support::http2::wire::{Seen, Wire, text};
use crate::support::http2::{Lie, lies, notation};
use crate::support::pair::{Otherwise, Pair};
use crate::support::until;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

const CORPUS: &str = "http2-answers.txt";
/// Above all that a case waits for, below what makes a failure tedious.
const PATIENCE: Duration = Duration::from_secs(8);
/// Asked between two cases, and answered well.
const BETWEEN: &str = "/between";

/// What an app was told of the request of a case.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    reset: Option<u32>,
    goaway: Option<u32>,
}

/// What all connections of the app share.
#[derive(Clone)]
struct Liar {
    lies: Arc<Vec<Lie>>,
    /// Which case is played; connections of another end.
    turn: watch::Receiver<usize>,
    told: Arc<Mutex<BTreeMap<usize, Told>>>,
}

impl Liar {
    async fn serve(self, socket: TcpStream) {
        let mut turn = self.turn.clone();
        let now = *turn.borrow_and_update();
        tokio::select! {
            _ = turn.changed() => {}
            _ = self.answer(socket, now) => {}
        }
    }

    async fn answer(&self, socket: TcpStream, now: usize) -> std::io::Result<()> {
        let mut wire = Wire::new(socket);
        wire.begin_as_server().await?;
        let mut played: Vec<u32> = Vec::new();
        loop {
            let goes_on = wire.next().await;
            let next = wire.seen.streams.iter().find(|it| !played.contains(it.0));
            let next =
                next.and_then(|(stream, heard)| Some((*stream, text(heard.head()?, ":path")?)));
            if let Some((stream, path)) = next {
                played.push(stream);
                match self.lies.get(now).filter(|_| path != BETWEEN) {
                    Some(lie) => wire.play(&lie.says, stream).await,
                    None => {
                        let well = notation::acts("HEADERS S ES EH :status=200");
                        wire.play(&well.expect("it is well written"), stream).await;
                    }
                }
            }
            let mut told = self.told.lock().expect("no app panics");
            let told = told.entry(now).or_default();
            let mut resets = wire.seen.streams.values().filter_map(|it| it.reset);
            told.reset = told.reset.or_else(|| resets.next());
            told.goaway = told.goaway.or(wire.seen.goaway);
            drop(resets);
            if !goes_on {
                return Ok(());
            }
        }
    }
}

/// Plays what a caller does until `is_settled`; gives what it saw.
async fn ask(at: SocketAddr, acts: &[notation::Act], is_settled: impl Fn(&Seen) -> bool) -> Seen {
    let mut wire = Wire::new(TcpStream::connect(at).await.unwrap());
    let all = async {
        wire.begin().await;
        wire.play(acts, 1).await;
        while !is_settled(&wire.seen) && wire.next().await {}
    };
    // What did not come in time shows in what was expected.
    let _ = tokio::time::timeout(PATIENCE, all).await;
    wire.seen
}

/// Asks until the sidecars have a connection to the app that is none of the last case's.
async fn settle(at: SocketAddr) {
    let acts = notation::acts(&format!("HEADERS 1 ES EH @GET{BETWEEN}")).unwrap();
    until("an app that answers well", async || {
        let seen = ask(at, &acts, |seen| {
            seen.streams.get(&1).is_some_and(|it| it.is_over())
        })
        .await;
        let heard = seen.streams.get(&1)?;
        (text(heard.head()?, ":status")? == "200").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_of_frames_ends_at_its_caller_as_it_is_written() {
    let (turning, turn) = watch::channel(0);
    let liar = Liar {
        lies: Arc::new(lies(CORPUS)),
        turn,
        told: Arc::default(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pair = Pair::around_with(
        listener.local_addr().unwrap(),
        nobody(),
        Otherwise::default(),
    );
    let accepting = liar.clone();
    let app = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((socket, _)) = listener.accept().await {
            connections.spawn(accepting.clone().serve(socket));
        }
    });
    let at = pair.calling.at("http");
    let mut wrong = Vec::new();
    for (now, lie) in liar.lies.iter().enumerate() {
        turning.send_replace(now);
        settle(at).await;
        let seen = ask(at, &lie.asks, |seen| judge::is_settled(&lie.expected, seen)).await;
        let told = || {
            liar.told
                .lock()
                .unwrap()
                .get(&now)
                .copied()
                .unwrap_or_default()
        };
        let is_told = async || judge::server(&lie.expected, told().reset, told().goaway).ok();
        let _ = tokio::time::timeout(PATIENCE, until("what the app is told", is_told)).await;
        let judged = judge::client(&lie.expected, &seen)
            .and_then(|()| judge::server(&lie.expected, told().reset, told().goaway));
        if let Err(why) = judged {
            wrong.push(format!("{}: {why}; {:?}", lie.name, told()));
        }
    }
    app.abort();
    let (all, failed) = (liar.lies.len(), wrong.len());
    assert!(
        wrong.is_empty(),
        "{failed} of {all} cases:\n{}",
        wrong.join("\n")
    );
    assert!(all >= 40, "{all}");
    println!("{all} answers, none wrong");
}
