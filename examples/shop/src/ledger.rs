//! The ledger: a line protocol over TCP in which the server speaks first.
//!
//! The server greets with `ledger 1 ready`. Then, a line each way: `PUT KEY CENTS` -> `OK`; `GET KEY` -> `VALUE CENTS` or
//! `NONE`; `DEL KEY` -> `OK` or `NONE`; `LIST` -> `ENTRY KEY CENTS` for each, then `END`; `SUM` -> `SUM CENTS`; `QUIT` ->
//! `BYE` and the end of the connection. Anything else is answered `ERR` with a reason.
//!
//! A key is 1 to 64 of `a-z A-Z 0-9 - _`. Entries live as long as the process.

use crate::seen::{Request, Seen};
use crate::serve::{self, Running};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const BANNER: &str = "ledger 1 ready";
/// A line with its line feed; the longest legal command is far below.
const LINE_BYTES_MAX: u64 = 256;
const ENTRIES_MAX: usize = 10_000;
/// How long a client waits for the ledger, connecting included.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

type Entries = Mutex<BTreeMap<String, u64>>;

/// The service that keeps entries.
#[derive(Debug)]
pub struct Ledger;

impl Ledger {
    /// Starts an empty ledger. Fails only if `listen` cannot be bound.
    pub async fn start(listen: SocketAddr) -> io::Result<Running> {
        let seen = Arc::new(Seen::default());
        let remembered = Arc::clone(&seen);
        let entries = Arc::new(Entries::default());
        serve::tcp(TcpListener::bind(listen).await?, seen, move |socket| {
            let (entries, seen) = (Arc::clone(&entries), Arc::clone(&remembered));
            async move {
                // A connection that breaks concerns its client alone.
                let _ = converse(socket, &entries, &seen).await;
            }
        })
    }
}

async fn converse(socket: TcpStream, entries: &Entries, seen: &Seen) -> io::Result<()> {
    let mut socket = BufReader::new(socket);
    socket.write_all(format!("{BANNER}\n").as_bytes()).await?;
    while let Some(line) = read_line(&mut socket).await? {
        let mut words = line.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        seen.request(Request {
            method,
            path: words.next().unwrap_or_default().to_owned(),
            client_cert: None,
        });
        socket.write_all(answer(&line, entries).as_bytes()).await?;
        if line == "QUIT" {
            break;
        }
    }
    socket.shutdown().await
}

fn answer(line: &str, entries: &Entries) -> String {
    let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
    match line.split(' ').collect::<Vec<_>>().as_slice() {
        ["PUT", key, cents] => match cents.parse() {
            _ if !is_key(key) => "ERR a key is 1 to 64 of a-z A-Z 0-9 - _\n".to_owned(),
            Err(_) => "ERR cents are a whole number\n".to_owned(),
            Ok(_) if entries.len() >= ENTRIES_MAX && !entries.contains_key(*key) => {
                "ERR full\n".to_owned()
            }
            Ok(cents) => {
                entries.insert((*key).to_owned(), cents);
                "OK\n".to_owned()
            }
        },
        ["GET", key] => entries
            .get(*key)
            .map_or("NONE\n".to_owned(), |cents| format!("VALUE {cents}\n")),
        ["DEL", key] => entries.remove(*key).map_or("NONE\n", |_| "OK\n").to_owned(),
        ["LIST"] => {
            let mut list: String = entries
                .iter()
                .map(|(key, cents)| format!("ENTRY {key} {cents}\n"))
                .collect();
            list.push_str("END\n");
            list
        }
        ["SUM"] => format!(
            "SUM {}\n",
            entries
                .values()
                .fold(0, |sum: u64, cents| sum.saturating_add(*cents))
        ),
        ["QUIT"] => "BYE\n".to_owned(),
        _ => "ERR PUT KEY CENTS, GET KEY, DEL KEY, LIST, SUM or QUIT\n".to_owned(),
    }
}

