//! The files of the demo: a CA and, for each of the four, what it takes to join it, as an operator would lay them out.
//!
//! ```text
//! FOLDER/            0700, in the system's place for temporary files
//!   ca.yaml          what the CA serves by
//!   ca/              as `countersign ca init` makes it
//!   orders/          sidecar.yaml, policy.yaml, access.log; bundle.pem; join-token (0600) as `ca token create` makes it
//!     state/current/ svid.pem and key.pem (0600), as the sidecar keeps them
//!   ledger/  storefront/  reports/
//! ```
//!
//! 1. The folder goes with its value, whatever became of the demo.
//! 2. What a sidecar reads is what a user would have written: the templates are files of the same kind, with addresses left open.

use crate::failure::Failure;
use ca::{Algorithm, Authority, Dir};
use config::TrustDomain;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::TempDir;

/// The trust domain of the shop.
pub(crate) const TRUST_DOMAIN: &str = "shop.example";

/// Everything on disk.
pub(crate) struct Folder {
    place: TempDir,
    fingerprint: String,
    bundle_pem: String,
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
    /// In the order in which they start.
    pub(crate) const ALL: [Who; 4] = [Who::Ledger, Who::Orders, Who::Storefront, Who::Reports];

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
    /// A folder with a new CA in it.
    pub(crate) fn create() -> Result<Self, Failure> {
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
            fingerprint: authority.fingerprints().concat(),
            bundle_pem: authority.bundle().to_pem(),
        })
    }
    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.place.path()
    }
    /// The CA's root, as fingerprint.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
    /// A file of somebody's.
    pub(crate) fn file(&self, who: Who, name: &str) -> PathBuf {
        self.path().join(who.name()).join(name)
    }
    /// Writes what the CA serves by; returns its path.
    pub(crate) fn furnish_ca(&self, listen: SocketAddr) -> Result<PathBuf, Failure> {
        let path = self.path().join("ca.yaml");
        let text = filled(include_str!("templates/ca.yaml"), &[("CA_LISTEN", listen)]);
        write(&path, &text)?;
        Ok(path)
    }
    /// Writes somebody's token, policy and configuration, the addresses filled in; returns the configuration's path.
    pub(crate) fn furnish(
        &self,
        who: Who,
        token: &str,
        addresses: &[(&str, SocketAddr)],
    ) -> Result<PathBuf, Failure> {
        let folder = self.path().join(who.name());
        fs::create_dir(&folder).map_err(|error| unfit(who.name(), &error))?;
        write(&self.file(who, "bundle.pem"), &self.bundle_pem)?;
        write_secret(&self.file(who, "join-token"), token)?;
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

fn filled(template: &str, addresses: &[(&str, SocketAddr)]) -> String {
    addresses
        .iter()
        .fold(template.to_owned(), |text, (name, address)| {
            text.replace(name, &address.to_string())
        })
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| unfit(&path.display().to_string(), &error))
}

fn write_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let written = || {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        options.open(path)?.write_all(text.as_bytes())
    };
    written().map_err(|error: io::Error| unfit(&path.display().to_string(), &error))
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

    const NAMES: [&str; 5] = [
        "CA_ADDRESS",
        "LEDGER_APP",
        "ORDERS_APP",
        "LEDGER_SIDECAR",
        "ORDERS_SIDECAR",
    ];

    fn furnished() -> Folder {
        let folder = Folder::create().unwrap();
        let ports = (0..).map(|n| SocketAddr::from(([127, 0, 0, 1], 40_000 + n)));
        let addresses: Vec<_> = NAMES.into_iter().zip(ports).collect();
        for who in Who::ALL {
            folder.furnish(who, "token", &addresses).unwrap();
        }
        folder
    }

    #[test]
    fn nothing_is_to_be_said_against_what_is_written() {
        let folder = furnished();
        let ca = folder
            .furnish_ca(SocketAddr::from(([127, 0, 0, 1], 0)))
            .unwrap();
        config::ca::Ca::load(&ca).unwrap();
        for who in Who::ALL {
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
    fn tokens_are_their_owners_and_all_is_removed() {
        let folder = furnished();
        let path = folder.path().to_owned();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let tokens = Who::ALL.map(|who| mode(folder.file(who, "join-token")));

        assert_eq!((mode(path.clone()), tokens), (0o700, [0o600; 4]));
        assert_eq!(folder.remove(), Ok(()));
        assert!(!path.exists());
    }
}
