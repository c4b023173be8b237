//! The command's own log: lines on standard error, as text or JSON, filtered by `COUNTERSIGN_LOG`.
//!
//! 1. Colour only on a terminal, and not with `NO_COLOR`.
//! 2. A crate of ours is named as in the source: `proxy=debug` means `countersign_proxy`.

use crate::failure::Failure;
use crate::output;
use std::str::FromStr;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// The environment variable that filters the log.
const VARIABLE: &str = "COUNTERSIGN_LOG";

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line, for collectors.
    Json,
}

/// Starts the log of this process. `default` is the level when `COUNTERSIGN_LOG` is not set.
pub(crate) fn start(format: LogFormat, default: LevelFilter) -> Result<(), Failure> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => filter(&text)?,
        _ => Targets::new().with_default(default),
    };
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(output::colour(&std::io::stderr()));
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start in one process (tests of verbs) keeps the first log.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
    Ok(())
}

/// Reads directives such as `info,proxy=debug`.
fn filter(text: &str) -> Result<Targets, Failure> {
    let refused = |why: &dyn std::fmt::Display| {
        Failure::Unfit(format!(
            "{VARIABLE}={text}: {why}; write levels such as `info,proxy=debug`"
        ))
    };
    let targets = Targets::from_str(text).map_err(|e| refused(&e))?;
    // `Targets` takes a word that is no level for the name of a target: a misspelt level would open that target to all.
    let words = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty() && !word.contains('='));
    if let Some(word) = words
        .into_iter()
        .find(|word| LevelFilter::from_str(word).is_err())
    {
        return Err(refused(&format_args!(
            "`{word}` is not one of off, error, warn, info, debug, trace"
        )));
    }
    let ours = targets
        .iter()
        .map(|(target, level)| (format!("countersign_{target}"), level))
        .collect::<Vec<_>>();
    Ok(targets.with_targets(ours))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used, reason = "tests")]
    use super::*;
    use tracing::Level;

    #[test]
    fn a_crate_is_named_as_in_the_source() {
        let filter = filter("info,proxy=debug,hyper=off").expect("a filter");

        for (target, level, expected) in [
            ("countersign_proxy", Level::DEBUG, true),
            ("countersign_proxy::dial", Level::DEBUG, true),
            ("countersign_proxy", Level::TRACE, false),
            ("countersign_ca", Level::DEBUG, false),
            ("countersign_ca", Level::INFO, true),
            ("hyper::client", Level::ERROR, false),
        ] {
            assert_eq!(
                filter.would_enable(target, &level),
                expected,
                "{target} {level}"
            );
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_with_what_to_write() {
        for text in ["infoo", "proxy=loud", "info,=debug=x"] {
            let refused = filter(text).map(|_| ());
            let Err(Failure::Unfit(line)) = refused else {
                unreachable!("{text} was taken")
            };
            assert!(
                line.starts_with(&format!("COUNTERSIGN_LOG={text}: ")),
                "{line}"
            );
            assert!(
                line.ends_with("; write levels such as `info,proxy=debug`"),
                "{line}"
            );
        }
    }
}
