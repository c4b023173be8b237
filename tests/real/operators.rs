//! What operators ask of a CA, by the verbs: of one that runs and of one that does not.

use crate::support::ca::{Ca, DOMAIN, Home, domain, id};
use crate::support::process::{Ran, countersign, run};
use crate::support::sidecar::text;
use crate::support::until;
use crate::support::workload::{self, Said};
use api::ca_v1::{Enforced, WatchRequest};
use ca::store::{Ledger, OperatorRecord};
use ca::{Algorithm, Authority, Dir, Instance, KeyHash, Leaf, Serial, Validity};
use identity::Key;
use rustix::process::{Pid, Signal, getuid, kill_process};
use serde_json::Value;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::sync::mpsc;

pub(crate) const ORDERS: &str = "spiffe://shop.example/orders";

/// Runs `countersign ca …` beside a home, whose socket the environment names.
pub(crate) fn verb(home: &Home, line: &str) -> Ran {
    run(countersign()
        .env("COUNTERSIGN_CA_SOCKET", home.path("ca.sock"))
        .current_dir(home.path(""))
        .arg("ca")
        .args(line.split(' ')))
}

/// The same, of which an answer is expected.
pub(crate) fn answer(home: &Home, line: &str) -> String {
    let ran = verb(home, line);
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{line}");
    ran.out
}

fn json(home: &Home, line: &str) -> Value {
    serde_json::from_str(&answer(home, line)).unwrap()
}

/// The line and the exit code of what went wrong.
pub(crate) fn wrong(home: &Home, line: &str) -> (Option<i32>, String) {
    let ran = verb(home, line);
    assert_eq!(ran.out, "", "{line}");
    assert_eq!(ran.err.lines().count(), 1, "{line}: {}", ran.err);
    let folder = format!("{}/", home.path("").display());
    let folder = folder.replace("//", "/");
    (ran.code, ran.err.replace(&folder, "").trim_end().to_owned())
}

fn cell(table: &str, row: usize, column: usize) -> String {
    let line = table.lines().nth(row).unwrap();
    let mut cells = line.split("  ").filter(|cell| !cell.is_empty());
    cells.nth(column).unwrap().trim().to_owned()
}

/// The lines of a CA's log about what operators changed: message, uid, reason.
fn audit(ca: &Ca) -> Vec<(String, u64, Option<String>)> {
    let lines = ca.process.err.so_far();
    let lines = lines.iter().filter_map(|line| {
        let parsed: Value = serde_json::from_str(line).ok()?;
        let uid = parsed.get("uid")?.as_u64()?;
        Some((text(line, "message")?, uid, text(line, "reason")))
    });
    lines.collect()
}

#[tokio::test]
async fn a_token_alone_on_standard_output_admits_a_workload_that_is_then_listed_and_shown() {
    let home = Home::new();
    let ca = home.serve();

    let token = answer(&home, &format!("token create --id {ORDERS} --ttl 5m"));

    assert_eq!((token.lines().count(), token.len()), (1, 77));
    let key = Key::generate().unwrap();
    let mut stranger = home.trust.stranger(ca.at("ca")).await.unwrap();
    let joined = stranger
        .join(workload::join(token.trim_end(), &key))
        .await
        .unwrap();
    let serial = home.trust.believed(joined.into_inner(), &key).serial();
    let table = answer(&home, &format!("list --id {ORDERS}"));
    assert_eq!(table.lines().count(), 2, "{table}");
    let row: Vec<_> = (0..6).map(|column| cell(&table, 1, column)).collect();
    assert_eq!(
        [&row[0], &row[3], &row[4], &row[5]],
        [&serial, "join_token", "in use", ORDERS]
    );
    let colons = serial
        .as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    let colons = colons.collect::<Vec<_>>().join(":").to_uppercase();
    let shown = json(&home, &format!("show {colons} -o json"));
    assert_eq!(
        (&shown["serial"], &shown["index"]),
        (&serial.into(), &0.into())
    );
    let others = "list --id spiffe://shop.example/nobody -o json";
    assert_eq!(answer(&home, others), "[]\n");
    assert_eq!(ca.process.terminate().code(), Some(0));
}

