//! A CA's admin socket, asked over a real one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use api::admin::{
    IssueCall, IssueMade, ListCall, ListPage, Listed, Refusal, ShowCall, Status, TokenCall,
    TokenMade,
};
use config::{SpiffeId, TrustDomain};
use countersign_ca::store::{Ledger, OperatorRecord, RenewRecord, Store};
use countersign_ca::{
    Algorithm, Authority, AuthorityServer, Dir, Grants, Instance, KeyHash, Leaf, Rate, Serial,
    Token, Validity, admin,
};
use daemon::{bind, drain};
use identity::{Bundle, Bundles, Csr, Key, Role, Svid, Verifier};
use rustls::pki_types::UnixTime;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telemetry::CaMetrics;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

const ORDERS: &str = "spiffe://shop.example/orders";
const HOUR_S: u64 = 3600;
const PATIENCE: Duration = Duration::from_secs(10);

/// A CA that answers operators, and nobody else.
struct Ca {
    folder: TempDir,
    server: Arc<AuthorityServer<Store>>,
    metrics: Arc<CaMetrics>,
    drain: drain::Drain,
}

fn id(text: &str) -> SpiffeId {
    SpiffeId::parse(text).unwrap()
}

fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn ours() -> u32 {
    rustix::process::geteuid().as_raw()
}

impl Ca {
    async fn start() -> Ca {
        let folder = TempDir::new().unwrap();
        let domain = TrustDomain::parse("shop.example").unwrap();
        let authority = Authority::create(&domain, Algorithm::P256, SystemTime::now()).unwrap();
        let dir = Dir::create(&folder.path().join("ca"), &authority).unwrap();
        let store = Store::open(dir.path(), &domain).unwrap();
        let rate = Rate {
            times: 100,
            per: Duration::from_secs(1),
        };
        let grants = Grants {
            ttl: Duration::from_secs(HOUR_S),
            ttl_max: Duration::from_secs(2 * HOUR_S),
            grace: Duration::ZERO,
            per_identity: rate,
            per_source: rate,
        };
        let metrics = CaMetrics::new();
        let now = SystemTime::now();
        let server = AuthorityServer::open(dir, store, grants, metrics.clone(), now).await;
        let server = Arc::new(server.unwrap());
        let (drain, draining) = drain::pair();
        let listener = bind::unix(&folder.path().join("ca.sock"), 0o600).unwrap();
        draining.track(admin::serve(listener, draining.clone(), server.clone()));
        Ca {
            folder,
            server,
            metrics,
            drain,
        }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("ca.sock")
    }