pub(crate) fn is_key(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// One line without its ending; `None` at the end of the connection. A longer line than allowed is an error.
async fn read_line(socket: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut line = String::new();
    socket.take(LINE_BYTES_MAX).read_line(&mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    match line.strip_suffix('\n') {
        Some(line) => Ok(Some(line.trim_end_matches('\r').to_owned())),
        None => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a line without end, or too long",
        )),
    }
}

/// The other end: one connection to a ledger, greeted.
pub(crate) struct Client {
    socket: BufReader<TcpStream>,
}

impl Client {
    /// Connects to `host:port` and waits for the banner.
    pub(crate) async fn connect(address: &str) -> io::Result<Self> {
        let connect = async {
            let mut client = Client {
                socket: BufReader::new(TcpStream::connect(address).await?),
            };
            match client.line().await?.as_str() {
                BANNER => Ok(client),
                other => Err(unexpected(other)),
            }
        };
        timeout(ANSWER_WITHIN, connect).await?
    }

    /// Sets an entry.
    pub(crate) async fn put(&mut self, key: &str, cents: u64) -> io::Result<()> {
        match self.ask(&format!("PUT {key} {cents}")).await?.as_str() {
            "OK" => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// An entry, if there is one.
    pub(crate) async fn get(&mut self, key: &str) -> io::Result<Option<u64>> {
        let answer = self.ask(&format!("GET {key}")).await?;
        match answer.strip_prefix("VALUE ").map(str::parse) {
            Some(Ok(cents)) => Ok(Some(cents)),
            None if answer == "NONE" => Ok(None),
            _ => Err(unexpected(&answer)),
        }
    }

    /// Removes an entry; false if there was none.
    pub(crate) async fn delete(&mut self, key: &str) -> io::Result<bool> {
        match self.ask(&format!("DEL {key}")).await?.as_str() {
            "OK" => Ok(true),
            "NONE" => Ok(false),
            other => Err(unexpected(other)),
        }
    }

    /// All entries in the order of their keys.
    pub(crate) async fn list(&mut self) -> io::Result<Vec<(String, u64)>> {
        let mut entries = Vec::new();
        let mut line = self.ask("LIST").await?;
        while line != "END" {
            let entry = line
                .strip_prefix("ENTRY ")
                .and_then(|entry| entry.split_once(' '));
            match entry.map(|(key, cents)| (key.to_owned(), cents.parse())) {
                Some((key, Ok(cents))) => entries.push((key, cents)),
                _ => return Err(unexpected(&line)),
            }
            line = timeout(ANSWER_WITHIN, self.line()).await??;
        }
        Ok(entries)
    }

    async fn ask(&mut self, command: &str) -> io::Result<String> {
        let ask = async {
            self.socket
                .write_all(format!("{command}\n").as_bytes())
                .await?;
            self.line().await
        };
        timeout(ANSWER_WITHIN, ask).await?
    }

    async fn line(&mut self) -> io::Result<String> {
        read_line(&mut self.socket)
            .await?
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

fn unexpected(line: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the ledger said `{line}`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_its_answer() {
        let entries = Entries::default();
        for (line, expected) in [
            ("SUM", "SUM 0\n"),
            ("PUT tea 450", "OK\n"),
            ("PUT pot 1900", "OK\n"),
            ("GET tea", "VALUE 450\n"),
            ("GET cup", "NONE\n"),
            ("SUM", "SUM 2350\n"),
            ("LIST", "ENTRY pot 1900\nENTRY tea 450\nEND\n"),
            ("DEL pot", "OK\n"),
            ("DEL pot", "NONE\n"),
            ("PUT a/b 1", "ERR a key is 1 to 64 of a-z A-Z 0-9 - _\n"),
            ("PUT tea -1", "ERR cents are a whole number\n"),
            (
                "put tea 1",
                "ERR PUT KEY CENTS, GET KEY, DEL KEY, LIST, SUM or QUIT\n",
            ),
            ("QUIT", "BYE\n"),
        ] {
            assert_eq!(answer(line, &entries), expected, "{line}");
        }
    }
}