#[test]
fn a_token_goes_into_a_new_private_file_in_nobodys_place() {
    let home = Home::new();
    let ca = home.serve();
    let create = |out: &str| format!("token create --id {ORDERS} --out {out}");
    fs::write(home.path("taken"), "somebody's").unwrap();
    symlink("elsewhere", home.path("link")).unwrap();

    let told = answer(&home, &create("new"));

    assert_eq!(told.lines().count(), 3, "{told}");
    assert!(!told.contains("cst_"), "{told}");
    let token = fs::read_to_string(home.path("new")).unwrap();
    assert!(ca::Token::parse(&token).is_ok(), "{token}");
    let mode = fs::metadata(home.path("new")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    for out in ["taken", "link", "new"] {
        let expected = format!(
            "{out} is not written: something is there already; remove it, or name another file"
        );
        assert_eq!(wrong(&home, &create(out)), (Some(2), expected));
    }
    let (code, line) = wrong(&home, &create("no/such"));
    assert_eq!(code, Some(2));
    assert!(line.starts_with("no/such is not written: "), "{line}");
    assert_eq!(
        fs::read_to_string(home.path("taken")).unwrap(),
        "somebody's"
    );
    assert!(!home.path("elsewhere").exists());
    // What could be written nowhere was not made.
    assert_eq!(audit(&ca).len(), 1);
}

#[tokio::test]
async fn an_identity_is_issued_for_a_key_that_stays_here_and_its_holder_renews_it() {
    let home = Home::new();
    let ca = home.serve();

    let told = answer(
        &home,
        &format!("issue --id {ORDERS} --out orders --ttl 30m"),
    );

    let serial = told
        .lines()
        .nth(1)
        .unwrap()
        .strip_prefix("serial  ")
        .unwrap();
    let key = fs::metadata(home.path("orders/key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o7777, 0o600);
    let verified = run(countersign()
        .current_dir(home.path("orders"))
        .args(["svid", "verify", "svid.pem", "--bundle", "bundle.pem"])
        .args(["--trust-domain", DOMAIN]));
    assert_eq!(verified.code, Some(0), "{}", verified.err);
    let shown = json(&home, &format!("show {serial} -o json"));
    let uid = getuid().as_raw();
    assert_eq!(
        (&shown["ground"], &shown["uid"]),
        (&"operator".into(), &uid.into())
    );
    let read = |name: &str| fs::read(home.path("orders").join(name)).unwrap();
    let key = Key::from_pem(&read("key.pem")).unwrap();
    let chain = identity::pem::certificates(&read("svid.pem")).unwrap();
    let member = workload::Member::of(chain, key);
    let mut member = home.trust.member(&member, ca.at("ca")).await.unwrap();
    let next = Key::generate().unwrap();
    let renewed = member.renew(workload::renewal(&next)).await.unwrap();
    assert_eq!(renewed.into_inner().log_index, 1);
    let list = json(&home, "list -o json");
    let states: Vec<_> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["replaced"])
        .collect();
    assert_eq!(states, [true, false]);
}

#[test]
fn what_an_operator_changes_or_may_not_is_in_the_log_with_the_uid_and_exits_with_1_where_refused() {
    let home = Home::new();
    let ca = home.serve();
    answer(&home, &format!("token create --id {ORDERS} --uses 3"));
    answer(&home, &format!("issue --id {ORDERS} --out orders"));

    for (line, expected) in [
        (
            "token create --id spiffe://shop.example/countersign/ca",
            "spiffe://shop.example/countersign/ca is not issued: /countersign/ belongs to the CA itself; choose another path",
        ),
        (
            "issue --id spiffe://shop.example/countersign/x --out x",
            "spiffe://shop.example/countersign/x is not issued: /countersign/ belongs to the CA itself; choose another path",
        ),
        (
            "issue --id spiffe://other.example/orders --out x",
            "spiffe://other.example/orders is not issued: this CA speaks for shop.example; ask for spiffe://shop.example/orders",
        ),
        (
            "token create --id spiffe://shop.example/orders --ttl 31d",
            "no token made: it would live 2678400 s; choose from 1 s to 2592000 s (30 days)",
        ),
        (
            "issue --id spiffe://shop.example/orders --out x --ttl 9s",
            "a life of 9s is not granted: it is outside 10s to 86400s; ask for less and renew",
        ),
        (
            "show 4242424242424242424242424242424242424242",
            "no certificate 4242424242424242424242424242424242424242: this ca has no record of it; look for it with `countersign ca list`",
        ),
    ] {
        assert_eq!(wrong(&home, line), (Some(1), expected.to_owned()), "{line}");
    }

    assert!(!home.path("x").exists());
    let uid = u64::from(getuid().as_raw());
    let refused = |reason: &str| {
        let message = "an operator was refused".to_owned();
        (message, uid, Some(reason.to_owned()))
    };
    let expected = [
        ("an operator made a join token".to_owned(), uid, None),
        ("an operator issued a certificate".to_owned(), uid, None),
        refused("reserved_id"),
        refused("reserved_id"),
        refused("foreign_trust_domain"),
        refused("token_ttl"),
        refused("ttl_out_of_bounds"),
    ];
    assert_eq!(audit(&ca), expected);
    let log = ca.process.err.so_far().join("\n");
    assert!(!log.contains("cst_"), "a token is in the log");
}

#[test]
fn a_folder_with_a_record_is_issued_from_into_that_record_and_only_while_no_ca_runs_from_it() {
    let home = Home::new();
    let issue =
        |path: &str| format!("issue --dir ca --id spiffe://shop.example/{path} --out {path}");
    answer(&home, &issue("before"));
    let ca = home.serve();

    let beside = wrong(&home, &issue("beside"));
    assert_eq!(ca.process.terminate().code(), Some(0));
    answer(&home, &issue("between"));
    let refused = wrong(
        &home,
        "issue --dir ca --id spiffe://shop.example/countersign/x --out x",
    );
    let _ca = home.serve();

    let expected = "ca issue --dir ca: a CA runs from this folder and alone writes its record; ask it, without --dir";
    assert_eq!(beside, (Some(2), expected.to_owned()));
    assert!(!home.path("beside").exists());
    assert_eq!(refused.0, Some(1));
    // Before a CA has run there is no record.
    let list = json(&home, "list -o json");
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["id"], "spiffe://shop.example/between");
    assert_eq!(list[0]["uid"], getuid().as_raw());
}

#[test]
fn several_who_issue_from_one_folder_at_once_wait_for_each_other() {
    let home = Home::new();
    assert_eq!(home.serve().process.terminate().code(), Some(0));

    thread::scope(|scope| {
        for at in 0..4 {
            let home = &home;
            let line = format!("issue --dir ca --id {ORDERS} --out orders-{at}");
            scope.spawn(move || answer(home, &line));
        }
    });

    let _ca = home.serve();
    assert_eq!(json(&home, "list -o json").as_array().unwrap().len(), 4);
}

pub(crate) fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_secs()
}

