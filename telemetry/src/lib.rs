//! What is seen: every metric and log name, once.
//!
//! In: what happened, as values (who asked whom, what came of it, how long it took). Out: the text of `/metrics` and the
//! lines of the access log; and of a request's fields, which trace it belongs to. No registry, recorder or subscriber of the process: every sidecar owns its own, so that one
//! process can hold many. Nothing here decides, and nothing here can fail a request: what cannot be written is counted.
//!
//! 1. A name that a user can see stands in [`names`] and nowhere else.
//! 2. No stranger's value makes a series: what comes from outside is capped, then counted as `other`.
//! 3. A request costs no look-up and no lock that a slow disk could hold.

pub mod names;

mod label;

mod decision_id;

mod context;

mod metrics;

mod access_log;

pub use access_log::{AccessLog, AccessRecord, LogTarget};
pub use context::{Form, Sampled, TraceContext, is_tracestate};
pub use decision_id::DecisionId;
pub use label::{Direction, Verdict};
pub use metrics::{
    CaMetrics, Connections, Dropped, Held, InFlight, RequestLabels, RequestSeries, SidecarMetrics,
};
