//! The promises that need time: identities that are renewed under traffic, and a CA that goes away and comes back.
//!
//! In: a running mesh. Out: facts to tell, or how a promise was broken. What is renewed is read off the wire at orders, and
//! from what each sidecar keeps; what fails is counted at the caller, what arrives at the app.

use super::caller::NoAnswer;
use super::folder::{Folder, Who};
use super::mesh::Mesh;
use super::observe::{Broken, Watch};
use super::traffic::Traffic;
use super::trial::{Fact, Facts, TEA, as_storefront, unanswered};
use identity::Facts as Certificate;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

/// How long the CA is away: half the life of an identity, so that every sidecar asks for the next in vain.
const AWAY: Duration = Duration::from_secs(10);
/// A file tells nobody that it was replaced.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Every identity is replaced once while the storefront calls orders, and orders the ledger.
pub(crate) async fn renewed(mesh: &Mesh<'_>) -> Facts {
    let orders = Watch::begin("orders", mesh.orders.seen());
    let (shown, kept) = (shown(mesh).await?, kept(mesh.folder));
    let traffic = Traffic::begin(mesh.at.storefront_out);
    let next = replaced(mesh, &shown, &kept).await?;
    let calls = traffic.end().await?;
    orders.arrived().count(calls)?;
    Ok(vec![
        Fact::new(
            "on the wire",
            format!("orders showed certificate {}", short(&shown)),
        ),
        Fact::new("", format!("and then {}", short(&next))),
        Fact::new("all four", "have a new identity of 20 s from the CA"),
        Fact::new(
            "storefront",
            format!("{calls} calls meanwhile, none failed"),
        ),
    ])
}

/// The CA is cut off for as long as it takes that renewals fail; then it starts again, and they succeed before any identity ends.
pub(crate) async fn ca_away(mesh: &Mesh<'_>) -> Facts {
    let orders = Watch::begin("orders", mesh.orders.seen());
    let (shown, kept) = (shown(mesh).await?, kept(mesh.folder));
    let traffic = Traffic::begin(mesh.at.storefront_out);
    mesh.authority.cut().await;
    sleep(AWAY).await;
    let back = mesh.authority.start_again().await;
    back.map_err(|why| Broken::NotBack { why })?;
    let began = Instant::now();
    replaced(mesh, &shown, &kept).await?;
    let took = began.elapsed();
    let calls = traffic.end().await?;
    orders.arrived().count(calls)?;
    Ok(vec![
        Fact::new(
            "the CA",
            format!("cut off for {} s, then started again", AWAY.as_secs()),
        ),
        Fact::new(
            "all four",
            format!(
                "renewed {:.1} s after it was back, by themselves",
                took.as_secs_f64()
            ),
        ),
        Fact::new(
            "storefront",
            format!("{calls} calls meanwhile, none failed"),
        ),
    ])
}

/// Waits until all have another certificate than before; returns the one that orders shows.
async fn replaced(
    mesh: &Mesh<'_>,
    before: &str,
    kept_before: &[Option<String>],
) -> Result<String, Broken> {
    loop {
        let now = shown(mesh).await?;
        let kept = kept(mesh.folder);
        let all = kept
            .iter()
            .zip(kept_before)
            .all(|(now, before)| now.is_some() && now != before);
        if all && now != before {
            return Ok(now);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The serial of the certificate that orders' sidecar shows on a new connection.
async fn shown(mesh: &Mesh<'_>) -> Result<String, Broken> {
    let config = as_storefront(mesh)?;
    let look = async {
        let name = ServerName::try_from(TEA.host)?.to_owned();
        let socket = TcpStream::connect(mesh.at.orders_in).await?;
        let tls = TlsConnector::from(config).connect(name, socket).await?;
        let leaf = tls
            .get_ref()
            .1
            .peer_certificates()
            .and_then(|chain| chain.first());
        let facts = leaf.and_then(|der| Certificate::read(der));
        Ok(facts.ok_or("it showed no certificate")?.serial)
    };
    look.await
        .map_err(|why| unanswered(&"orders' sidecar", NoAnswer::Ended(why)))
}

/// The serials of the certificates that everybody keeps, where one can be read.
fn kept(folder: &Folder) -> [Option<String>; 4] {
    Who::ALL.map(|who| {
        let leaf = CertificateDer::from_pem_file(folder.file(who, "state/current/svid.pem"));
        Certificate::read(&leaf.ok()?).map(|facts| facts.serial)
    })
}

/// Enough of a serial to tell it from another.
fn short(serial: &str) -> String {
    let digits: String = serial.chars().take(8).collect();
    format!("{digits}…")
}