async fn fill(home: &Home, certificates: u64) {
    let store = home.store();
    let now_s = now_s();
    let mut recording = tokio::task::JoinSet::new();
    for seed in 0..certificates {
        let mut octets = [0; 32];
        octets[..8].copy_from_slice(&seed.to_be_bytes());
        let mut serial = [0; 20];
        serial[12..].copy_from_slice(&seed.to_be_bytes());
        let leaf = Leaf {
            serial: Serial::from_random(serial),
            id: id("/orders"),
            key: KeyHash::from_bytes(octets),
            issuer: [4; 20],
            validity: Validity {
                not_before_s: now_s - 60,
                not_after_s: now_s + 3600 + seed / 100,
            },
            issued_at_s: now_s,
            instance: Instance::default(),
        };
        let record = OperatorRecord {
            uid: 1000,
            evidence: [9; 32],
            leaf,
        };
        let store = store.clone();
        recording.spawn(async move { store.issue(record).await.unwrap() });
    }
    recording.join_all().await;
}

#[tokio::test]
async fn a_list_longer_than_a_page_is_printed_whole_and_in_order() {
    let home = Home::new();
    fill(&home, 1201).await;
    let _ca = home.serve();

    let list = json(&home, "list -o json");
    let table = answer(&home, "list");

    let ends = list.as_array().unwrap().iter();
    let ends: Vec<_> = ends
        .map(|one| one["not_after_unix_s"].as_u64().unwrap())
        .collect();
    assert_eq!(ends.len(), 1201);
    assert!(ends.is_sorted());
    assert_eq!(table.lines().count(), 1202);
    let widths: Vec<_> = table.lines().map(|line| line.find("spiffe://")).collect();
    assert!(widths[1..].iter().all(|at| *at == widths[1]), "{table}");
}

