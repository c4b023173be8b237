//! A folder of `examples`, as a person tries it: copied into a fresh folder and followed with bash, block by block, without root.
//!
//! The page names fixed ports. Each is replaced in all files by one that is free, so that tests can run beside each other
//! and beside what the machine runs already.

use super::PATIENCE;
use super::page::{Block, Page, is_as_said};
use super::process::{Lines, countersign};
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The user `nobody`: what PostgreSQL and a careful person do not do as root is done as this one.
const NOBODY: u32 = 65534;

/// A copy of a folder of `examples` and a shell in it. All that the shell started ends when it is dropped.
pub struct Example {
    page: Page,
    ports: BTreeMap<u16, u16>,
    shell: Child,
    printed: Lines,
    blocks: usize,
    // Last: removed when everything in it has ended.
    place: TempDir,
}

impl Example {
    /// Copies the files of that folder and opens the shell; nothing is run yet.
    pub fn copy(folder: &str) -> Self {
        let place = TempDir::new().expect("a temporary folder can be made");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let source = examples.join(folder);
        let mut texts = texts(&source);
        let ports = free_ports(&texts);
        for (name, text) in &mut texts {
            *text = renumbered(text, &ports);
            fs::write(place.path().join(name), text).expect("the copy can be written");
        }
        let commands = place.path().join("commands");
        fs::create_dir(&commands).expect("the copy can be written");
        // By another process: a file that this one had open for writing would be "busy" for as long as a child that another
        // test forks meanwhile holds on to it.
        let mut copy = Command::new("cp");
        copy.arg(countersign().get_program()).arg(&commands);
        let copied = copy.status().expect("cp is there");
        assert!(copied.success(), "{copy:?}: {copied}");
        let (shell, printed) = shell(place.path(), &commands);
        Example {
            page: Page::read(&texts["README.md"]),
            ports,
            shell,
            printed,
            blocks: 0,
            place,
        }
    }

    /// Follows the sections of those titles.
    pub fn follow(&mut self, titles: &[&str]) {
        for title in titles {
            for Block { script, prints } in self.page.blocks(title).to_vec() {
                let printed = self.run(&script);
                let said = prints.unwrap_or_default();
                assert!(
                    is_as_said(&said, &printed),
                    "section {title:?} says that\n{script}prints\n{said}and it printed\n{printed}"
                );
            }
        }
    }

    /// Follows the whole page.
    pub fn follow_all(&mut self) {
        let titles: Vec<String> = self.page.sections().map(str::to_owned).collect();
        for title in titles {
            self.follow(&[&title]);
        }
    }

    /// Runs a script in the shell, and returns what it printed, errors included.
    pub fn run(&mut self, script: &str) -> String {
        self.blocks += 1;
        let mark = format!("--- end of block {} ---", self.blocks);
        let before = self.printed.so_far().len();
        let stdin = self.shell.stdin.as_mut().expect("it is piped");
        // What reads standard input must not read the next script.
        write!(stdin, "{{\n{script}\n}} </dev/null\necho '{mark}'\n")
            .expect("the shell still runs");
        self.printed
            .wait_for(&mark, |line| (line == mark).then_some(()));
        let lines = self.printed.so_far();
        let printed = lines[before..].iter().take_while(|line| **line != mark);
        printed.map(|line| format!("{line}\n")).collect()
    }

