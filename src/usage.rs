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
    (
        "countersign",
        &["run", "status", "tap", "top", "drain", "doctor"],
    ),
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
    let one = |kind| {
        error
            .get(kind)
            .map(words)
            .and_then(|words| words.into_iter().next())
            .unwrap_or_default()
    };
    let meant = |kind| match error.get(kind).map(words).unwrap_or_default().as_slice() {
        [] => String::new(),
        words => format!("did you mean `{}`? ", words.join("` or `")),
    };
    Failure::Unfit(match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let word = one(ContextKind::InvalidSubcommand);
            if NOT_YET
                .iter()
                .any(|(above, verbs)| *above == verb && verbs.contains(&word.as_str()))
            {
                format!("{verb} {word}: not supported yet; `{verb} --help` lists what is")
            } else {
                format!(
                    "{verb} {word}: no such verb; {}`{verb} --help` lists them",
                    meant(ContextKind::SuggestedSubcommand)
                )
            }
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            format!("{verb}: a verb is missing; `{verb} --help` lists them")
        }
        ErrorKind::UnknownArgument => {
            let argument = one(ContextKind::InvalidArg);
            format!(
                "{verb} {argument}: no such argument; {}{help}",
                meant(ContextKind::SuggestedArg)
            )
        }
        ErrorKind::MissingRequiredArgument => {
            let missing = error
                .get(ContextKind::InvalidArg)
                .map(words)
                .unwrap_or_default();
            format!("{verb}: `{}` is missing; {help}", missing.join("` and `"))
        }
        ErrorKind::InvalidValue => {
            let (argument, value) = (one(ContextKind::InvalidArg), one(ContextKind::InvalidValue));
            let wanted = error
                .get(ContextKind::ValidValue)
                .map(words)
                .unwrap_or_default();
            let why = if value.is_empty() {
                "a value is missing".to_owned()
            } else {
                format!("`{value}` is not taken")
            };
            let wanted = if wanted.is_empty() {
                String::new()
            } else {
                format!("; one of {} is wanted", wanted.join(", "))
            };
            format!(
                "{verb} {argument}: {why}{wanted}; {}{help}",
                meant(ContextKind::SuggestedValue)
            )
        }
        ErrorKind::ValueValidation => {
            let (argument, value) = (one(ContextKind::InvalidArg), one(ContextKind::InvalidValue));
            let why = error
                .source()
                .map_or("cannot be read".to_owned(), ToString::to_string);
            format!("{verb} {argument}: `{value}`: {why}; {help}")
        }
        _ => {
            // The rest are few and rare (a flag given twice, arguments that exclude each other): clap's own first line.
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            format!(
                "{verb}: {}; {help}",
                line.strip_prefix("error: ").unwrap_or(line)
            )
        }
    })
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
