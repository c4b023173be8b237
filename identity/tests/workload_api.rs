//! The source that has its identity from a Workload API, against an agent that does well, ill and nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use api::workload::{X509svid, X509svidResponse};
use countersign_identity::source::workload_api::{MESSAGE_BYTES_MAX, Wanted, WorkloadApiSource};
use countersign_identity::source::{Standing, State};
use countersign_identity::{Current, Generation};
use mint::Authority;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use support::agent::{Agent, Call, framed};
use support::domain;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;
use tokio_util::task::AbortOnDropHandle;

const ORDERS: &str = "spiffe://shop.example/orders";

/// A source at work, the agent that it calls, and who issues.
struct Desk {
    place: TempDir,
    root: Authority,
    issuer: Authority,
    current: Current,
    standing: Standing,
    _source: AbortOnDropHandle<()>,
}

impl Desk {
    /// The source runs; nobody listens yet.
    fn new() -> Self {
        Desk::believing(&[])
    }

    fn believing(federated: &[&str]) -> Self {
        let place = TempDir::new().unwrap();
        let root = Authority::root("shop.example");
        let source = WorkloadApiSource::new(Wanted {
            socket: place.path().join("agent.sock"),
            trust_domain: domain("shop.example"),
            federated: federated.iter().map(|name| domain(name)).collect(),
        });
        Desk {
            issuer: root.issuer(),
            root,
            current: source.current(),
            standing: source.standing(),
            _source: AbortOnDropHandle::new(tokio::spawn(source.run())),
            place,
        }
    }

    fn socket(&self) -> PathBuf {
        self.place.path().join("agent.sock")
    }

    fn agent(&self) -> Agent {
        Agent::at(&self.socket())
    }

    /// A message with a new certificate: a short one, so that nobody waits long for the next attempt.
    fn issued(&self) -> X509svidResponse {
        let short = self.issuer.leaf_with(ORDERS, |draft| {
            draft.not_after = mint::now_s() + 30;
        });
        self.sent(&short)
    }

    fn sent(&self, minted: &mint::Svid) -> X509svidResponse {
        let svid = X509svid {
            spiffe_id: ORDERS.to_owned(),
            x509_svid: minted.chain.concat(),
            x509_svid_key: minted.key.pkcs8(),
            bundle: self.root.root.clone(),
            hint: "internal".to_owned(),
        };
        X509svidResponse {
            svids: vec![svid],
            ..X509svidResponse::default()
        }
    }

    async fn generation(&self, number: u64) -> Arc<Generation> {
        let generation = within("a generation", self.current.newer_than(number - 1)).await;
        assert_eq!(generation.number(), number);
        generation
    }

    /// What the source says of itself as soon as it gives this reason.
    async fn reason(&self, reason: &str) -> Arc<State> {
        let waiting = async {
            let mut state = self.standing.load();
            loop {
                if state.why.as_ref().is_some_and(|why| why.reason == reason) {
                    return state;
                }
                state = self.standing.changed(&state).await;
            }
        };
        within(reason, waiting).await
    }

    async fn is_well(&self) {
        let waiting = async {
            let mut state = self.standing.load();
            while state.reachable != Some(true) || state.why.is_some() {
                state = self.standing.changed(&state).await;
            }
        };
        within("all to be well", waiting).await;
    }
}

async fn within<T>(what: &str, event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), event)
        .await
        .unwrap_or_else(|_| panic!("waited for {what}"))
}

fn text(state: &State) -> &str {
    &state.why.as_ref().unwrap().text
}

#[tokio::test]
async fn the_call_is_the_standard_s_and_its_first_message_the_first_identity() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let call = agent.call().await;
    assert_eq!(call.path, "/SpiffeWorkloadAPI/FetchX509SVID");
    assert_eq!(call.headers["workload.spiffe.io"], "true");
    assert_eq!(call.headers["te"], "trailers");
    assert!(desk.current.load().is_none());

    call.message(&desk.issued());
    let generation = desk.generation(1).await;
    assert_eq!(generation.svid().leaf().id.as_str(), ORDERS);
    desk.is_well().await;
}

#[tokio::test]
async fn a_message_on_the_open_call_is_the_next_generation_and_the_same_again_is_none() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let call = agent.call().await;
    let first = desk.issued();
    call.message(&first);
    let serial = desk.generation(1).await.svid().leaf().serial.clone();

    call.message(&first);
    call.message(&desk.issued());
    let next = desk.generation(2).await;
    assert_ne!(next.svid().leaf().serial, serial);
}

