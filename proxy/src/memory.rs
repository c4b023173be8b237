//! How near the process is to its ceiling of memory.
//!
//! In: `limits.memory`, what the cgroup allows, what is resident. Out: a [`Pressure`]. Who goes without under it is decided in
//! [`load`](crate::load).
//!
//! What is resident is what the kernel kills by. Socket buffers, which it counts to the same cgroup, are not in it: so the default
//! leaves a quarter of the cgroup to them.

use std::path::{Path, PathBuf};

/// How near it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pressure {
    /// There is room.
    None,
    /// Seven eighths are in use: whoever holds most goes without.
    High,
    /// Fifteen sixteenths are in use: nobody gets more.
    Full,
}

impl Pressure {
    /// Of so many bytes under this ceiling.
    pub(crate) fn of(resident: u64, ceiling: u64) -> Self {
        if resident >= ceiling - ceiling / 16 {
            Self::Full
        } else if resident >= ceiling - ceiling / 8 {
            Self::High
        } else {
            Self::None
        }
    }
}

/// The ceiling: as configured, else three quarters of what the cgroup allows, else none.
pub(crate) fn ceiling(configured: Option<u64>, cgroup: Option<u64>) -> Option<u64> {
    configured.or_else(|| cgroup.map(|allowed| allowed / 4 * 3))
}

/// What is resident now, in bytes; `None` where the kernel does not say.
pub(crate) fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    resident_in(&status)
}

fn resident_in(status: &str) -> Option<u64> {
    let rest = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = rest.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// What the cgroup of this process allows, in bytes; `None` if it is not bounded.
pub(crate) fn of_cgroup() -> Option<u64> {
    let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    bound_of(&own, |path| std::fs::read_to_string(path).ok())
}

/// Version 1 says in bytes that there is no bound.
const NO_BOUND: u64 = 1 << 60;

/// The least bound of a cgroup and of those above it, of whichever version holds memory.
fn bound_of(own: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let lines = own.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            many if many.split(',').any(|one| one == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        Some((root, path, file))
    });
    // In a container the path may be the host's, and what is mounted only its own: the root of that is looked at in any case.
    let places = lines.flat_map(|(root, path, file)| {
        let below = PathBuf::from(path.trim_start_matches('/'));
        let folders: Vec<PathBuf> = below
            .ancestors()
            .map(|it| Path::new(root).join(it))
            .collect();
        folders.into_iter().map(move |folder| folder.join(file))
    });
    let bounds = places.filter_map(|place| read(&place)?.trim().parse::<u64>().ok());
    bounds.filter(|bound| *bound < NO_BOUND).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_rises_before_the_ceiling() {
        for (resident, expected) in [
            (0, Pressure::None),
            (1399, Pressure::None),
            (1400, Pressure::High),
            (1499, Pressure::High),
            (1500, Pressure::Full),
            (9999, Pressure::Full),
        ] {
            assert_eq!(Pressure::of(resident, 1600), expected, "{resident}");
        }
    }

    #[test]
    fn what_is_configured_is_the_ceiling_else_three_quarters_of_the_cgroup() {
        for (configured, cgroup, expected) in [
            (Some(100), Some(400), Some(100)),
            (Some(900), Some(400), Some(900)),
            (None, Some(400), Some(300)),
            (None, None, None),
        ] {
            assert_eq!(ceiling(configured, cgroup), expected);
        }
    }

    fn check(own: &str, files: &[(&str, &str)], expected: Option<u64>) {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(bound_of(own, read), expected, "{own} {files:?}");
    }

    #[test]
    fn the_least_bound_counts_whatever_version_and_however_it_is_mounted() {
        const V2: &str = "0::/system.slice/x.service\n";
        const V1: &str = "9:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/\n";
        check(
            V2,
            &[("/sys/fs/cgroup/system.slice/x.service/memory.max", "4096\n")],
            Some(4096),
        );
        let above = ("/sys/fs/cgroup/system.slice/memory.max", "2048\n");
        check(
            V2,
            &[
                ("/sys/fs/cgroup/system.slice/x.service/memory.max", "max\n"),
                above,
            ],
            Some(2048),
        );
        check(V2, &[("/sys/fs/cgroup/memory.max", "100\n")], Some(100));
        check(V2, &[], None);
        check(
            V1,
            &[("/sys/fs/cgroup/memory/memory.limit_in_bytes", "512\n")],
            Some(512),
        );
        let unbounded = (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "9223372036854771712\n",
        );
        check(V1, &[unbounded], None);
        check("", &[("/sys/fs/cgroup/memory.max", "100\n")], None);
        check("nonsense", &[], None);
    }

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmSize:\t 900 kB\nVmRSS:\t    12 kB\nThreads:\t1\n";
        assert_eq!(resident_in(status), Some(12 * 1024));
        assert_eq!(resident_in("Name:\tx\n"), None);
    }
}
