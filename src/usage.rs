//! Turns what clap finds wrong with a command line into one line `what: why; what to do`, did-you-mean kept.
//!
//! `--help` and `--version` stay clap's. Verbs of the contract that this version does not have are told apart from
//! words that are no verbs at all.

use crate::failure::Failure;
use clap::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use std::error::Error;
use std::ffi::OsString;

/// Verbs of the contract that are not built yet, by the verb they stand below.
const NOT_YET: &[(&str, &[&str])] = &[
    ("countersign", &["tap", "top", "doctor"]),
    (
        "countersign ca",
        &[
            "revoke", "unrevoke", "explain", "rehearse", "backup", "restore", "clock", "rotate",
            "issuer", "log", "audit",
        ],
    ),
    ("countersign ca bundle", &["add", "remove"]),
    ("countersign svid", &["fetch"]),
    (
        "countersign policy",
        &["test", "diff", "replay", "suggest", "report"],
    ),
];

/// The one line for a mistake on the command line. `args` are those of the process, its name first.
pub(crate) fn mistake(error: &clap::Error, command: &Command, args: &[OsString]) -> Failure {
    let verb = verb(command, args);
    let help = format!("`{verb} --help` shows how");
    let argument = first(error, ContextKind::InvalidArg);
    Failure::Unfit(match error.kind() {
        ErrorKind::InvalidSubcommand => no_verb(error, &verb),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            format!("{verb}: a verb is missing; `{verb} --help` lists them")
        }
        ErrorKind::UnknownArgument => {
            let meant = meant(error, ContextKind::SuggestedArg);
            format!("{verb} {argument}: no such argument; {meant}{help}")
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = all(error, ContextKind::InvalidArg).join("` and `");
            format!("{verb}: `{missing}` is missing; {help}")
        }
        ErrorKind::InvalidValue => {
            let why = wrong_value(error);
            let meant = meant(error, ContextKind::SuggestedValue);
            format!("{verb} {argument}: {why}; {meant}{help}")
        }
        ErrorKind::ValueValidation => {
            let value = first(error, ContextKind::InvalidValue);
            let why = error
                .source()
                .map_or("cannot be read".to_owned(), ToString::to_string);
            format!("{verb} {argument}: `{value}`: {why}; {help}")
        }
        _ => {
            // The rest are few and rare (a flag given twice, arguments that exclude each other): clap's own first line.
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            let line = line.strip_prefix("error: ").unwrap_or(line);
            format!("{verb}: {line}; {help}")
        }
    })
}

fn no_verb(error: &clap::Error, verb: &str) -> String {
    let word = first(error, ContextKind::InvalidSubcommand);
    let mut not_yet = NOT_YET.iter();
    if not_yet.any(|(above, verbs)| *above == verb && verbs.contains(&word.as_str())) {
        return format!("{verb} {word}: not supported yet; `{verb} --help` lists what is");
    }
    let meant = meant(error, ContextKind::SuggestedSubcommand);
    format!("{verb} {word}: no such verb; {meant}`{verb} --help` lists them")
}

fn wrong_value(error: &clap::Error) -> String {
    let why = match first(error, ContextKind::InvalidValue).as_str() {
        "" => "a value is missing".to_owned(),
        value => format!("`{value}` is not taken"),
    };
    match all(error, ContextKind::ValidValue).as_slice() {
        [] => why,
        wanted => format!("{why}; one of {} is wanted", wanted.join(", ")),
    }
}

fn meant(error: &clap::Error, kind: ContextKind) -> String {
    match all(error, kind).as_slice() {
        [] => String::new(),
        words => format!("did you mean `{}`? ", words.join("` or `")),
    }
}

/// What clap says of a mistake, under one of its headings.
fn all(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    error.get(kind).map(words).unwrap_or_default()
}

fn first(error: &clap::Error, kind: ContextKind) -> String {
    all(error, kind).into_iter().next().unwrap_or_default()
}

/// The verb that the command line reached, such as `countersign ca`.
fn verb(command: &Command, args: &[OsString]) -> String {
    let (mut at, mut path) = (command, command.get_name().to_owned());
    for word in args.iter().skip(1).filter_map(|arg| arg.to_str()) {
        if let Some(below) = at.find_subcommand(word) {
            at = below;
            path = format!("{path} {word}");
        }
    }
    path
}

fn words(value: &ContextValue) -> Vec<String> {
    match value {
        ContextValue::String(word) => vec![word.clone()],
        ContextValue::Strings(words) => words.clone(),
        _ => Vec::new(),
    }
}