#[tokio::test]
async fn what_is_not_good_is_told_and_changes_nothing_and_the_next_message_counts() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let call = agent.call().await;
    call.message(&desk.issued());
    let serial = desk.generation(1).await.svid().leaf().serial.clone();

    let mut mixed = desk.issued();
    mixed.svids[0].x509_svid_key = mint::Key::p256().pkcs8();
    call.message(&mixed);
    assert_eq!(desk.reason("key_mismatch").await.reachable, Some(true));
    assert_eq!(desk.current.load().unwrap().svid().leaf().serial, serial);

    // Whichever call it comes on: after a refusal the source may have called again.
    call.message(&desk.issued());
    let again = async {
        let call = agent.call().await;
        call.message(&desk.issued());
        std::future::pending::<Call>().await
    };
    tokio::select! {
        _ = desk.generation(2) => {}
        _ = again => {}
    }
    desk.is_well().await;
}

#[tokio::test]
async fn a_leaf_that_has_ended_and_one_that_has_not_begun_are_told_and_asked_for_again() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let ended = desk.issuer.leaf_with(ORDERS, |draft| {
        draft.not_after = mint::now_s() - 1;
    });
    let call = agent.call().await;
    call.message(&desk.sent(&ended));
    desk.reason("expired").await;
    assert!(desk.current.load().is_none());

    // A clock may mend it: the complete state is asked for anew.
    let early = desk.issuer.leaf_with(ORDERS, |draft| {
        draft.not_before = mint::now_s() + 3;
    });
    let mut calls = vec![agent.call().await];
    calls[0].message(&desk.sent(&early));
    desk.reason("not_yet_valid").await;
    while desk.current.load().is_none() {
        tokio::select! {
            call = agent.call() => {
                call.message(&desk.sent(&early));
                calls.push(call);
            }
            _ = desk.generation(1) => {}
        }
    }
}

#[tokio::test]
async fn an_agent_without_an_identity_for_us_is_asked_again() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    agent.call().await.status(7, "no identity issued");
    let state = desk.reason("workload_api_denied").await;
    assert_eq!(state.reachable, Some(true));
    assert_eq!(
        text(&state),
        "the Workload API has no identity for this process (no identity issued); register it with selectors that fit its user, unit, pod or container"
    );

    agent.call().await.status(14, "starting");
    assert_eq!(
        desk.reason("workload_api_unavailable").await.reachable,
        Some(false)
    );
    agent.call().await.message(&desk.issued());
    desk.generation(1).await;
    desk.is_well().await;
}

#[tokio::test]
async fn no_identity_any_more_and_no_agent_any_more_leave_the_old_identity_in_force() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let call = agent.call().await;
    call.message(&desk.issued());
    desk.generation(1).await;
    call.status(7, "no identity issued");
    desk.reason("workload_api_denied").await;
    agent.call().await.status(0, "");
    desk.reason("workload_api_ended").await;
    let call = agent.call().await;
    drop(agent);
    drop(call);
    desk.reason("workload_api_lost").await;
    let state = desk.reason("workload_api_socket").await;
    assert_eq!(state.reachable, Some(false));
    assert_eq!(
        text(&state),
        format!(
            "{}: nobody listens there; start the agent",
            desk.socket().display()
        )
    );
    assert_eq!(desk.current.load().unwrap().number(), 1);

    let mut agent = desk.agent();
    let call = within("a call", agent.call()).await;
    call.message(&desk.issued());
    desk.generation(2).await;
    desk.is_well().await;
}

#[tokio::test]
async fn a_socket_that_is_missing_or_forbidden_is_said_in_plain_words() {
    let desk = Desk::new();
    let state = desk.reason("workload_api_socket").await;
    let at = desk.socket();
    assert_eq!(
        text(&state),
        format!(
            "{}: no such socket; start the agent, or correct `identity.workloadApi.socket`",
            at.display()
        )
    );
    assert_eq!(state.reachable, Some(false));

    // A plain file is no socket.
    fs::write(&at, "").unwrap();
    fs::set_permissions(&at, fs::Permissions::from_mode(0o600)).unwrap();
    let refused = format!("{}: nobody listens there; start the agent", at.display());
    let waiting = async {
        let mut state = desk.standing.load();
        while text(&state) != refused {
            state = desk.standing.changed(&state).await;
        }
    };
    within("a refused connection", waiting).await;
}

#[tokio::test]
async fn whoever_speaks_another_language_is_told_apart_from_an_agent() {
    let desk = Desk::new();
    let listener = UnixListener::bind(desk.socket()).unwrap();
    for greeting in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], &[0xff; 4096]] {
        let (mut socket, _) = within("a connection", listener.accept()).await.unwrap();
        socket.write_all(greeting).await.unwrap();
        let state = desk.reason("workload_api_lost").await;
        assert_eq!(state.reachable, Some(false));
    }
    drop(listener);
    let mut agent = desk.agent();
    within("a call", agent.call()).await.message(&desk.issued());
    desk.generation(1).await;
}

