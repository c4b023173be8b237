//! Strangers who send whatever the machine can, from as many addresses as it has.
//!
//! In: whom to attack and for how long. Out: how often each did it. On kept connections: well-formed tokens that nobody made, and
//! requests without proof. On new ones: one such join each, and garbage in place of TLS. After a quarter of the time others hold what
//! they can beside them: a connection and silence, a first message a byte at a time. They leave little room for new joins.

use super::Failed;
use super::client::{Asking, Trust};
use super::table::Table;
use ca::Token;
use config::TrustDomain;
use identity::Bundle;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How many of each kind do it at a time.
const KEPT: usize = 32;
const NEW: usize = 32;
const GARBAGE: usize = 16;
const SILENT: usize = 2000;
const SLOW: usize = 500;
/// What one does not wait longer for.
const PATIENCE: Duration = Duration::from_secs(12);

/// A number for each kind.
#[derive(Debug, Default)]
struct Done {
    kept: AtomicU64,
    new: AtomicU64,
    garbage: AtomicU64,
    silent: AtomicU64,
    slow: AtomicU64,
    /// Connections that were not made, or cut before they had done what they were for.
    cut: AtomicU64,
}

/// Attacks, and prints what was done.
pub async fn attack(to: SocketAddr, lasts: Duration, bundle: &str) -> Result<(), Failed> {
    let bundle = Bundle::from_pem(TrustDomain::parse(super::DOMAIN)?, bundle.as_bytes())?;
    let (trust, done) = (Trust::new(&bundle)?, Arc::new(Done::default()));
    let (table, began) = (Table::watch(), Instant::now());
    let mut attackers = JoinSet::new();
    for _ in 0..KEPT {
        let (trust, done) = (trust.clone(), Arc::clone(&done));
        attackers.spawn(again(table.clone(), move || {
            kept(trust.clone(), to, Arc::clone(&done))
        }));
    }
    for _ in 0..NEW {
        let (trust, done) = (trust.clone(), Arc::clone(&done));
        attackers.spawn(again(table.clone(), move || {
            new(trust.clone(), to, Arc::clone(&done))
        }));
    }
    for _ in 0..GARBAGE {
        let done = Arc::clone(&done);
        attackers.spawn(again(table.clone(), move || garbage(to, Arc::clone(&done))));
    }
    sleep(lasts / 4).await;
    done.tell("joins and garbage alone", began.elapsed());
    let began = Instant::now();
    for _ in 0..SILENT {
        let done = Arc::clone(&done);
        attackers.spawn(again(table.clone(), move || silent(to, Arc::clone(&done))));
    }
    for _ in 0..SLOW {
        let done = Arc::clone(&done);
        attackers.spawn(again(table.clone(), move || slow(to, Arc::clone(&done))));
    }
    sleep(lasts - lasts / 4).await;
    drop(attackers);
    done.tell("with silence beside them", began.elapsed());
    Ok(())
}

impl Done {
    /// Since it was told last.
    fn tell(&self, when: &str, in_time: Duration) {
        println!("{when}, {:.0} s:", in_time.as_secs_f64());
        let kinds = [
            ("bad joins on kept connections", &self.kept),
            ("bad joins on new connections", &self.new),
            ("garbage in place of TLS", &self.garbage),
            ("connections and silence", &self.silent),
            ("a byte at a time", &self.slow),
            ("cut short", &self.cut),
        ];
        for (kind, number) in kinds {
            let number = number.swap(0, Ordering::Relaxed);
            let per_second = number as f64 / in_time.as_secs_f64();
            println!("  {kind:<30} {number:>9}, {per_second:.0} a second");
        }
    }
}

fn count(number: &AtomicU64) {
    number.fetch_add(1, Ordering::Relaxed);
}

/// Until it is aborted, while the kernel's table has room for it.
async fn again<F: Future<Output = ()>>(mut table: Table, what: impl Fn() -> F) {
    loop {
        table.room().await;
        what().await;
        // Also who is refused at once lets others come.
        tokio::task::yield_now().await;
    }
}

