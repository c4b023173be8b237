//! A CA that issues as fast as it can is killed with SIGKILL at any point, its start included: what was answered stands in the
//! record, nothing is half done, and who lost an answer gets it by asking again.
//!
//! The kernel outlives the process: that a commit reaches the platter is SQLite's part (`synchronous=FULL`), which no kill can show.

use crate::support::ca::{self as ca_support, Ca, DOMAIN, Home, started_or_ended};
use crate::support::workload::{self, Member, Trust, reason};
use api::admin::{TokenCall, TokenMade};
use api::ca_v1::IssueReply;
use ca::store::{LIST_MAX, Ledger, Store};
use ca::{Entry, KeyHash, PublicKey, Token, TokenHash, leaf_hash, running_hash};
use identity::Key;
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tonic::Status;

/// After how many kills a new CA is made: each check reads its whole record.
const KILLS_A_HOME: u32 = 25;
/// Workloads at a time.
const WORKLOADS: usize = 12;
/// It is killed within this time from its start.
const LIFE_MS: u64 = 600;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_lose_nothing_and_repeat_nothing() {
    kill_often(20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: 5 min: .ci/run runs it"]
async fn five_hundred_kills_lose_nothing_and_repeat_nothing() {
    kill_often(500).await;
}

async fn kill_often(kills: u32) {
    let (mut answered, mut retried, mut starts_killed) = (0, 0, 0);
    let (mut home, mut said) = (new_home(), Said::default());
    for kill in 1..=kills {
        if kill % KILLS_A_HOME == 0 {
            (home, said) = (new_home(), Said::default());
        }
        let before = said.certificates.len();
        let lost = std::mem::take(&mut said.lost);
        match killed_after(&home, random_ms(LIFE_MS), lost).await {
            Killed::Serving(more) => {
                retried += more.regained;
                said.add(more);
            }
            Killed::Starting(lost) => {
                starts_killed += 1;
                said.lost = lost;
            }
        }
        check(&home.store(), &said).await;
        answered += said.certificates.len() - before;
    }
    println!(
        "{kills} kills, {starts_killed} of them during the start; {answered} certificates answered, {retried} answers lost and \
         asked for again"
    );
    assert!(
        answered > 2 * kills as usize && retried > kills as usize / 4,
        "{answered} answered and {retried} retried in {kills} runs: this shows little"
    );
}

fn new_home() -> Home {
    let home = Home::new();
    // All of it comes from one address, and is meant.
    home.configure("limits: { perIdentity: 1000000/s, perSource: 1000000/s }\n");
    home
}

fn random_ms(below: u64) -> Duration {
    Duration::from_millis(RandomState::new().hash_one(()) % below)
}

// ---------------------------------------------------------------------------------------------------------------------
// One life of the CA

/// What workloads were told, and what they were not.
#[derive(Default)]
struct Said {
    tokens: Vec<Kept>,
    certificates: Vec<Certificate>,
    lost: Vec<Lost>,
    /// How many lost answers came when they were asked for again.
    regained: usize,
}

/// A token that was answered.
#[derive(Clone)]
struct Kept {
    text: String,
    uses: u32,
}

/// A certificate that was answered.
struct Certificate {
    index: u64,
    serial: String,
    key: KeyHash,
    ground: Ground,
}

#[derive(Clone)]
enum Ground {
    Token(Kept),
    Parent(Arc<Member>),
}

/// A call whose answer did not come: it may or may not have been done.
struct Lost {
    ground: Ground,
    key: Arc<Key>,
}

enum Killed {
    /// Before it said that it had started; what had been lost before is so still.
    Starting(Vec<Lost>),
    Serving(Said),
}

/// Lets workloads ask for what they lost and then for more, and kills it after that time.
async fn killed_after(home: &Home, life: Duration, lost: Vec<Lost>) -> Killed {
    let mut process = Ca::begin(&home.path("ca.yaml"));
    let (log, is_killed) = (process.err.clone(), Arc::new(AtomicBool::new(false)));
    let killing = Arc::clone(&is_killed);
    let killer = tokio::spawn(async move {
        tokio::time::sleep(life).await; // the random point at which it is killed
        killing.store(true, Ordering::SeqCst);
        process.kill();
    });
    let started = tokio::task::spawn_blocking(move || {
        started_or_ended(&log).then(|| ca_support::at(&log, "ca"))
    });
    let Some(at) = started.await.unwrap() else {
        killer.await.unwrap();
        return Killed::Starting(lost);
    };
    let world = Arc::new(World {
        trust: home.trust.clone(),
        at,
        socket: home.path("ca.sock"),
        is_killed,
        said: Mutex::default(),
    });
    let mut shares: Vec<Vec<Lost>> = (0..WORKLOADS).map(|_| Vec::new()).collect();
    for (nth, one) in lost.into_iter().enumerate() {
        shares[nth % WORKLOADS].push(one);
    }
    let mut lives = JoinSet::new();
    for share in shares {
        lives.spawn(live(Arc::clone(&world), share));
    }
    while let Some(ended) = lives.join_next().await {
        ended.unwrap();
    }
    killer.await.unwrap();
    Killed::Serving(std::mem::take(&mut *world.said()))
}

/// The CA is gone.
struct Gone;

struct World {
    trust: Trust,
    at: SocketAddr,
    socket: PathBuf,
    is_killed: Arc<AtomicBool>,
    said: Mutex<Said>,
}

/// Asks again for what was lost, then for more and more, until the CA is gone.
async fn live(world: Arc<World>, lost: Vec<Lost>) {
    let mut lost = lost.into_iter();
    for one in lost.by_ref() {
        // The same key gets it, whether the first call was done or not.
        if world.certificate(&one.ground, &one.key).await.is_err() {
            break;
        }
        world.said().regained += 1;
    }
    world.said().lost.extend(lost);
    for uses in (1..=3).cycle() {
        if world.one_workload(uses).await.is_err() {
            return;
        }
    }
}

impl World {
    /// A token, one key more than it has uses, a repetition, a successor, its repetition and a thief.
    async fn one_workload(&self, uses: u32) -> Result<(), Gone> {
        let token = self.token(uses).await?;
        let keys: Vec<Arc<Key>> = (0..=uses).map(|_| new_key()).collect();
        let ground = Ground::Token(token);
        let (more, admitted) = keys.split_last().unwrap();
        for key in admitted {
            self.certificate(&ground, key).await?;
        }
        self.refused(&ground, more, "token_spent").await?;
        let member = self.certificate(&ground, &admitted[0]).await?;
        let (parent, next) = (Ground::Parent(member), new_key());
        self.certificate(&parent, &next).await?;
        self.certificate(&parent, &next).await?;
        self.refused(&parent, more, "second_successor").await
    }

    async fn token(&self, uses: u32) -> Result<Kept, Gone> {
        let call = TokenCall {
            id: format!("spiffe://{DOMAIN}/orders"),
            ttl_s: 3600,
            uses,
        };
        let made = self.post("/token", &call.to_json()).await;
        let made = made.or_else(|_| self.gone("no token was made"))?;
        let made = TokenMade::from_json(&made).or_else(|error| self.gone(&error.to_string()))?;
        let text = made.token;
        let kept = Kept { text, uses };
        self.said().tokens.push(kept.clone());
        Ok(kept)
    }

    /// The body of the answer.
    async fn post(&self, path: &str, body: &str) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: ca\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        let end = answer.windows(4).position(|at| at == b"\r\n\r\n");
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{answer:?}");
        Ok(answer.split_off(end + 4))
    }

    /// A certificate that is due; lost if the CA is gone before it is there.
    async fn certificate(&self, ground: &Ground, key: &Arc<Key>) -> Result<Arc<Member>, Gone> {
        match self.ask(ground, key).await? {
            Some(Ok(reply)) => {
                let index = reply.log_index;
                let member = self.trust.believed(reply, key);
                self.said().certificates.push(Certificate {
                    index,
                    serial: member.serial(),
                    key: hash(key),
                    ground: ground.clone(),
                });
                Ok(Arc::new(member))
            }
            Some(Err(refused)) => panic!("what is due is refused: {refused}"),
            None => {
                let (ground, key) = (ground.clone(), Arc::clone(key));
                self.said().lost.push(Lost { ground, key });
                Err(Gone)
            }
        }
    }

    async fn refused(&self, ground: &Ground, key: &Arc<Key>, why: &str) -> Result<(), Gone> {
        match self.ask(ground, key).await? {
            Some(Ok(_)) => panic!("admitted, and not {why}"),
            Some(Err(refused)) => {
                assert_eq!(reason(&refused), why);
                Ok(())
            }
            None => Err(Gone),
        }
    }

    /// The answer, or none because the CA was killed.
    async fn ask(
        &self,
        ground: &Ground,
        key: &Key,
    ) -> Result<Option<Result<IssueReply, Status>>, Gone> {
        let connected = match ground {
            Ground::Token(_) => self.trust.stranger(self.at).await,
            Ground::Parent(member) => self.trust.member(member, self.at).await,
        };
        let Ok(mut connection) = connected else {
            return self.gone("no connection").or(Ok(None));
        };
        let answer = match ground {
            Ground::Token(token) => connection.join(workload::join(&token.text, key)).await,
            Ground::Parent(_) => connection.renew(workload::renewal(key)).await,
        };
        match answer {
            Err(status) if reason(&status).is_empty() => {
                self.gone(&status.to_string()).or(Ok(None))
            }
            answer => Ok(Some(answer.map(|reply| reply.into_inner()))),
        }
    }

    /// Only the kill may be the reason.
    fn gone<T>(&self, why: &str) -> Result<T, Gone> {
        assert!(
            self.is_killed.load(Ordering::SeqCst),
            "before it was killed: {why}"
        );
        Err(Gone)
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap()
    }
}

impl Said {
    fn add(&mut self, more: Said) {
        self.tokens.extend(more.tokens);
        self.certificates.extend(more.certificates);
        self.lost.extend(more.lost);
    }
}

fn new_key() -> Arc<Key> {
    Arc::new(Key::generate().unwrap())
}

fn hash(key: &Key) -> KeyHash {
    KeyHash::of(&PublicKey::from_spki(&key.spki()).unwrap())
}

// ---------------------------------------------------------------------------------------------------------------------
// What must hold while it is down

async fn check(store: &Store, said: &Said) {
    let entries = whole_record(store).await;
    for told in &said.certificates {
        let entry = entries.get(told.index as usize);
        let entry = entry.expect("a certificate that was answered is not in the record");
        let (parent, evidence) = (entry.ground.parent(), entry.evidence);
        assert_eq!(
            (same(&entry.serial), &entry.key),
            (same(&told.serial), &told.key)
        );
        match &told.ground {
            Ground::Token(token) => assert_eq!((parent, &evidence), (None, hash_of(token).bytes())),
            Ground::Parent(member) => {
                assert_eq!(parent.as_ref().map(same), Some(same(&member.serial())));
            }
        }
    }
    one_successor_each(&entries);
    let admitted = admitted(&entries);
    for token in &said.tokens {
        let none = Keys::new();
        check_token(
            store,
            token,
            admitted.get(hash_of(token).bytes()).unwrap_or(&none),
        )
        .await;
    }
}

/// Every entry, after its index, serial and hash were checked.
pub(crate) async fn whole_record(store: &Store) -> Vec<Entry> {
    let (mut entries, mut running, mut serials) = (Vec::new(), [0; 32], HashSet::new());
    loop {
        let page = store.entries(entries.len() as u64, LIST_MAX).await.unwrap();
        if page.is_empty() {
            break;
        }
        for bytes in page {
            let entry = Entry::decode(&bytes).unwrap();
            assert_eq!(entry.index, entries.len() as u64, "the record has a gap");
            assert!(serials.insert(entry.serial), "a serial is used twice");
            running = running_hash(&running, &leaf_hash(&bytes));
            entries.push(entry);
        }
    }
    let summary = store.summary().await.unwrap();
    assert_eq!(summary.entries, entries.len() as u64);
    assert_eq!(summary.running_hash, running);
    entries
}

type Keys = BTreeSet<[u8; 32]>;

/// Which keys the record says each token admitted.
fn admitted(entries: &[Entry]) -> BTreeMap<[u8; 32], Keys> {
    let mut admitted: BTreeMap<_, Keys> = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|entry| entry.ground.parent().is_none())
    {
        let keys = admitted.entry(entry.evidence).or_default();
        keys.insert(*entry.key.bytes());
    }
    admitted
}

