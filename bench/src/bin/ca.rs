//! Measures a CA that answers calls; see `bench/README.md`.

use countersign_bench::online::{
    Calls, Crowd, Failed, Fared, Flood, Issuance, ServerProcess, Serving, Withstood, attack, serve,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long the leaves of a flood's workloads live, in seconds: the shortest that a CA grants.
const TTL_S: u64 = 10;

const USAGE: &str = "\
usage: ca issuance [ROUNDS [ISSUANCES [IN_FLIGHT]]]   processor time of an issuance beside a bare loop (15 1000 64)
       ca crowd [WORKLOADS]                           workloads that join all at once (10000)
       ca flood [SECONDS [WORKLOADS]]                 renewals while strangers send what the machine can (60 50)
The record is made below the temporary folder (TMPDIR): its disk is the one that is measured.";

fn main() -> ExitCode {
    countersign_bench::command::run("ca", run)
}

fn run(arguments: &[&str]) -> Result<(), Failed> {
    open_files_max();
    let (what, numbers) = match arguments {
        ["serve", folder, serving] => return serve(&PathBuf::from(folder), serving),
        ["attack", to, seconds, bundle] => {
            let lasts = Duration::from_secs(seconds.parse()?);
            return Runtime::new()?.block_on(attack(to.parse()?, lasts, bundle));
        }
        [what, numbers @ ..] => (*what, numbers),
        [] => return Err(USAGE.into()),
    };
    let number = |place: usize, default: usize| match numbers.get(place).map(|text| text.parse()) {
        None => Ok(default),
        Some(Ok(0) | Err(_)) => Err(USAGE),
        Some(Ok(number)) => Ok(number),
    };
    let program = std::env::current_exe()?;
    let start = |serving| ServerProcess::start(&program, &std::env::temp_dir(), serving);
    let runtime = Runtime::new()?;
    match what {
        "issuance" => {
            let issuance = Issuance {
                rounds: number(0, 15)?,
                issuances: number(1, 1000)?,
                in_flight: number(2, 64)?,
            };
            let measured = runtime.block_on(issuance.measure(&mut start(Serving::Plenty)?))?;
            println!("{issuance:?}; least / median / greatest of the rounds");
            println!("bare loop          {:.1} us", measured.bare_us);
            print(&measured.renewals, "renewals");
            print(&measured.joins, "joins");
            Ok(())
        }
        "crowd" => {
            let crowd = Crowd {
                workloads: number(0, 10_000)?,
            };
            let fared = runtime.block_on(crowd.measure(&mut start(Serving::Plenty)?))?;
            tell(crowd, &fared);
            match fared.why {
                None => Ok(()),
                Some(why) => {
                    Err(format!("{} workloads have no identity: {why}", fared.failed).into())
                }
            }
        }
        "flood" => {
            let flood = Flood {
                lasts: Duration::from_secs(u64::try_from(number(0, 60)?)?),
                workloads: number(1, 50)?,
            };
            let mut server = start(Serving::AsShipped { ttl_s: TTL_S })?;
            let withstood = runtime.block_on(flood.measure(&mut server, &program))?;
            say(flood, &withstood);
            withstood.judge()
        }
        _ => Err(USAGE.into()),
    }
}

/// A crowd needs more than the usual 1024. The CA's process inherits it.
fn open_files_max() {
    let most = getrlimit(Resource::Nofile).maximum;
    // Where it cannot be had, those who find no descriptor are counted as failed, with that reason.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: most,
            maximum: most,
        },
    );
}

fn print(calls: &Calls, of: &str) {
    println!("{of:<18} {:.1} us of the CA's processor time", calls.cpu_us);
    println!("{:<18} {:.2} times the bare loop", "", calls.ratio);
    println!(
        "{:<18} {:.0} a second by the clock, clients beside it",
        "", calls.per_second
    );
    let by_cpu = 2e6 / calls.cpu_us.median;
    println!(
        "{:<18} {by_cpu:.0} a second of two cores, by processor time",
        ""
    );
}

fn tell(crowd: Crowd, fared: &Fared) {
    let (ca, workloads) = (
        fared.ca_cpu.as_secs_f64(),
        fared.workloads_cpu.as_secs_f64(),
    );
    println!("{crowd:?}: {} failed, {} tries", fared.failed, fared.tries);
    println!(
        "makespan           {:.2} s by the clock",
        fared.makespan.as_secs_f64()
    );
    println!(
        "an identity took   {:.2} s, least / median / greatest",
        fared.took_s
    );
    println!(
        "processor time     {:.2} s in all: {ca:.2} s the CA, {workloads:.2} s the workloads",
        ca + workloads
    );
    println!(
        "the CA's memory    {} KiB before, {} KiB after",
        fared.resident_kib.0, fared.resident_kib.1
    );
}

fn say(flood: Flood, withstood: &Withstood) {
    let [before, halfway, after] = withstood.resident_kib;
    println!("{flood:?}, leaves of {TTL_S} s");
    print!("{}", withstood.attackers);
    println!(
        "renewals           {}, {} of them tried again",
        withstood.renewals, withstood.retried
    );
    println!(
        "delayed by         {:.0} ms, least / median / greatest",
        withstood.delay_ms
    );
    println!("of what was left   {:.3}", withstood.delay);
    println!(
        "the CA's memory    {before} KiB before, {halfway} KiB halfway, {after} KiB at the end"
    );
    println!(
        "processor time     {:.1} s of the CA",
        withstood.ca_cpu.as_secs_f64()
    );
}
