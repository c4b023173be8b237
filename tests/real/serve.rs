//! `countersign ca serve` as an operator and a workload meet it: how it starts, ends, comes back, and what it says when it cannot.

use crate::support::ca::{Ca, DOMAIN, Home};
use crate::support::client::ask;
use crate::support::process::{Process, countersign};
use crate::support::workload::{self, Gate, Said, reason};
use crate::support::{PATIENCE, within};
use api::ca_v1::{IssueReply, StatementsRequest, WatchRequest};
use ca::store::Ledger;
use identity::Key;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::{Code, Response, Status};

#[tokio::test]
async fn a_workload_joins_renews_and_finds_all_of_it_after_kill_9() {
    let home = Home::new();
    let token = home.token("/orders", 1).await;
    let (key, next) = (Key::generate().unwrap(), Key::generate().unwrap());
    let mut ca = home.serve();
    let mut stranger = home.trust.stranger(ca.at("ca")).await.unwrap();
    let joined = stranger.join(workload::join(&token, &key)).await.unwrap();
    let joined = joined.into_inner();
    let first = home.trust.believed(joined.clone(), &key);
    let mut member = home.trust.member(&first, ca.at("ca")).await.unwrap();
    let renewed = member.renew(workload::renewal(&next)).await.unwrap();
    let renewed = renewed.into_inner();

    ca.process.kill();
    let ca = home.serve();

    // The token is spent for others and not for its key; the certificate has its successor and no second one.
    let mut stranger = home.trust.stranger(ca.at("ca")).await.unwrap();
    let again = stranger.join(workload::join(&token, &key)).await.unwrap();
    let thief = Key::generate().unwrap();
    let stolen = stranger.join(workload::join(&token, &thief)).await;
    let mut member = home.trust.member(&first, ca.at("ca")).await.unwrap();
    let second = member.renew(workload::renewal(&thief)).await;
    let retry = member.renew(workload::renewal(&next)).await.unwrap();
    let indexes = [&joined, &renewed, again.get_ref(), retry.get_ref()].map(|it| it.log_index);
    assert_eq!(indexes, [0, 1, 2, 3]);
    assert_eq!(reason(&stolen.unwrap_err()), "token_spent");
    assert_eq!(reason(&second.unwrap_err()), "second_successor");
    assert_eq!(ca.process.terminate().code(), Some(0));
}

#[tokio::test]
async fn its_pages_say_how_it_is() {
    let home = Home::new();
    let ca = home.serve();

    for (page, text) in [
        ("/started", "started\n"),
        ("/ready", "ready\n"),
        ("/live", "live\n"),
    ] {
        let answer = ask(ca.at("health"), "GET", "ca", page).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, text));
    }
    let metrics = ask(ca.at("metrics"), "GET", "ca", "/metrics").await.text();
    for (what, least, most) in [
        ("leaf", 3500, 3600),
        ("issuer", 604_700, 604_800),
        ("root", 63_071_900, 63_072_000),
    ] {
        let series = format!("countersign_ca_expiry_seconds{{what=\"{what}\"}} ");
        let left = metrics.lines().find_map(|line| line.strip_prefix(&series));
        let left: f64 = left.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap();
        assert!(
            (f64::from(least)..=f64::from(most)).contains(&left),
            "{what}: {left}"
        );
    }
}

#[tokio::test]
async fn sigterm_finishes_the_call_under_way_tells_who_watches_and_frees_the_folder() {
    let home = Home::new();
    let (first, second) = (
        home.token("/orders", 1).await,
        home.token("/orders", 1).await,
    );
    let mut ca = home.serve();
    let key = Key::generate().unwrap();
    let mut stranger = home.trust.stranger(ca.at("ca")).await.unwrap();
    let joined = stranger.join(workload::join(&first, &key)).await.unwrap();
    let who = home.trust.believed(joined.into_inner(), &key);
    let mut member = home.trust.member(&who, ca.at("ca")).await.unwrap();
    let (says, said) = mpsc::channel(1);
    says.send(WatchRequest::default()).await.unwrap();
    let mut watch = member.watch(Said(said)).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());
    let (gate, under_way) = half_said_join(&home, &ca, &second, &key).await;
    // Somebody who connects and says nothing holds nothing up.
    let silent = TcpStream::connect(ca.at("ca")).await.unwrap();

    ca.process.ask_to_end();
    ca.said("SIGTERM: ending, at most 10 s");
    let told = within("the word to the watcher", watch.message()).await;
    gate.open.notify_one();
    let answered = within("the answer", under_way).await.unwrap();

    let told = told.unwrap_err();
    assert_eq!(
        (told.code(), reason(&told)),
        (Code::Unavailable, "draining")
    );
    assert_eq!(answered.unwrap().into_inner().log_index, 1);
    drop((member, watch, says, stranger));
    assert_eq!(ca.process.end().code(), Some(0));
    ca.said("ended; 0 connections were cut");
    drop(silent);
    assert_eq!(home.store().summary().await.unwrap().entries, 2);
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let home = Home::new();
    let token = home.token("/orders", 1).await;
    let mut ca = home.serve();
    let key = Key::generate().unwrap();
    let (_gate, _under_way) = half_said_join(&home, &ca, &token, &key).await;

    ca.process.ask_to_end();
    ca.said("SIGTERM: ending");
    let again = Instant::now();
    ca.process.ask_to_end();

    assert_eq!(ca.process.end().code(), Some(0));
    ca.said("SIGTERM again: ended at once");
    let took = again.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "it waited {took:?} for the call"
    );
}