    /// The folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A file of the folder as it is now; empty when it is not there.
    pub fn text(&self, name: &str) -> String {
        let bytes = fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Lines that hold all of `words`, in a file that is being written: waits until there are `count`.
    pub fn lines_with(&self, name: &str, words: &[&str], count: usize) -> Vec<String> {
        let ends = Instant::now() + PATIENCE;
        loop {
            let text = self.text(name);
            let found = text.split_inclusive('\n').filter(|line| {
                line.ends_with('\n') && words.iter().all(|word| line.contains(word))
            });
            let found: Vec<String> = found.map(str::to_owned).collect();
            if found.len() >= count {
                return found;
            }
            assert!(
                Instant::now() < ends,
                "{name}: wanted {count} lines with {words:?}, and there is only:\n{text}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where the port of the page is now.
    pub fn at(&self, port: u16) -> SocketAddr {
        let free = self.ports.get(&port);
        let free = free.unwrap_or_else(|| panic!("the page names no port {port}"));
        (Ipv4Addr::LOCALHOST, *free).into()
    }

    /// What those who run in the folder have to say.
    fn logs(&self) -> String {
        let mut all = String::new();
        for name in fs::read_dir(self.place.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let name = name.file_name().to_string_lossy().into_owned();
            if name.ends_with(".log") && !name.contains("access") && name != "initdb.log" {
                all += &format!("\n{name}:\n{}", self.text(&name));
            }
        }
        all
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("{}", self.logs());
        }
        let Some(group) = Pid::from_raw(self.shell.id().cast_signed()) else {
            return;
        };
        // Everything that it started is in its group. What waits for clients that are gone is not waited for.
        for signal in [Signal::TERM, Signal::KILL] {
            let _ = kill_process_group(group, signal);
            if self.printed.ended_within(Duration::from_secs(3)) {
                break;
            }
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

fn texts(source: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(source).expect("the example is there");
    let files = entries.map(|entry| entry.expect("the example can be read").path());
    files
        .filter(|path| !path.ends_with(".gitignore"))
        .map(|path| {
            let name = path.file_name().expect("a file has a name");
            let text = fs::read_to_string(&path).expect("it is text");
            (name.to_string_lossy().into_owned(), text)
        })
        .collect()
}

/// Words of four or five digits are ports: nothing else in those files looks so.
fn numbers(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let bytes = text.as_bytes();
    let word = move |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphanumeric);
    let starts = (0..bytes.len()).filter(move |&at| word(at) && (at == 0 || !word(at - 1)));
    starts
        .map(move |at| {
            let end = (at..).find(|&end| !word(end)).unwrap_or(at);
            (at, &text[at..end])
        })
        .filter(|(_, word)| matches!(word.len(), 4 | 5) && word.bytes().all(|b| b.is_ascii_digit()))
}

fn free_ports(texts: &BTreeMap<String, String>) -> BTreeMap<u16, u16> {
    let named = texts.values().flat_map(|text| numbers(text));
    let mut ports: BTreeMap<u16, u16> = named
        .map(|(_, number)| (number.parse().expect("a port"), 0))
        .collect();
    for free in ports.values_mut() {
        *free = free_port();
    }
    ports
}

/// Below those that the kernel gives out by itself, so that nobody who asks for port 0 gets it before it is used.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 100).expect("it is small") * 120;
    loop {
        let port = 20_000 + (own + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn renumbered(text: &str, ports: &BTreeMap<u16, u16>) -> String {
    let (mut renumbered, mut copied) = (String::new(), 0);
    for (at, number) in numbers(text) {
        renumbered += &text[copied..at];
        renumbered += &ports[&number.parse().expect("a port")].to_string();
        copied = at + number.len();
    }
    renumbered + &text[copied..]
}

fn shell(place: &Path, commands: &Path) -> (Child, Lines) {
    let mut command = if rustix::process::geteuid().is_root() {
        let entries = [place.to_owned(), commands.to_owned()];
        let files = fs::read_dir(place).expect("it was just written");
        for path in files.flatten().map(|file| file.path()).chain(entries) {
            chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "bash"]);
        command
    } else {
        Command::new("bash")
    };
    fs::set_permissions(place, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let path = std::env::var("PATH").unwrap_or_default();
    let mut shell = command
        .current_dir(place)
        .env("PATH", format!("{}:{path}", commands.display()))
        .env("HOME", place)
        .env("LC_ALL", "C.UTF-8")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let stdin = shell.stdin.as_mut().expect("it is piped");
    writeln!(stdin, "exec 2>&1").expect("the shell runs");
    let printed = Lines::read(
        "the shell".into(),
        shell.stdout.take().expect("it is piped"),
    );
    (shell, printed)
}
