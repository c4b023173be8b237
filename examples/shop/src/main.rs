//! `shop storefront|orders|ledger`: one service of the shop as a process.

use countersign_shop::{Ledger, Orders, Running, Storefront};
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

const USAGE: &str = "usage: shop ledger LISTEN | shop orders LISTEN LEDGER | shop storefront LISTEN OUTBOUND\n\
                     LISTEN is an address such as 127.0.0.1:8080; LEDGER and OUTBOUND are HOST:PORT";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(started) = start(&args).await else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match started {
        Ok(running) => {
            println!("{} listens on {}", args[0], running.addr());
            // Runs until a signal; whoever starts it decides which.
            std::future::pending().await
        }
        Err(e) => {
            eprintln!("cannot listen on {}: {e}; choose a free address", args[1]);
            ExitCode::from(2)
        }
    }
}

async fn start(args: &[String]) -> Option<io::Result<Running>> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let listen: SocketAddr = args.get(1)?.parse().ok()?;
    match args.as_slice() {
        ["ledger", _] => Some(Ledger::start(listen).await),
        ["orders", _, ledger] => Some(Orders::start(listen, *ledger).await),
        ["storefront", _, outbound] => Some(Storefront::start(listen, *outbound).await),
        _ => None,
    }
}
