//! What a connection costs that was served once and is then quiet, in clear text and with mutual TLS.

use super::call::ask;
use super::process::Pair;
use crate::online::Failed;
use config::SpiffeId;
use config::TrustDomain;
use identity::{Alpn, Bundle, Bundles, Generation, Key, Svid};
use rustls::pki_types::ServerName;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Until memory is counted: what serving takes for a moment is given back by then.
const SETTLED: Duration = Duration::from_secs(15);
/// So long after a peak what it took must be given back.
const GIVEN_BACK: Duration = Duration::from_secs(30);
/// `limits.idle`: longer than it takes to open them all, so that the first still stand when memory is counted.
const STANDS: &str = "10m";
/// So many are opened at a time.
const AT_A_TIME: usize = 32;
/// A source address has so few ports that this many connections come from each.
const PER_ADDRESS: u32 = 2_000;

/// So many connections of each kind.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// How many.
    pub connections: u32,
}

/// The memory of the sidecars' process.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Of which kind of connection.
    pub kind: &'static str,
    /// Resident before, while they stand, and half a minute after they have gone, in KiB.
    pub resident_kib: [u64; 3],
    /// How many stood when that was counted.
    pub stood: usize,
}

impl Idle {
    /// Measures, with this program for the sidecars: those of each kind are new, so that nothing of the other is used again.
    pub async fn measure(self, program: &Path, folder: &Path) -> Result<[Cost; 2], Failed> {
        Ok([
            self.clear_text(program, folder).await?,
            self.mutual_tls(program, folder).await?,
        ])
    }
    async fn clear_text(self, program: &Path, folder: &Path) -> Result<Cost, Failed> {
        let pair = Pair::start(program, folder, STANDS).await?;
        // Once before, so that nothing is counted that is made once.
        ask(&mut plain(0, pair.http).await?).await?;
        let before = resident(&pair, SETTLED).await?;
        let at = pair.http;
        let opened = self.open(move |n| async move {
            let mut connection = plain(n, at).await?;
            ask(&mut connection).await?;
            Ok(connection)
        });
        let open = opened.await?;
        cost("clear text", &pair, before, open, |it| it).await
    }
    async fn mutual_tls(self, program: &Path, folder: &Path) -> Result<Cost, Failed> {
        let pair = Pair::start(program, folder, STANDS).await?;
        let connector = connector(folder)?;
        ask(&mut secure(0, pair.web, &connector).await?).await?;
        let before = resident(&pair, SETTLED).await?;
        let at = pair.web;
        let opened = self.open(move |n| {
            let connector = connector.clone();
            async move {
                let mut connection = secure(n, at, &connector).await?;
                ask(&mut connection).await?;
                Ok(connection)
            }
        });
        let open = opened.await?;
        cost("mutual TLS", &pair, before, open, |it| it.get_ref().0).await
    }
    /// Opens them, [`AT_A_TIME`] at a time.
    async fn open<C, F>(self, one: impl Fn(u32) -> F) -> Result<Vec<C>, Failed>
    where
        C: Send + 'static,
        F: Future<Output = Result<C, Failed>> + Send + 'static,
    {
        let (mut opening, mut open) = (JoinSet::new(), Vec::new());
        for n in 0..self.connections {
            if opening.len() == AT_A_TIME
                && let Some(opened) = opening.join_next().await
            {
                open.push(opened??);
            }
            opening.spawn(one(n));
        }
        while let Some(opened) = opening.join_next().await {
            open.push(opened??);
        }
        Ok(open)
    }
}

async fn resident(pair: &Pair, after: Duration) -> Result<u64, Failed> {
    sleep(after).await;
    pair.process.resident_kib()
}

async fn cost<C>(
    kind: &'static str,
    pair: &Pair,
    before: u64,
    open: Vec<C>,
    socket: impl Fn(&C) -> &TcpStream,
) -> Result<Cost, Failed> {
    let standing = resident(pair, SETTLED).await?;
    let stood = open.iter().filter(|it| is_open(socket(it))).count();
    drop(open);
    let after = resident(pair, GIVEN_BACK).await?;
    Ok(Cost {
        kind,
        resident_kib: [before, standing, after],
        stood,
    })
}

/// Whether neither a last word nor an end has come.
fn is_open(socket: &TcpStream) -> bool {
    let read = socket.try_read(&mut [0]);
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

async fn plain(n: u32, to: SocketAddr) -> Result<TcpStream, Failed> {
    let socket = TcpSocket::new_v4()?;
    socket.set_zero_linger()?;
    let [_, _, high, low] = (n / PER_ADDRESS + 2).to_be_bytes();
    socket.bind((Ipv4Addr::new(127, 8, high, low), 0).into())?;
    Ok(socket.connect(to).await?)
}

async fn secure(
    n: u32,
    to: SocketAddr,
    connector: &TlsConnector,
) -> Result<TlsStream<TcpStream>, Failed> {
    let name = ServerName::try_from("orders")?;
    Ok(connector.connect(name, plain(n, to).await?).await?)
}

/// Connects as `storefront`, of whose files the sidecars' process made use too.
fn connector(folder: &Path) -> Result<TlsConnector, Failed> {
    let read = |name: &str| std::fs::read(folder.join("storefront").join(name));
    let bundle = Bundle::from_pem(TrustDomain::parse("shop.example")?, &read("bundle.pem")?)?;
    let svid = Svid::from_pem(&read("svid.pem")?, Key::from_pem(&read("key.pem")?)?)?;
    let generation = Generation::new(1, svid, Bundles::of(bundle))?;
    let orders = SpiffeId::parse("spiffe://shop.example/orders")?;
    Ok(generation.client(&orders, Alpn::Http1).into())
}
