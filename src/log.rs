//! The command's own log: lines on standard error, as text or JSON, filtered by `COUNTERSIGN_LOG`.
//!
//! 1. Colour only on a terminal, and not with `NO_COLOR`.
//! 2. A crate of ours is named as in the source: `proxy=debug` means `countersign_proxy`.
//! 3. A process has one log, and who serves may be asked to filter it otherwise: [`Filter`].

use crate::failure::Failure;
use crate::output;
use std::str::FromStr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

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
    let (targets, text) = match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => {
            let refused = |why| Failure::Unfit(format!("{VARIABLE}={text}: {why}"));
            (filter(&text).map_err(refused)?, text.trim().to_owned())
        }
        _ => (
            Targets::new().with_default(default),
            default.to_string().to_lowercase(),
        ),
    };
    let (targets, handle) = reload::Layer::new(targets);
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(output::colour(&std::io::stderr()));
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second start in one process (tests of verbs) keeps the first log.
    let started = tracing_subscriber::registry()
        .with(lines.with_filter(targets))
        .try_init();
    if started.is_ok() {
        let text = Mutex::new(text);
        let _first = FILTER.set(Arc::new(Filter { text, handle }));
    }
    Ok(())
}

/// What filters the log of this process: there is one log, so there is one of this.
static FILTER: OnceLock<Arc<Filter>> = OnceLock::new();

/// What filters the log of this process, once it has started.
struct Filter {
    text: Mutex<String>,
    handle: reload::Handle<Targets, Registry>,
}

/// The filter of this process's log.
pub(crate) fn filter_in_force() -> Option<Arc<dyn ::proxy::LogFilter>> {
    let filter = FILTER.get()?.clone();
    Some(filter)
}

impl ::proxy::LogFilter for Filter {
    fn text(&self) -> String {
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.clone()
    }
    fn set(&self, text: &str) -> Result<(), String> {
        let targets = filter(text)?;
        // Held until it is done, so that what is told is what is in force.
        let mut held = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let reloaded = self.handle.reload(targets);
        reloaded.map_err(|error| format!("not set: {error}; restart to filter otherwise"))?;
        text.clone_into(&mut held);
        Ok(())
    }
}

/// Reads directives such as `info,proxy=debug`; the error says what is wrong and what to write.
fn filter(text: &str) -> Result<Targets, String> {
    let refused =
        |why: &dyn std::fmt::Display| format!("{why}; write levels such as `info,proxy=debug`");
    if text.trim().is_empty() {
        return Err(refused(&"there is no filter"));
    }
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
        for text in ["", "infoo", "proxy=loud", "info,=debug=x"] {
            let Err(line) = filter(text) else {
                unreachable!("{text} was taken")
            };
            assert!(
                line.ends_with("; write levels such as `info,proxy=debug`"),
                "{line}"
            );
        }
    }
}
