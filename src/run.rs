//! `countersign run`: the sidecar first, then the app beside it, and both end in the right order.
//!
//! 1. The app starts when the sidecar has: its first call finds a way, and whoever calls it is judged.
//! 2. Asked to end, the app is told only when nothing more comes to it, and what it calls stays open until it has exited.
//! 3. The exit code is the app's. Where it was never started it is no success, whatever ended us.
//! 4. As process 1 of a container every orphan is ours to wait for: all children are, and nothing else here waits for one.

use crate::app::App;
use crate::failure::Failure;
use crate::log;
use crate::process::{Ending, allow_many_files, files_allowed, listen, runtime};
use crate::proxy::reload;
use ::proxy::Running;
use rustix::process::Signal;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{self, SignalKind};

/// The sidecar first, then the app beside it: signals are passed on, and both end in the right order.
///
/// The app starts when the sidecar has. SIGTERM and SIGINT drain the sidecar first; the app is told when nothing more comes to it,
/// or after half of `limits.drainDeadline`, and is killed at its end. Other signals are passed on at once. The exit code is the
/// app's (128 and more if a signal ended it), and 2 if it cannot be started.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: countersign run --config sidecar.yaml -- ./app --port 8080")]
pub(crate) struct Run {
    /// The sidecar's document; it, its policy and its certificates are watched and taken when they change
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The app and its arguments
    #[arg(last = true, required = true, value_name = "CMD", num_args = 1..)]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let usual = files_allowed();
        allow_many_files();
        runtime()?.block_on(self.serve(usual))
    }

    async fn serve(self, usual: rustix::process::Rlimit) -> Result<ExitCode, Failure> {
        App::can_start(&self.command)?;
        let mut signals = Signals::listen()?;
        let running = ::proxy::start_logging_by(&self.config, log::filter_in_force())
            .await
            .map_err(|error| Failure::Unfit(error.to_string()))?;
        // Its own sidecar need not guess whether the app is there.
        running.app_exited(false);
        if let Some(code) = started(&running, &mut signals).await {
            running.end(Duration::ZERO).await;
            return Ok(ExitCode::from(code));
        }
        // At a terminal the app shares the group that Ctrl-C reaches; else it is told by us alone.
        let terminal = std::io::stdin().is_terminal();
        let app = match App::start(&self.command, usual, terminal) {
            Ok(app) => app,
            Err(failure) => {
                running.end(Duration::ZERO).await;
                return Err(failure);
            }
        };
        let code = beside(running, app, signals, terminal).await;
        Ok(ExitCode::from(code))
    }
}

/// Waits until the sidecar has started; if it is asked to end before, with which code.
async fn started(running: &Running, signals: &mut Signals) -> Option<u8> {
    loop {
        tokio::select! {
            () = running.started() => return None,
            () = running.asked_to_end() => return Some(code_of(Signal::TERM)),
            heard = signals.next() => match heard {
                Heard::End(signal) => {
                    tracing::info!("{}: ended before the app was started", name(signal));
                    return Some(code_of(signal));
                }
                // There is nobody yet to pass them on to.
                Heard::Pass(_) | Heard::Child => {}
            }
        }
    }
}

/// Both at work, to their ends. The exit code is the app's.
async fn beside(running: Running, mut app: App, mut signals: Signals, terminal: bool) -> u8 {
    let (mut asked, mut told) = (None, false);
    let mut hurried = false;
    while !hurried {
        let heard = tokio::select! {
            () = running.over() => break,
            () = running.app_may_end(), if !told => {
                told = true;
                app.tell(match asked {
                    // At a terminal it has heard of that one itself.
                    Some(signal) if !terminal => signal,
                    _ => Signal::TERM,
                });
                continue;
            }
            heard = signals.next() => heard,
        };
        match heard {
            Heard::Child => {
                if let Some(code) = app.reap() {
                    tracing::info!(code, "the app has exited");
                    running.app_exited(true);
                    running.ask_to_end();
                }
            }
            Heard::End(signal) => {
                hurried = asked.replace(signal).is_some();
                let again = if hurried {
                    " again: ended at once"
                } else {
                    ": ending"
                };
                tracing::info!("{}{again}", name(signal));
                running.ask_to_end();
            }
            Heard::Pass(signal) => pass(signal, &app, terminal, &running),
        }
    }
    let ended = match hurried {
        true => running.end(Duration::ZERO).await,
        false => running.close().await,
    };
    let code = app.end(&mut signals.child).await;
    tracing::info!(cut = ended.total(), code, "ended; {ended}");
    code
}

fn pass(signal: Signal, app: &App, terminal: bool, running: &Running) {
    // What a terminal sends reaches its whole group.
    if !(terminal && matches!(signal, Signal::QUIT | Signal::WINCH)) {
        app.tell(signal);
    }
    if signal == Signal::HUP {
        reload(running);
    }
}

/// What reaches this process.
struct Signals {
    ending: Ending,
    /// A child has ended.
    child: unix::Signal,
    passed: [unix::Signal; 5],
}

const PASSED: [(Signal, SignalKind); 5] = [
    (Signal::HUP, SignalKind::hangup()),
    (Signal::QUIT, SignalKind::quit()),
    (Signal::USR1, SignalKind::user_defined1()),
    (Signal::USR2, SignalKind::user_defined2()),
    (Signal::WINCH, SignalKind::window_change()),
];

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let [hangup, quit, first, second, window] = PASSED.map(|(_, kind)| listen(kind));
        Ok(Self {
            ending: Ending::listen()?,
            child: listen(SignalKind::child())?,
            passed: [hangup?, quit?, first?, second?, window?],
        })
    }
    /// The next one. Cancel safe.
    async fn next(&mut self) -> Heard {
        let [hangup, quit, first, second, window] = &mut self.passed;
        tokio::select! {
            why = self.ending.asked() => Heard::End(match why {
                "SIGINT" => Signal::INT,
                _ => Signal::TERM,
            }),
            _ = self.child.recv() => Heard::Child,
            _ = hangup.recv() => Heard::Pass(Signal::HUP),
            _ = quit.recv() => Heard::Pass(Signal::QUIT),
            _ = first.recv() => Heard::Pass(Signal::USR1),
            _ = second.recv() => Heard::Pass(Signal::USR2),
            _ = window.recv() => Heard::Pass(Signal::WINCH),
        }
    }
}

/// What a signal means here.
enum Heard {
    /// We are asked to end.
    End(Signal),
    /// A child has ended.
    Child,
    /// It is the app's.
    Pass(Signal),
}

fn name(signal: Signal) -> &'static str {
    match signal {
        Signal::INT => "SIGINT",
        _ => "SIGTERM",
    }
}

/// The exit code of a process that a signal ended.
fn code_of(signal: Signal) -> u8 {
    128 + u8::try_from(signal.as_raw()).unwrap_or_default()
}
