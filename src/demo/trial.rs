//! The steps that promises share: a call that must be answered, one that must be denied, and apps that saw nothing of it.
//!
//! In: a running mesh, who calls and what for. Out: facts to tell, or how the promise was broken.

use super::caller::{Answer, Call, NoAnswer};
use super::folder::{TRUST_DOMAIN, Who};
use super::journal::{Journal, text};
use super::mesh::Mesh;
use super::observe::{Broken, Sight, Watch};
use crate::failure::Failure;
use crate::policy::{Question, explain};
use config::sidecar::Files;
use config::{SpiffeId, TrustDomain};
use identity::Alpn;
use identity::source::files::FilesSource;
use rustls::ClientConfig;
use serde_json::Value;
use std::error::Error;
use std::fmt::Display;
use std::sync::Arc;

/// Something that was seen: by or of whom, and what.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) of: &'static str,
    pub(crate) what: String,
}

impl Fact {
    pub(crate) fn new(of: &'static str, what: impl Into<String>) -> Self {
        Fact {
            of,
            what: what.into(),
        }
    }
}

/// What an observation comes to.
pub(crate) type Facts = Result<Vec<Fact>, Broken>;

/// Written into the ledger by the first promise; read by the others.
pub(crate) const TEA: Call<'static> = Call::new("GET", "orders", "/orders/tea");

/// A call that orders' policy must deny: 403 with a decision id, under which the log has the sentence of `policy explain`.
/// Told as the call, the reason, and where that stands.
pub(crate) async fn denied(
    mesh: &Mesh<'_>,
    who: Who,
    call: &Call<'_>,
) -> Result<[Fact; 3], Broken> {
    let journal = Journal::from_now(mesh.folder, Who::Orders);
    let out = match who {
        Who::Reports => mesh.at.reports_out,
        _ => mesh.at.storefront_out,
    };
    let answer = answered(call, call.in_clear(out).await, 403)?;
    let decision = answer.header("countersign-decision-id").unwrap_or_default();
    if decision.is_empty() {
        return Err(instead(call, "403 with a decision id", "403 without"));
    }
    let decided = |line: &Value| text(line, "decision_id") == decision;
    let line = journal.line("its decision", decided).await?;
    let why = text(&line, "error");
    let logged = format!("denied (403, {}): {why}", text(&line, "reason"));
    let explained = explained(mesh, who, call);
    if logged != explained {
        return Err(Broken::Differ { logged, explained });
    }
    Ok([
        Fact::new(who.name(), format!("{call} → 403")),
        Fact::new("why", why),
        Fact::new(
            "",
            format!("says the access log under decision {decision}, and so says policy explain"),
        ),
    ])
}

/// What `policy explain` says of it, or why it cannot.
fn explained(mesh: &Mesh<'_>, who: Who, call: &Call<'_>) -> String {
    let question = Question {
        policy: &mesh.folder.file(Who::Orders, "policy.yaml"),
        from: &who.id(),
        listener: "web",
        method: call.method,
        host: call.host,
        path: call.path,
    };
    let (Ok(text) | Err(Failure::No(text) | Failure::Unfit(text) | Failure::Unreachable(text))) =
        explain(&question);
    text.trim_end().to_owned()
}

/// None of it reached the apps: not before an allowed call that comes after it, and not with that call, which shows that
/// they were there to be reached.
pub(crate) async fn unseen(
    mesh: &Mesh<'_>,
    orders: &Watch<'_>,
    ledger: &Watch<'_>,
) -> Result<(), Broken> {
    orders.arrived().nothing()?;
    ledger.arrived().nothing()?;
    answered(&TEA, TEA.in_clear(mesh.at.storefront_out).await, 200)?;
    let storefront = Who::Storefront.id();
    orders
        .arrived()
        .exactly(&[Sight::of(TEA.method, TEA.path, Some(&storefront))])?;
    ledger.arrived().exactly(&[Sight::of("GET", "tea", None)])
}

/// Orders and ledger, from now on.
pub(crate) fn watches<'m>(mesh: &'m Mesh<'_>) -> (Watch<'m>, Watch<'m>) {
    (
        Watch::begin("orders", mesh.orders.seen()),
        Watch::begin("ledger", mesh.ledger.seen()),
    )
}

/// A client that is storefront and speaks only to orders, as storefront's sidecar would.
pub(crate) fn as_storefront(mesh: &Mesh<'_>) -> Result<Arc<ClientConfig>, Broken> {
    let read = || -> Result<Arc<ClientConfig>, Box<dyn Error + Send + Sync>> {
        let file = |name| mesh.folder.file(Who::Storefront, name);
        let files = Files {
            certificate: file("state/current/svid.pem"),
            key: file("state/current/key.pem"),
            bundle: file("bundle.pem"),
        };
        let domain = TrustDomain::parse(TRUST_DOMAIN)?;
        let current = FilesSource::open(&domain, &files, &[])?.current();
        let orders = SpiffeId::parse(&Who::Orders.id())?;
        let identity = current.load().ok_or("there is no identity yet")?;
        Ok(identity.client(&orders, Alpn::Http1))
    };
    read().map_err(|why| unanswered(&TEA, NoAnswer::Ended(why)))
}

/// An answer of that status.
pub(crate) fn answered(
    call: &Call<'_>,
    answer: Result<Answer, NoAnswer>,
    status: u16,
) -> Result<Answer, Broken> {
    let answer = answer.map_err(|why| unanswered(call, why))?;
    if answer.status.as_u16() == status {
        return Ok(answer);
    }
    let said = answer.header("proxy-status").unwrap_or(answer.body.trim());
    let got = format!("{} ({said})", answer.status.as_u16());
    Err(instead(call, &status.to_string(), &got))
}

pub(crate) fn unanswered(call: &dyn Display, why: NoAnswer) -> Broken {
    Broken::Unanswered {
        call: call.to_string(),
        why,
    }
}

pub(crate) fn instead(call: &dyn Display, wanted: &str, got: &str) -> Broken {
    Broken::Answered {
        call: call.to_string(),
        wanted: wanted.to_owned(),
        got: got.to_owned(),
    }
}