    async fn send(&self, method: &str, target: &str, body: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        let length = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: ca\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    /// The status and the body.
    async fn ask(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let mut stream = self.send(method, target, body).await;
        let mut all = String::new();
        stream.read_to_string(&mut all).await.unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    async fn get(&self, target: &str) -> String {
        let (status, body) = self.ask("GET", target, "").await;
        assert_eq!(status, 200, "{target}: {body}");
        body
    }

    async fn refused(&self, method: &str, target: &str, body: &str) -> (u16, String) {
        let (status, answer) = self.ask(method, target, body).await;
        let refusal = Refusal::from_json(answer.as_bytes());
        let refusal = refusal.unwrap_or_else(|error| panic!("{target} {answer}: {error}"));
        assert!(refusal.message.contains("; "), "{}", refusal.message);
        assert!(!refusal.message.contains('\n'), "{}", refusal.message);
        (status, refusal.error)
    }

    async fn token(&self, call: &TokenCall) -> TokenMade {
        let (status, body) = self.ask("POST", "/token", &call.to_json()).await;
        assert_eq!(status, 200, "{body}");
        TokenMade::from_json(body.as_bytes()).unwrap()
    }

    async fn issue(&self, call: &IssueCall) -> IssueMade {
        let (status, body) = self.ask("POST", "/issue", &call.to_json()).await;
        assert_eq!(status, 200, "{body}");
        IssueMade::from_json(body.as_bytes()).unwrap()
    }

    async fn show(&self, serial: &str) -> Listed {
        let serial = serial.to_owned();
        let shown = self.get(&ShowCall { serial }.to_target()).await;
        Listed::from_json(shown.as_bytes()).unwrap()
    }

    async fn status(&self) -> Status {
        Status::from_json(self.get("/status").await.as_bytes()).unwrap()
    }

    async fn stop(self) {
        assert_eq!(self.drain.start_and_wait(PATIENCE).await, 0);
    }
}

fn token_call(id: &str) -> TokenCall {
    TokenCall {
        id: id.to_owned(),
        ttl_s: 600,
        uses: 1,
    }
}

fn issue_call(id: &str, key: &Key) -> IssueCall {
    // The request may name anybody: nothing is taken from it but its key.
    let csr = Csr::create(key, &self::id("spiffe://shop.example/somebody-else")).unwrap();
    IssueCall {
        id: id.to_owned(),
        csr: csr.to_pem(),
        ttl_s: None,
    }
}

#[tokio::test]
async fn a_token_that_was_made_over_the_socket_admits_whom_it_names_and_is_kept_by_its_hash() {
    let ca = Ca::start().await;

    let made = ca.token(&token_call(ORDERS)).await;
    let other = ca.token(&token_call(ORDERS)).await;

    assert_ne!(made.token, other.token);
    let token = Token::parse(&made.token).unwrap();
    let key = KeyHash::from_bytes([7; 32]);
    let admits = ca
        .server
        .ledger()
        .look_up(token.hash(), key, SystemTime::now())
        .await
        .unwrap();
    assert_eq!((admits.id, admits.ends_s), (id(ORDERS), made.ends_unix_s));
    assert!((599..=601).contains(&(made.ends_unix_s - now_s())));
    ca.stop().await;
}

#[tokio::test]
async fn what_is_never_granted_gets_no_token_and_no_certificate() {
    let ca = Ca::start().await;
    let key = Key::generate().unwrap();
    for (id, status, reason) in [
        ("spiffe://shop.example/countersign/ca", 403, "reserved_id"),
        ("spiffe://other.example/orders", 403, "foreign_trust_domain"),
        ("spiffe://shop.example/", 400, "id_malformed"),
        ("orders", 400, "id_malformed"),
    ] {
        let token = token_call(id).to_json();
        let issue = issue_call(id, &key).to_json();
        for (target, body) in [("/token", &token), ("/issue", &issue)] {
            let refused = ca.refused("POST", target, body).await;
            assert_eq!(refused, (status, reason.to_owned()), "{target} {id}");
        }
    }
    let entries = ca.server.ledger().summary().await.unwrap().entries;
    assert_eq!(entries, 0);
    ca.stop().await;
}

#[tokio::test]
async fn a_certificate_is_issued_for_a_key_that_never_leaves_and_stands_in_the_record_with_the_uid()
{
    let ca = Ca::start().await;
    let key = Key::generate().unwrap();
    let call = issue_call(ORDERS, &key);

    let made = ca.issue(&call).await;
    let again = ca.issue(&call).await;

    let domain = TrustDomain::parse("shop.example").unwrap();
    let bundle = Bundle::from_pem(domain, made.bundle.as_bytes()).unwrap();
    assert_eq!(made.bundle, ca.get("/bundle").await);
    let svid = Svid::from_pem(made.chain.as_bytes(), key).unwrap();
    let verifier = Verifier::new(Bundles::of(bundle));
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now_s()));
    let peer = verifier.verify(svid.chain(), Role::Server, now).unwrap();
    assert_eq!((peer.id, peer.serial), (id(ORDERS), made.serial.clone()));
    assert!((HOUR_S - 1..=HOUR_S + 1).contains(&(made.not_after_unix_s - now_s())));

    let shown = ca.show(&made.serial).await;
    assert_eq!(shown.ground, "operator");
    assert_eq!(shown.uid, Some(ours().into()));
    assert_eq!((shown.index, shown.id.as_str()), (0, ORDERS));
    assert_eq!((shown.parent, shown.replaced), (None, true));
    // The same request again is the lost answer of the first.
    let twin = ca.show(&again.serial).await;
    assert_eq!((twin.index, twin.replaced), (1, false));
    let page = ca.metrics.encode();
    let counted = "countersign_ca_issued_total{attestor=\"operator\",result=\"ok\"} 2";
    assert!(page.contains(counted), "{page}");
    ca.stop().await;
}

#[tokio::test]
async fn an_operator_chooses_a_life_within_what_this_ca_grants() {
    let ca = Ca::start().await;
    let key = Key::generate().unwrap();
    for (ttl_s, wanted) in [
        (Some(10), Ok(10)),
        (Some(2 * HOUR_S), Ok(2 * HOUR_S)),
        (Some(2 * HOUR_S + 1), Err("ttl_out_of_bounds")),
        (Some(9), Err("ttl_out_of_bounds")),
        (Some(u64::MAX), Err("ttl_out_of_bounds")),
    ] {
        let call = IssueCall {
            ttl_s,
            ..issue_call(ORDERS, &key)
        };
        match wanted {
            Ok(life_s) => {
                let left_s = ca.issue(&call).await.not_after_unix_s - now_s();
                assert!(
                    (life_s - 1..=life_s).contains(&left_s),
                    "{ttl_s:?} {left_s}"
                );
            }
            Err(reason) => {
                let refused = ca.refused("POST", "/issue", &call.to_json()).await;
                assert_eq!(refused, (403, reason.to_owned()), "{ttl_s:?}");
            }
        }
    }
    ca.stop().await;
}

