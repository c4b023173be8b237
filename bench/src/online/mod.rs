//! Measures a CA that answers: its own process, real TLS over loopback, the real record on the disk.
//!
//! In: how many issuances, workloads and rounds. Out: the CA's processor time beside that of a bare loop in the same process,
//! and how a crowd of workloads fares that has never been there.
//!
//! 1. Processor time is that of the CA's process alone, the kernel's part for it included: clients are another process.
//! 2. Loop and calls take turns within one run, so that a machine that is busy or throttled is so for both.
//! 3. What was answered is compared with what the record counts: an issuance that is not durable is not measured.

mod spread;

mod server;

mod process;

mod client;

mod burst;

mod issuance;

mod crowd;

mod table;

mod attack;

mod flood;

pub use attack::attack;
pub use crowd::{Crowd, Fared};
pub use flood::{Flood, Withstood};
pub use issuance::{Calls, Issuance, Measured};
pub use process::{ServerProcess, Used};
pub use server::{Serving, serve};
pub use spread::Spread;

/// Why nothing was measured: any error, as the one who runs a benchmark reads it.
pub type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The trust domain of everything that is measured.
const DOMAIN: &str = "bench.local";
