//! Short names for the values that the tests are about.

use config::{SpiffeId, TrustDomain};
use countersign_ca::store::{JoinRecord, OperatorRecord, RenewRecord, Store, StoreError};
use countersign_ca::{Instance, KeyHash, Leaf, Serial, Terms, TokenHash, Validity};
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub(crate) const ORDERS: &str = "spiffe://shop.example/orders";
pub(crate) const LEDGER: &str = "spiffe://shop.example/ledger";
pub(crate) const LEAF_TTL_S: u64 = 3600;

pub(crate) fn domain() -> TrustDomain {
    TrustDomain::parse("shop.example").unwrap()
}

/// Opens what nobody has open. A child that another test starts here holds all that this process has locked, from its fork to
/// its exec, and nobody announces the end of that.
pub(crate) fn open(dir: &Path) -> Store {
    let began = Instant::now();
    loop {
        match Store::open(dir, &domain()) {
            Err(StoreError::InUse { .. }) if began.elapsed() < Duration::from_secs(10) => {
                std::thread::sleep(Duration::from_millis(5));
            }
            opened => return opened.unwrap(),
        }
    }
}

pub(crate) fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

pub(crate) fn at(now_s: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(now_s)
}

fn octets<const N: usize>(seed: u64) -> [u8; N] {
    let mut octets = [0; N];
    octets[N - 8..].copy_from_slice(&seed.to_be_bytes());
    octets
}

pub(crate) fn serial(seed: u64) -> Serial {
    Serial::from_random(octets(seed))
}

pub(crate) fn key(seed: u64) -> KeyHash {
    KeyHash::from_bytes(octets(seed))
}

pub(crate) fn token(seed: u64) -> TokenHash {
    TokenHash::from_bytes(octets(seed))
}

pub(crate) fn terms(text: &str, ttl_s: u64, uses: u32) -> Terms {
    Terms::new(id(text), Duration::from_secs(ttl_s), uses).unwrap()
}

pub(crate) fn leaf(of: u64, text: &str, key_seed: u64, now_s: u64) -> Leaf {
    Leaf {
        serial: serial(of),
        id: id(text),
        key: key(key_seed),
        issuer: [7; 20],
        validity: Validity {
            not_before_s: now_s.saturating_sub(60),
            not_after_s: now_s + LEAF_TTL_S,
        },
        issued_at_s: now_s,
        instance: Instance::parse(&format!("instance-{of}")).unwrap(),
    }
}

pub(crate) fn join(token_seed: u64, leaf: Leaf) -> JoinRecord {
    JoinRecord {
        token: token(token_seed),
        leaf,
    }
}

pub(crate) fn renewal(parent: u64, leaf: Leaf) -> RenewRecord {
    RenewRecord {
        parent: serial(parent),
        in_grace: false,
        evidence: [8; 32],
        leaf,
    }
}

pub(crate) fn wanted(leaf: Leaf) -> OperatorRecord {
    OperatorRecord {
        uid: 1000,
        evidence: [9; 32],
        leaf,
    }
}

pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}