#[tokio::test]
async fn what_is_malformed_is_refused_with_its_reason_and_changes_nothing() {
    let ca = Ca::start().await;
    let key = Key::generate().unwrap();
    let good = issue_call(ORDERS, &key);
    let issue = |csr: String| {
        let call = IssueCall {
            csr,
            ..good.clone()
        };
        call.to_json()
    };
    let token = |ttl_s, uses| {
        TokenCall {
            ttl_s,
            uses,
            ..token_call(ORDERS)
        }
        .to_json()
    };
    let twice = good.csr.repeat(2);
    let spoiled = good.csr.replace("MI", "MJ");
    let unknown = format!("/show?serial={}", "42".repeat(20));
    let short = format!("/show?serial={}", "42".repeat(19));
    let capital = format!("/show?serial={}AB", "42".repeat(19));
    for (method, target, body, status, reason) in [
        ("POST", "/token", "", 400, "not_an_object"),
        ("POST", "/token", "{\"id\":7}", 400, "bad_field"),
        ("POST", "/token", "{\"wish\":7}", 400, "unknown_field"),
        ("POST", "/token", &token(0, 1), 400, "token_ttl"),
        ("POST", "/token", &token(u64::MAX, 1), 400, "token_ttl"),
        ("POST", "/token", &token(600, 0), 400, "token_uses"),
        ("POST", "/issue", &issue(String::new()), 400, "csr_empty"),
        ("POST", "/issue", &issue(twice), 400, "csr_pem"),
        ("POST", "/issue", &issue(spoiled), 400, "csr_malformed"),
        ("POST", "/issue", "{}", 400, "bad_field"),
        ("GET", "/list?id=x", "", 400, "id_malformed"),
        ("GET", "/list?after=x", "", 400, "place_unknown"),
        ("GET", "/list?after=1.-1", "", 400, "place_unknown"),
        ("GET", "/list?limit=1", "", 400, "unknown_field"),
        ("GET", "/show", "", 400, "bad_field"),
        ("GET", &short, "", 400, "serial_malformed"),
        ("GET", &capital, "", 400, "serial_malformed"),
        ("GET", &unknown, "", 404, "serial_unknown"),
        ("GET", "/bundle?format=xml", "", 400, "bad_field"),
        ("GET", "/", "", 404, "no_such_call"),
        ("POST", "/tokens", "{}", 404, "no_such_call"),
        ("GET", "/token", "", 405, "wrong_method"),
        ("HEAD", "/issue", "", 405, "wrong_method"),
        ("POST", "/list", "", 405, "wrong_method"),
    ] {
        if method == "HEAD" {
            assert_eq!(ca.ask(method, target, body).await.0, status, "{target}");
            continue;
        }
        let refused = ca.refused(method, target, body).await;
        assert_eq!(
            refused,
            (status, reason.to_owned()),
            "{method} {target} {body}"
        );
    }
    assert_eq!(ca.server.ledger().summary().await.unwrap().entries, 0);
    ca.stop().await;
}

fn serial(seed: u64) -> Serial {
    let mut octets = [0; 20];
    octets[12..].copy_from_slice(&seed.to_be_bytes());
    Serial::from_random(octets)
}

/// A certificate of the record that nobody made.
fn leaf(seed: u64, path: &str, life_s: u64) -> Leaf {
    let now_s = now_s();
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_be_bytes());
    Leaf {
        serial: serial(seed),
        id: id(&format!("spiffe://shop.example/{path}")),
        key: KeyHash::from_bytes(key),
        issuer: [4; 20],
        validity: Validity {
            not_before_s: now_s - 60,
            not_after_s: now_s + life_s,
        },
        issued_at_s: now_s,
        instance: Instance::parse("one").unwrap(),
    }
}

fn wanted(leaf: Leaf) -> OperatorRecord {
    OperatorRecord {
        uid: 1000,
        evidence: [9; 32],
        leaf,
    }
}

