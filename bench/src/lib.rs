//! What the benchmarks measure with. Those of the pure parts are in `benches/`; `cargo bench -p countersign-bench` runs them.
//! That of a CA that answers calls is in [`online`], that of a sidecar under attack in [`attacked`]; `bench/README.md` says how to run it.

pub mod online;
pub mod attacked;

pub mod command;

use config::policy::Policy;
use config::{Findings, SpiffeId};
use policy::Rules;
use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

/// A policy of 100 rules as a mesh of some size has them: each caller is named by a rule of its own, and everybody by two
/// of the last three, one of which denies.
pub fn hundred_rules() -> Result<Arc<Rules>, Findings> {
    let mut text = String::from("default: deny\nrules:\n");
    for caller in 0..97 {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  - name: caller {caller} reads and writes\n    from: [\"spiffe://shop.example/ns/shop/sa/caller-{caller}\"]\n    allow:\n      \
             - {{ methods: [GET, HEAD], paths: [\"/orders\", \"/orders/{{id}}\", \"/orders/{{id}}/items/{{item}}\"] }}\n      \
             - {{ methods: [POST, PUT], paths: [\"/orders/{{id}}/**\"] }}\n"
        );
    }
    text.push_str(
        "  - name: everybody sees the health\n    from: [\"spiffe://shop.example/**\"]\n    allow: [{ methods: [GET], paths: [\"/healthz\"] }]\n  \
         - name: nobody administers\n    from: [\"spiffe://shop.example/**\"]\n    deny: [{ paths: [\"/admin/**\"] }]\n  \
         - name: staging stays out\n    from: [\"spiffe://shop.example/ns/staging/**\"]\n    deny: [{}]\n",
    );
    Policy::parse(&text, Path::new("hundred-rules.yaml"))
        .map(|policy| Arc::new(Rules::compile(&policy)))
}

/// A caller that three of [`hundred_rules`] name.
pub fn caller() -> Result<SpiffeId, config::NameError> {
    SpiffeId::parse("spiffe://shop.example/ns/shop/sa/caller-42")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use config::sidecar::Paths;
    use policy::{Reading, Request};

    #[test]
    fn the_measured_policy_decides_as_it_is_meant_to() {
        let rules = hundred_rules()
            .unwrap()
            .for_caller(&caller().unwrap(), "web");
        for (method, path, want) in [
            (
                "GET",
                "/orders/7/items/3",
                Some("caller 42 reads and writes"),
            ),
            ("GET", "/healthz", Some("everybody sees the health")),
            ("PUT", "/orders", None),
            ("GET", "/admin/x", None),
        ] {
            let path = Reading::of(path.as_bytes(), Paths::Strict).unwrap();
            let request = Request::Http {
                method,
                host: "orders",
                port: None,
                path: Some(&path),
            };
            let seen = rules
                .decide(&request)
                .ok()
                .map(|permit| permit.rule().to_string());
            assert_eq!(seen.as_deref(), want);
        }
    }
}