#[tokio::test]
async fn a_message_that_announces_too_much_is_not_waited_for() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let call = agent.call().await;
    call.bytes(vec![0, 0x06, 0x40, 0, 0]);
    call.bytes(vec![0; 64 * 1024]);
    let state = desk.reason("workload_api_too_large").await;
    assert_eq!(
        text(&state),
        "the Workload API sent a message of more than 4194304 bytes; register this workload for fewer identities and trust domains"
    );
    // One of as much as is taken is read.
    let mut large = desk.issued();
    let room = MESSAGE_BYTES_MAX - prost::Message::encoded_len(&large) - 16;
    large.svids[0].hint = "x".repeat(room);
    agent.call().await.message(&large);
    desk.generation(1).await;
}

/// Bytes instead of a message are refused for this reason, and a good message after them is taken.
async fn check_bytes(bytes: &[u8], reason: &str) {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let call = agent.call().await;
    call.bytes(bytes.to_vec());
    desk.reason(reason).await;
    within("a call", agent.call()).await.message(&desk.issued());
    desk.generation(1).await;
    desk.is_well().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let (no_protobuf, nothing) = (framed(&[0xff; 100]), framed(b""));
    // The last has a flag that gRPC does not know.
    tokio::join!(
        check_bytes(&no_protobuf, "workload_api_undecodable"),
        check_bytes(&nothing, "workload_api_no_svid"),
        check_bytes(&[7, 0, 0, 0, 0], "workload_api_status"),
    );
}

#[tokio::test]
async fn half_a_message_and_silence_is_given_up() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let call = agent.call().await;
    let whole = framed(&prost::Message::encode_to_vec(&desk.issued()));
    call.bytes(whole.slice(..whole.len() / 2));
    // From here on the clock goes as fast as nothing happens.
    tokio::time::pause();
    let state = desk.reason("workload_api_silent").await;
    tokio::time::resume();
    assert_eq!(
        text(&state),
        "the Workload API said nothing within 10 s; look whether the agent hangs"
    );
    assert_eq!(state.reachable, Some(false));

    within("a call", agent.call()).await.message(&desk.issued());
    desk.generation(1).await;
}

#[tokio::test]
async fn a_call_that_is_silent_for_half_of_what_its_leaf_had_left_is_made_anew() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let short = desk.issuer.leaf_with(ORDERS, |draft| {
        draft.not_after = mint::now_s() + 4;
    });
    let silent = agent.call().await;
    silent.message(&desk.sent(&short));
    desk.generation(1).await;

    let call = within("a call", agent.call()).await;
    assert!(
        desk.current
            .load()
            .unwrap()
            .check(support::at(mint::now_s()))
            == Ok(()),
        "called again before the leaf ended"
    );
    assert_eq!(desk.standing.load().why, None);
    call.message(&desk.issued());
    desk.generation(2).await;
}

#[tokio::test]
async fn roots_of_partners_come_and_go_with_the_messages() {
    let desk = Desk::believing(&["partner.example"]);
    let partner = Authority::root("partner.example");
    let mut agent = desk.agent();
    let call = agent.call().await;
    let mut message = desk.issued();
    call.message(&message);
    let believes = |generation: &Generation| {
        let theirs = partner.issuer().leaf("spiffe://partner.example/billing");
        generation
            .judge_client(Some(&support::ders(&theirs.chain)))
            .map(drop)
            .map_err(|why| why.reason())
    };
    assert_eq!(
        believes(&*desk.generation(1).await),
        Err("unknown_trust_domain")
    );
    message
        .federated_bundles
        .insert("spiffe://partner.example".to_owned(), partner.root.clone());
    call.message(&message);
    assert_eq!(believes(&*desk.generation(2).await), Ok(()));
    message.federated_bundles.clear();
    call.message(&message);
    assert_eq!(
        believes(&*desk.generation(3).await),
        Err("unknown_trust_domain")
    );
}

#[tokio::test]
async fn an_agent_that_sends_without_pause_is_heard_once_a_second() {
    let desk = Desk::new();
    let mut agent = desk.agent();
    let call = agent.call().await;
    let flood = [desk.issued(), desk.issued()];
    for number in 0..200 {
        call.message(&flood[number % 2]);
    }
    desk.generation(1).await;
    let began = std::time::Instant::now();
    desk.generation(2).await;
    desk.generation(3).await;
    assert!(began.elapsed() >= Duration::from_millis(1900));
}
