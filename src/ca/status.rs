//! `countersign ca status`.

use super::socket::SocketOption;
use crate::failure::Failure;
use crate::output::{Columns, Output, OutputOption, after, print, printable};
use api::admin::{Contested, End, Lagging, Status as Stands};
use ca::date;
use clap::Args;

/// Say how the CA stands: what ends when, who does not enforce the newest statement, and whose key two seem to hold.
///
/// It also says who would be the first without a certificate if the CA stopped now. The answer is no (exit code 1) when a root
/// is past half of its life and no other is there to take its place, or when what renews itself did not.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 all is in order, 1 something is overdue, 2 the command line is not fit, 3 the CA cannot be asked.\n\
                  Example: countersign ca status"
)]
pub(crate) struct Status {
    #[command(flatten)]
    output: OutputOption,
    #[command(flatten)]
    socket: SocketOption,
}

impl Status {
    pub(super) fn run(self) -> Result<(), Failure> {
        let socket = self.socket.socket()?;
        let answer = socket.get("/status")?;
        let status = socket.read(Stands::from_json(&answer))?;
        print(&match self.output.output {
            Output::Table => for_people(&status),
            Output::Json => format!("{:#}\n", status.value()),
        })?;
        match overdue(&status).as_slice() {
            [] => Ok(()),
            lines => Err(Failure::No(lines.join("\n"))),
        }
    }
}

/// A line for each thing that an operator has to do something about.
fn overdue(status: &Stands) -> Vec<String> {
    let is_overdue = |end: &&End| end.is_overdue(status.now_unix_s);
    let line = |end: &End| {
        let (what, name) = (printable(&end.what), printable(&end.name));
        match what.as_str() {
            "root" => format!(
                "root {name} is overdue: half of its life is over and no other is there to take its place; \
                 put a new one beside it in every bundle before {}",
                date(end.not_after_unix_s)
            ),
            _ => format!(
                "{what} {name} is overdue: it renews itself at half of its life, and did not; \
                 look at the CA's log before {}",
                date(end.not_after_unix_s)
            ),
        }
    };
    status.ends.iter().filter(is_overdue).map(line).collect()
}

fn for_people(status: &Stands) -> String {
    let mut rows = vec![
        ["trust domain".to_owned(), printable(&status.trust_domain)],
        ["issued".to_owned(), count(status.issued, "certificate")],
        [
            "statement".to_owned(),
            status.statement_sequence.to_string(),
        ],
        [
            "revocations".to_owned(),
            status.revocation_epoch.to_string(),
        ],
    ];
    rows.extend(status.ends.iter().map(|end| ends(end, status.now_unix_s)));
    rows.push(["streams".to_owned(), streams(status)]);
    let lagging = status.lagging_first.iter();
    rows.extend(lagging.map(|one| [String::new(), lags(one)]));
    rows.push(["contested".to_owned(), contests(status)]);
    let contested = status.contested.iter();
    rows.extend(contested.map(|one| [String::new(), contest(one)]));
    rows.push(["without it".to_owned(), first(status)]);
    Columns::default().of(&rows)
}

fn ends(end: &End, now_s: u64) -> [String; 2] {
    let until = date(end.not_after_unix_s);
    let left = after(now_s, end.not_after_unix_s);
    let next = match (end.has_successor, end.is_overdue(now_s)) {
        (true, _) => "",
        (false, true) => ", OVERDUE: nothing takes its place",
        (false, false) => ", nothing takes its place yet",
    };
    let name = printable(&end.name);
    [
        printable(&end.what),
        format!("until {until}, {left}{next} ({name})"),
    ]
}

fn streams(status: &Stands) -> String {
    match (status.streams, status.lagging) {
        (0, _) => "none".to_owned(),
        (streams, 0) => format!("{streams}, all with the newest"),
        (streams, lagging) => {
            format!("{streams}, {lagging} not with the newest statement and revocations:")
        }
    }
}

fn lags(one: &Lagging) -> String {
    let mut text = printable(&one.id);
    if !one.instance.is_empty() {
        text.push_str(&format!(" ({})", printable(&one.instance)));
    }
    match (one.statement_sequence, one.revocation_epoch) {
        (0, 0) => text.push_str(", has not said what it enforces"),
        (sequence, epoch) => text.push_str(&format!(", enforces {sequence} and {epoch}")),
    }
    if !one.unsupported.is_empty() {
        text.push_str(", cannot: ");
        text.push_str(&printable(&one.unsupported.join(" ")));
    }
    text
}

fn contests(status: &Stands) -> String {
    match status.contested.len() as u64 {
        0 => "none".to_owned(),
        certificates => format!(
            "{} whose key two seem to hold:",
            count(certificates, "certificate")
        ),
    }
}

fn contest(one: &Contested) -> String {
    format!(
        "{} of {}: renewed as {}, and refused to another key {}, last at {}",
        printable(&one.serial),
        printable(&one.id),
        printable(&one.successor),
        count(one.attempts, "time"),
        date(one.last_unix_s)
    )
}

/// What it would mean if the CA stopped now.
fn first(status: &Stands) -> String {
    match &status.first_to_end {
        None => "nobody would lose a certificate".to_owned(),
        Some(first) => format!(
            "the first identity ends at {}, {}: {} ({})",
            date(first.not_after_unix_s),
            after(status.now_unix_s, first.not_after_unix_s),
            printable(&first.id),
            printable(&first.serial)
        ),
    }
}

fn count(number: u64, of: &str) -> String {
    match number {
        1 => format!("1 {of}"),
        number => format!("{number} {of}s"),
    }
}
