//! `examples/files` with real PostgreSQL and psql: a protocol that the sidecars know nothing of.

use crate::support::example::Example;
use serde_json::Value;

const DATABASE: [&str; 3] = ["Certificates", "The app and the sidecars", "A database"];

fn psql(example: &Example, port: u16, sql: &str) -> String {
    let port = example.at(port).port();
    format!("psql -h 127.0.0.1 -p {port} -At -v ON_ERROR_STOP=1 -c \"{sql}\"")
}

// Ways to the database: through either caller's sidecar, and straight.
const STOREFRONT: u16 = 15432;
const REPORTS: u16 = 15332;
const STRAIGHT: u16 = 5433;

#[test]
#[ignore = "needs PostgreSQL, nginx and curl: .ci/parts"]
fn twenty_megabytes_of_rows_arrive_as_they_left_in_both_directions() {
    let mut example = Example::copy("files");
    example.follow(&DATABASE);
    let rows = "SELECT g, repeat(md5(g::text), 3) FROM generate_series(1, 200000) g";
    let read = |port| psql(&example, port, &format!("COPY ({rows}) TO STDOUT"));
    let (through, straight) = (read(STOREFRONT), read(STRAIGHT));
    let table = "CREATE TABLE paid (g int, mark text)";
    let write = psql(&example, STOREFRONT, "COPY paid FROM STDIN");
    let back = psql(
        &example,
        STRAIGHT,
        "COPY (SELECT * FROM paid ORDER BY g) TO STDOUT",
    );
    let table = psql(&example, STOREFRONT, table);

    let seen = example.run(&format!(
        "{straight} >rows; wc -c <rows; sha256sum <rows\n\
         {through} | sha256sum\n\
         {table}; {write} <rows\n\
         {back} | sha256sum"
    ));

    let lines: Vec<&str> = seen.lines().collect();
    let [size, sum, through, "CREATE TABLE", "COPY 200000", back] = lines[..] else {
        panic!("{seen}")
    };
    assert!(size.parse::<u64>().unwrap() > 20_000_000, "{seen}");
    assert_eq!((through, back), (sum, sum));
}

#[test]
#[ignore = "needs PostgreSQL, nginx and curl: .ci/parts"]
fn a_denied_caller_is_closed_before_the_database_sees_a_connection() {
    let mut example = Example::copy("files");
    example.follow(&DATABASE);
    let seen = |example: &Example| {
        let log = example.text("postgres.log");
        log.matches("connection received").count()
    };
    let before = seen(&example);

    let denied = psql(&example, REPORTS, "SELECT 1");
    let denied = example.run(&format!("{denied}; echo $?"));
    let logged = example.lines_with(
        "ledger-access.log",
        &["denied", "spiffe://shop.example/reports"],
        2,
    );

    assert!(
        denied.contains("server closed the connection unexpectedly"),
        "{denied}"
    );
    assert!(denied.ends_with("\n2\n"), "{denied}");
    // The page's own denied call is the first.
    let logged: Value = serde_json::from_str(&logged[1]).unwrap();
    for (field, wanted) in [
        ("listener", "db"),
        ("verdict", "denied"),
        ("reason", "no_rule_for_caller"),
        ("rule", "storefront keeps the ledger"),
        ("local_id", "spiffe://shop.example/ledger"),
    ] {
        assert_eq!(logged[field], wanted, "{field}: {logged}");
    }
    assert!(
        logged["decision_id"].is_string() && logged.get("endpoint").is_none(),
        "{logged}"
    );
    let port = example.at(15120).port();
    let metrics = example.run(&format!(
        "curl -s 127.0.0.1:{port}/metrics | grep ^countersign_denials_total"
    ));
    assert_eq!(
        metrics,
        "countersign_denials_total{rule=\"storefront keeps the ledger\",reason=\"no_rule_for_caller\"} 2\n"
    );

    // One that is allowed comes after it, so that what the database has not said by then it never will.
    let allowed = psql(&example, STOREFRONT, "SELECT 1");
    assert_eq!(example.run(&allowed), "1\n");
    example.lines_with("postgres.log", &["connection received"], before + 1);
    assert_eq!(seen(&example), before + 1);
}

#[test]
#[ignore = "needs PostgreSQL, nginx and curl: .ci/parts"]
fn a_session_outlives_idleness_and_the_renewal_of_all_certificates() {
    let mut example = Example::copy("files");
    // For HTTP; a quiet session of a database is not idle.
    example.run("for name in storefront ledger; do echo 'limits: { idle: 1s }' >>$name.yaml; done");
    example.follow(&DATABASE);
    let port = example.at(STOREFRONT).port();
    let script = format!(
        "cat >session.sql <<'END'\n\
         SELECT pg_backend_pid() AS before \\gset\n\
         \\! sleep 2.5\n\
         \\! for name in ledger storefront; do countersign ca issue --dir ca --id spiffe://shop.example/$name --out $name >/dev/null; done\n\
         \\! timeout 20 sh -c 'for name in ledger storefront; do until grep -q \"new identity in force\" $name.log; do sleep 0.1; done; done' && echo renewed\n\
         SELECT pg_backend_pid() = :before;\n\
         END\n\
         psql -h 127.0.0.1 -p {port} -At -f session.sql"
    );

    assert_eq!(example.run(&script), "renewed\nt\n");

    let fresh = psql(&example, STOREFRONT, "SELECT 1");
    assert_eq!(
        example.run(&fresh),
        "1\n",
        "new connections take the new certificates"
    );
}