/// A join whose head the CA has and whose rest waits at the gate.
async fn half_said_join(
    home: &Home,
    ca: &Ca,
    token: &str,
    key: &Key,
) -> (Arc<Gate>, JoinHandle<Joined>) {
    let gate = Arc::new(Gate::default());
    let clients = home.trust.half_said(ca.at("ca"), &gate).await;
    let (mut half, mut whole) = clients.unwrap();
    let request = workload::join(token, key);
    let under_way = tokio::spawn(async move { half.join(request).await });
    within("the head of the call", gate.begun.notified()).await;
    // Frames of one connection come in their order: with this answered, the CA has the head.
    let statements = whole.statements(StatementsRequest::default()).await;
    statements.unwrap();
    (gate, under_way)
}

type Joined = Result<Response<IssueReply>, Status>;

// ---------------------------------------------------------------------------------------------------------------------
// What keeps it from starting

/// A start that is to fail: its exit code and what it said, on both streams. Panics if it goes on.
fn served(home: &Home) -> (Option<i32>, String) {
    let mut command = countersign();
    command.args(["ca", "serve", "--config"]);
    let mut process = Process::start(command.arg(home.path("ca.yaml")));
    let code = process.end().code();
    assert!(process.out.ended_within(PATIENCE));
    let said = [process.out.so_far(), process.err.so_far()].concat();
    (code, said.join("\n"))
}

fn check_unfit(home: &Home, line: &str) {
    let (code, said) = served(home);
    let folder = home.path("").display().to_string();
    let said = said.replace(folder.trim_end_matches('/'), "HOME");
    assert_eq!((code, said.as_str()), (Some(2), line));
}

#[test]
fn a_document_that_is_not_valid_is_findings_at_their_lines() {
    let home = Home::new();
    home.configure("leaf: { ttl: 1s }\n");
    check_unfit(
        &home,
        "HOME/ca.yaml:7:14: leaf.ttl: `1s` is too small; wanted a duration such as `10s` from 10s to 3d",
    );
    fs::remove_file(home.path("ca.yaml")).unwrap();
    check_unfit(
        &home,
        "HOME/ca.yaml: cannot be read: No such file or directory (os error 2); check the path and its permissions",
    );
}

#[test]
fn a_folder_that_is_no_ca_or_not_this_one_is_named() {
    let home = Home::new();
    let text = fs::read_to_string(home.path("ca.yaml")).unwrap();
    let say =
        |from: &str, to: &str| fs::write(home.path("ca.yaml"), text.replace(from, to)).unwrap();

    say("dir: ca", "dir: elsewhere");
    check_unfit(
        &home,
        "HOME/elsewhere is no CA: it has no file `format`; \
         make one with `countersign ca init --trust-domain TD --dir HOME/elsewhere`",
    );
    say(DOMAIN, "other.example");
    check_unfit(
        &home,
        "HOME/ca is not served: it speaks for shop.example, and `trustDomain` is other.example; \
         name its own folder or its own domain",
    );

    home.configure("");
    fs::set_permissions(
        home.path("ca/issuer/key.pem"),
        Permissions::from_mode(0o644),
    )
    .unwrap();
    check_unfit(
        &home,
        "HOME/ca/issuer/key.pem is not used: its mode 0644 lets others read it; \
         run `chmod 600 HOME/ca/issuer/key.pem`, and think about who may have a copy",
    );
    fs::set_permissions(
        home.path("ca/issuer/key.pem"),
        Permissions::from_mode(0o600),
    )
    .unwrap();
    fs::rename(home.path("ca/issuer/cert.pem"), home.path("cert.pem")).unwrap();
    check_unfit(
        &home,
        "HOME/ca/issuer/cert.pem is not read: No such file or directory (os error 2); \
         make the folder above it, or name another",
    );
    fs::rename(home.path("cert.pem"), home.path("ca/issuer/cert.pem")).unwrap();
    fs::write(home.path("ca/format"), "9\n").unwrap();
    check_unfit(
        &home,
        "HOME/ca/format says \"9\": this version knows \"1\"; use the version that wrote it, or a newer one",
    );
    fs::remove_file(home.path("ca/format")).unwrap();
    fs::create_dir(home.path("ca/format")).unwrap();
    check_unfit(
        &home,
        "HOME/ca/format is not read: Is a directory (os error 21); look at this path and run it again",
    );
}

