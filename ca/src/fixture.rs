//! A CA in a folder, for tests of single modules.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::authority::{Algorithm, Authority};
use crate::authority_server::{AuthorityServer, Grants};
use crate::dir::Dir;
use crate::store::Store;
use config::TrustDomain;
use config::unit::Rate;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use telemetry::CaMetrics;

/// A new one, in a folder of its own within this one.
pub(crate) async fn server(folder: &Path) -> Arc<AuthorityServer<Store>> {
    let domain = TrustDomain::parse("shop.example").unwrap();
    let now = SystemTime::now();
    let authority = Authority::create(&domain, Algorithm::P256, now).unwrap();
    let dir = Dir::create(&folder.join("ca"), &authority).unwrap();
    let store = Store::open(dir.path(), &domain).unwrap();
    let rate = Rate {
        times: 10,
        per: Duration::from_secs(60),
    };
    let grants = Grants {
        ttl: Duration::from_secs(3600),
        ttl_max: Duration::from_secs(3600),
        grace: Duration::ZERO,
        per_identity: rate,
        per_source: rate,
    };
    let server = AuthorityServer::open(dir, store, grants, CaMetrics::new(), now);
    Arc::new(server.await.unwrap())
}
