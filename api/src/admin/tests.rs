use super::*;

fn listed(parent: Option<&str>) -> Listed {
    Listed {
        serial: "0b17".into(),
        id: "spiffe://shop.example/orders".into(),
        index: u64::MAX,
        issued_unix_s: 1_790_000_000,
        not_after_unix_s: 1_790_003_600,
        ground: "renewal".into(),
        parent: parent.map(str::to_owned),
        uid: parent.is_none().then_some(4_294_967_295),
        instance: "a \"quoted\" name".into(),
        replaced: parent.is_some(),
    }
}

fn status(first_to_end: Option<Listed>) -> Status {
    Status {
        trust_domain: "shop.example".into(),
        now_unix_s: 1_790_000_000,
        issued: 7,
        statement_sequence: 1_780_000_000,
        revocation_epoch: 4,
        ends: vec![end(100, 200, true), end(0, 9, false)],
        streams: 3,
        lagging: 1,
        lagging_first: vec![Lagging {
            id: "spiffe://shop.example/ledger".into(),
            instance: String::new(),
            statement_sequence: 0,
            revocation_epoch: 3,
            unsupported: vec!["revocation_epoch".into(), "x".into()],
        }],
        contested: vec![Contested {
            id: "spiffe://shop.example/orders".into(),
            serial: "0b17".into(),
            successor: "0b18".into(),
            refused_key_sha256: "ab".into(),
            first_unix_s: 1,
            last_unix_s: 2,
            attempts: 3,
        }],
        first_to_end,
    }
}

fn end(not_before_unix_s: u64, not_after_unix_s: u64, has_successor: bool) -> End {
    let (what, name) = ("issuer".into(), "ab12".into());
    End {
        what,
        name,
        not_before_unix_s,
        not_after_unix_s,
        has_successor,
    }
}

#[test]
fn what_was_said_is_heard() {
    let call = TokenCall {
        id: "spiffe://shop.example/orders".into(),
        ttl_s: 600,
        uses: u32::MAX,
    };
    assert_eq!(TokenCall::from_json(call.to_json().as_bytes()), Ok(call));
    let made = TokenMade {
        token: "hunter2".into(),
        ends_unix_s: 1,
    };
    assert_eq!(TokenMade::from_json(made.to_json().as_bytes()), Ok(made));
    for ttl_s in [None, Some(3600)] {
        let call = IssueCall {
            id: "spiffe://shop.example/orders".into(),
            csr: "-----BEGIN".into(),
            ttl_s,
        };
        assert_eq!(IssueCall::from_json(call.to_json().as_bytes()), Ok(call));
    }
    let made = IssueMade {
        serial: "0b17".into(),
        index: 3,
        not_after_unix_s: 1_790_003_600,
        chain: "-----BEGIN\n".into(),
        bundle: "-----BEGIN\n".into(),
    };
    assert_eq!(IssueMade::from_json(made.to_json().as_bytes()), Ok(made));
    for parent in [None, Some("0a")] {
        let one = listed(parent);
        assert_eq!(Listed::from_json(one.to_json().as_bytes()), Ok(one.clone()));
        let page = ListPage {
            listed: vec![one.clone(), listed(None)],
            next: parent.map(str::to_owned),
        };
        assert_eq!(ListPage::from_json(page.to_json().as_bytes()), Ok(page));
        let status = status(parent.map(|_| one));
        assert_eq!(Status::from_json(status.to_json().as_bytes()), Ok(status));
    }
    let refusal = Refusal {
        error: "token_ttl".into(),
        message: "no token made: …".into(),
    };
    assert_eq!(
        Refusal::from_json(refusal.to_json().as_bytes()),
        Ok(refusal)
    );
}

#[test]
fn a_query_says_which_part_of_the_list_is_wanted() {
    for (id, after, target) in [
        (None, None, "/list"),
        (Some("spiffe://a/b"), None, "/list?id=spiffe://a/b"),
        (None, Some("17.4"), "/list?after=17.4"),
        (
            Some("spiffe://a/b"),
            Some("1.2"),
            "/list?id=spiffe://a/b&after=1.2",
        ),
    ] {
        let call = ListCall {
            id: id.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        assert_eq!(call.to_target(), target);
        let query = target.split_once('?').map(|(_, query)| query);
        assert_eq!(ListCall::from_query(query), Ok(call), "{target}");
    }
    for (query, why) in [
        ("id=a&id=b", Malformed::Field("id")),
        ("after=1&after=1", Malformed::Field("after")),
        ("limit=3", Malformed::Unknown("limit".into())),
        ("id", Malformed::Field("id")),
        ("id=", Malformed::Field("id")),
        ("Id=a", Malformed::Unknown("Id".into())),
    ] {
        assert_eq!(ListCall::from_query(Some(query)), Err(why), "{query}");
    }
}

#[test]
fn a_query_says_what_to_show_and_in_which_form() {
    let call = ShowCall {
        serial: "0b17".into(),
    };
    assert_eq!(call.to_target(), "/show?serial=0b17");
    assert_eq!(ShowCall::from_query(Some("serial=0b17")), Ok(call));
    for query in [None, Some(""), Some("serial=")] {
        let malformed = Err(Malformed::Field("serial"));
        assert_eq!(ShowCall::from_query(query), malformed, "{query:?}");
    }
    for call in [BundleCall::Pem, BundleCall::Spiffe] {
        let query = call.to_target().split_once('?').map(|(_, query)| query);
        assert_eq!(BundleCall::from_query(query), Ok(call));
    }
    let other = BundleCall::from_query(Some("format=xml"));
    assert_eq!(other, Err(Malformed::Field("format")));
}

#[test]
fn what_is_not_understood_names_the_field() {
    let check = |body: &str, why: Malformed| {
        assert_eq!(TokenCall::from_json(body.as_bytes()), Err(why), "{body}");
    };
    for body in ["", "[]", "null", "{", "{\"id\":\"x\"}}", "\u{0}"] {
        check(body, Malformed::NotAnObject);
    }
    check("{}", Malformed::Field("id"));
    check("{\"id\":7}", Malformed::Field("id"));
    check("{\"id\":\"x\",\"ttl_s\":-1}", Malformed::Field("ttl_s"));
    check("{\"id\":\"x\",\"ttl_s\":1.5}", Malformed::Field("ttl_s"));
    check(
        "{\"id\":\"x\",\"ttl_s\":1,\"uses\":4294967296}",
        Malformed::Field("uses"),
    );
    check("{\"id\":\"x\",\"who\":1}", Malformed::Unknown("who".into()));
}

#[test]
fn an_answer_of_a_newer_ca_is_understood() {
    let newer = br#"{"token":"t","ends_unix_s":5,"colour":"blue"}"#;
    let made = TokenMade {
        token: "t".into(),
        ends_unix_s: 5,
    };
    assert_eq!(TokenMade::from_json(newer), Ok(made.clone()));
    assert_eq!(
        format!("{made:?}"),
        "TokenMade { token: …, ends_unix_s: 5 }"
    );
}

#[test]
fn what_is_past_half_of_its_life_without_a_successor_is_overdue() {
    for (end, now, overdue) in [
        (end(100, 200, false), 149, false),
        (end(100, 200, false), 150, true),
        (end(100, 200, false), 500, true),
        (end(100, 200, true), 500, false),
        (end(200, 100, false), 199, false),
        (end(u64::MAX, u64::MAX, false), u64::MAX, true),
    ] {
        assert_eq!(end.is_overdue(now), overdue, "{end:?} {now}");
    }
}
