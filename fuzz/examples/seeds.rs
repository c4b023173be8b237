//! Makes what a fuzzer cannot find: certificates, requests and statements with signatures that hold, in `known/` and as seeds
//! in `corpus/`; and copies examples of documents there. Run it in `fuzz/`; what it makes is committed, and new every time.
//! A new name in `src/checks/known.rs` needs an empty file first.
//!
//! Another run leaves the targets as good as before: nothing is compared with bytes that only one run made.

use config::TrustDomain;
use identity::{Bundle, Key, SignedStatement, Statement, pki_types::CertificateDer};
use mint::{Authority, Basic, CsrDraft, Draft, San, Svid, Usage};
use std::fs;
use std::path::Path;

/// As in `src/checks/known.rs`.
const NOW_S: i64 = 1_800_000_000;
const YEAR_S: i64 = 365 * 86_400;

fn main() {
    let known = certificates();
    for (name, der) in &known {
        write(Path::new("known"), &format!("{name}.der"), der);
        write(Path::new("corpus/certificate"), name, der);
    }
    chains(known.len());
    requests();
    let statements = statements();
    state(&statements);
    documents();
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(name), bytes).unwrap();
}

fn life(from: i64, to: i64) -> impl Fn(&mut Draft) {
    move |draft| (draft.not_before, draft.not_after) = (NOW_S + from, NOW_S + to)
}

fn root(domain: &str) -> Authority {
    Authority::root_with(domain, mint::Key::p256(), life(-10 * YEAR_S, 10 * YEAR_S))
}

fn issuer(above: &Authority, change: impl FnOnce(&mut Draft)) -> Authority {
    above.issuer_with(|draft| {
        life(-YEAR_S, YEAR_S)(draft);
        change(draft);
    })
}

fn leaf(issuer: &Authority, id: &str, change: impl FnOnce(&mut Draft)) -> Svid {
    issuer.leaf_with(id, |draft| {
        life(-60, 3600)(draft);
        change(draft);
    })
}

/// In the order of `KNOWN`.
fn certificates() -> Vec<(&'static str, Vec<u8>)> {
    const ORDERS: &str = "spiffe://shop.example/orders";
    let unlimited = |draft: &mut Draft| {
        draft.basic = Some(Basic {
            ca: true,
            path_len: None,
            critical: true,
        })
    };
    let (shop, other) = (root("shop.example"), root("other.example"));
    let shop_issuer = issuer(&shop, |_| {});
    let upper = issuer(&shop, unlimited);
    let lower = issuer(&upper, |_| {});
    let ended = issuer(&shop, |draft| draft.not_after = NOW_S - 1000);
    let idle = issuer(&shop, |draft| {
        draft.usages = Some(vec![Usage::DigitalSignature])
    });
    let other_issuer = issuer(&other, |_| {});
    let orders = leaf(&shop_issuer, ORDERS, |_| {});
    let below_a_leaf = Authority {
        key: orders.key.clone(),
        subject: mint::der::name(""),
        ..shop_issuer.clone()
    };
    let too_deep = issuer(&shop_issuer, |_| {});
    let mut itself = Draft::leaf(ORDERS, &orders.key);
    life(-60, 3600)(&mut itself);
    let of = |svid: Svid| svid.chain[0].clone();
    let two = vec![San::uri(ORDERS), San::uri("spiffe://shop.example/ledger")];
    let may_sign = Basic {
        ca: true,
        path_len: None,
        critical: true,
    };
    vec![
        ("shop-root", shop.certificate.clone()),
        ("shop-issuer", shop_issuer.certificate.clone()),
        ("shop-upper", upper.certificate.clone()),
        ("shop-lower", lower.certificate.clone()),
        ("shop-ended", ended.certificate.clone()),
        ("shop-signs-nothing", idle.certificate.clone()),
        ("other-root", other.certificate.clone()),
        ("other-issuer", other_issuer.certificate.clone()),
        ("orders", of(orders)),
        (
            "ledger",
            of(leaf(&lower, "spiffe://shop.example/ledger", |_| {})),
        ),
        (
            "direct",
            of(leaf(&shop, "spiffe://shop.example/direct", |_| {})),
        ),
        (
            "billing",
            of(leaf(
                &other_issuer,
                "spiffe://other.example/billing",
                |_| {},
            )),
        ),
        (
            "of-the-past",
            of(leaf(&shop_issuer, ORDERS, life(-3600, -100))),
        ),
        ("of-an-ended-issuer", of(leaf(&ended, ORDERS, |_| {}))),
        ("of-who-signs-nothing", of(leaf(&idle, ORDERS, |_| {}))),
        ("of-another-domain", of(leaf(&other_issuer, ORDERS, |_| {}))),
        (
            "two-names",
            of(leaf(&shop_issuer, "", |draft| draft.san = Some(two))),
        ),
        (
            "may-sign",
            of(leaf(&shop_issuer, ORDERS, |draft| {
                draft.basic = Some(may_sign)
            })),
        ),
        (
            "no-constraints",
            of(leaf(&shop_issuer, ORDERS, |draft| draft.basic = None)),
        ),
        (
            "client-only",
            of(leaf(&shop_issuer, ORDERS, |draft| {
                draft.purposes = Some(vec![mint::extension::CLIENT_AUTH.into()]);
            })),
        ),
        ("by-itself", itself.sign(&below_a_leaf.key)),
        (
            "spoilt",
            of(leaf(&shop_issuer, ORDERS, |draft| {
                draft.spoil_signature = true
            })),
        ),
        ("below-a-leaf", of(leaf(&below_a_leaf, ORDERS, |_| {}))),
        ("too-deep-issuer", too_deep.certificate.clone()),
        ("too-deep", of(leaf(&too_deep, ORDERS, |_| {}))),
    ]
}

