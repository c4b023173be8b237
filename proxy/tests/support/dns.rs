//! A server of the DNS whose answers a test writes: real messages over UDP (RFC 1035 §4).
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses its part; a panic is the report"
)]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::net::UdpSocket;

const A: u16 = 1;
const AAAA: u16 = 28;
const SRV: u16 = 33;

/// The address at which this machine is reached from elsewhere: a name may lead there. Nothing is sent.
pub(crate) fn here() -> IpAddr {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("198.51.100.1:9").unwrap();
    let ip = socket.local_addr().unwrap().ip();
    assert!(!ip.is_loopback(), "this machine has no network");
    ip
}

/// What is published under a name.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    Ip(IpAddr),
    /// Priority, port and host.
    Srv(u16, u16, String),
    /// Priority, weight, port and host.
    Weighed(u16, u16, u16, String),
}

/// What the server does with a question.
#[derive(Clone, Debug)]
enum Zone {
    Answers {
        ttl_s: u32,
        records: Vec<Record>,
    },
    /// It swallows the question.
    Silent,
    /// It says that it cannot say (SERVFAIL).
    Fails,
}

/// A running server.
pub(crate) struct Dns {
    pub(crate) at: SocketAddr,
    zones: Arc<Mutex<HashMap<String, Zone>>>,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Dns {
    /// A server that knows nothing yet.
    pub(crate) async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = socket.local_addr().unwrap();
        let zones: Arc<Mutex<HashMap<String, Zone>>> = Arc::default();
        let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let (known, counted) = (zones.clone(), asked.clone());
        let serving = tokio::spawn(async move {
            let mut message = [0; 512];
            loop {
                let (length, from) = socket.recv_from(&mut message).await.unwrap();
                let (name, kind) = question(&message[..length]);
                *counted.lock().unwrap().entry(name.clone()).or_default() += 1;
                let zone = known.lock().unwrap().get(&name).cloned();
                if let Some(answer) = answer(&message[..length], kind, zone) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        Self {
            at,
            zones,
            asked,
            serving,
        }
    }
    /// The key that makes a sidecar ask it.
    pub(crate) fn key(&self) -> String {
        format!("dns: {{ servers: [\"{}\"] }}\n", self.at)
    }
    fn set(&self, name: &str, zone: Zone) {
        self.zones.lock().unwrap().insert(name.to_owned(), zone);
    }
    /// From now on the name stands for these.
    pub(crate) fn publish(&self, name: &str, ttl_s: u32, records: &[Record]) {
        let records = records.to_vec();
        self.set(name, Zone::Answers { ttl_s, records });
    }
    /// From now on the name stands for these addresses.
    pub(crate) fn addresses(&self, name: &str, ttl_s: u32, ips: &[IpAddr]) {
        let records: Vec<Record> = ips.iter().map(|ip| Record::Ip(*ip)).collect();
        self.publish(name, ttl_s, &records);
    }
    /// From now on questions for the name are not answered.
    pub(crate) fn silence(&self, name: &str) {
        self.set(name, Zone::Silent);
    }
    /// From now on it cannot say.
    pub(crate) fn fail(&self, name: &str) {
        self.set(name, Zone::Fails);
    }
    /// From now on there is no such name.
    pub(crate) fn forget(&self, name: &str) {
        self.zones.lock().unwrap().remove(name);
    }
    /// How many questions came for the name.
    pub(crate) fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or(0)
    }
}

/// The name, in lower case and without its last dot, and the type that is asked for.
fn question(message: &[u8]) -> (String, u16) {
    let mut labels = Vec::new();
    let mut at = 12;
    while message[at] != 0 {
        let length = usize::from(message[at]);
        labels.push(String::from_utf8(message[at + 1..=at + length].to_vec()).unwrap());
        at += 1 + length;
    }
    let kind = u16::from_be_bytes([message[at + 1], message[at + 2]]);
    (labels.join(".").to_ascii_lowercase(), kind)
}

fn answer(query: &[u8], kind: u16, zone: Option<Zone>) -> Option<Vec<u8>> {
    let (rcode, ttl_s, records) = match zone {
        Some(Zone::Silent) => return None,
        Some(Zone::Fails) => (2, 0, Vec::new()),
        None => (3, 0, Vec::new()),
        Some(Zone::Answers { ttl_s, records }) => (0, ttl_s, records),
    };
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let data: Vec<Vec<u8>> = records.iter().filter_map(|it| encode(it, kind)).collect();
    let mut message = query[..2].to_vec();
    // A response with recursion; one question, the answers, nothing else.
    message.extend([
        0x81,
        0x80 | rcode,
        0,
        1,
        0,
        u8::try_from(data.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    message.extend(&query[12..end]);
    for data in data {
        // The name is the question's.
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message.extend(ttl_s.to_be_bytes());
        message.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        message.extend(data);
    }
    Some(message)
}

fn encode(record: &Record, kind: u16) -> Option<Vec<u8>> {
    match (record, kind) {
        (Record::Ip(IpAddr::V4(ip)), A) => Some(ip.octets().to_vec()),
        (Record::Ip(IpAddr::V6(ip)), AAAA) => Some(ip.octets().to_vec()),
        (Record::Srv(priority, port, host), SRV) => {
            let weighed = Record::Weighed(*priority, 0, *port, host.clone());
            encode(&weighed, kind)
        }
        (Record::Weighed(priority, weight, port, host), SRV) => {
            let mut data = Vec::new();
            for number in [priority, weight, port] {
                data.extend(number.to_be_bytes());
            }
            for label in host.split('.').filter(|label| !label.is_empty()) {
                data.push(u8::try_from(label.len()).unwrap());
                data.extend(label.as_bytes());
            }
            data.push(0);
            Some(data)
        }
        _ => None,
    }
}
