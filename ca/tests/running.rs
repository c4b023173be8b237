//! A whole CA from its document: several in one process, and what is free after the end of one.
#![allow(clippy::unwrap_used, reason = "tests")]

use config::TrustDomain;
use config::ca::Ca;
use countersign_ca::store::{Store, StoreError};
use countersign_ca::{Algorithm, Authority, Dir, Running, StartError, start};
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream, UnixStream};

const PATIENCE: Duration = Duration::from_secs(10);

fn domain() -> TrustDomain {
    TrustDomain::parse("shop.example").unwrap()
}

/// A folder with a CA in it that has not been started.
fn made() -> TempDir {
    let folder = TempDir::new().unwrap();
    let authority = Authority::create(&domain(), Algorithm::P256, SystemTime::now()).unwrap();
    Dir::create(&folder.path().join("ca"), &authority).unwrap();
    folder
}

/// Its document, with that address of the API and of health.
fn document(folder: &TempDir, listen: &str, health: &str) -> Ca {
    let text = format!(
        "trustDomain: shop.example\ndir: ca\nlisten: \"{listen}\"\nadmin: {{ socket: run/ca.sock }}\n\
         metrics: {{ listen: \"127.0.0.1:0\" }}\nhealth: {{ listen: \"{health}\" }}\n"
    );
    Ca::parse(&text, &folder.path().join("ca.yaml")).unwrap()
}

const FREE: &str = "127.0.0.1:0";

async fn answers(address: SocketAddr) -> bool {
    TcpStream::connect(address).await.is_ok()
}

fn all(ca: &Running) -> [SocketAddr; 3] {
    [ca.address(), ca.metrics_address(), ca.health_address()]
}

#[tokio::test]
async fn several_run_in_one_process_and_one_that_ended_can_begin_again_where_it_was() {
    let (folder, another) = (made(), made());
    let ca = start(&document(&folder, FREE, FREE)).await.unwrap();
    let other = start(&document(&another, FREE, FREE)).await.unwrap();
    let [api, metrics, health] = all(&ca);

    assert_eq!(ca.end(PATIENCE).await, 0);
    let mut open = Vec::new();
    for address in [api, metrics, health] {
        open.push(answers(address).await);
    }
    let again = document(&folder, &api.to_string(), &health.to_string());
    let again = start(&again).await.unwrap();

    assert_eq!(open, [false; 3]);
    assert_eq!((again.address(), again.health_address()), (api, health));
    for address in all(&again).into_iter().chain(all(&other)) {
        assert!(answers(address).await, "{address}");
    }
    let socket = folder.path().join("run/ca.sock");
    assert!(UnixStream::connect(socket).await.is_ok());
    assert_eq!(again.end(PATIENCE).await + other.end(PATIENCE).await, 0);
}

#[tokio::test]
async fn a_start_that_is_refused_names_the_key_and_leaves_the_folder_free() {
    let folder = made();
    let taken = TcpListener::bind(FREE).await.unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let refused = start(&document(&folder, FREE, &address)).await;

    assert!(
        matches!(
            refused,
            Err(StartError::Bind {
                key: "health.listen",
                ..
            })
        ),
        "{refused:?}"
    );
    assert!(Store::open(&folder.path().join("ca"), &domain()).is_ok());
}

#[tokio::test]
async fn a_folder_has_one_ca_at_a_time_and_is_free_after_its_end() {
    let folder = made();
    let ca = start(&document(&folder, FREE, FREE)).await.unwrap();

    let second = start(&document(&folder, FREE, FREE)).await;
    let ended = ca.end(PATIENCE).await;
    let third = start(&document(&folder, FREE, FREE)).await;

    assert!(
        matches!(second, Err(StartError::Store(StoreError::InUse { .. }))),
        "{second:?}"
    );
    assert_eq!(ended, 0);
    assert!(third.is_ok(), "{third:?}");
}