/// Any of this machine's sixteen million.
fn address() -> Ipv4Addr {
    let mut octets = [0; 3];
    // Without randomness all come from one address, which is an attack too.
    let _ = aws_lc_rs::rand::fill(&mut octets);
    let [second, third, fourth] = octets;
    Ipv4Addr::new(127, second, third, fourth.clamp(1, 254))
}

async fn connect(to: SocketAddr) -> Result<TcpStream, Failed> {
    let socket = TcpSocket::new_v4()?;
    // Closed by a reset: the kernel remembers an orderly end for two minutes, and its table of connections is full before the CA is.
    socket.set_zero_linger()?;
    socket.bind((address(), 0).into())?;
    Ok(socket.connect(to).await?)
}

/// As many bad joins as a connection lasts for.
async fn kept(trust: Trust, to: SocketAddr, done: Arc<Done>) {
    let attempt = async {
        let mut connection = trust.connect_from(address(), to).await?;
        let asking = Asking::new()?;
        loop {
            let token = Token::generate()?.to_text();
            let unknown = connection.join(asking.with_token(&token)).await;
            let without_proof = connection.join(asking.without_proof("cst_")).await;
            for answer in [unknown, without_proof] {
                match answer {
                    Err(status) if api::refusal::reason(&status).is_some() => count(&done.kept),
                    other => return Err::<(), Failed>(format!("{other:?}").into()),
                }
            }
        }
    };
    if !matches!(timeout(PATIENCE, attempt).await, Ok(Ok(()))) {
        count(&done.cut);
    }
}

/// One bad join.
async fn new(trust: Trust, to: SocketAddr, done: Arc<Done>) {
    let attempt = async {
        let mut connection = trust.connect_from(address(), to).await?;
        let asking = Asking::new()?;
        let token = Token::generate()?.to_text();
        let answer = connection.join(asking.with_token(&token)).await;
        Ok::<_, Failed>(answer.is_err_and(|status| api::refusal::reason(&status).is_some()))
    };
    match timeout(PATIENCE, attempt).await {
        Ok(Ok(true)) => count(&done.new),
        _ => count(&done.cut),
    }
}

/// What looks like a first message and is none.
async fn garbage(to: SocketAddr, done: Arc<Done>) {
    let attempt = async {
        let mut stream = connect(to).await?;
        let mut bytes = [0; 517];
        aws_lc_rs::rand::fill(&mut bytes)?;
        bytes[..5].copy_from_slice(&[0x16, 3, 1, 2, 0]);
        stream.write_all(&bytes).await?;
        stream.read_to_end(&mut Vec::new()).await?;
        Ok::<_, Failed>(())
    };
    match timeout(PATIENCE, attempt).await {
        Ok(Ok(())) => count(&done.garbage),
        _ => count(&done.cut),
    }
}

/// Nothing, until the other side has enough of it.
async fn silent(to: SocketAddr, done: Arc<Done>) {
    let attempt = async {
        let mut stream = connect(to).await?;
        count(&done.silent);
        stream.read_to_end(&mut Vec::new()).await?;
        Ok::<_, Failed>(())
    };
    if !matches!(timeout(PATIENCE, attempt).await, Ok(Ok(()))) {
        count(&done.cut);
    }
}

/// A first message that never ends.
async fn slow(to: SocketAddr, done: Arc<Done>) {
    let attempt = async {
        let mut stream = connect(to).await?;
        count(&done.slow);
        for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]
            .into_iter()
            .chain([0; 500])
        {
            stream.write_all(&[byte]).await?;
            sleep(Duration::from_millis(100)).await;
        }
        Ok::<_, Failed>(())
    };
    if !matches!(timeout(PATIENCE, attempt).await, Ok(Ok(()))) {
        count(&done.cut);
    }
}