fn one_successor_each(entries: &[Entry]) {
    let mut successors: BTreeMap<String, Keys> = BTreeMap::new();
    for entry in entries {
        if let Some(parent) = entry.ground.parent() {
            let keys = successors.entry(parent.to_string()).or_default();
            keys.insert(*entry.key.bytes());
            assert_eq!(keys.len(), 1, "a certificate has two successors");
        }
    }
}

/// What is counted for a token is what the record says: none spent without a certificate, none more often than allowed.
async fn check_token(store: &Store, token: &Kept, keys: &Keys) {
    let (hash_of_it, now) = (hash_of(token), SystemTime::now());
    assert!(
        keys.len() <= token.uses as usize,
        "{} keys of {}",
        keys.len(),
        token.uses
    );
    for key in keys {
        let key = KeyHash::from_bytes(*key);
        assert!(store.look_up(hash_of_it, key, now).await.unwrap().again);
    }
    let fresh = store
        .look_up(hash_of_it, KeyHash::from_bytes([7; 32]), now)
        .await;
    let fresh = fresh
        .map(|admits| admits.again)
        .map_err(|refused| refused.reason());
    let expected = match keys.len() < token.uses as usize {
        true => Ok(false),
        false => Err("token_spent"),
    };
    assert_eq!(fresh, expected);
}

fn hash_of(token: &Kept) -> TokenHash {
    Token::parse(&token.text).unwrap().hash()
}

/// A serial as numbers are written: without zeros at its beginning.
fn same(serial: &impl ToString) -> String {
    serial.to_string().trim_start_matches('0').to_owned()
}
