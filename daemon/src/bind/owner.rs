//! Which process listens on a port, as far as `/proc` tells this user.
//!
//! In: an address. Out: the [`Owner`], or nothing. Reads `/proc/net/tcp*` for the socket's inode and looks for it among the
//! open files of every process; only ever called once a bind has failed.
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

/// The process that has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// What it calls itself.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

/// The state LISTEN in `/proc/net/tcp`.
pub(super) const LISTEN: &str = "0A";

/// The process that listens where this address would.
pub(super) fn of_port(address: SocketAddr) -> Option<Owner> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .find_map(|table| {
            let text = fs::read_to_string(table).ok()?;
            text.lines().skip(1).find_map(|row| listening(row, address))
        })?;
    holder(inode)
}

/// The process that has the socket of this inode open.
pub(super) fn holder(inode: u64) -> Option<Owner> {
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        holds(&process.path(), inode).then(|| Owner {
            name: name(&process.path()),
            pid,
        })
    })
}

/// The inode in a row of the table if that socket is in the address's way.
fn listening(row: &str, address: SocketAddr) -> Option<u64> {
    let mut columns = row.split_whitespace();
    let (host, port) = columns.nth(1)?.split_once(':')?;
    let state = columns.nth(1)?;
    let inode = columns.nth(5)?.parse().ok()?;
    let same_port = u16::from_str_radix(port, 16).ok()? == address.port();
    let taken = host_address(host)?;
    let overlaps = taken.is_unspecified() || address.ip().is_unspecified() || taken == address.ip();
    (state == LISTEN && same_port && overlaps).then_some(inode)
}

/// An address of the table: 32-bit words in hex, each in the machine's byte order.
pub(super) fn host_address(hex: &str) -> Option<IpAddr> {
    let words: Option<Vec<[u8; 4]>> = (0..hex.len() / 8)
        .map(|word| {
            Some(
                u32::from_str_radix(hex.get(8 * word..8 * word + 8)?, 16)
                    .ok()?
                    .to_ne_bytes(),
            )
        })
        .collect();
    let bytes = words?.concat();
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes)
            .ok()
            .map(|bytes| IpAddr::from(bytes).to_canonical()),
        _ => None,
    }
}

/// Whether a process has this socket open; of other users' processes that cannot be seen.
pub(super) fn holds(process: &Path, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(open) = fs::read_dir(process.join("fd")) else {
        return false;
    };
    open.flatten().any(|file| {
        fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str())
    })
}

fn name(process: &Path) -> String {
    // Any process may call itself anything: only what fits a line of ours is repeated.
    let name = fs::read_to_string(process.join("comm")).unwrap_or_default();
    name.trim_end()
        .chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_in_the_way_when_it_listens_on_the_port_and_the_addresses_overlap() {
        #[rustfmt::skip]
        let rows = [
            ("0: 0100007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1", "127.0.0.1:15001", Some(4242)),
            ("0: 00000000:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1", "127.0.0.1:15001", Some(4242)),
            ("0: 0100007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1", "0.0.0.0:15001", Some(4242)),
            ("0: 0200007F:3A99 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1", "127.0.0.1:15001", None),
            ("0: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4242 1", "127.0.0.1:15001", None),
            ("0: 0100007F:3A99 00000000:0000 01 00000000:00000000 00:00000000 00000000 0 0 4242 1", "127.0.0.1:15001", None),
            ("0: 00000000000000000000000001000000:3A99 0:0 0A 0:0 00:0 0 0 0 4242 1", "[::1]:15001", Some(4242)),
            ("0: 0000000000000000FFFF00000100007F:3A99 0:0 0A 0:0 00:0 0 0 0 4242 1", "127.0.0.1:15001", Some(4242)),
            ("garbage", "127.0.0.1:15001", None),
        ];
        for (row, address, inode) in rows {
            assert_eq!(
                address
                    .parse()
                    .ok()
                    .and_then(|address| listening(row, address)),
                inode,
                "{row} {address}"
            );
        }
    }
}