#[test]
fn a_status_says_how_it_stands_and_exits_with_1_when_a_root_is_past_half_of_its_life() {
    let home = Home::new();
    let ca = home.serve();
    answer(&home, &format!("issue --id {ORDERS} --out orders"));
    let table = answer(&home, "status");
    for part in [
        "trust domain  shop.example\n",
        "issued        1 certificate\n",
        "streams       none\n",
        "contested     none\n",
        "without it    the first identity ends at ",
        ORDERS,
    ] {
        assert!(table.contains(part), "{part} is not in\n{table}");
    }
    let status = json(&home, "status -o json");
    assert_eq!(status["first_to_end"]["id"], ORDERS);
    assert_eq!(ca.process.terminate().code(), Some(0));

    let old = Home::new();
    fs::remove_dir_all(old.path("ca")).unwrap();
    let then = SystemTime::now() - Duration::from_secs(370 * 86_400);
    let authority = Authority::create(&domain(), Algorithm::P256, then).unwrap();
    Dir::create(&old.path("ca"), &authority).unwrap();
    let _ca = old.serve();
    let overdue = verb(&old, "status");

    assert_eq!(overdue.code, Some(1));
    assert!(overdue.out.contains("OVERDUE"), "{}", overdue.out);
    assert_eq!(overdue.err.lines().count(), 1, "{}", overdue.err);
    assert!(overdue.err.starts_with("root "), "{}", overdue.err);
    assert!(
        overdue.err.contains("; put a new one beside it"),
        "{}",
        overdue.err
    );
}

