//! `countersign ca list` and `countersign ca show`.

use super::socket::{Socket, SocketOption};
use crate::failure::Failure;
use crate::output::{Columns, Output, OutputOption, after, print, printable};
use api::admin::{ListCall, ListPage, Listed, ShowCall};
use ca::{Serial, date};
use clap::Args;
use config::SpiffeId;
use std::time::{SystemTime, UNIX_EPOCH};

/// Pages of a list, each of [`api::admin::LIST_MAX`]: five million certificates. What goes on then is no list.
const PAGES_MAX: usize = 10_000;

/// List the certificates that have not ended, the soonest to end first.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 listed, 1 refused, 2 the command line is not fit, 3 the CA cannot be asked.\n\
                  Example: countersign ca list --id spiffe://shop.example/orders"
)]
pub(crate) struct List {
    /// Only those of this identity
    #[arg(long, value_name = "SPIFFE_ID", value_parser = spiffe_id)]
    id: Option<SpiffeId>,
    #[command(flatten)]
    output: OutputOption,
    #[command(flatten)]
    socket: SocketOption,
}

/// Show one certificate of the record, ended or not.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 shown, 1 there is none, 2 the command line is not fit, 3 the CA cannot be asked.\n\
                  Example: countersign ca show 51350299126b104062f727bcb2d357b167d7a509"
)]
pub(crate) struct Show {
    /// Its serial in hexadecimal, as `ca list` or openssl prints it
    #[arg(value_name = "SERIAL", value_parser = serial)]
    serial: Serial,
    #[command(flatten)]
    output: OutputOption,
    #[command(flatten)]
    socket: SocketOption,
}

/// What stands above the columns of a list.
const HEAD: [&str; 7] = [
    "serial", "ends", "left", "ground", "state", "identity", "instance",
];

fn spiffe_id(text: &str) -> Result<SpiffeId, String> {
    SpiffeId::parse(text).map_err(|error| error.why)
}

/// As `ca list` prints it, or as openssl does.
fn serial(text: &str) -> Result<Serial, String> {
    let plain = text.replace(':', "").to_ascii_lowercase();
    Serial::from_hex(&plain)
        .ok_or_else(|| "40 hexadecimal digits of a serial are wanted".to_owned())
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        let socket = self.socket.socket()?;
        let mut call = ListCall {
            id: self.id.map(|id| id.to_string()),
            after: None,
        };
        let mut printed = Printed::begin(self.output.output);
        for _ in 0..PAGES_MAX {
            let ListPage { listed, next } = page(&socket, &call)?;
            if next.is_some() && (listed.is_empty() || next == call.after) {
                return Err(socket.unusable("its list goes on without certificates"));
            }
            printed.page(&listed)?;
            if next.is_none() {
                return printed.end();
            }
            call.after = next;
        }
        Err(socket.unusable("its list does not end"))
    }
}

fn page(socket: &Socket, call: &ListCall) -> Result<ListPage, Failure> {
    let answer = socket.get(&call.to_target())?;
    socket.read(ListPage::from_json(&answer))
}

/// A list that is printed as it comes.
struct Printed {
    output: Output,
    now_s: u64,
    /// How many have been printed.
    count: usize,
    columns: Columns<7>,
}

impl Printed {
    fn begin(output: Output) -> Self {
        Printed {
            output,
            now_s: now_s(),
            count: 0,
            columns: Columns::default(),
        }
    }

    fn page(&mut self, listed: &[Listed]) -> Result<(), Failure> {
        let text = match self.output {
            Output::Table => self.table(listed),
            Output::Json => self.json(listed),
        };
        self.count += listed.len();
        print(&text)
    }

    fn table(&mut self, listed: &[Listed]) -> String {
        let row = |one: &Listed| {
            [
                printable(&one.serial),
                date(one.not_after_unix_s),
                left(one, self.now_s),
                printable(&one.ground),
                state(one).to_owned(),
                printable(&one.id),
                or_none(&one.instance),
            ]
        };
        let mut rows: Vec<_> = listed.iter().map(row).collect();
        if self.count == 0 {
            rows.insert(0, HEAD.map(str::to_owned));
        }
        self.columns.of(&rows)
    }

    fn json(&self, listed: &[Listed]) -> String {
        let mut text = String::new();
        for (at, one) in listed.iter().enumerate() {
            text.push_str(match self.count + at {
                0 => "[\n  ",
                _ => ",\n  ",
            });
            text.push_str(&one.to_json());
        }
        text
    }

    fn end(self) -> Result<(), Failure> {
        match (self.output, self.count) {
            (Output::Table, _) => Ok(()),
            (Output::Json, 0) => print("[]\n"),
            (Output::Json, _) => print("\n]\n"),
        }
    }
}

impl Show {
    pub(super) fn run(self) -> Result<(), Failure> {
        let socket = self.socket.socket()?;
        let call = ShowCall {
            serial: self.serial.to_string(),
        };
        let answer = socket.get(&call.to_target())?;
        let shown = socket.read(Listed::from_json(&answer))?;
        print(&match self.output.output {
            Output::Table => for_people(&shown, now_s()),
            Output::Json => format!("{:#}\n", shown.value()),
        })
    }
}

fn for_people(shown: &Listed, now_s: u64) -> String {
    let ground = match shown.uid {
        Some(uid) => format!("{}, uid {uid}", printable(&shown.ground)),
        None => printable(&shown.ground),
    };
    let parent = shown.parent.as_deref().unwrap_or_default();
    let ends = format!("{}, {}", date(shown.not_after_unix_s), left(shown, now_s));
    Columns::default().of(&[
        ("serial", printable(&shown.serial)),
        ("identity", printable(&shown.id)),
        ("instance", or_none(&shown.instance)),
        ("issued", date(shown.issued_unix_s)),
        ("ends", ends),
        ("ground", ground),
        ("renews", or_none(parent)),
        ("state", state(shown).to_owned()),
        ("index", shown.index.to_string()),
    ]
    .map(|(name, value)| [name.to_owned(), value]))
}

fn or_none(text: &str) -> String {
    match text {
        "" => "-".to_owned(),
        text => printable(text),
    }
}

fn state(listed: &Listed) -> &'static str {
    match listed.replaced {
        true => "replaced",
        false => "in use",
    }
}

fn left(listed: &Listed, now_s: u64) -> String {
    after(now_s, listed.not_after_unix_s)
}

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
