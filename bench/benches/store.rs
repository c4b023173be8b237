//! What recording an issuance costs: durable, one fsync for all who wait. Rates depend on the disk below the temporary folder.
#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot set itself up has nothing to say"
)]

use ca::store::{JoinRecord, Ledger, Store};
use ca::{Instance, KeyHash, Leaf, Serial, Terms, TokenHash, Validity};
use config::{SpiffeId, TrustDomain};
use divan::Bencher;
use divan::counter::ItemsCount;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TOKEN: [u8; 32] = [1; 32];

fn main() {
    divan::main();
}

/// No two alike, and spread over the indexes as random ones are.
fn next_leaf(seed: &AtomicU64) -> Leaf {
    let seed = seed.fetch_add(1, Ordering::Relaxed);
    let spread = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    let (mut serial, mut key) = ([0; 20], [0; 32]);
    serial[4..12].copy_from_slice(&spread);
    serial[12..].copy_from_slice(&seed.to_be_bytes());
    key[..20].copy_from_slice(&serial);
    Leaf {
        serial: Serial::from_random(serial),
        id: SpiffeId::parse("spiffe://shop.example/orders").unwrap(),
        key: KeyHash::from_bytes(key),
        issuer: [7; 20],
        validity: Validity {
            not_before_s: 940,
            not_after_s: 4600,
        },
        issued_at_s: 1000,
        instance: Instance::parse("orders-7f9c").unwrap(),
    }
}

/// So many callers at the same time, each waiting for its own record.
#[divan::bench(args = [1, 16, 128, 1024], sample_count = 40, sample_size = 1)]
fn joins_at_once(bencher: Bencher<'_, '_>, callers: usize) {
    let runtime = Runtime::new().unwrap();
    let place = TempDir::new().unwrap();
    let store = Store::open(place.path(), &TrustDomain::parse("shop.example").unwrap()).unwrap();
    let token = TokenHash::from_bytes(TOKEN);
    let id = SpiffeId::parse("spiffe://shop.example/orders").unwrap();
    let terms = Terms::new(id, Duration::from_secs(600), ca::TOKEN_USES_MAX).unwrap();
    let now = UNIX_EPOCH + Duration::from_secs(1000);
    runtime
        .block_on(store.create_token(token, terms, now))
        .unwrap();
    let seed = AtomicU64::new(0);
    bencher
        .counter(ItemsCount::new(callers))
        .with_inputs(|| (0..callers).map(|_| next_leaf(&seed)).collect::<Vec<_>>())
        .bench_values(|leaves| {
            runtime.block_on(async {
                let join = |leaf| {
                    let store = store.clone();
                    tokio::spawn(async move { store.join(JoinRecord { token, leaf }).await })
                };
                for recorded in leaves.into_iter().map(join).collect::<Vec<_>>() {
                    recorded.await.unwrap().unwrap();
                }
            });
        });
}
