//! Keeps the memory of a process that holds private keys from other processes of the same user and from the disk.
//!
//! Not covered: root, swap (see `docs/threat-model.md`), and copies that a library made and did not wipe.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// No core dump, no `ptrace` and no `/proc/PID/mem` for other processes of this user. Where the kernel refuses (some
/// sandboxes do), the process goes on as it is and says so: it is less private, not less strict.
pub(crate) fn keep_memory_private() {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let done = setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(error) = done {
        tracing::warn!(%error, "private keys in memory are not kept from core dumps and debuggers");
    }
}

/// The same for a process that starts others, which inherit limits: what the kernel does not dump has no core either.
pub(crate) fn keep_own_memory_private() {
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "private keys in memory are not kept from core dumps and debuggers");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_holds_keys_is_not_dumpable() {
        keep_memory_private();

        assert_eq!(
            rustix::process::dumpable_behavior(),
            Ok(DumpableBehavior::NotDumpable)
        );
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
    }
}
