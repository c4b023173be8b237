//! A process that issues as fast as it can is killed with SIGKILL at any point: what was answered is there, and nothing is half done.
//!
//! The kernel outlives the process, so this shows that the transactions are right and that answers come after the commit; that a
//! commit reaches the platter is SQLite's part (`synchronous=FULL`), which no kill can show.

use crate::fixture::*;
use countersign_ca::store::{LIST_MAX, Ledger, Store};
use countersign_ca::{Entry, Serial, leaf_hash, running_hash};
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Names the child's folder; with it comes the number of the run, so that no run repeats another's tokens.
const CHILD: &str = "COUNTERSIGN_STORE_CRASH";
/// After how many runs a new folder is begun: its making is killed as well.
const RUNS_A_FOLDER: u64 = 20;
const NOW_S: u64 = 1000;

#[test]
fn a_hundred_kills_lose_nothing_and_repeat_nothing() {
    kill_often(100);
}

#[test]
#[ignore = "long: 1 min: .ci/run runs it"]
fn five_hundred_kills_lose_nothing_and_repeat_nothing() {
    kill_often(500);
}

// ---------------------------------------------------------------------------------------------------------------------
// The child

/// Not a test of its own: what the tests above start again and kill.
#[test]
#[ignore = "the other half of the tests above; does nothing alone"]
fn child() {
    let Ok(place) = std::env::var(CHILD) else {
        return;
    };
    let (run_number, dir) = place.split_once(':').unwrap();
    let run_number: u64 = run_number.parse().unwrap();
    let store = open(Path::new(dir));
    run(async {
        let issuing = (0..16)
            .map(|task| tokio::spawn(issue_for_ever(store.clone(), run_number << 40 | task << 32)));
        for task in issuing.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
}

/// Token after token, 256 seeds apart: one key more than it has uses, a repetition, a successor and a thief.
async fn issue_for_ever(store: Store, base: u64) {
    for seed in (0..).map(|turn| base | turn << 8) {
        let uses = uses_of(seed);
        let kept = store.create_token(token(seed), terms(ORDERS, 600, uses), at(NOW_S));
        kept.await.unwrap();
        tell(&format!("token {seed}"));
        for nth in 0..=u64::from(uses) {
            let joined = store
                .join(join(seed, leaf(seed + nth, ORDERS, seed + nth, NOW_S)))
                .await;
            match joined {
                Ok(recorded) => tell(&format!("cert {} {}", seed + nth, recorded.index())),
                Err(refused) => {
                    assert_eq!((refused.reason(), nth), ("token_spent", u64::from(uses)));
                }
            }
        }
        let again = store
            .join(join(seed, leaf(seed + 10, ORDERS, seed, NOW_S)))
            .await
            .unwrap();
        tell(&format!("cert {} {}", seed + 10, again.index()));
        for fresh in [20, 21] {
            let next = leaf(seed + fresh, ORDERS, seed + 30, NOW_S);
            let renewed = store.renew(renewal(seed, next)).await.unwrap();
            tell(&format!("cert {} {}", seed + fresh, renewed.index()));
        }
        let thief = store
            .renew(renewal(seed, leaf(seed + 22, ORDERS, seed + 31, NOW_S)))
            .await;
        assert_eq!(thief.unwrap_err().reason(), "second_successor");
    }
}

fn uses_of(seed: u64) -> u32 {
    1 + (seed >> 8) as u32 % 3
}

/// In one write, which a pipe takes whole or not at all.
fn tell(line: &str) {
    let line = format!("{line}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

// ---------------------------------------------------------------------------------------------------------------------
// The parent

/// What the child said was done.
#[derive(Default)]
struct Answered {
    tokens: Vec<u64>,
    /// Seed of the serial and index.
    certificates: Vec<(u64, u64)>,
}

fn kill_often(kills: u64) {
    let (mut place, mut before) = (TempDir::new().unwrap(), Answered::default());
    let mut recorded = 0;
    for number in 1..=kills {
        if number % RUNS_A_FOLDER == 0 {
            check_all(&open(place.path()), &before);
            (place, before) = (TempDir::new().unwrap(), Answered::default());
        }
        let answered = killed_after(random_us(80_000), number, place.path());
        recorded += answered.certificates.len();
        check_all(&open(place.path()), &answered);
        before.tokens.extend(answered.tokens);
        before.certificates.extend(answered.certificates);
    }
    check_all(&open(place.path()), &before);
    println!("{kills} kills, {recorded} certificates answered");
    assert!(
        recorded as u64 > kills,
        "only {recorded} certificates in {kills} runs: this shows nothing"
    );
}

fn random_us(below: u64) -> Duration {
    Duration::from_micros(RandomState::new().hash_one(()) % below)
}

/// Runs the child for so long and gives back what it said.
fn killed_after(life: Duration, number: u64, dir: &Path) -> Answered {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .env(CHILD, format!("{number}:{}", dir.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = child.stderr.take().unwrap();
    let listener = std::thread::spawn(move || {
        let mut text = String::new();
        said.read_to_string(&mut text).map(|_| text)
    });
    std::thread::sleep(life); // the random point at which it is killed
    child.kill().unwrap();
    let ended = child.wait().unwrap();
    let text = listener.join().unwrap().unwrap();
    assert_eq!(ended.code(), None, "it ended by itself: {text}");
    let mut answered = Answered::default();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["token", seed] => answered.tokens.push(seed.parse().unwrap()),
            ["cert", seed, index] => {
                let of = (seed.parse().unwrap(), index.parse().unwrap());
                answered.certificates.push(of);
            }
            _ => panic!("the child says: {text}"),
        }
    }
    answered
}

fn check_all(store: &Store, answered: &Answered) {
    run(async {
        let entries = whole_record(store).await;
        for (seed, index) in &answered.certificates {
            let entry = entries.get(*index as usize);
            let found = entry.map(|entry| entry.serial);
            assert_eq!(
                found,
                Some(serial(*seed)),
                "an answered certificate is lost"
            );
        }
        let admitted = admitted(&entries);
        for (token, keys) in &admitted {
            let (token, keys) = (seed_of(token), keys.len());
            assert!(
                keys <= uses_of(token) as usize,
                "{keys} keys used token {token}"
            );
        }
        one_successor_each(&entries);
        for seed in &answered.tokens {
            let none = BTreeSet::new();
            let keys = admitted.get(token(*seed).bytes()).unwrap_or(&none);
            check_token(store, *seed, keys).await;
        }
        if let Some(seed) = answered
            .certificates
            .iter()
            .find_map(|(seed, _)| (seed % 256 == 0).then_some(*seed))
        {
            // Whoever lost the answer gets his certificate: with the serial that this run will not use.
            let unused = leaf(
                seed + 100 + random_us(100).as_micros() as u64,
                ORDERS,
                seed,
                NOW_S,
            );
            match store.join(join(seed, unused)).await {
                Ok(recorded) => assert!(recorded.again()),
                Err(refused) => assert_eq!(refused.reason(), "serial_taken"),
            }
        }
    });
}

/// Every entry, after its index, serial and hash were checked.
async fn whole_record(store: &Store) -> Vec<Entry> {
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
    let mut successors: BTreeMap<[u8; 20], Keys> = BTreeMap::new();
    for entry in entries {
        if let Some(parent) = entry.ground.parent().as_ref().map(Serial::octets) {
            let keys = successors.entry(*parent).or_default();
            keys.insert(*entry.key.bytes());
            assert_eq!(keys.len(), 1, "a certificate has two successors");
        }
    }
}

/// What is counted for a token is what the record says: none spent without a certificate, none more often than allowed.
async fn check_token(store: &Store, seed: u64, keys: &Keys) {
    let room = keys.len() < uses_of(seed) as usize;
    for nth in 0..=u64::from(uses_of(seed)) {
        let known = keys.contains(key(seed + nth).bytes());
        let looked = store.look_up(token(seed), key(seed + nth), at(NOW_S)).await;
        match looked {
            Ok(admits) => assert_eq!((admits.again, known || room), (known, true)),
            Err(refused) => assert_eq!((refused.reason(), known || room), ("token_spent", false)),
        }
    }
}

fn seed_of(token: &[u8; 32]) -> u64 {
    let (_, seed) = token.split_last_chunk().unwrap();
    u64::from_be_bytes(*seed)
}
