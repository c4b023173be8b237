//! Who listens on a port beyond loopback, in this network namespace.
//!
//! In: ports. Out: the addresses at which somebody else than this process is reached there from outside. Reads as much of
//! `/proc/net/tcp*` as tells of listeners, which come first there (the kernel's `proc_net_tcp.rst` says so): what it costs does
//! not grow with the connections of the machine.
use super::Owner;
use super::owner::{LISTEN, holder, holds, host_address};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;

/// A socket that others than this machine's processes may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Where it listens.
    pub address: SocketAddr,
    inode: u64,
}

impl Exposed {
    /// The process that listens, when this user may see that. Looks through every process: ask only when there is news.
    pub fn owner(&self) -> Option<Owner> {
        holder(self.inode)
    }
}

/// Everybody else's sockets that listen on one of these ports beyond loopback. An error: this cannot be told here.
pub fn exposed(ports: &[u16]) -> io::Result<Vec<Exposed>> {
    let mut found = listeners(Path::new("/proc/self/net/tcp"), ports)?;
    match listeners(Path::new("/proc/self/net/tcp6"), ports) {
        Ok(more) => found.extend(more),
        // A machine without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    found.retain(|it| !holds(Path::new("/proc/self"), it.inode));
    Ok(found)
}

fn listeners(table: &Path, ports: &[u16]) -> io::Result<Vec<Exposed>> {
    let rows = BufReader::new(File::open(table)?).lines();
    let mut found = Vec::new();
    for row in rows.skip(1) {
        match read(&row?) {
            Some(Row::Listens(it)) if ports.contains(&it.address.port()) => found.push(it),
            Some(Row::Listens(_)) => {}
            Some(Row::Connected) => break,
            None => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    found.retain(|it| !it.address.ip().is_loopback());
    Ok(found)
}

enum Row {
    Listens(Exposed),
    Connected,
}

fn read(row: &str) -> Option<Row> {
    let mut columns = row.split_whitespace();
    let (host, port) = columns.nth(1)?.split_once(':')?;
    if columns.nth(1)? != LISTEN {
        return Some(Row::Connected);
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Row::Listens(Exposed {
        address: SocketAddr::new(host_address(host)?, port),
        inode: columns.nth(5)?.parse().ok()?,
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::io::Write;

    #[test]
    fn what_listens_beyond_loopback_is_found_and_connections_are_not_read() {
        let mut table = tempfile::NamedTempFile::new().unwrap();
        for row in [
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
            "0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1",
            "1: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 2 1",
            "2: 0500000A:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 3 1",
            "3: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4 1",
            "4: 0500000A:1F90 0600000A:1234 01 00000000:00000000 00:00000000 00000000 0 0 5 1",
            "nothing that is a row",
        ] {
            writeln!(table, "{row}").unwrap();
        }

        let found = listeners(table.path(), &[8080]).unwrap();

        let at = |text: &str, inode| Exposed {
            address: text.parse().unwrap(),
            inode,
        };
        assert_eq!(found, [at("0.0.0.0:8080", 2), at("10.0.0.5:8080", 3)]);
        let error = listeners(Path::new("/nonexistent"), &[8080]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn our_own_sockets_are_no_news() {
        let ours = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = ours.local_addr().unwrap().port();
        assert_eq!(exposed(&[port]).unwrap(), []);
    }
}
