//! Measures a CA that answers calls; see `bench/README.md`.

use countersign_bench::online::{Calls, Crowd, Failed, Fared, Issuance, ServerProcess, serve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: ca issuance [ROUNDS [ISSUANCES [IN_FLIGHT]]]   processor time of an issuance beside a bare loop (15 1000 64)
       ca crowd [WORKLOADS]                           workloads that join all at once (10000)
The record is made below the temporary folder (TMPDIR): its disk is the one that is measured.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("ca: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), Failed> {
    open_files_max();
    let (what, numbers) = match arguments {
        ["serve", folder] => return serve(&PathBuf::from(folder)),
        [what, numbers @ ..] => (*what, numbers),
        [] => return Err(USAGE.into()),
    };
    let number = |place: usize, default: usize| match numbers.get(place).map(|text| text.parse()) {
        None => Ok(default),
        Some(Ok(0) | Err(_)) => Err(USAGE),
        Some(Ok(number)) => Ok(number),
    };
    let start = || ServerProcess::start(&std::env::current_exe()?, &std::env::temp_dir());
    let runtime = tokio::runtime::Runtime::new()?;
    match what {
        "issuance" => {
            let issuance = Issuance {
                rounds: number(0, 15)?,
                issuances: number(1, 1000)?,
                in_flight: number(2, 64)?,
            };
            let measured = runtime.block_on(issuance.measure(&mut start()?))?;
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
            let fared = runtime.block_on(crowd.measure(&mut start()?))?;
            tell(crowd, &fared);
            match fared.why {
                None => Ok(()),
                Some(why) => {
                    Err(format!("{} workloads have no identity: {why}", fared.failed).into())
                }
            }
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
