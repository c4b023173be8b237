//! The shop and its sidecars, all in this process, every port a free one on loopback.
//!
//! A sidecar's configuration names addresses that are known only once they are bound: whoever is called starts before who
//! calls. In: the folder. Out: everything running, and where.

use super::authority::Authority;
use super::folder::{Folder, Who};
use crate::failure::Failure;
use proxy::Running as Sidecar;
use shop::{Ledger, Orders, Running as App, Storefront};
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::timeout;

/// Any free port of loopback.
const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Joining takes a few milliseconds; only a machine that does much else needs more.
const JOINED_WITHIN: Duration = Duration::from_secs(20);

/// Everything that runs.
pub(crate) struct Mesh<'a> {
    /// Its files.
    pub(crate) folder: &'a Folder,
    /// Where things listen.
    pub(crate) at: Addresses,
    /// Who vouches for everybody.
    pub(crate) authority: Authority,
    /// The app that keeps the books.
    pub(crate) ledger: App,
    /// The app that takes orders.
    pub(crate) orders: App,
    /// Kept for what visitors see.
    _storefront: App,
    /// In the order in which they end.
    sidecars: Vec<(Who, Sidecar)>,
}

/// Where things listen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// The storefront's page, in clear text.
    pub(crate) storefront: SocketAddr,
    /// The storefront's way out.
    pub(crate) storefront_out: SocketAddr,
    /// The way out of reports.
    pub(crate) reports_out: SocketAddr,
    /// The same, to the ledger.
    pub(crate) reports_to_ledger: SocketAddr,
    /// What the network sees of orders.
    pub(crate) orders_in: SocketAddr,
    /// The metrics of orders' sidecar.
    pub(crate) orders_metrics: SocketAddr,
}

impl<'a> Mesh<'a> {
    /// Starts everything; what has started ends if something does not start.
    pub(crate) async fn start(folder: &'a Folder) -> Result<Self, Failure> {
        let authority = Authority::start(folder).await?;
        let join = async |who, known: &[_]| sidecar(folder, &authority, who, known).await;
        let ledger = Ledger::start(FREE).await.map_err(unfit)?;
        let books = join(Who::Ledger, &[("LEDGER_APP", ledger.addr())]).await?;
        let ledger_in = address(&books, "books").await?;

        // Orders and its sidecar name each other: the app is bound first and serves last.
        let listener = TcpListener::bind(FREE).await.map_err(unfit)?;
        let known = [
            ("ORDERS_APP", listener.local_addr().map_err(unfit)?),
            ("LEDGER_SIDECAR", ledger_in),
        ];
        let web = join(Who::Orders, &known).await?;
        let to_ledger = address(&web, "ledger").await?;
        let orders = Orders::on(listener, to_ledger.to_string()).map_err(unfit)?;

        let orders_in = address(&web, "web").await?;
        let known = [("ORDERS_SIDECAR", orders_in), ("LEDGER_SIDECAR", ledger_in)];
        let front = join(Who::Storefront, &known).await?;
        let storefront_out = address(&front, "http").await?;
        let storefront = Storefront::start(FREE, storefront_out.to_string())
            .await
            .map_err(unfit)?;
        let reports = join(Who::Reports, &known).await?;

        // Each knows where it will listen before it is somebody; all have joined before anything is promised.
        for (who, sidecar) in [
            (Who::Ledger, &books),
            (Who::Orders, &web),
            (Who::Storefront, &front),
            (Who::Reports, &reports),
        ] {
            let joined = timeout(JOINED_WITHIN, sidecar.newer_than(0)).await;
            joined.map_err(|_| unfit(format_args!("{} does not get an identity", who.name())))?;
        }
        let at = Addresses {
            storefront: storefront.addr(),
            storefront_out,
            reports_out: address(&reports, "http").await?,
            reports_to_ledger: address(&reports, "ledger").await?,
            orders_in,
            orders_metrics: address(&web, "metrics").await?,
        };
        Ok(Mesh {
            folder,
            at,
            authority,
            ledger,
            orders,
            _storefront: storefront,
            // Who calls ends before who is called.
            sidecars: vec![
                (Who::Reports, reports),
                (Who::Storefront, front),
                (Who::Orders, web),
                (Who::Ledger, books),
            ],
        })
    }

    /// Somebody's sidecar.
    #[cfg(test)]
    pub(crate) fn sidecar(&self, whose: Who) -> Option<&Sidecar> {
        let mut all = self.sidecars.iter();
        all.find_map(|(who, sidecar)| (*who == whose).then_some(sidecar))
    }

    /// Ends the sidecars well: what is in flight has `patience` in all.
    pub(crate) async fn end(self, patience: Duration) {
        let ends = tokio::time::Instant::now() + patience;
        for (_, sidecar) in self.sidecars {
            sidecar
                .end(ends.saturating_duration_since(tokio::time::Instant::now()))
                .await;
        }
        self.authority.cut().await;
    }
}

/// Somebody's sidecar, which joins with a token of its own.
async fn sidecar(
    folder: &Folder,
    authority: &Authority,
    who: Who,
    known: &[(&str, SocketAddr)],
) -> Result<Sidecar, Failure> {
    let addresses = [known, &[("CA_ADDRESS", authority.address())]].concat();
    let config = folder.furnish(who, &authority.token(who).await?, &addresses)?;
    proxy::start(&config)
        .await
        .map_err(|error| Failure::Unfit(error.to_string()))
}

async fn address(sidecar: &Sidecar, listener: &str) -> Result<SocketAddr, Failure> {
    sidecar
        .address(listener)
        .await
        .ok_or_else(|| unfit(format_args!("there is no listener {listener}")))
}

fn unfit(why: impl Display) -> Failure {
    Failure::Unfit(format!(
        "demo: the shop does not start: {why}; are there free ports on 127.0.0.1?"
    ))
}
