//! What a connection costs that was served once and is then quiet, in clear text and with mutual TLS.

use super::call::ask;
use super::process::Pair;
use crate::online::Failed;
use config::SpiffeId;
use config::TrustDomain;
use identity::{Alpn, Bundle, Bundles, Generation, Key, Svid};
use rustls::pki_types::ServerName;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Until memory is counted: what serving takes for a moment is given back by then.
const SETTLED: Duration = Duration::from_secs(15);
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
    /// Resident before, while they stand, and after they have gone, in KiB.
    pub resident_kib: [u64; 3],
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
        let pair = Pair::start(program, folder).await?;
        // Once before, so that nothing is counted that is made once.
        ask(&mut plain(0, pair.http).await?).await?;
        let before = settled(&pair).await?;
        let mut open = Vec::new();
        for n in 0..self.connections {
            let mut connection = plain(n, pair.http).await?;
            ask(&mut connection).await?;
            open.push(connection);
        }
        cost("clear text", &pair, before, open).await
    }
    async fn mutual_tls(self, program: &Path, folder: &Path) -> Result<Cost, Failed> {
        let pair = Pair::start(program, folder).await?;
        let connector = connector(folder)?;
        ask(&mut secure(0, pair.web, &connector).await?).await?;
        let before = settled(&pair).await?;
        let mut open = Vec::new();
        for n in 0..self.connections {
            let mut connection = secure(n, pair.web, &connector).await?;
            ask(&mut connection).await?;
            open.push(connection);
        }
        cost("mutual TLS", &pair, before, open).await
    }
}

async fn settled(pair: &Pair) -> Result<u64, Failed> {
    sleep(SETTLED).await;
    pair.process.resident_kib()
}

async fn cost<C>(
    kind: &'static str,
    pair: &Pair,
    before: u64,
    open: Vec<C>,
) -> Result<Cost, Failed> {
    let standing = settled(pair).await?;
    drop(open);
    let after = settled(pair).await?;
    Ok(Cost {
        kind,
        resident_kib: [before, standing, after],
    })
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
