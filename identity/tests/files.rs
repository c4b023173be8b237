//! Identity from files: what is taken, what is refused in which words, and what a watcher does while others write. The
//! numbers are the invariants of `source/files`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use config::sidecar::{Federated, Files};
use countersign_identity::source::State;
use countersign_identity::source::files::{FilesError, FilesSource};
use mint::{Authority, Key, Usage, pem};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;
use support::domain;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;

const ORDERS: &str = "spiffe://shop.example/orders";

/// What `countersign ca issue` writes, in a directory of its own.
struct Desk {
    dir: TempDir,
    root: Authority,
    issuer: Authority,
}

fn desk() -> Desk {
    let root = Authority::root("shop.example");
    let desk = Desk {
        dir: TempDir::new().unwrap(),
        issuer: root.issuer(),
        root,
    };
    desk.write(&desk.issuer.leaf(ORDERS));
    desk
}

impl Desk {
    fn write(&self, minted: &mint::Svid) {
        minted.write_files(self.dir.path(), &self.root.bundle_pem());
    }

    fn replace(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn named(&self) -> Named {
        named_in(self.dir.path())
    }

    fn open(&self) -> Result<FilesSource, FilesError> {
        open(&self.named())
    }

    /// Opening fails with this reason and these words; `{dir}` stands for the directory.
    #[track_caller]
    fn check(&self, reason: &str, words: &str) {
        let error = self.open().unwrap_err();
        let text = error
            .to_string()
            .replace(self.dir.path().to_str().unwrap(), "{dir}");
        assert_eq!((error.reason(), text.as_str()), (reason, words));
    }
}

/// What a document names.
struct Named {
    files: Files,
    federated: Vec<Federated>,
}

fn named_in(dir: &Path) -> Named {
    Named {
        files: Files {
            certificate: dir.join("svid.pem"),
            key: dir.join("key.pem"),
            bundle: dir.join("bundle.pem"),
        },
        federated: Vec::new(),
    }
}

fn open(named: &Named) -> Result<FilesSource, FilesError> {
    FilesSource::open(&domain("shop.example"), &named.files, &named.federated)
}

#[test]
fn files_of_one_issuance_are_the_first_generation() {
    let desk = desk();
    let current = desk.open().unwrap().current();
    assert_eq!(current.load().unwrap().number(), 1);
    assert_eq!(current.load().unwrap().svid().leaf().id.as_str(), ORDERS);
    desk.replace("key.pem", pem("PRIVATE KEY", &Key::p256().pkcs8()));
    assert_eq!(current.load().unwrap().number(), 1);
}

#[test]
fn every_form_of_key_is_read() {
    let desk = desk();
    for (key, form) in [
        (Key::p256(), "EC PRIVATE KEY"),
        (Key::p384(), "EC PRIVATE KEY"),
        (Key::p384(), "PRIVATE KEY"),
        (Key::rsa(), "PRIVATE KEY"),
    ] {
        desk.write(&desk.issuer.leaf_of(key.clone(), ORDERS, |_| {}));
        if form == "EC PRIVATE KEY" {
            desk.replace("key.pem", pem(form, &key.sec1()));
        }
        assert_eq!(
            desk.open().unwrap().current().load().unwrap().number(),
            1,
            "{key:?} as {form}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let desk = desk();
    fs::remove_file(desk.dir.path().join("key.pem")).unwrap();
    desk.check(
        "unreadable",
        "{dir}/key.pem: no such file; put the key there or correct `identity`",
    );
    fs::create_dir(desk.dir.path().join("key.pem")).unwrap();
    fs::set_permissions(
        desk.dir.path().join("key.pem"),
        fs::Permissions::from_mode(0o700),
    )
    .unwrap();
    desk.check(
        "unreadable",
        "{dir}/key.pem: it is a directory; name the key file in it",
    );
}

#[test]
fn a_key_that_others_can_read_is_refused_with_its_mode() {
    let desk = desk();
    let key = desk.dir.path().join("key.pem");
    let check = |mode, who: &str| {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        desk.check(
            "key_mode",
            &format!(
                "{{dir}}/key.pem: mode {mode:04o} lets {who} read or change the private key; run chmod 600 {{dir}}/key.pem (a Kubernetes volume: defaultMode: 0400)"
            ),
        );
    };
    check(0o644, "others");
    check(0o604, "others");
    check(0o602, "others");
    check(0o660, "its group");
    for mode in [0o600, 0o400] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            desk.open().unwrap().current().load().unwrap().number(),
            1,
            "{mode:o}"
        );
    }
}

#[test]
fn what_is_in_the_files_is_refused_in_words_that_say_what_to_do() {
    let desk = desk();
    let other = desk.issuer.leaf(ORDERS);

    desk.replace("key.pem", other.key.pem());
    desk.check(
        "key_mismatch",
        "{dir}/svid.pem: the private key in {dir}/key.pem does not belong to it; write both from one issuance",
    );
    desk.replace("key.pem", "");
    desk.check(
        "no_key",
        "{dir}/key.pem: no private key in it; give an unencrypted PEM of PKCS#8, SEC1 or PKCS#1",
    );
    let key = other.key.pem();
    desk.replace("key.pem", &key[..key.len() / 2]);
    desk.check(
        "key_damaged",
        "{dir}/key.pem: the private key cannot be decoded; write the whole file again",
    );
    desk.write(&other);

    desk.replace("svid.pem", "");
    desk.check(
        "pem_without_certificate",
        "{dir}/svid.pem: no `-----BEGIN CERTIFICATE-----` in it; write the whole PEM file again",
    );
    let chain = other.chain_pem();
    desk.replace("svid.pem", &chain[..chain.len() - 30]);
    desk.check(
        "pem_cut_short",
        "{dir}/svid.pem: a PEM section begins and does not end; write the whole PEM file again",
    );
    desk.write(&desk.issuer.leaf_with(ORDERS, |draft| draft.usages = None));
    desk.check(
        "no_key_usage",
        "{dir}/svid.pem: its first certificate is no X509-SVID: it has no keyUsage; have it issued again, leaf first",
    );
    desk.write(&other);

    desk.replace("bundle.pem", pem("CERTIFICATE", &other.chain[0]));
    desk.check(
        "issuer_not_ca",
        "{dir}/bundle.pem: certificate 1 cannot be a root: it is no signing certificate (basicConstraints without cA=true); give the trust domain's root certificates and nothing else",
    );
    let twice = desk.root.bundle_pem() + &desk.root.bundle_pem();
    desk.replace("bundle.pem", twice);
    desk.check(
        "root_twice",
        "{dir}/bundle.pem: certificate 2 is there twice; give the trust domain's root certificates and nothing else",
    );
    desk.replace(
        "bundle.pem",
        Authority::root("partner.example").bundle_pem(),
    );
    desk.check(
        "bundle_of_other_domain",
        "{dir}/bundle.pem: certificate 1 is a root of `partner.example`, not of `shop.example`; give the trust domain's root certificates and nothing else",
    );
    let weak = Authority::root_with("shop.example", Key::p256(), |draft| {
        draft.usages = Some(vec![Usage::CrlSign]);
    });
    desk.replace("bundle.pem", weak.bundle_pem());
    desk.check(
        "issuer_without_key_cert_sign",
        "{dir}/bundle.pem: certificate 1 cannot be a root: its keyUsage lacks keyCertSign; give the trust domain's root certificates and nothing else",
    );
    desk.replace("bundle.pem", Authority::root("shop.example").bundle_pem());
    desk.check(
        "unknown_issuer",
        "{dir}/svid.pem: peers that trust {dir}/bundle.pem would refuse it: unknown issuer: the chain leads to no root of the leaf's trust domain, or outside the mesh of `roots`; check which CA issued it and whether the bundle is current",
    );
}

#[test]
fn an_svid_that_nobody_would_believe_now_is_refused() {
    let desk = desk();
    desk.write(
        &desk
            .issuer
            .leaf_with(ORDERS, |draft| draft.not_after = 1_750_000_000),
    );
    let error = desk.open().unwrap_err();
    assert_eq!(error.reason(), "bad_validity");
    desk.write(&desk.issuer.leaf_with(ORDERS, |draft| {
        draft.not_before = 1_740_000_000;
        draft.not_after = 1_750_000_000;
    }));
    let error = desk.open().unwrap_err();
    assert_eq!(error.reason(), "expired");
    assert!(
        error
            .to_string()
            .contains("it ended at 2025-06-15T15:06:40Z, now is 20"),
        "{error}"
    );
    desk.write(
        &desk
            .issuer
            .leaf_with(ORDERS, |draft| draft.not_before = mint::now_s() + 60),
    );
    assert_eq!(desk.open().unwrap_err().reason(), "not_yet_valid");

    let partner = Authority::root("partner.example");
    partner
        .leaf("spiffe://partner.example/orders")
        .write_files(desk.dir.path(), &partner.bundle_pem());
    desk.check(
        "wrong_trust_domain",
        "{dir}/svid.pem: it is for spiffe://partner.example/orders, and `identity.trustDomain` is `shop.example`; give this sidecar's own certificate",
    );
}

#[test]
fn federated_bundles_belong_to_the_generation() {
    let desk = desk();
    let partner = Authority::root("partner.example");
    let path = desk.dir.path().join("partner.pem");
    let mut named = desk.named();
    named.federated = vec![Federated {
        trust_domain: domain("partner.example"),
        bundle: path.clone(),
    }];
    assert_eq!(open(&named).unwrap_err().reason(), "unreadable");
    fs::write(&path, partner.bundle_pem()).unwrap();
    let generation = open(&named).unwrap().current().load().unwrap();
    let theirs = partner.issuer().leaf("spiffe://partner.example/billing");
    let chain = support::ders(&theirs.chain);
    assert_eq!(
        generation.judge_client(Some(&chain)).unwrap().id.as_str(),
        "spiffe://partner.example/billing"
    );
    let forged = partner.issuer().leaf("spiffe://shop.example/admin");
    let chain = support::ders(&forged.chain);
    assert_eq!(
        generation.judge_client(Some(&chain)).unwrap_err().reason(),
        "foreign_root"
    );
}

/// What a watcher reports: the number of a generation, or the reason of a refusal.
type Report = Result<u64, &'static str>;

/// Watches in the background until the test ends.
fn watch(source: FilesSource) -> mpsc::UnboundedReceiver<Report> {
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(source.watch(move |outcome| {
        let _ = tell.send(outcome.map_err(FilesError::reason));
    }));
    told
}

async fn next(told: &mut mpsc::UnboundedReceiver<Report>) -> Report {
    timeout(Duration::from_secs(20), told.recv())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn a_new_issuance_is_the_next_generation_and_a_mixed_set_is_none() {
    let desk = desk();
    let source = desk.open().unwrap();
    let current = source.current();
    let mut told = watch(source);

    let second = desk.issuer.leaf(ORDERS);
    desk.write(&second);
    assert_eq!(next(&mut told).await, Ok(2));
    let serial = current.load().unwrap().svid().leaf().serial.clone();

    // A writer that died between two files; the reason comes once, and the old set keeps serving.
    let third = desk.issuer.leaf(ORDERS);
    desk.replace("svid.pem", third.chain_pem());
    assert_eq!(next(&mut told).await, Err("key_mismatch"));
    assert_eq!(current.load().unwrap().svid().leaf().serial, serial);
    // A file half written, then gone, each with its own reason.
    desk.replace("svid.pem", &third.chain_pem()[..500]);
    assert_eq!(next(&mut told).await, Err("pem_cut_short"));
    fs::remove_file(desk.dir.path().join("svid.pem")).unwrap();
    assert_eq!(next(&mut told).await, Err("unreadable"));
    assert_eq!(current.load().unwrap().number(), 2);
    // And the rest of what it wanted to write.
    desk.write(&third);
    assert_eq!(next(&mut told).await, Ok(3));
    assert_eq!(
        current.newer_than(2).await.svid().chain(),
        support::ders(&third.chain)
    );
    assert!(told.try_recv().is_err(), "nothing else was reported");
}

#[tokio::test]
async fn a_new_root_is_taken_and_whom_it_vouches_for_is_believed() {
    let desk = desk();
    let source = desk.open().unwrap();
    let current = source.current();
    let mut told = watch(source);
    let root = Authority::root("shop.example");
    let chain = support::ders(&root.issuer().leaf("spiffe://shop.example/storefront").chain);
    assert_eq!(
        current
            .load()
            .unwrap()
            .judge_client(Some(&chain))
            .unwrap_err()
            .reason(),
        "unknown_issuer"
    );
    desk.replace("bundle.pem", desk.root.bundle_pem() + &root.bundle_pem());
    assert_eq!(next(&mut told).await, Ok(2));
    assert_eq!(
        current
            .load()
            .unwrap()
            .judge_client(Some(&chain))
            .unwrap()
            .id
            .as_str(),
        "spiffe://shop.example/storefront"
    );
}

/// A volume as the kubelet keeps it: files are links through `..data`, which is swapped by one rename.
struct Volume {
    dir: TempDir,
    turn: u32,
}

impl Volume {
    fn new(minted: &mint::Svid, bundle: &str) -> Self {
        let mut volume = Volume {
            dir: TempDir::new().unwrap(),
            turn: 0,
        };
        volume.swap(minted, bundle);
        for name in ["svid.pem", "key.pem", "bundle.pem"] {
            symlink(Path::new("..data").join(name), volume.dir.path().join(name)).unwrap();
        }
        volume
    }

    fn swap(&mut self, minted: &mint::Svid, bundle: &str) {
        self.turn += 1;
        let name = format!("..2026_{}", self.turn);
        let dir = self.dir.path().join(&name);
        fs::create_dir(&dir).unwrap();
        minted.write_files(&dir, bundle);
        let link = self.dir.path().join("..data_tmp");
        symlink(&name, &link).unwrap();
        fs::rename(&link, self.dir.path().join("..data")).unwrap();
        if self.turn > 1 {
            let old = format!("..2026_{}", self.turn - 1);
            fs::remove_dir_all(self.dir.path().join(old)).unwrap();
        }
    }
}

#[tokio::test]
async fn a_swapped_volume_is_taken_whole() {
    let desk = desk();
    let bundle = desk.root.bundle_pem();
    let mut volume = Volume::new(&desk.issuer.leaf(ORDERS), &bundle);
    let source = open(&named_in(volume.dir.path())).unwrap();
    let mut told = watch(source);
    for number in 2..5 {
        volume.swap(&desk.issuer.leaf(ORDERS), &bundle);
        assert_eq!(next(&mut told).await, Ok(number));
    }
}

#[test]
fn a_volume_swapped_while_it_is_read_gives_one_issuance_or_says_that_it_moves() {
    let desk = desk();
    let bundle = desk.root.bundle_pem();
    let mut volume = Volume::new(&desk.issuer.leaf(ORDERS), &bundle);
    let named = named_in(volume.dir.path());
    let minted: Vec<_> = (0..150).map(|_| desk.issuer.leaf(ORDERS)).collect();
    std::thread::scope(|scope| {
        let swapping = scope.spawn(|| {
            minted
                .iter()
                .for_each(|minted| volume.swap(minted, &bundle));
        });
        while !swapping.is_finished() {
            match open(&named) {
                Ok(_) | Err(FilesError::Moving) => {}
                Err(mixed) => panic!("a mixture was read: {mixed}"),
            }
        }
    });
    assert_eq!(open(&named).unwrap().current().load().unwrap().number(), 1);
}

#[tokio::test]
async fn a_source_says_of_itself_why_it_took_nothing_until_it_takes_something() {
    let desk = desk();
    let source = desk.open().unwrap();
    let standing = source.standing();
    tokio::spawn(source.run());
    let well = standing.load();
    assert_eq!(*well, State::default());

    let second = desk.issuer.leaf(ORDERS);
    desk.replace("svid.pem", second.chain_pem());
    let patience = Duration::from_secs(20);
    let refused = timeout(patience, standing.changed(&well)).await.unwrap();
    let why = refused.why.as_ref().unwrap();
    assert_eq!((why.reason, refused.reachable), ("key_mismatch", None));

    desk.write(&second);
    let mended = timeout(patience, standing.changed(&refused)).await.unwrap();
    assert_eq!(mended, well);
}
