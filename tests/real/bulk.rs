//! `examples/files` under weight: large bodies, many connections, many streams, and an app that is restarted under it all.

use crate::support::example::Example;

const UP: [&str; 2] = ["Certificates", "The app and the sidecars"];

/// The shop of the page, with `$storefront` for the address of its caller's sidecar.
fn shop() -> Example {
    let mut example = Example::copy("files");
    example.follow(&UP);
    let storefront = example.at(15001);
    example.run(&format!("storefront=http://{storefront}"));
    example
}

/// The most memory that each of the three sidecars ever held, in KiB.
const PEAKS: &str = "for pid in $(pgrep -g 0 -x countersign); do awk '/VmHWM/ { print $2 }' /proc/$pid/status; done";

#[test]
#[ignore = "needs nginx and curl: .ci/parts"]
fn two_hundred_megabytes_go_up_and_come_down_unchanged_in_constant_memory() {
    let mut shop = shop();
    shop.run("head -c 200000000 /dev/urandom >big");
    let sum = shop.run("sha256sum <big");
    for (host, flags) in [
        ("orders", "--http1.1"),
        ("orders-h2", "--http2-prior-knowledge"),
    ] {
        let curl = format!("curl -s {flags} -H 'Host: {host}'");
        let up = shop.run(&format!(
            "{curl} -o /dev/null -w '%{{http_code}}\\n' -T big $storefront/receipts/{host}"
        ));
        assert_eq!(up, "201\n", "{host}");
        let stored = shop.run(&format!("sha256sum <receipts/{host}"));
        assert_eq!(stored, sum, "{host}: what went up");
        let down = shop.run(&format!("{curl} $storefront/receipts/{host} | sha256sum"));
        assert_eq!(down, sum, "{host}: what came down");
    }
    let peaks = shop.run(PEAKS);
    let peaks: Vec<u64> = peaks.lines().map(|line| line.parse().unwrap()).collect();
    assert!(
        peaks.len() == 3 && peaks.iter().all(|kib| *kib < 64 * 1024),
        "{peaks:?}"
    );
}

#[test]
#[ignore = "needs nginx and curl: .ci/parts"]
fn fifty_callers_with_kept_connections_are_all_answered() {
    let mut shop = shop();
    let seen = shop.run(
        "callers=\n\
         for n in $(seq 50); do\n\
             curl -s -o /dev/null -w '%{http_code} %{num_connects}\\n' -H 'Host: orders' \"$storefront/orders/[1-40]\" >callers-$n & callers=\"$callers $!\"\n\
         done\n\
         wait $callers\n\
         cat callers-* | sort | uniq -c",
    );
    let counts: Vec<Vec<&str>> = seen
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    // One connection each, for forty calls.
    assert_eq!(counts, [["1950", "200", "0"], ["50", "200", "1"]], "{seen}");
}

#[test]
#[ignore = "needs nghttp2-client, nginx and curl: .ci/parts"]
fn a_thousand_streams_at_once_are_all_answered() {
    let mut shop = shop();
    for (clients, streams) in [(1, 1000), (4, 250)] {
        let seen = shop.run(&format!(
            "h2load -n 10000 -c {clients} -m {streams} -H ':authority: orders-h2' $storefront/orders/7"
        ));
        let refused = shop.run("grep -h '\"status\":5' ./*access.log | tail -n 4; true");
        assert!(
            seen.contains(
                "10000 total, 10000 started, 10000 done, 10000 succeeded, 0 failed, 0 errored"
            ),
            "{seen}{refused}"
        );
    }
}

#[test]
#[ignore = "needs nginx and curl: .ci/parts"]
fn an_app_that_is_away_is_said_to_be_away_and_is_found_again() {
    let mut shop = shop();
    for (host, flags) in [
        ("orders", "--http1.1"),
        ("orders-h2", "--http2-prior-knowledge"),
    ] {
        let call = format!(
            "curl -s {flags} -o /dev/null -w '%{{http_code}} %header{{proxy-status}}\\n' -H 'Host: {host}' $storefront/orders/7"
        );
        let before = shop.run(&call);
        shop.run("nginx=$(cat nginx.pid); kill $nginx; wait $nginx");
        let away = shop.run(&call);
        shop.run("nginx -p \"$PWD\" -c nginx.conf -e stderr 2>>nginx.log &");
        let ready = shop.at(15021);
        shop.run(&format!(
            "curl -sf --retry 30 --retry-delay 1 --retry-all-errors -o /dev/null {ready}/ready"
        ));
        let after = shop.run(&call);

        assert_eq!((before.trim(), after.trim()), ("200", "200"), "{host}");
        assert_eq!(
            away.trim(),
            "503 countersign; error=destination_unavailable; details=\"app_not_up\"; reached=?0",
            "{host}"
        );
    }
}

#[test]
#[ignore = "needs nginx and curl: .ci/parts"]
fn a_restart_under_load_is_told_call_by_call() {
    let mut shop = shop();
    let seen = shop.run(
        "curl -s -o /dev/null -w '%{http_code} %header{proxy-status}\\n' -H 'Host: orders' \"$storefront/orders/[1-3000]\" >calls & caller=$!\n\
         until [ \"$(wc -l <nginx-access.log)\" -gt 300 ]; do sleep 0.01; done\n\
         nginx=$(cat nginx.pid); kill $nginx; wait $nginx\n\
         nginx -p \"$PWD\" -c nginx.conf -e stderr 2>>nginx.log &\n\
         wait $caller\n\
         cat calls",
    );
    let calls: Vec<&str> = seen.lines().collect();
    assert_eq!(calls.len(), 3000);
    for call in &calls {
        let (status, told) = call.split_once(' ').unwrap();
        let told = told.starts_with("countersign; error=") && told.contains("; reached=?");
        match status {
            "200" => assert!(!told, "{call}"),
            "502" | "503" => assert!(told, "{call}"),
            _ => panic!("{call}"),
        }
    }
    assert_eq!(calls.last(), Some(&"200 "), "it was found again");
}
