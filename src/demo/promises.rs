//! The promises, each made to happen and observed at the apps.
//!
//! In: a running mesh. Out: for each promise what was seen, or how it was broken. They are observed one after the other: what
//! an app sees meanwhile belongs to the promise at hand.

use super::caller::{Call, NoAnswer, greeting, without_certificate};
use super::folder::Who;
use super::journal::{Journal, text};
use super::lasting::{ca_away, renewed};
use super::mesh::Mesh;
use super::observe::Sight;
use super::trial::{
    Fact, Facts, TEA, answered, as_storefront, denied, instead, unanswered, unseen, watches,
};
use serde_json::Value;
use std::sync::Arc;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    Allowed,
    WrongCaller,
    WrongRoute,
    Stranger,
    WrongServer,
    ForgedName,
    Renewed,
    CaAway,
}

/// What the storefront may not do.
pub(crate) const REMOVE_TEA: Call<'static> = Call::new("DELETE", "orders", "/orders/tea");
/// A service whose endpoint is somebody else.
pub(crate) const PAYMENTS: Call<'static> = Call::new("GET", "payments", "/orders/tea");
/// A caller's own word on who it is, in both spellings that apps take for one.
pub(crate) const FORGED: [(&str, &str); 2] = [
    (
        "x-forwarded-client-cert",
        "By=spiffe://shop.example/orders;URI=spiffe://shop.example/admin",
    ),
    ("x_forwarded_client_cert", "URI=spiffe://shop.example/admin"),
];

impl Promise {
    /// In the order in which they are told; the first lays what the others need.
    pub(crate) const ALL: [Promise; 8] = [
        Promise::Allowed,
        Promise::WrongCaller,
        Promise::WrongRoute,
        Promise::Stranger,
        Promise::WrongServer,
        Promise::ForgedName,
        Promise::Renewed,
        Promise::CaAway,
    ];

    /// The promise in a sentence.
    pub(crate) fn claim(self) -> &'static str {
        match self {
            Promise::Allowed => "an allowed call arrives, and the app is told who calls",
            Promise::WrongCaller => "a caller that no rule names is denied, with the reason",
            Promise::WrongRoute => "a caller is denied on a route that it may not call",
            Promise::Stranger => "a stranger without a certificate is refused",
            Promise::WrongServer => "a server that is somebody else is refused",
            Promise::ForgedName => "what a caller says of itself is never believed",
            Promise::Renewed => "identities are renewed under traffic, and no call fails",
            Promise::CaAway => "the CA may go away and come back, and no call fails",
        }
    }

    /// What is said before it is observed, where that takes long.
    pub(crate) fn patience(self) -> Option<&'static str> {
        match self {
            Promise::Renewed => {
                Some("identities live for 20 s here, and are renewed after about 10")
            }
            Promise::CaAway => Some("the CA stays away until every sidecar has asked it in vain"),
            _ => None,
        }
    }

    /// Makes it happen and looks.
    pub(crate) async fn observe(self, mesh: &Mesh<'_>) -> Facts {
        match self {
            Promise::Allowed => allowed(mesh).await,
            Promise::WrongCaller => wrong_caller(mesh).await,
            Promise::WrongRoute => wrong_route(mesh).await,
            Promise::Stranger => stranger(mesh).await,
            Promise::WrongServer => wrong_server(mesh).await,
            Promise::ForgedName => forged_name(mesh).await,
            Promise::Renewed => renewed(mesh).await,
            Promise::CaAway => ca_away(mesh).await,
        }
    }
}

/// Storefront places an order and shows it: through orders, in HTTP, to the ledger, in the ledger's own protocol.
async fn allowed(mesh: &Mesh<'_>) -> Facts {
    let (orders, ledger) = watches(mesh);
    let books = Journal::from_now(mesh.folder, Who::Ledger);
    let storefront = Who::Storefront.id();
    let order = Call {
        body: "{\"id\":\"tea\",\"cents\":450}",
        ..Call::new("POST", "orders", "/orders")
    };
    answered(&order, order.in_clear(mesh.at.storefront_out).await, 201)?;
    let page = Call::new("GET", "shop", "/");
    let shown = answered(&page, page.in_clear(mesh.at.storefront).await, 200)?;
    if !shown.body.contains("<td>tea</td>") {
        return Err(instead(&page, "a page with the order", "another"));
    }

    let by = Some(storefront.as_str());
    let served = [
        Sight::of("POST", "/orders", by),
        Sight::of("GET", "/orders", by),
    ];
    let kept = [Sight::of("PUT", "tea", None), Sight::of("LIST", "", None)];
    orders.arrived().exactly(&served)?;
    ledger.arrived().exactly(&kept)?;
    let let_in = |line: &Value| {
        text(line, "verdict") == "allowed" && text(line, "peer_id") == Who::Orders.id()
    };
    let line = books.line("a connection of orders", let_in).await?;
    let (caller, group) = (text(&line, "peer_id"), text(&line, "tls_group"));
    Ok(vec![
        Fact::new("storefront", format!("{order} → 201, GET / → 200")),
        Fact::new("orders saw", listed(&served)),
        Fact::new("ledger saw", listed(&kept)),
        Fact::new("", format!("over TCP from {caller} ({group})")),
    ])
}

