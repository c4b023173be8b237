//! What becomes of changed files.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use countersign_proxy::Reloaded;
use support::{ALL, Domain, Member, Raw, listen, soon};

fn besides(app: std::net::SocketAddr, policy: &str) -> String {
    format!(
        "inbound: [{{ name: web, listen: \"127.0.0.1:0\", app: \"{app}\", protocol: http }}]\n\
         policy: {{ file: {policy} }}\n"
    )
}

async fn policy_in_force(member: &Member) -> String {
    let mut admin = Raw::connect(member.at("admin").await).await;
    admin
        .send("GET /policy HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await;
    admin.rest().await
}

#[tokio::test]
async fn a_refused_configuration_is_taken_once_the_file_that_it_names_is_mended() {
    let (_app, address) = listen().await;
    let domain = Domain::new("shop.example");
    let orders = Member::start(&domain, "orders", &besides(address, "policy.yaml"), ALL).await;
    let before = orders.running.generation();

    orders.write("next.yaml", "rules: [{ nonsense: 1 }]\n");
    orders.configure(&besides(address, "next.yaml"));
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(orders.running.generation(), before, "it was refused");
    orders.write("next.yaml", &ALL.replace("name: all", "name: mended"));

    soon("the mended policy", orders.running.newer_than(before)).await;
    assert!(policy_in_force(&orders).await.contains("name: mended"));
}

#[tokio::test]
async fn a_policy_may_move_to_another_file() {
    let (_app, address) = listen().await;
    let domain = Domain::new("shop.example");
    let orders = Member::start(&domain, "orders", &besides(address, "policy.yaml"), ALL).await;
    let before = orders.running.generation();

    std::fs::rename(orders.path("policy.yaml"), orders.path("moved.yaml")).unwrap();
    orders.configure(&besides(address, "moved.yaml"));

    soon("the moved policy", orders.running.newer_than(before)).await;
}

#[tokio::test]
async fn whoever_asks_for_a_reload_hears_at_once_what_became_of_it() {
    let (_app, address) = listen().await;
    let domain = Domain::new("shop.example");
    let orders = Member::start(&domain, "orders", &besides(address, "policy.yaml"), ALL).await;
    let reload = || soon("a reload", orders.running.reload_now());
    assert_eq!(reload().await, Reloaded::Unchanged);

    orders.write("policy.yaml", &ALL.replace("name: all", "name: mended"));
    // Unchanged, where the look that nobody asked for came just before.
    let taken = reload().await;
    let expected = [Reloaded::Taken { generation: 2 }, Reloaded::Unchanged];
    assert!(expected.contains(&taken), "{taken:?}");
    assert_eq!(orders.running.generation(), 2);

    orders.write("policy.yaml", "rules: [{ nonsense: 1 }]\ndefault: allow\n");
    let Reloaded::Refused(findings) = reload().await else {
        panic!("it was taken");
    };
    let lines: Vec<usize> = findings.iter().map(|finding| finding.line).collect();
    assert_eq!(lines, [1, 1, 1, 1, 2], "{findings:?}");
    assert_eq!(orders.running.generation(), 2);
}
