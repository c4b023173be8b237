#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::accept::Incoming;
use crate::socket::Peer;

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp {
        host: host.into(),
        port,
    }
}

#[tokio::test]
async fn port_zero_is_the_kernels_choice_and_a_name_is_resolved() {
    let listener = listen(&tcp("localhost", 0)).await.unwrap();
    assert!(listener.local_addr().ip().is_loopback());

    let (dialled, accepted) =
        tokio::join!(TcpStream::connect(listener.local_addr()), listener.accept());
    assert_eq!(dialled.unwrap().local_addr().unwrap(), accepted.unwrap().1);
}

#[tokio::test]
async fn a_taken_port_names_its_owner() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();

    let error = listen(&tcp("127.0.0.1", address.port())).await.unwrap_err();

    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let (name, pid) = (name.trim_end(), std::process::id());
    assert_eq!(
        error.to_string(),
        format!("{address} is taken by {name} (pid {pid}); stop it or choose another port")
    );
    assert_eq!(error.reason(), "address_taken");
}

#[tokio::test]
async fn who_calls_a_reserved_port_is_refused_until_somebody_listens() {
    let reserved = reserve(&tcp("127.0.0.1", 0)).await.unwrap();
    let at = reserved.local_addr();
    assert_eq!(
        TcpStream::connect(at).await.unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );

    let listener = reserved.listen().unwrap();
    assert_eq!(listener.local_addr(), at);
    TcpStream::connect(at).await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_cannot_be_reserved() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let error = reserve(&tcp("127.0.0.1", port)).await.unwrap_err();
    assert_eq!(error.reason(), "address_taken");
}

#[tokio::test]
async fn an_address_of_another_machine_and_an_unknown_name_say_so() {
    assert_eq!(
        listen(&tcp("192.0.2.1", 0)).await.unwrap_err().reason(),
        "address_not_ours"
    );
    assert_eq!(
        listen(&tcp("no.such.host.invalid", 0))
            .await
            .unwrap_err()
            .reason(),
        "host_unresolved"
    );
    assert_eq!(
        listen(&Address::Unix("/tmp/x".into()))
            .await
            .unwrap_err()
            .reason(),
        "unix_not_supported"
    );
}

#[tokio::test]
async fn a_socket_file_that_nobody_listens_on_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());

    let listener = unix(&path, 0o600).unwrap();

    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let (dialled, accepted) =
        tokio::join!(tokio::net::UnixStream::connect(&path), listener.accept());
    assert!(dialled.is_ok() && accepted.is_ok());
}

#[tokio::test]
async fn a_gate_is_a_port_or_a_socket_and_knows_who_comes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let gate = Gate::listen(&Address::Unix(path.clone())).await.unwrap();
    assert_eq!(gate.to_string(), format!("unix:{}", path.display()));
    assert_eq!(gate.local_addr(), None);

    let (dialled, accepted) = tokio::join!(tokio::net::UnixStream::connect(&path), gate.next());
    let (dialled, (_near, peer)) = (dialled.unwrap(), accepted.unwrap());
    let (uid, pid) = (rustix::process::geteuid().as_raw(), std::process::id());
    let pid = i32::try_from(pid).ok();
    assert_eq!(peer, Peer::Unix { uid, pid });
    drop((dialled, gate));
    assert!(!path.exists(), "the file goes with its gate");

    let gate = Gate::listen(&tcp("127.0.0.1", 0)).await.unwrap();
    let at = gate.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(at), gate.next());
    let from = dialled.unwrap().local_addr().unwrap();
    assert_eq!(accepted.unwrap().1, Peer::Tcp(from));
}

#[tokio::test]
async fn a_socket_file_that_another_replaced_is_left_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let first = SocketFile::listen(&path, 0o600).unwrap();
    std::fs::remove_file(&path).unwrap();
    let second = SocketFile::listen(&path, 0o600).unwrap();

    drop(first);

    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_reserved_socket_has_no_file_until_somebody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.sock");
    let reserved = Reservation::take(&Address::Unix(path.clone())).await;
    let reserved = reserved.unwrap();
    assert!(!path.exists());

    let gate = reserved.listen().unwrap();

    tokio::net::UnixStream::connect(&path).await.unwrap();
    let taken = Reservation::take(&Address::Unix(path.clone())).await;
    assert_eq!(taken.unwrap_err().reason(), "address_taken");
    drop(gate);
}

#[tokio::test]
async fn a_socket_that_somebody_listens_on_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let live = unix(&path, 0o600).unwrap();

    assert_eq!(unix(&path, 0o600).unwrap_err().reason(), "address_taken");

    drop(live.accept().await.unwrap());
    assert!(tokio::net::UnixStream::connect(&path).await.is_ok());
}

#[tokio::test]
async fn what_is_no_socket_or_has_no_folder_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "precious").unwrap();

    assert_eq!(unix(&file, 0o600).unwrap_err().reason(), "not_a_socket");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");

    let missing = folder.path().join("missing");
    assert_eq!(
        unix(&missing.join("admin.sock"), 0o600)
            .unwrap_err()
            .to_string(),
        format!(
            "cannot listen in {}: there is no such folder; create it first",
            missing.display()
        )
    );

    let long = folder.path().join("x".repeat(200));
    assert_eq!(unix(&long, 0o600).unwrap_err().reason(), "bind_refused");
}