/// Every leaf behind every issuer, and the right ones.
fn chains(known: usize) {
    let folder = Path::new("corpus/chain");
    for leaf in 8..known {
        for time in [2 << 1, 4 << 1 | 1] {
            let issuers = match leaf {
                9 => vec![3, 2],
                10 => vec![],
                11 | 15 => vec![7],
                13 => vec![4],
                14 => vec![5],
                22 => vec![8, 1],
                24 => vec![23, 1],
                _ => vec![1],
            };
            let bytes: Vec<u8> = [time, leaf]
                .into_iter()
                .map(|n| u8::try_from(n).unwrap())
                .chain(issuers)
                .collect();
            write(folder, &format!("{leaf}-{time}"), &bytes);
        }
    }
}

fn requests() {
    let folder = Path::new("corpus/csr");
    let keys = [
        ("p256", mint::Key::p256()),
        ("p384", mint::Key::p384()),
        ("rsa", mint::Key::rsa()),
    ];
    for (name, key) in &keys {
        let draft = CsrDraft::of(key);
        write(folder, &format!("{name}.der"), &draft.sign(key));
        write(
            folder,
            &format!("{name}.pem"),
            draft.sign_pem(key).as_bytes(),
        );
        let wishes = vec![mint::extension::san(
            &[San::uri("spiffe://shop.example/orders")],
            true,
        )];
        let draft = CsrDraft {
            extensions: wishes,
            subject: mint::der::name("orders"),
            ..draft
        };
        write(folder, &format!("{name}-with-wishes.der"), &draft.sign(key));
        let spoilt = CsrDraft {
            spoil_signature: true,
            ..draft.clone()
        };
        write(folder, &format!("{name}-spoilt.der"), &spoilt.sign(key));
        let trailing = CsrDraft {
            trailing: vec![0, 0],
            ..draft
        };
        write(folder, &format!("{name}-trailing.der"), &trailing.sign(key));
    }
    let stolen = CsrDraft::of(&keys[0].1).sign(&mint::Key::p256());
    write(folder, "of-another-key.der", &stolen);
    // What other programs make.
    for entry in fs::read_dir("../ca/tests/requests").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() {
            write(folder, &name, &fs::read(&path).unwrap());
        }
    }
}

