//! What is not fit to start says everything that is wrong at once, or in one line what to do; with the contract's exit codes.

use crate::support::mesh::{COMMON, Domain, Member};
use crate::support::process::{Ran, countersign, run};
use mint::{Key, now_s};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

const INBOUND: &str = "\
inbound:
  - { name: web, listen: \"127.0.0.1:0\", app: \"127.0.0.1:8080\", protocol: http }
policy: { file: policy.yaml }
";

fn proxy(member: &Member) -> Ran {
    run(countersign()
        .args(["proxy", "--config"])
        .arg(member.path("sidecar.yaml")))
}

/// The output without the folder's path.
fn told(member: &Member, ran: &Ran) -> Vec<String> {
    let folder = format!("{}/", member.folder().display());
    ran.err
        .replace(&folder, "")
        .lines()
        .map(str::to_owned)
        .collect()
}

fn fit(shop: &Domain) -> Member {
    let member = shop.member("orders");
    member.configure(INBOUND);
    member.policy("rules: []\n");
    member
}

#[test]
fn twelve_mistakes_are_twelve_findings_at_their_lines_in_one_run() {
    let member = fit(&Domain::new("shop.example"));
    member.write(
        "sidecar.yaml",
        "\
identity:
  trustDomain: Shop.Example
  files: { certificate: svid.pem, key: key.pem }
inbond: []
inbound:
  - { name: web, listen: \"0.0.0.0\", app: \"127.0.0.1:8080\", protocol: htp }
outbound:
  - { name: db, listen: \"127.0.0.1:15432\", protocol: tcp, service: leger }
services:
  - { name: ledger, identity: \"spiffe://shop.example/\", endpoints: [\"ledger:15006\"] }
policy: { file: policy.yaml }
limits: { idle: 75, headers: 5000 }
",
    );
    member.policy(
        "\
default: allow
rules:
  - name: all
    from: [\"spiffe://shop.example/*\"]
    allow: [{ paths: [\"orders\"] }]
",
    );
    let expected = [
        "sidecar.yaml:2:16",  // upper case in a trust domain
        "sidecar.yaml:3:10",  // no bundle
        "sidecar.yaml:4:1",   // no such key
        "sidecar.yaml:6:26",  // no port
        "sidecar.yaml:6:70",  // no such protocol
        "sidecar.yaml:8:68",  // no such service
        "sidecar.yaml:10:31", // an identity without a path
        "sidecar.yaml:12:17", // no unit
        "sidecar.yaml:12:30", // too many
        "policy.yaml:1:10",   // no such default
        "policy.yaml:4:12",   // no such pattern
        "policy.yaml:5:23",   // no leading slash
    ];

    let checked = run(countersign()
        .args(["config", "check"])
        .arg(member.path("sidecar.yaml")));
    let started = proxy(&member);

    assert_eq!((checked.code, started.code), (Some(1), Some(2)));
    let lines = told(&member, &checked);
    let places: Vec<_> = lines
        .iter()
        .map(|line| line.split(": ").next().unwrap())
        .collect();
    assert_eq!(places, expected, "{lines:#?}");
    assert_eq!(told(&member, &started), lines);
    for line in &lines {
        assert!(line.contains("; "), "it says what to do: {line}");
    }
}

#[test]
fn files_of_an_identity_that_are_not_fit_are_one_line_that_says_what_to_do() {
    let shop = Domain::new("shop.example");
    let id = shop.id("orders");
    let expired = shop.issuer.leaf_with(&id, |it| it.not_after = now_s() - 60);
    let others = Domain::new("other.example");
    type Spoil<'a> = &'a dyn Fn(&Member);
    let cases: &[(Spoil<'_>, &str, &str)] = &[
        (
            &|it| std::fs::remove_file(it.path("key.pem")).unwrap(),
            "key.pem: no such file; ",
            "put the key there",
        ),
        (
            &|it| {
                std::fs::remove_file(it.path("key.pem")).unwrap();
                std::fs::create_dir(it.path("key.pem")).unwrap();
            },
            "key.pem: it is a directory; ",
            "name the key file",
        ),
        (
            &|it| {
                let open = std::fs::Permissions::from_mode(0o644);
                std::fs::set_permissions(it.path("key.pem"), open).unwrap();
            },
            "key.pem: mode 0644 lets others read or change the private key; ",
            "chmod 600",
        ),
        (
            &|it| it.write("svid.pem", &shop.svid("orders").chain_pem()),
            "svid.pem: the private key in key.pem does not belong to it; ",
            "write both from one issuance",
        ),
        (
            &|it| expired.write_files(it.folder(), &shop.root.bundle_pem()),
            "svid.pem: peers that trust bundle.pem would refuse it: the certificate has expired: ",
            "renew it",
        ),
        (
            &|it| it.write("key.pem", "no key at all"),
            "key.pem: ",
            "; ",
        ),
        (&|it| it.write("svid.pem", ""), "svid.pem: ", "; "),
        (
            &|it| it.write("bundle.pem", &Key::p256().pem()),
            "bundle.pem: ",
            "; ",
        ),
        (
            &|it| {
                others
                    .svid("orders")
                    .write_files(it.folder(), &others.root.bundle_pem());
            },
            "svid.pem: it is for spiffe://other.example/orders, and `identity.trustDomain` is `shop.example`; ",
            "give this sidecar's own certificate",
        ),
        (
            &|it| it.write("bundle.pem", &others.root.bundle_pem()),
            "bundle.pem: certificate 1 is a root of `other.example`, not of `shop.example`; ",
            "give the trust domain's root",
        ),
        (
            &|it| it.write("bundle.pem", &Domain::new("shop.example").root.bundle_pem()),
            "svid.pem: peers that trust bundle.pem would refuse it: ",
            "unknown issuer",
        ),
    ];
    for (spoil, start, help) in cases {
        let member = fit(&shop);
        spoil(&member);
        // A file that `write` made is as readable as files are: the key must not be refused for that.
        if member.path("key.pem").is_file() && !start.contains("mode") {
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(member.path("key.pem"), private).unwrap();
        }
        let ran = proxy(&member);
        let lines = told(&member, &ran);
        assert_eq!((ran.code, lines.len()), (Some(2), 1), "{lines:?}");
        assert!(
            lines[0].starts_with(start) && lines[0].contains(help),
            "{start}: {lines:?}"
        );
    }
}

#[test]
fn a_taken_port_names_the_address_and_who_has_it() {
    let member = fit(&Domain::new("shop.example"));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    member.configure(&INBOUND.replace("127.0.0.1:0", &at.to_string()));

    let ran = proxy(&member);

    let lines = told(&member, &ran);
    assert_eq!((ran.code, lines.len()), (Some(2), 1), "{lines:?}");
    let (line, pid) = (&lines[0], std::process::id().to_string());
    assert!(
        line.contains(&at.to_string()) && line.contains(&pid) && line.contains("; "),
        "{line}"
    );
}

#[test]
fn mistakes_of_the_command_line_and_missing_files_exit_with_2_and_one_line() {
    let member = fit(&Domain::new("shop.example"));
    let sidecar = member.path("sidecar.yaml").display().to_string();
    let absent = member.path("absent.yaml").display().to_string();
    let log = member
        .path("no/such/folder/access.log")
        .display()
        .to_string();
    member.write(
        "log.yaml",
        &format!(
            "{COMMON}{INBOUND}telemetry: {{ accessLog: {{ format: json, to: \"{log}\" }} }}\n"
        ),
    );
    let with_log = member.path("log.yaml").display().to_string();
    let cases: &[(&[&str], &str)] = &[
        (&["prxy"], "did you mean `proxy`?"),
        (&["run", "--config", &sidecar], "`<CMD>...` is missing"),
        (&["top"], "not supported yet"),
        (&["proxy"], "--config"),
        (
            &["proxy", "--config", &absent],
            "absent.yaml: cannot be read",
        ),
        (&["proxy", "--confg", &sidecar], "did you mean `--config`?"),
        (&["config", "check", &absent], "absent.yaml: cannot be read"),
        (&["proxy", "--config", &with_log], "create its folder"),
    ];
    for (args, part) in cases {
        let ran = run(countersign().args(*args));
        assert_eq!(ran.code, Some(2), "{args:?}: {ran:?}");
        assert_eq!(
            (ran.err.lines().count(), ran.out.as_str()),
            (1, ""),
            "{args:?}: {ran:?}"
        );
        assert!(
            ran.err.contains(part) && ran.err.contains("; "),
            "{args:?}: {}",
            ran.err
        );
    }
    let fit = run(countersign().args(["config", "check", &sidecar]));
    assert_eq!(fit.code, Some(0), "{fit:?}");
}
