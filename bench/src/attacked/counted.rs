//! What an attack is counted under.
//!
//! In: the metrics of both sidecars. Out: for each attack how often its reason was counted.

use crate::online::Failed;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An attack, and what its series has in its name and labels. It has several where more than one bound may end it.
const ATTACKS: [(&str, &[&[&str]]); 8] = [
    (
        "heads a byte at a time",
        &[&["refused_heads_total", "head_timeout"]],
    ),
    (
        "connections without a handshake",
        &[&["handshakes_total", "\"silent\""]],
    ),
    (
        "heads of 1 MiB",
        &[&["refused_heads_total", "head_too_large"]],
    ),
    (
        "streams begun and reset",
        &[&["limited_total", "reset_flood"]],
    ),
    (
        "heads continued without end",
        &[&["limited_total", "continuation_flood"]],
    ),
    (
        "answers read a byte a second",
        &[&["limited_total", "\"outbound\"", "stream_idle"]],
    ),
    (
        "answers whose head never ends",
        &[&["requests_total", "\"outbound\"", "\"504\""]],
    ),
    ("quiet connections", &[&["limited_total", "\"idle\""]]),
];

/// How often each attack was counted under its reason, with the series that say so.
pub(super) async fn counted(pages: [SocketAddr; 2]) -> Result<Vec<Counted>, Failed> {
    let mut lines = Vec::new();
    for page in pages {
        lines.extend(metrics(page).await?.lines().map(str::to_owned));
    }
    let counted = ATTACKS.iter().map(|(attack, wanted)| {
        let fits = |line: &&String| {
            wanted
                .iter()
                .any(|parts| parts.iter().all(|part| line.contains(part)))
        };
        let series: Vec<String> = lines
            .iter()
            .filter(|line| !line.starts_with('#'))
            .filter(fits)
            .cloned()
            .collect();
        let times = |line: &String| line.rsplit(' ').next()?.parse::<u64>().ok();
        Counted {
            attack,
            times: series.iter().filter_map(times).sum(),
            series,
        }
    });
    Ok(counted.collect())
}

/// An attack under its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What was done.
    pub attack: &'static str,
    /// How often it was counted.
    pub times: u64,
    /// Where.
    pub series: Vec<String>,
}

async fn metrics(page: SocketAddr) -> Result<String, Failed> {
    let mut socket = TcpStream::connect(page).await?;
    socket
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut text = String::new();
    socket.read_to_string(&mut text).await?;
    Ok(text)
}
