//! Calls under which something changes, and what shows the change on the wire.

use super::app::HttpApp;
use super::client::Client;
use super::http::{as_h1, get, h1, h2, whole};
use super::sidecar::Sidecar;
use super::{tls, until};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Calls without a pause, by every way, until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    callers: JoinSet<()>,
}

impl Load {
    /// Sixteen HTTP/1.1 connections, sixteen streams on one of HTTP/2, four long TCP connections and one after another.
    pub async fn start(calling: &Sidecar) -> Self {
        let mut load = Load {
            stop: Arc::default(),
            done: Arc::default(),
            callers: JoinSet::new(),
        };
        let (http, db) = (calling.at("http"), calling.at("db"));
        for n in 0..16 {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            let mut sender = h1(http).await;
            load.callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = sender
                        .send_request(as_h1(get(&format!("/h1/{n}"))))
                        .await
                        .unwrap();
                    assert_eq!(whole(answer).await.unwrap().0, 200);
                    sender.ready().await.unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let sender = h2(http).await;
        for n in 0..16 {
            let (stop, done, mut sender) = (
                Arc::clone(&load.stop),
                Arc::clone(&load.done),
                sender.clone(),
            );
            load.callers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = sender.send_request(get(&format!("/h2/{n}"))).await.unwrap();
                    assert_eq!(whole(answer).await.unwrap().0, 200);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for long in [true, true, true, true, false] {
            let (stop, done) = (Arc::clone(&load.stop), Arc::clone(&load.done));
            load.callers.spawn(async move {
                let mut client = Client::connect(db).await;
                while !stop.load(Ordering::Relaxed) {
                    client.send(b"ping").await.unwrap();
                    assert_eq!(client.bytes(4).await.unwrap(), b"ping");
                    done.fetch_add(1, Ordering::Relaxed);
                    if !long {
                        client = Client::connect(db).await;
                    }
                }
            });
        }
        load
    }

    /// Waits until so many more calls were answered.
    pub async fn more(&self, calls: u64) {
        let wanted = self.done.load(Ordering::Relaxed) + calls;
        until("more calls", async || {
            (self.done.load(Ordering::Relaxed) >= wanted).then_some(())
        })
        .await;
    }

    /// Every call was answered rightly: a caller that saw anything else has panicked.
    pub async fn end(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        while let Some(caller) = self.callers.join_next().await {
            caller.unwrap();
        }
        self.done.load(Ordering::Relaxed)
    }
}

/// The leaf that a listener shows now.
pub async fn shown(at: SocketAddr) -> Vec<u8> {
    let name = ServerName::try_from("orders").unwrap();
    let connector = tokio_rustls::TlsConnector::from(tls::client(None, &[]));
    let stream = connector
        .connect(name, TcpStream::connect(at).await.unwrap())
        .await
        .unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

/// The app is told of the caller's new certificate.
pub async fn is_told(app: &HttpApp, before: &str) -> String {
    until("the caller's new certificate at the app", async || {
        let hash = hash(app.seen().last()?.header("x-forwarded-client-cert")?);
        (hash != before).then_some(hash)
    })
    .await
}

/// The caller's certificate as the app is told of it.
pub fn hash(xfcc: &str) -> String {
    let hash = xfcc.split(';').find(|part| part.starts_with("Hash="));
    hash.unwrap_or_default().to_owned()
}
