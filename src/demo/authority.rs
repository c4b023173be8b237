//! The CA of the demo: it serves, goes away in the middle of everything, and comes back.
//!
//! In: the folder. Out: where it answers, and tokens for who is to join.

use super::folder::{Folder, Who};
use crate::failure::Failure;
use ca::store::Ledger;
use ca::{Running, Terms, Token};
use config::SpiffeId;
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// How long a token admits: whoever joins does so at once.
const TOKEN_TTL: Duration = Duration::from_secs(600);

/// A CA that may be away.
pub(crate) struct Authority {
    config: PathBuf,
    address: SocketAddr,
    running: Mutex<Option<Running>>,
}

impl Authority {
    /// Serves at a free port, which stays its own.
    pub(crate) async fn start(folder: &Folder) -> Result<Self, Failure> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let running = serve(folder.furnish_ca(any)?).await.map_err(unfit)?;
        let address = running.address();
        Ok(Authority {
            config: folder.furnish_ca(address)?,
            address,
            running: Mutex::new(Some(running)),
        })
    }

    /// Where it answers while it is there.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A token that lets one key join as this one.
    pub(crate) async fn token(&self, who: Who) -> Result<String, Failure> {
        let running = self.running.lock().await;
        let Some(running) = running.as_ref() else {
            return Err(unfit("the CA is away"));
        };
        let token = Token::generate().map_err(unfit)?;
        let id = SpiffeId::parse(&who.id()).map_err(unfit)?;
        let terms = Terms::new(id, TOKEN_TTL, 1).map_err(unfit)?;
        let ledger = running.server().ledger();
        let created = ledger.create_token(token.hash(), terms, SystemTime::now());
        created.await.map_err(unfit)?;
        Ok(token.to_text().to_string())
    }

    /// Cuts it off: no goodbye to who watches, no answer to who asks.
    pub(crate) async fn cut(&self) {
        if let Some(running) = self.running.lock().await.take() {
            running.end(Duration::ZERO).await;
        }
    }

    /// Starts it again from what it left on disk.
    pub(crate) async fn start_again(&self) -> Result<(), String> {
        let mut running = self.running.lock().await;
        if running.is_none() {
            *running = Some(serve(self.config.clone()).await?);
        }
        Ok(())
    }
}

async fn serve(config: PathBuf) -> Result<Running, String> {
    let config = config::ca::Ca::load(&config).map_err(|findings| findings.to_string())?;
    let running = ca::start(&config).await;
    running.map_err(|error| error.to_string())
}

fn unfit(why: impl Display) -> Failure {
    Failure::Unfit(format!(
        "demo: the CA does not start: {why}; are there free ports on 127.0.0.1?"
    ))
}
