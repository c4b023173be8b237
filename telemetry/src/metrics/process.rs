//! What the process uses, read from `/proc/self` when asked; where there is none, nothing is said.
use crate::names::{self, Metric};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use std::fmt;
use std::fs;

/// The unit of times in `/proc`: USER_HZ, which is 100 on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads and reports.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stat = fs::read_to_string("/proc/self/stat")
            .ok()
            .and_then(|text| Stat::parse(&text));
        let booted = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|text| number_after(&text, "btime "));
        if let Some(stat) = &stat {
            report(
                &mut encoder,
                &names::PROCESS_CPU,
                &ConstCounter::new(stat.cpu_seconds),
            )?;
        }
        if let (Some(stat), Some(booted)) = (&stat, booted) {
            report(
                &mut encoder,
                &names::PROCESS_START,
                &ConstGauge::new(booted as f64 + stat.started_seconds),
            )?;
        }
        let status = fs::read_to_string("/proc/self/status").ok();
        if let Some(kib) = status.and_then(|text| number_after(&text, "VmRSS:")) {
            report(
                &mut encoder,
                &names::PROCESS_MEMORY,
                &ConstGauge::new(kib.saturating_mul(1024)),
            )?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder that is being read.
            report(
                &mut encoder,
                &names::PROCESS_OPEN_FDS,
                &ConstGauge::new(open.count().saturating_sub(1) as i64),
            )?;
        }
        let limits = fs::read_to_string("/proc/self/limits").ok();
        if let Some(max) = limits.and_then(|text| number_after(&text, "Max open files")) {
            report(&mut encoder, &names::PROCESS_MAX_FDS, &ConstGauge::new(max))?;
        }
        Ok(())
    }
}

fn report(
    encoder: &mut DescriptorEncoder<'_>,
    metric: &Metric,
    value: &impl EncodeMetric,
) -> fmt::Result {
    value.encode(encoder.encode_descriptor(
        metric.family(),
        metric.help,
        None,
        value.metric_type(),
    )?)
}

/// The number that follows a name at the start of a line.
fn number_after(text: &str, name: &str) -> Option<i64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// What `/proc/self/stat` says about time.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// Since boot.
    started_seconds: f64,
}

impl Stat {
    /// Fields are counted from behind the last `)`: the second one is a name in brackets that may itself hold any byte.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.rsplit_once(')')?;
        let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<f64>().ok();
        let (user, system, started) = (field(14)?, field(15)?, field(22)?);
        Some(Stat {
            cpu_seconds: (user + system) / TICKS_PER_SECOND,
            started_seconds: started / TICKS_PER_SECOND,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_name_has_brackets_and_blanks_is_still_read() {
        let text = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 3 0 12345 1 1 1\n";
        assert_eq!(
            Stat::parse(text),
            Some(Stat {
                cpu_seconds: 3.0,
                started_seconds: 123.45
            })
        );
        assert_eq!(Stat::parse("garbage"), None);
    }

    #[test]
    fn a_number_is_the_first_word_after_its_name() {
        assert_eq!(
            number_after("a: 1\nVmRSS:\t  2048 kB\n", "VmRSS:"),
            Some(2048)
        );
        assert_eq!(
            number_after(
                "Max open files   unlimited  unlimited files",
                "Max open files"
            ),
            None
        );
    }
}