#[tokio::test]
async fn a_status_names_who_lags_and_whose_key_two_seem_to_hold() {
    let home = Home::new();
    let ca = home.serve();
    let token = answer(&home, &format!("token create --id {ORDERS}"));
    let key = Key::generate().unwrap();
    let mut stranger = home.trust.stranger(ca.at("ca")).await.unwrap();
    let joined = stranger.join(workload::join(token.trim_end(), &key)).await;
    let joined = home.trust.believed(joined.unwrap().into_inner(), &key);
    let mut member = home.trust.member(&joined, ca.at("ca")).await.unwrap();
    let next = Key::generate().unwrap();
    member.renew(workload::renewal(&next)).await.unwrap();
    let thief = Key::generate().unwrap();
    let refused = member.renew(workload::renewal(&thief)).await.unwrap_err();
    assert_eq!(workload::reason(&refused), "second_successor");
    let status = json(&home, "status -o json");
    let newest = status["statement_sequence"].as_u64().unwrap();
    let (says, said) = mpsc::channel(1);
    let enforces = |statement_sequence| WatchRequest {
        instance: "one".into(),
        enforced: Some(Enforced {
            statement_sequence,
            ..Enforced::default()
        }),
        ..WatchRequest::default()
    };
    says.send(enforces(newest - 1)).await.unwrap();
    let mut watch = member.watch(Said(said)).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());

    let lagging = until("who lags", async || {
        let status = json(&home, "status -o json");
        (status["lagging"] == 1).then_some(status)
    })
    .await;
    let table = answer(&home, "status");
    says.send(enforces(newest)).await.unwrap();
    let all = until("nobody lags", async || {
        let status = json(&home, "status -o json");
        (status["lagging"] == 0).then_some(status)
    })
    .await;

    let named = &lagging["lagging_first"][0];
    let named = (
        &named["id"],
        &named["instance"],
        &named["statement_sequence"],
    );
    assert_eq!(named, (&ORDERS.into(), &"one".into(), &(newest - 1).into()));
    assert_eq!(
        (&lagging["streams"], &all["streams"]),
        (&1.into(), &1.into())
    );
    let contested = &all["contested"][0];
    assert_eq!(contested["serial"], joined.serial());
    assert_eq!(contested["attempts"], 1);
    for part in [
        "streams       1, 1 not with the newest statement and revocations:\n".to_owned(),
        format!(
            "              {ORDERS} (one), enforces {} and 0\n",
            newest - 1
        ),
        "contested     1 certificate whose key two seem to hold:\n".to_owned(),
        format!("              {} of {ORDERS}: renewed as ", joined.serial()),
    ] {
        assert!(table.contains(&part), "{part} is not in\n{table}");
    }
}

#[test]
fn the_roots_are_shown_in_pem_and_as_a_spiffe_bundle() {
    let home = Home::new();
    let _ca = home.serve();

    let pem = answer(&home, "bundle show");
    let bundle = json(&home, "bundle show -o json");
    let offline = wrong(&home, "bundle show --dir ca -o json");

    assert_eq!(pem, fs::read_to_string(home.path("ca/bundle.pem")).unwrap());
    assert_eq!(pem, answer(&home, "bundle show --dir ca"));
    let status = json(&home, "status -o json");
    assert_eq!(bundle["spiffe_sequence"], status["statement_sequence"]);
    assert_eq!(bundle["keys"][0]["use"], "x509-svid");
    let expected =
        "ca bundle show -o json: only a running CA knows the sequence; ask it, without --dir";
    assert_eq!(offline, (Some(2), expected.to_owned()));
}

#[test]
#[ignore = "needs root: it asks as another user; .ci/run runs it"]
fn who_is_neither_root_nor_the_ca_is_not_heard_even_where_the_socket_is_open_to_all() {
    let home = Home::new();
    let ca = home.serve();
    let place = TempDir::new().unwrap();
    let open = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    // Nobody can reach the binary of a build below /root.
    let copy = place.path().join("countersign");
    fs::copy(countersign().get_program(), &copy).unwrap();
    open(place.path());
    let ask = || {
        let mut command = std::process::Command::new(&copy);
        command.uid(65_534).gid(65_534).current_dir("/");
        let command = command.args(["ca", "status", "--socket"]);
        run(command.arg(home.path("ca.sock")))
    };

    open(&home.path(""));
    let closed = ask();
    open(&home.path("ca.sock"));
    let unheard = ask();

    assert_eq!((closed.code, unheard.code), (Some(3), Some(3)));
    let start = format!("{}: ", home.path("ca.sock").display());
    assert_eq!(
        closed.err.strip_prefix(&start),
        Some(
            "the CA is not asked: this user may not open its socket; run as root or as the CA's own user\n"
        )
    );
    assert_eq!(
        unheard.err.strip_prefix(&start),
        Some(
            "no answer: the connection was closed; ask as root or as the CA's own user, nobody else is heard, and look at its log\n"
        )
    );
    ca.said("user 65534 may not ask");
}

