#![allow(clippy::unwrap_used, reason = "tests")]
use super::record::tests::EMPTY;
use super::*;
use crate::metrics::SidecarMetrics;
use crate::names::DROPPED_ACCESS_LOG;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc;

fn dropped() -> Dropped {
    SidecarMetrics::new().dropped(DROPPED_ACCESS_LOG)
}

/// Every line of a file, read as JSON.
fn lines(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A target that a test plays: it takes what it has room for.
#[derive(Clone, Default)]
struct Disk {
    held: Arc<Mutex<(Vec<u8>, usize)>>,
}
impl Disk {
    fn with_room(bytes: usize) -> Self {
        let disk = Disk::default();
        disk.held.lock().unwrap().1 = bytes;
        disk
    }
    fn text(&self) -> String {
        String::from_utf8(self.held.lock().unwrap().0.clone()).unwrap()
    }
}
impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut held = self.held.lock().unwrap();
        let taken = bytes.len().min(held.1);
        if taken == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        held.0.extend_from_slice(&bytes[..taken]);
        held.1 -= taken;
        Ok(taken)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn ten_thousand_lines_of_eight_threads_are_all_there_and_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let lost = dropped();
    let log = AccessLog::open(LogTarget::File(path.clone()), lost.clone()).unwrap();

    thread::scope(|scope| {
        for worker in 0..8_u64 {
            let log = log.clone();
            scope.spawn(move || {
                for n in 0..1250 {
                    log.write(&AccessRecord {
                        request_bytes: worker * 1250 + n,
                        path: "/a\"b\n",
                        ..EMPTY
                    });
                }
            });
        }
    });
    drop(log);

    let mut seen: Vec<u64> = lines(&path)
        .iter()
        .map(|line| line["request_bytes"].as_u64().unwrap())
        .collect();
    seen.sort_unstable();
    assert_eq!(lost.count(), 0);
    assert_eq!(seen, (0..10_000).collect::<Vec<_>>());
}

#[test]
fn a_flushed_line_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::open(LogTarget::File(path.clone()), dropped()).unwrap();

    log.write(&EMPTY);
    log.flush();

    assert_eq!(lines(&path).len(), 1);
}

#[test]
fn lines_beyond_the_buffer_are_counted_while_the_target_is_stuck() {
    struct Stuck(mpsc::Receiver<()>);
    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _until_the_test_lets_go = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (let_go, stuck) = mpsc::channel();
    let lost = dropped();
    let log = AccessLog::start(Sink::of(Box::new(Stuck(stuck))), lost.clone()).unwrap();

    let path = "x".repeat(8000);
    for _ in 0..2 * BUFFER_BYTES_MAX / 8000 + 10 {
        log.write(&AccessRecord {
            path: &path,
            ..EMPTY
        });
    }

    assert!(
        lost.count() > 0,
        "twice the buffer was written and nothing lost"
    );
    drop(let_go);
    log.flush();
}

#[test]
fn a_full_disk_tears_no_line_and_counts_what_it_cost() {
    let disk = Disk::with_room(25);
    let mut sink = Sink::of(Box::new(disk.clone()));

    assert_eq!(
        sink.write(b"first line\nsecond line, longer\nthird\n"),
        1,
        "the third is lost, the second waits for its end"
    );
    assert_eq!(sink.write(b"fourth\n"), 1);
    disk.held.lock().unwrap().1 = 1000;
    assert_eq!(sink.write(b"fifth\n"), 0);

    assert_eq!(disk.text(), "first line\nsecond line, longer\nfifth\n");
}

#[cfg(target_os = "linux")]
#[test]
fn a_real_full_device_costs_lines_and_nothing_else() {
    let lost = dropped();
    let log = AccessLog::open(LogTarget::File("/dev/full".into()), lost.clone()).unwrap();
    for _ in 0..100 {
        log.write(&EMPTY);
    }
    log.flush();
    assert_eq!(lost.count(), 100);
}

#[test]
fn a_file_that_was_renamed_is_opened_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (
        folder.path().join("access.log"),
        folder.path().join("access.log.1"),
    );
    let log = AccessLog::open(LogTarget::File(path.clone()), dropped()).unwrap();
    log.write(&AccessRecord {
        path: "/before",
        ..EMPTY
    });
    log.flush();

    fs::rename(&path, &rotated).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !path.exists() && Instant::now() < deadline {
        log.write(&AccessRecord {
            path: "/after",
            ..EMPTY
        });
        log.flush();
    }

    assert_eq!(lines(&rotated)[0]["path"], "/before");
    assert_eq!(lines(&path)[0]["path"], "/after");
}

#[test]
fn a_target_that_cannot_be_opened_is_an_error_at_once() {
    let missing = LogTarget::File("/nonexistent/folder/access.log".into());
    assert_eq!(
        AccessLog::open(missing, dropped()).unwrap_err().kind(),
        io::ErrorKind::NotFound
    );
}
