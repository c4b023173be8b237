//! The files of the demo: a CA and, for each of the four, an identity and a configuration, as an operator would lay them out.
//!
//! ```text
//! FOLDER/            0700, in the system's place for temporary files
//!   ca/              as `countersign ca init` makes it
//!   orders/          sidecar.yaml, policy.yaml, access.log; svid.pem, key.pem (0600) and bundle.pem as `ca issue` makes them
//!   ledger/  storefront/  reports/
//! ```
//!
//! 1. The folder goes with its value, whatever became of the demo.
//! 2. What a sidecar reads is what a user would have written: the templates are files of the same kind, with addresses left open.

use crate::failure::Failure;
use ca::{Algorithm, Authority, Delivery, Dir};
use config::{SpiffeId, TrustDomain};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// The trust domain of the shop.
const TRUST_DOMAIN: &str = "shop.example";

/// Everything on disk.
pub(crate) struct Folder {
    place: TempDir,
    authority: Authority,
    leaf_life: Duration,
}

/// One of the four who have an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Ledger,
    Orders,
    Storefront,
    Reports,
}

impl Who {
    /// Its name, and that of its folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Who::Ledger => "ledger",
            Who::Orders => "orders",
            Who::Storefront => "storefront",
            Who::Reports => "reports",
        }
    }
    /// Its SPIFFE ID.
    pub(crate) fn id(self) -> String {
        format!("spiffe://{TRUST_DOMAIN}/{}", self.name())
    }
    fn sidecar(self) -> &'static str {
        match self {
            Who::Ledger => include_str!("templates/ledger.yaml"),
            Who::Orders => include_str!("templates/orders.yaml"),
            Who::Storefront => include_str!("templates/storefront.yaml"),
            Who::Reports => include_str!("templates/reports.yaml"),
        }
    }
    /// Who is not called needs none.
    fn policy(self) -> Option<&'static str> {
        match self {
            Who::Ledger => Some(include_str!("templates/ledger-policy.yaml")),
            Who::Orders => Some(include_str!("templates/orders-policy.yaml")),
            Who::Storefront | Who::Reports => None,
        }
    }
}

impl Folder {
    /// A folder with a new CA in it. Identities live for `leaf_life`.
    pub(crate) fn create(leaf_life: Duration) -> Result<Self, Failure> {
        let place = tempfile::Builder::new()
            .prefix("countersign-demo-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| unfit("no temporary folder", &error))?;
        let domain =
            TrustDomain::parse(TRUST_DOMAIN).map_err(|error| unfit(TRUST_DOMAIN, &error))?;
        let authority = Authority::create(&domain, Algorithm::P256, SystemTime::now())
            .map_err(|error| unfit("no CA", &error))?;
        Dir::create(&place.path().join("ca"), &authority)
            .map_err(|error| unfit("no CA", &error))?;
        Ok(Folder {
            place,
            authority,
            leaf_life,
        })
    }
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }
    /// The CA's root, as fingerprint.
    pub(crate) fn fingerprint(&self) -> String {
        self.authority.fingerprints().concat()
    }
    /// A file of somebody's.
    pub(crate) fn file(&self, who: Who, name: &str) -> PathBuf {
        self.path().join(who.name()).join(name)
    }
    /// Writes somebody's identity, policy and configuration, the addresses filled in; returns the configuration's path.
    pub(crate) fn furnish(
        &self,
        who: Who,
        addresses: &[(&str, std::net::SocketAddr)],
    ) -> Result<PathBuf, Failure> {
        let id = SpiffeId::parse(&who.id()).map_err(|error| unfit(who.name(), &error))?;
        let issued = self
            .authority
            .issue(&id, self.leaf_life, SystemTime::now())
            .map_err(|error| unfit(who.name(), &error))?;
        Delivery {
            chain_pem: &issued.chain_pem,
            key_pem: Some(issued.key_pem.as_str()),
            bundle_pem: &issued.bundle_pem,
        }
        .write(&self.path().join(who.name()))
        .map_err(|error| unfit(who.name(), &error))?;
        if let Some(policy) = who.policy() {
            write(&self.file(who, "policy.yaml"), policy)?;
        }
        let sidecar = self.file(who, "sidecar.yaml");
        write(&sidecar, &filled(who.sidecar(), addresses))?;
        Ok(sidecar)
    }
    /// Removes all of it, and says so if that fails.
    pub(crate) fn remove(self) -> Result<(), Failure> {
        let path = self.path().to_owned();
        self.place.close().map_err(|error: io::Error| {
            Failure::Unfit(format!(
                "demo: {} is not removed: {error}; remove it by hand",
                path.display()
            ))
        })
    }
}

fn filled(template: &str, addresses: &[(&str, std::net::SocketAddr)]) -> String {
    addresses
        .iter()
        .fold(template.to_owned(), |text, (name, address)| {
            text.replace(name, &address.to_string())
        })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| unfit(&path.display().to_string(), &error))
}

fn unfit(what: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::Unfit(format!(
        "demo: {what}: {why}; is there room where temporary files go (TMPDIR)?"
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use config::policy::Policy;
    use config::sidecar::Sidecar;

    const ALL: [Who; 4] = [Who::Ledger, Who::Orders, Who::Storefront, Who::Reports];
    const NAMES: [&str; 4] = [
        "LEDGER_APP",
        "ORDERS_APP",
        "LEDGER_SIDECAR",
        "ORDERS_SIDECAR",
    ];

    fn furnished() -> Folder {
        let folder = Folder::create(Duration::from_secs(3600)).unwrap();
        let ports = (0..).map(|n| std::net::SocketAddr::from(([127, 0, 0, 1], 40_000 + n)));
        let addresses: Vec<_> = NAMES.into_iter().zip(ports).collect();
        for who in ALL {
            folder.furnish(who, &addresses).unwrap();
        }
        folder
    }

    #[test]
    fn nothing_is_to_be_said_against_what_is_written() {
        let folder = furnished();
        for who in ALL {
            let sidecar = Sidecar::load(&folder.file(who, "sidecar.yaml")).unwrap();
            if let Some(file) = &sidecar.policy {
                let policy = Policy::load_for(&sidecar, file).unwrap();
                assert_eq!(
                    ::policy::check_for(&policy, &sidecar.inbound),
                    [],
                    "{who:?}"
                );
            }
        }
    }

    #[test]
    fn keys_are_their_owners_and_all_is_removed() {
        let folder = furnished();
        let path = folder.path().to_owned();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let keys = ALL.map(|who| mode(folder.file(who, "key.pem")));

        assert_eq!((mode(path.clone()), keys), (0o700, [0o600; 4]));
        assert_eq!(folder.remove(), Ok(()));
        assert!(!path.exists());
    }
}
