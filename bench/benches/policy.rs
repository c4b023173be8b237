//! What a request pays for its policy, and a connection for its caller's rules.
#![allow(
    clippy::expect_used,
    reason = "a benchmark that cannot prepare has nothing to say"
)]

use config::sidecar::Paths;
use countersign_bench::{caller, hundred_rules};
use divan::{AllocProfiler, Bencher, black_box};
use policy::{CallerRules, Canonical, Reading, Request};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn rules() -> CallerRules {
    hundred_rules()
        .expect("the policy is valid")
        .for_caller(&caller().expect("the ID is valid"), "web")
}

/// From what the caller's first clause allows to what nothing allows.
#[divan::bench(args = [("GET", "/orders"), ("POST", "/orders/7/items/3"), ("GET", "/healthz"), ("GET", "/admin/x"), ("DELETE", "/orders/7")])]
fn decide(bencher: Bencher<'_, '_>, (method, path): (&str, &str)) {
    let rules = rules();
    let path = Reading::of(path.as_bytes(), Paths::Strict).expect("the path is plain");
    bencher.bench_local(|| {
        let request = Request::Http {
            method: black_box(method),
            host: "orders",
            port: None,
            path: Some(black_box(&path)),
        };
        rules.decide(&request).is_ok()
    });
}

/// What the proxy does per request: canonical path and verdict.
#[divan::bench]
fn canonical_and_decide(bencher: Bencher<'_, '_>) {
    let rules = rules();
    bencher.bench_local(|| {
        let path =
            Reading::of(black_box(b"/orders/7/items/3"), Paths::Strict).expect("the path is plain");
        rules
            .decide(&Request::Http {
                method: "GET",
                host: "orders",
                port: None,
                path: Some(&path),
            })
            .is_ok()
    });
}

#[divan::bench(args = ["/", "/orders/7/items/3", "/pkg.of.some.length.Service/Method", "/a%20b/%C3%A9", "/users/me%40example.com", "/a/../b"])]
fn canonical(path: &str) -> bool {
    Canonical::of(black_box(path.as_bytes())).is_ok()
}

#[divan::bench]
fn for_caller(bencher: Bencher<'_, '_>) {
    let (rules, caller) = (
        hundred_rules().expect("the policy is valid"),
        caller().expect("the ID is valid"),
    );
    bencher.bench_local(|| rules.for_caller(black_box(&caller), "web"));
}