#[test]
fn a_root_that_is_away_is_missed_only_where_nothing_was_stated_yet() {
    let home = Home::new();
    fs::remove_file(home.path("ca/root/key.pem")).unwrap();
    assert_eq!(home.serve().process.terminate().code(), Some(0));

    // As a version left it that did not state the roots at once.
    let older = Home::new();
    fs::remove_file(older.path("ca/statement")).unwrap();
    fs::rename(older.path("ca/root/key.pem"), older.path("key.pem")).unwrap();
    check_unfit(
        &older,
        "the first statement about the roots is not made: a root's key is away; put it back for the first start",
    );
    fs::rename(older.path("key.pem"), older.path("ca/root/key.pem")).unwrap();
    assert_eq!(older.serve().process.terminate().code(), Some(0));
}

#[test]
fn a_record_that_is_newer_or_broken_is_not_touched() {
    let home = Home::new();
    drop(home.store());
    let database = home.path("ca/store/ca.sqlite");
    let whole = fs::read(&database).unwrap();
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&99_u32.to_be_bytes()); // `user_version` of the header
    fs::write(&database, &newer).unwrap();
    let known = u32::from_be_bytes(whole[60..64].try_into().unwrap());
    check_unfit(
        &home,
        &format!(
            "HOME/ca/store/ca.sqlite is not opened: its schema is 99 and this version knows {known}; \
             run the newer version again"
        ),
    );
    assert_eq!(fs::read(&database).unwrap(), newer);

    fs::write(&database, vec![7; 4096]).unwrap();
    check_unfit(
        &home,
        "HOME/ca/store/ca.sqlite is not opened: the ca's database is not in order (file is not a database); \
         check it, or restore a backup",
    );
    fs::write(&database, whole).unwrap();
    assert_eq!(home.serve().process.terminate().code(), Some(0));
}

#[test]
fn a_folder_that_another_ca_serves_from_is_refused_and_the_other_goes_on() {
    let home = Home::new();
    let ca = home.serve();

    check_unfit(
        &home,
        "HOME/ca/store is not opened: another process serves from it; end that one, or name another folder",
    );

    assert_eq!(ca.process.terminate().code(), Some(0));
}

#[test]
fn a_taken_port_names_its_key_the_address_and_the_owner() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let text = fs::read_to_string(home.path("ca.yaml")).unwrap();
    let owner = format!("(pid {})", std::process::id());
    for (key, line) in [
        ("listen", format!("listen: \"{at}\"")),
        ("metrics.listen", format!("metrics: {{ listen: \"{at}\" }}")),
        ("health.listen", format!("health: {{ listen: \"{at}\" }}")),
    ] {
        let section = line.split(':').next().unwrap();
        let lines = text.lines().map(|old| match old.starts_with(section) {
            true => line.as_str(),
            false => old,
        });
        fs::write(home.path("ca.yaml"), lines.collect::<Vec<_>>().join("\n")).unwrap();

        let (code, said) = served(&home);

        assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
        for part in [&format!("{key}: "), &at.to_string(), &owner] {
            assert!(said.contains(part.as_str()), "{part}: {said}");
        }
    }
}

#[test]
fn a_socket_is_made_with_its_folder_private_and_what_is_in_its_place_is_named() {
    let home = Home::new();
    let text = fs::read_to_string(home.path("ca.yaml")).unwrap();
    let place = |socket: &str| {
        fs::write(home.path("ca.yaml"), text.replace("ca.sock", socket)).unwrap();
    };

    place("deep/er/ca.sock");
    check_unfit(
        &home,
        "admin.socket: cannot listen in HOME/deep/er: there is no such folder; create it first",
    );
    place("bundle/ca.sock");
    fs::write(home.path("bundle"), "a file").unwrap();
    let line = "admin.socket: cannot listen on HOME/bundle/ca.sock: Not a directory (os error 20); choose another path";
    check_unfit(&home, line);
    place("bundle");
    check_unfit(
        &home,
        "admin.socket: cannot listen on HOME/bundle: a file that is no socket stands there; remove it or choose another path",
    );

    place("run/ca.sock");
    let ca = home.serve();
    let mode = |name| fs::metadata(home.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("run/ca.sock"), 0o600);
    assert_eq!(ca.process.terminate().code(), Some(0));
    // One that nobody listens on any more is replaced.
    assert_eq!(home.serve().process.terminate().code(), Some(0));
}
