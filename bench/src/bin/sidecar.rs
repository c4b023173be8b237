//! Measures a pair of sidecars under attack; see `bench/README.md`.

use countersign_bench::attacked::{Attack, Idle, Withstood, attack, serve};
use countersign_bench::online::Failed;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tikv_jemallocator::Jemalloc;
use tokio::runtime::Runtime;

/// What is shipped has it too.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

const USAGE: &str = "\
usage: sidecar attack [SECONDS]    how long others wait while a pair of sidecars is attacked, each half (20)
       sidecar idle [CONNECTIONS]  what a quiet connection costs, of so many (5000)";

fn main() -> ExitCode {
    countersign_bench::command::run("sidecar", run)
}

fn run(arguments: &[&str]) -> Result<(), Failed> {
    open_files_max();
    let runtime = Runtime::new()?;
    let program = std::env::current_exe()?;
    let folder = tempfile::tempdir()?;
    match arguments {
        ["serve", folder, app, idle] => {
            runtime.block_on(serve(Path::new(folder), app.parse()?, idle))
        }
        ["strangers", http, web] => runtime.block_on(attack(http.parse()?, web.parse()?)),
        ["attack", seconds @ ..] => {
            let seconds = number(seconds, 20)?;
            let lasts = Duration::from_secs(seconds.into());
            tell(&runtime.block_on(Attack { lasts }.measure(&program, folder.path()))?)
        }
        ["idle", connections @ ..] => {
            let connections = number(connections, 5000)?;
            let idle = Idle { connections };
            for cost in runtime.block_on(idle.measure(&program, folder.path()))? {
                let ([before, standing, after], stood) = (cost.resident_kib, cost.stood);
                let each = (standing as f64 - before as f64) / stood as f64;
                println!(
                    "{:<12} {each:.1} KiB each: {before} KiB before, {standing} KiB with {stood}, {after} KiB 30 s after",
                    cost.kind
                );
            }
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn number(arguments: &[&str], otherwise: u32) -> Result<u32, Failed> {
    match arguments {
        [] => Ok(otherwise),
        [number] => Ok(number.parse()?),
        _ => Err(USAGE.into()),
    }
}

/// Prints what came of an attack; an error says what is not as it must be.
fn tell(withstood: &Withstood) -> Result<(), Failed> {
    let [before, peak, after] = withstood.resident_kib;
    let (quiet, attacked) = (withstood.quiet_ms, withstood.attacked_ms);
    println!("a call, quiet      {quiet:.2} ms, least / median / greatest");
    println!(
        "a call, attacked   {attacked:.2} ms, {} failed",
        withstood.failed
    );
    println!("ratio of medians   {:.2}", withstood.ratio());
    println!("quiet connections  {}", withstood.idle);
    println!("memory             {before} KiB before, {peak} KiB attacked, {after} KiB after");
    for counted in &withstood.counted {
        println!("{:>10}  {}", counted.times, counted.attack);
        for series in &counted.series {
            println!("            {series}");
        }
    }
    let missed = withstood.missed();
    if missed.is_empty() {
        return Ok(());
    }
    Err(missed.join("; ").into())
}

/// What the quiet connections and all others need on one side.
const FILES: u64 = 30_000;

/// The sidecars and the strangers inherit it. Who may not raise the limit has what it was given: fewer connections idle then, which
/// is printed.
fn open_files_max() {
    let most = getrlimit(Resource::Nofile).maximum;
    for limit in [most, most.map(|most| most.max(FILES))] {
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit,
                maximum: limit,
            },
        );
    }
}