#[tokio::test]
async fn a_long_list_comes_in_pages_whose_sum_has_every_certificate_once() {
    let ca = Ca::start().await;
    let ledger = ca.server.ledger().clone();
    let mut recording = tokio::task::JoinSet::new();
    for seed in 0..1201 {
        let ledger = ledger.clone();
        let path = if seed % 2 == 0 { "orders" } else { "web" };
        // Many end in the same second, so that a place is more than an end.
        let record = wanted(leaf(seed, path, HOUR_S + seed / 100));
        recording.spawn(async move { ledger.issue(record).await.unwrap() });
    }
    recording.join_all().await;

    for (of, expected) in [(None, 1201_usize), (Some(ORDERS), 601)] {
        let (mut indexes, mut pages, mut call) = (Vec::new(), 0, ListCall::default());
        call.id = of.map(str::to_owned);
        loop {
            let page = ListPage::from_json(ca.get(&call.to_target()).await.as_bytes()).unwrap();
            assert!(page.listed.len() <= 500);
            indexes.extend(page.listed.iter().map(|listed| listed.index));
            pages += 1;
            call.after = page.next;
            if call.after.is_none() {
                break;
            }
        }
        assert_eq!((indexes.len(), pages), (expected, expected.div_ceil(500)));
        indexes.sort_unstable();
        indexes.dedup();
        assert_eq!(indexes.len(), expected);
    }
    ca.stop().await;
}

#[tokio::test]
async fn a_status_says_what_ends_who_would_be_first_and_whose_key_two_seem_to_hold() {
    let ca = Ca::start().await;
    let ledger = ca.server.ledger();
    let empty = ca.status().await;
    assert_eq!((empty.issued, &empty.first_to_end), (0, &None));
    for (seed, path, life_s) in [(1, "orders", 900), (2, "web", 1800)] {
        let recorded = ledger.issue(wanted(leaf(seed, path, life_s)));
        recorded.await.unwrap();
    }
    let successor = |seed| RenewRecord {
        parent: serial(1),
        in_grace: false,
        evidence: [8; 32],
        leaf: leaf(seed, "orders", HOUR_S),
    };
    ledger.renew(successor(3)).await.unwrap();
    let thief = ledger.renew(successor(4)).await.unwrap_err();
    assert_eq!(thief.reason(), "second_successor");

    let status = ca.status().await;

    assert_eq!(status.trust_domain, "shop.example");
    assert_eq!((status.issued, status.streams, status.lagging), (3, 0, 0));
    assert!(status.statement_sequence > 1_700_000_000);
    let whats: Vec<_> = status.ends.iter().map(|end| end.what.as_str()).collect();
    assert_eq!(whats, ["leaf", "issuer", "root"]);
    let succeeded: Vec<_> = status.ends.iter().map(|end| end.has_successor).collect();
    assert_eq!(succeeded, [true, true, false]);
    let overdue = status.ends.iter().any(|end| end.is_overdue(now_s()));
    assert!(!overdue);
    let root = &status.ends[2];
    let half_s = (root.not_before_unix_s + root.not_after_unix_s) / 2;
    assert!(root.is_overdue(half_s + 1));
    let first = status.first_to_end.unwrap();
    assert_eq!(
        (first.serial, first.replaced),
        (serial(2).to_string(), false)
    );
    assert_eq!(status.contested.len(), 1);
    let contested = &status.contested[0];
    assert_eq!(contested.id, ORDERS);
    assert_eq!(contested.serial, serial(1).to_string());
    assert_eq!(contested.successor, serial(3).to_string());
    assert_eq!(contested.attempts, 1);
    ca.stop().await;
}

#[tokio::test]
async fn the_roots_come_as_a_spiffe_bundle_with_the_sequence_of_the_newest_statement() {
    let ca = Ca::start().await;

    let document = ca.get("/bundle?format=spiffe").await;
    let status = ca.status().await;

    let sequence = format!("\"spiffe_sequence\": {}", status.statement_sequence);
    assert!(document.contains(&sequence), "{document}");
    assert!(document.contains("\"use\": \"x509-svid\""), "{document}");
    ca.stop().await;
}

#[tokio::test]
async fn what_was_begun_is_done_even_if_the_caller_goes_away() {
    let ca = Ca::start().await;
    let body = issue_call(ORDERS, &Key::generate().unwrap()).to_json();

    drop(ca.send("POST", "/issue", &body).await);

    let recorded = async {
        while ca.server.ledger().summary().await.unwrap().entries == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, recorded).await.unwrap();
    ca.stop().await;
}