#[test]
fn where_no_ca_can_be_asked_every_verb_says_so_and_exits_with_3() {
    let home = Home::new();
    let check = |line: &str, why: &str, instead: &str| {
        let expected = format!(
            "ca.sock: no CA to be asked: {why}; start it with `countersign ca serve`, or name its socket with --socket{instead}"
        );
        assert_eq!(wrong(&home, line), (Some(3), expected), "{line}");
    };
    let or_dir = ", or the CA's folder with --dir";
    let issue = format!("issue --id {ORDERS} --out orders");
    let token = format!("token create --id {ORDERS} --out token");
    let all = [
        (token.as_str(), ""),
        (issue.as_str(), or_dir),
        ("list", ""),
        ("show 4242424242424242424242424242424242424242", ""),
        ("status -o json", ""),
        ("bundle show", or_dir),
    ];
    for (line, instead) in all {
        check(line, "there is no such socket", instead);
    }
    // A CA that was killed leaves its socket.
    home.serve().process.kill();
    for (line, instead) in all {
        check(line, "nobody listens there", instead);
    }
    assert!(!home.path("token").exists() && !home.path("orders").exists());
}

#[test]
fn what_was_answered_before_kill_9_is_recorded_and_what_was_not_left_no_files() {
    let home = Home::new();
    let mut ca = home.serve();
    let issued = AtomicUsize::new(0);

    let runs: Vec<(String, Ran)> = thread::scope(|scope| {
        let (home, issued) = (&home, &issued);
        let operators: Vec<_> = (0..4)
            .map(|operator| {
                scope.spawn(move || {
                    let issue = |at: usize| {
                        let out = format!("out-{operator}-{at}");
                        let ran = verb(home, &format!("issue --id {ORDERS} --out {out}"));
                        issued.fetch_add(1, Ordering::Relaxed);
                        (out, ran)
                    };
                    // The first that is not answered is the last.
                    let mut runs = Vec::new();
                    while runs
                        .last()
                        .is_none_or(|(_, ran): &(_, Ran)| ran.code == Some(0))
                    {
                        runs.push(issue(runs.len()));
                    }
                    runs
                })
            })
            .collect();
        while issued.load(Ordering::Relaxed) < 20 {
            thread::yield_now();
        }
        ca.process.kill();
        let runs = operators.into_iter().map(|it| it.join().unwrap());
        runs.flatten().collect()
    });

    let _ca = home.serve();
    let (mut answered, mut unanswered) = (0, 0);
    for (out, ran) in &runs {
        match ran.code {
            Some(0) => {
                answered += 1;
                let serial = ran.out.lines().nth(1).unwrap().replace("serial  ", "");
                answer(&home, &format!("show {serial}"));
            }
            code => {
                unanswered += 1;
                assert_eq!((code, ran.err.lines().count()), (Some(3), 1), "{}", ran.err);
                assert!(!home.path(out).exists(), "{out}");
            }
        }
    }
    assert!(answered >= 20 - 4, "{answered}");
    assert_eq!(unanswered, 4);
}

#[test]
fn a_ca_that_stands_still_is_given_up_in_ten_seconds_and_answers_when_it_goes_on() {
    let home = Home::new();
    let ca = home.serve();
    let signal = |signal| {
        let pid = Pid::from_raw(ca.process.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    };
    signal(Signal::STOP);
    let began = Instant::now();

    let given_up = wrong(&home, &format!("issue --id {ORDERS} --out orders"));

    let took = began.elapsed();
    signal(Signal::CONT);
    let expected = "ca.sock: no answer within 10 s: the CA or its disk is busy; look at its log, and ask again";
    assert_eq!(given_up, (Some(3), expected.to_owned()));
    assert!((10..15).contains(&took.as_secs()), "{took:?}");
    assert!(!home.path("orders").exists());
    answer(&home, "status");
}