/// Reports has a good certificate of the same CA, and no rule names it: neither request by request nor by connection.
async fn wrong_caller(mesh: &Mesh<'_>) -> Facts {
    let (orders, ledger) = watches(mesh);
    let books = Journal::from_now(mesh.folder, Who::Ledger);
    let [call, why, told] = denied(mesh, Who::Reports, &TEA).await?;
    let connection = "reports' connection to ledger";
    match greeting(mesh.at.reports_to_ledger).await {
        Ok(said) if said.is_empty() => {}
        Ok(said) => return Err(instead(&connection, "nothing", &said)),
        Err(why) => return Err(unanswered(&connection, why)),
    }
    let kept_out = |line: &Value| {
        text(line, "verdict") == "denied" && text(line, "peer_id") == Who::Reports.id()
    };
    books.line("the denial of reports", kept_out).await?;
    unseen(mesh, &orders, &ledger).await?;
    let tcp = Fact::new("", "its connection to ledger → ended before a byte");
    Ok(vec![call, tcp, nothing(), why, told])
}

/// Storefront may read orders and place them, not remove them.
async fn wrong_route(mesh: &Mesh<'_>) -> Facts {
    let (orders, ledger) = watches(mesh);
    let [call, why, told] = denied(mesh, Who::Storefront, &REMOVE_TEA).await?;
    unseen(mesh, &orders, &ledger).await?;
    Ok(vec![call, nothing(), why, told])
}

/// Someone who reaches orders' sidecar over the network: with the roots but no certificate, and without any TLS.
async fn stranger(mesh: &Mesh<'_>) -> Facts {
    let (orders, ledger) = watches(mesh);
    let journal = Journal::from_now(mesh.folder, Who::Orders);
    let bare = Arc::new(without_certificate(&*as_storefront(mesh)?));
    let network = mesh.at.orders_in;
    let mut facts = Vec::new();
    for (how, tried, reason) in [
        (
            "over TLS, no certificate",
            TEA.over_tls(network, bare).await,
            "no_certificate",
        ),
        ("in clear text", TEA.in_clear(network).await, "plain_http"),
    ] {
        match tried {
            Err(NoAnswer::Ended(_)) => {}
            Err(late) => return Err(unanswered(&TEA, late)),
            Ok(answer) => return Err(instead(&TEA, "nothing", answer.status.as_str())),
        }
        let refused = |line: &Value| text(line, "reason") == reason;
        let line = journal.line(reason, refused).await?;
        facts.push(Fact::new("stranger", format!("{TEA} {how} → refused")));
        facts.push(Fact::new("why", text(&line, "error")));
    }
    unseen(mesh, &orders, &ledger).await?;
    facts.push(nothing());
    Ok(facts)
}

/// Behind the name payments there must be payments; there is orders, with a good certificate of its own.
async fn wrong_server(mesh: &Mesh<'_>) -> Facts {
    let (orders, ledger) = watches(mesh);
    let journal = Journal::from_now(mesh.folder, Who::Storefront);
    let tried = PAYMENTS.in_clear(mesh.at.storefront_out).await;
    let answer = answered(&PAYMENTS, tried, 502)?;
    let status = answer.header("proxy-status").unwrap_or_default();
    if !status.contains("error=tls_certificate_error") {
        return Err(instead(&PAYMENTS, "tls_certificate_error", status));
    }
    let called = |line: &Value| text(line, "service") == PAYMENTS.host;
    let line = journal.line("a call of payments", called).await?;
    unseen(mesh, &orders, &ledger).await?;
    Ok(vec![
        Fact::new("storefront", format!("{PAYMENTS} → 502")),
        nothing(),
        Fact::new("why", text(&line, "error")),
    ])
}

/// The header in which a sidecar tells its app who calls, sent by callers themselves: past the own sidecar, through it, and by
/// somebody who wants to be storefront.
async fn forged_name(mesh: &Mesh<'_>) -> Facts {
    let (orders, _) = watches(mesh);
    let storefront = Who::Storefront.id();
    let lie = Call {
        headers: &FORGED,
        ..TEA
    };
    let direct = lie.over_tls(mesh.at.orders_in, as_storefront(mesh)?).await;
    answered(&lie, direct, 200)?;
    answered(&lie, lie.in_clear(mesh.at.storefront_out).await, 200)?;
    let served = Sight::of(TEA.method, TEA.path, Some(&storefront));
    orders.arrived().exactly(&[served, served])?;

    let (orders, ledger) = watches(mesh);
    let as_storefront = format!("By={};URI={storefront}", Who::Orders.id());
    let lie = Call {
        headers: &[(FORGED[0].0, &as_storefront)],
        ..TEA
    };
    denied(mesh, Who::Reports, &lie).await?;
    unseen(mesh, &orders, &ledger).await?;
    Ok(vec![
        Fact::new(
            "storefront",
            "says that it is spiffe://shop.example/admin → 200",
        ),
        Fact::new("orders saw", format!("{served}, and no other name")),
        Fact::new("reports", format!("says that it is {storefront} → 403")),
        nothing(),
    ])
}

fn nothing() -> Fact {
    Fact::new("apps saw", "nothing")
}

fn listed(sights: &[Sight<'_>]) -> String {
    sights
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
#[path = "promises_tests.rs"]
mod tests;
