//! A CA whose disk is full: it refuses with its reason, writes nothing by halves, and goes on by itself when there is room.

use crate::killed::whole_record;
use crate::support::ca::{Ca, Home};
use crate::support::client::ask;
use crate::support::workload::{self, Member, reason};
use identity::Key;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tonic::{Code, Status};

/// A file system of 2 MiB, gone when dropped.
struct Small(TempDir);

impl Small {
    fn mount() -> Self {
        let place = TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(place.path())
            .status();
        assert!(mounted.unwrap().success(), "mount failed: this needs root");
        Small(place)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        assert!(unmounted.unwrap().success());
    }
}

/// Joins with this key, and its place in the record.
async fn join(home: &Home, ca: &Ca, token: &str, key: &Key) -> Result<(u64, Member), Status> {
    let mut stranger = home.trust.stranger(ca.at("ca")).await.unwrap();
    let reply = stranger
        .join(workload::join(token, key))
        .await?
        .into_inner();
    Ok((reply.log_index, home.trust.believed(reply, key)))
}

async fn renew(home: &Home, ca: &Ca, who: &Member, key: &Key) -> Result<u64, Status> {
    let mut member = home.trust.member(who, ca.at("ca")).await.unwrap();
    let reply = member.renew(workload::renewal(key)).await?;
    Ok(reply.into_inner().log_index)
}

/// Key after key from this place on, until one is refused: the place that it would have had, and the key.
async fn join_until_full(home: &Home, ca: &Ca, token: &str, from: u64) -> (u64, Key) {
    for place in from..20_000 {
        let key = Key::generate().unwrap();
        match join(home, ca, token, &key).await {
            Ok((index, _)) => assert_eq!(index, place),
            Err(refused) => {
                check_full(&refused);
                return (place, key);
            }
        }
    }
    panic!("2 MiB are never full");
}

fn check_full(refused: &Status) {
    let told = (refused.code(), reason(refused), refused.message());
    let line =
        "nothing was recorded: the ca's disk is full; make room on it, and it goes on by itself";
    assert_eq!(told, (Code::Unavailable, "store_disk_full", line));
}

#[tokio::test]
#[ignore = "needs root and tmpfs: .ci/run runs it"]
async fn on_a_full_disk_a_ca_refuses_with_its_reason_and_with_room_it_goes_on_by_itself() {
    let disk = Small::mount();
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 768 * 1024]).unwrap();
    let home = Home::in_folder(disk.path());
    home.configure("limits: { perIdentity: 1000000/s, perSource: 1000000/s }\n");
    let token = home.token("/orders", 100_000).await;
    let mut ca = home.serve();
    let (first, next) = (Key::generate().unwrap(), Key::generate().unwrap());
    let (_, who) = join(&home, &ca, &token, &first).await.unwrap();

    let (full, refused) = join_until_full(&home, &ca, &token, 1).await;

    // For all alike, as long as it lasts, and none of it is kept; a restart on the full disk changes nothing.
    assert!(full > 10, "only {full} before the disk was full");
    check_full(&join(&home, &ca, &token, &refused).await.unwrap_err());
    check_full(&renew(&home, &ca, &who, &next).await.unwrap_err());
    let metrics = ask(ca.at("metrics"), "GET", "ca", "/metrics").await.text();
    let counted =
        "countersign_ca_issued_total{attestor=\"current_svid\",result=\"store_disk_full\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
    ca.process.kill();
    assert_eq!(whole_record(&home.store()).await.len() as u64, full);
    let ca = home.serve();
    check_full(&join(&home, &ca, &token, &refused).await.unwrap_err());

    fs::remove_file(&ballast).unwrap();

    // The same process, the same keys: nothing was spent.
    assert_eq!(renew(&home, &ca, &who, &next).await.unwrap(), full);
    let (index, _) = join(&home, &ca, &token, &refused).await.unwrap();
    assert_eq!(index, full + 1);
    let (full_again, _) = join_until_full(&home, &ca, &token, full + 2).await;
    assert!(
        full_again > full + 10,
        "only {full_again} after room was made"
    );
    assert_eq!(ca.process.terminate().code(), Some(0));
    assert_eq!(whole_record(&home.store()).await.len() as u64, full_again);
    println!("{full} recorded before the disk was full, {full_again} after room was made");
}
