#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
use super::*;
use std::collections::BTreeSet;

fn labels<'a>(peer: &'a str, method: &'a str, code: u16) -> RequestLabels<'a> {
    RequestLabels {
        direction: Direction::Inbound,
        listener: "web",
        service: "",
        peer,
        method,
        code,
        verdict: Verdict::Allowed,
    }
}

/// The lines of the text that start with this.
fn lines<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.lines()
        .filter(|line| line.starts_with(start))
        .collect()
}

/// One of everything.
fn used() -> Arc<SidecarMetrics> {
    let metrics = SidecarMetrics::new();
    metrics
        .requests(&labels("spiffe://a/b", "GET", 200))
        .observe(Duration::from_millis(3));
    drop(metrics.in_flight(Direction::Inbound, "web").enter());
    drop(metrics.connections(Direction::Inbound, "web").enter());
    metrics.denied("staging stays out", "denied_by_rule");
    metrics.handshake("server", "ok", "X25519MLKEM768");
    metrics.refused_head("bare_lf");
    metrics.retried("orders", "reset", "sent");
    metrics.limited(Direction::Inbound, "web", "requests_full");
    metrics.ejected("orders", "wrong_identity");
    metrics.connected("orders", "mutual");
    metrics.set_expiry("leaf", Some(SystemTime::now() + Duration::from_secs(3600)));
    metrics.set_ca_reachable(Some(true));
    metrics.set_clock_skew(Some(-1.5));
    metrics.plaintext("web", "10.0.0.7");
    metrics.set_app_exposed("web", Some(false));
    metrics.set_generation(7);
    metrics.dropped(names::DROPPED_ACCESS_LOG).add(2);
    metrics
}

#[test]
fn every_metric_of_the_table_is_exposed_with_its_kind_and_labels() {
    let text = used().encode();
    assert!(text.ends_with("# EOF\n"));
    for metric in names::SIDECAR {
        let kind = format!("# TYPE {} {}", metric.family(), metric.kind.as_str());
        assert_eq!(lines(&text, &kind).len(), 1, "{kind}");
        let sample = text
            .lines()
            .find(|line| line.starts_with(metric.name))
            .unwrap_or_else(|| panic!("{}", metric.name));
        let found: BTreeSet<&str> = match sample.split_once('{') {
            Some((_, rest)) => rest
                .rsplit_once('}')
                .unwrap()
                .0
                .split("\",")
                .map(|l| l.split('=').next().unwrap())
                .collect(),
            None => BTreeSet::new(),
        };
        let wanted: BTreeSet<&str> = metric.labels.iter().copied().collect();
        assert_eq!(
            found
                .into_iter()
                .filter(|label| *label != "le")
                .collect::<BTreeSet<_>>(),
            wanted,
            "{sample}"
        );
    }
}

#[test]
fn nothing_is_exposed_that_the_table_lacks() {
    let text = used().encode();
    let families: BTreeSet<&str> = names::SIDECAR
        .iter()
        .map(|metric| metric.family())
        .collect();
    for line in lines(&text, "# TYPE ") {
        let family = line.split(' ').nth(2).unwrap();
        assert!(families.contains(family), "{line}");
    }
}

#[test]
fn the_hundred_and_first_peer_is_other() {
    let metrics = SidecarMetrics::new();
    for n in 0..150 {
        metrics
            .requests(&labels(&format!("spiffe://a/{n}"), "GET", 200))
            .observe(Duration::ZERO);
    }
    let text = metrics.encode();
    let counts = lines(&text, "countersign_requests_total{");
    assert_eq!(counts.len(), 101);
    let other: Vec<_> = counts
        .iter()
        .filter(|line| line.contains("peer=\"other\""))
        .collect();
    assert_eq!(other.len(), 1);
    assert!(other[0].ends_with(" 50"), "{}", other[0]);
}

#[test]
fn invented_methods_share_one_series() {
    let metrics = SidecarMetrics::new();
    for method in ["BREW", "get", "PROPFIND", "_OTHER"] {
        metrics
            .requests(&labels("", method, 200))
            .observe(Duration::ZERO);
    }
    let text = metrics.encode();
    let counts = lines(&text, "countersign_requests_total{");
    assert_eq!(counts.len(), 1);
    assert!(
        counts[0].contains("method=\"_OTHER\"") && counts[0].ends_with(" 4"),
        "{}",
        counts[0]
    );
}

#[test]
fn the_product_of_all_labels_is_bounded_and_no_request_goes_uncounted() {
    let metrics = SidecarMetrics::new();
    let methods = ["GET", "HEAD", "POST", "PUT", "DELETE"];
    let mut asked = 0_u64;
    for peer in 0..100 {
        for method in methods {
            for code in 200..230 {
                metrics
                    .requests(&labels(&peer.to_string(), method, code))
                    .observe(Duration::ZERO);
                asked += 1;
            }
        }
    }
    let text = metrics.encode();
    let counts = lines(&text, "countersign_requests_total{");
    assert_eq!(counts.len(), SERIES_MAX + 1);
    let sum: u64 = counts
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(sum, asked);
}

#[test]
fn a_value_with_quotes_and_newlines_stays_one_line() {
    let metrics = SidecarMetrics::new();
    metrics.denied("a \"rule\"\nof \\two lines", "no_rule");
    let text = metrics.encode();
    assert_eq!(
        lines(&text, "countersign_denials_total"),
        [r#"countersign_denials_total{rule="a \"rule\"\nof \\two lines",reason="no_rule"} 1"#]
    );
}

#[test]
fn a_guard_counts_only_while_it_lives() {
    let metrics = SidecarMetrics::new();
    let connections = metrics.connections(Direction::Outbound, "http");
    let shown = || {
        lines(&metrics.encode(), "countersign_connections{")[0]
            .rsplit(' ')
            .next()
            .unwrap()
            .to_owned()
    };

    let (first, second) = (connections.enter(), connections.enter());
    assert_eq!(shown(), "2");
    drop(first);
    assert_eq!(shown(), "1");
    drop(second);
    assert_eq!(shown(), "0");
}

#[test]
fn two_sidecars_of_one_process_count_apart() {
    let (one, other) = (SidecarMetrics::new(), SidecarMetrics::new());
    one.refused_head("bare_lf");
    assert_eq!(
        lines(&one.encode(), "countersign_refused_heads_total").len(),
        1
    );
    assert_eq!(
        lines(&other.encode(), "countersign_refused_heads_total").len(),
        0
    );
}

#[test]
fn what_is_not_known_is_not_zero() {
    let metrics = SidecarMetrics::new();
    metrics.set_ca_reachable(Some(false));
    metrics.set_clock_skew(Some(40.25));
    metrics.set_expiry("issuer", Some(SystemTime::now()));
    let text = metrics.encode();
    assert_eq!(
        lines(&text, "countersign_ca_reachable "),
        ["countersign_ca_reachable 0.0"]
    );
    assert_eq!(
        lines(&text, "countersign_clock_skew_seconds "),
        ["countersign_clock_skew_seconds 40.25"]
    );
    assert_eq!(lines(&text, "countersign_expiry_seconds{").len(), 1);

    metrics.set_ca_reachable(None);
    metrics.set_clock_skew(None);
    metrics.set_expiry("issuer", None);
    let text = metrics.encode();
    for name in [
        "countersign_ca_reachable ",
        "countersign_clock_skew_seconds ",
        "countersign_expiry_seconds{",
    ] {
        assert_eq!(lines(&text, name), [""; 0], "{name}");
    }
}
