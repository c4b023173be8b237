//! The kernel's table of connections, which a flood fills before it harms a CA.
//!
//! In: what the kernel says of it. Out: whether new connections have room. When it is full the kernel drops everybody's packets,
//! and nothing is learned of the CA. Where there is no such table there is always room.

use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;

const FOLDER: &str = "/proc/sys/net/netfilter";
/// New connections between two looks are a few thousand.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Whether there is room; looked at again and again.
#[derive(Clone, Debug)]
pub(super) struct Table(watch::Receiver<bool>);

impl Table {
    /// Watches it for as long as somebody asks. Needs a runtime.
    pub(super) fn watch() -> Self {
        let (says, room) = watch::channel(has_room());
        tokio::spawn(async move {
            while !says.is_closed() {
                sleep(LOOK_EVERY).await;
                says.send_replace(has_room());
            }
        });
        Table(room)
    }

    /// Resolves when there is room.
    pub(super) async fn room(&mut self) {
        // It fails only when the runtime ends.
        let _ = self.0.wait_for(|room| *room).await;
    }
}

/// Three quarters of it at most are in use.
fn has_room() -> bool {
    let read = |name| {
        let text = std::fs::read_to_string(Path::new(FOLDER).join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    match (read("nf_conntrack_count"), read("nf_conntrack_max")) {
        (Some(count), Some(max)) => count <= max / 4 * 3,
        _ => true,
    }
}