/// A trust domain that adds a root, and then drops its first.
fn statements() -> [SignedStatement; 3] {
    let domain = TrustDomain::parse("shop.example").unwrap();
    let roots = [root("shop.example"), root("shop.example")];
    let keys: Vec<Key> = roots
        .iter()
        .map(|root| Key::from_pkcs8(&root.key.pkcs8()).unwrap())
        .collect();
    let der = |root: &Authority| CertificateDer::from(root.certificate.clone());
    let state = |sequence: u64, of: &[usize], by: &[usize]| {
        let bundle =
            Bundle::from_roots(domain.clone(), of.iter().map(|n| der(&roots[*n])).collect())
                .unwrap();
        let signers: Vec<&Key> = by.iter().map(|n| &keys[*n]).collect();
        let statement = Statement::new(&bundle, sequence, 1_800_000_000).unwrap();
        SignedStatement::sign(statement, &signers).unwrap()
    };
    let honest = [
        state(1, &[0], &[0]),
        state(2, &[0, 1], &[0, 1]),
        state(3, &[1], &[1]),
    ];
    // What is not believed in its place: the added did not sign, the held did not, a number says two things, nobody signed.
    let others = [
        state(4, &[0, 1], &[0]),
        state(5, &[1], &[1]),
        state(1, &[0, 1], &[0, 1]),
        state(6, &[0], &[]),
    ];
    for (n, statement) in honest.iter().chain(&others).enumerate() {
        let (name, bytes) = (format!("statement-{}", n + 1), statement.to_bytes());
        write(Path::new("known"), &name, &bytes);
        write(Path::new("corpus/statement"), &name, &bytes);
    }
    honest
}

/// Files by their octet in `src/checks/state.rs`.
fn state(statements: &[SignedStatement; 3]) {
    let shop = root("shop.example");
    let svid = leaf(
        &issuer(&shop, |_| {}),
        "spiffe://shop.example/orders",
        |_| {},
    );
    let piece = |which: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[which][..], &length, content].concat()
    };
    let (key, chain) = (svid.key.pem(), svid.chain_pem());
    let (pending, statement) = (mint::Key::p256().pem(), statements[0].to_bytes());
    let instance = "0123456789abcdef0123456789abcdef";
    let all: [(u8, &[u8]); 8] = [
        (0, b"1\n"),
        (1, key.as_bytes()),
        (2, chain.as_bytes()),
        (3, &statement),
        (4, b"1800000000000\n"),
        (5, pending.as_bytes()),
        (6, instance.as_bytes()),
        (7, b"g-1"),
    ];
    let whole: Vec<u8> = all
        .iter()
        .flat_map(|(which, content)| piece(*which, content))
        .collect();
    let folder = Path::new("corpus/state");
    write(folder, "whole", &whole);
    for (without, _) in all {
        let rest = all.iter().filter(|(which, _)| *which != without);
        let bytes: Vec<u8> = rest
            .flat_map(|(which, content)| piece(*which, content))
            .collect();
        write(folder, &format!("without-{without}"), &bytes);
    }
    let spoilt: [(&str, u8, &[u8]); 7] = [
        ("another-format", 0, b"2\n"),
        ("another-key", 1, pending.as_bytes()),
        ("pending-is-kept", 5, key.as_bytes()),
        ("no-instance", 6, b"zz"),
        ("elsewhere", 7, b".."),
        ("far-number", 7, b"g-18446744073709551615"),
        ("no-time", 4, b"soon"),
    ];
    for (name, which, content) in spoilt {
        let bytes = [whole.clone(), piece(which, content)].concat();
        write(folder, name, &bytes);
    }
}

/// The examples, and the references: commented, and with everything in them live.
fn documents() {
    let folder = Path::new("corpus/document");
    for example in ["ca", "files", "spire"] {
        for entry in fs::read_dir(Path::new("../examples").join(example)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "yaml") {
                let name = format!("{example}-{}", path.file_name().unwrap().to_str().unwrap());
                let text = fs::read(&path).unwrap();
                write(folder, &name, &text);
                if name.contains("policy") {
                    let asked =
                        "\nspiffe://shop.example/storefront\norders\nGET\norders\n/orders/7";
                    let tcp = "\nspiffe://shop.example/orders\nledger\n\n\ntcp\n";
                    let bytes = [
                        &text[..],
                        b"\0",
                        asked.trim_start().as_bytes(),
                        tcp.as_bytes(),
                    ]
                    .concat();
                    write(Path::new("corpus/policy"), &name, &bytes);
                }
            }
        }
    }
    for kind in config::Kind::ALL {
        write(
            folder,
            &format!("reference-{}.yaml", kind.name()),
            kind.reference().as_bytes(),
        );
    }
}
