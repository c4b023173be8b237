//! From a request to a call to a page.

use super::refused::Refused;
use super::{calls, shown, status};
use crate::authority_server::AuthorityServer;
use crate::spiffe_bundle::spiffe_bundle;
use crate::store::Ledger;
use api::admin::{BundleCall, LIST_MAX, ListCall, ShowCall};
use bytes::Bytes;
use config::SpiffeId;
use daemon::admin::{User, serve_calls};
use daemon::drain::Draining;
use daemon::pages::Page;
use http::{Method, Request};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::net::UnixListener;
use tokio::sync::oneshot;

/// Answers operators until the drain starts. The socket is to be bound with mode 0600.
pub async fn serve<L: Ledger + 'static>(
    listener: UnixListener,
    draining: Draining,
    server: Arc<AuthorityServer<L>>,
) {
    let watch = draining.clone();
    serve_calls(listener, draining, move |request, user| {
        let (server, watch) = (Arc::clone(&server), watch.clone());
        async move {
            let answered = answer(request, user, server, watch).await;
            answered.unwrap_or_else(|refused| refused.page())
        }
    })
    .await;
}

/// A call that changes something.
#[derive(Clone, Copy, Debug)]
enum Change {
    Token,
    Issue,
}

async fn answer<L: Ledger + 'static>(
    request: Request<Bytes>,
    user: User,
    server: Arc<AuthorityServer<L>>,
    draining: Draining,
) -> Result<Page, Refused> {
    let change = match request.uri().path() {
        "/token" => Change::Token,
        "/issue" => Change::Issue,
        _ => return look(&request, &server).await,
    };
    if request.method() != Method::POST {
        return Err(Refused::Method { wanted: "POST" });
    }
    // Apart from who waits for it: done is done and logged, however long that one stays.
    let (done, waiting) = oneshot::channel();
    draining.track(async move {
        let made = make(change, &server, user.uid, request.body()).await;
        // Nobody waits any more: it stands in the log.
        let _ = done.send(made);
    });
    waiting.await.unwrap_or(Err(Refused::Cut)).map(Page::json)
}

async fn make<L: Ledger>(
    change: Change,
    server: &AuthorityServer<L>,
    uid: u32,
    body: &[u8],
) -> Result<String, Refused> {
    Ok(match change {
        Change::Token => calls::token(server, uid, body).await?.to_json(),
        Change::Issue => calls::issue(server, uid, body).await?.to_json(),
    })
}

async fn look<L: Ledger>(
    request: &Request<Bytes>,
    server: &AuthorityServer<L>,
) -> Result<Page, Refused> {
    let path = request.uri().path();
    if !["/list", "/show", "/status", "/bundle"].contains(&path) {
        return Err(Refused::Path);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Refused::Method { wanted: "GET" });
    }
    let (query, now) = (request.uri().query(), server.now());
    match path {
        "/list" => list(server, query, now).await,
        "/show" => show(server, query).await,
        "/status" => Ok(Page::json(status::status(server, now).await?.to_json())),
        _ => bundle(server, query),
    }
}

async fn list<L: Ledger>(
    server: &AuthorityServer<L>,
    query: Option<&str>,
    now: SystemTime,
) -> Result<Page, Refused> {
    let ListCall { id, after } = ListCall::from_query(query)?;
    let of = id.as_deref().map(SpiffeId::parse).transpose()?;
    let after = after.as_deref().map(shown::place).transpose()?;
    let limit = usize::try_from(LIST_MAX).unwrap_or(usize::MAX);
    let page = server.ledger().list(of, now, after, limit).await?;
    Ok(Page::json(shown::page(&page).to_json()))
}

async fn show<L: Ledger>(
    server: &AuthorityServer<L>,
    query: Option<&str>,
) -> Result<Page, Refused> {
    let ShowCall { serial } = ShowCall::from_query(query)?;
    let kept = server.ledger().show(shown::serial(&serial)?).await?;
    let kept = kept.ok_or(Refused::Unknown { serial })?;
    Ok(Page::json(shown::listed(&kept).to_json()))
}

fn bundle<L: Ledger>(server: &AuthorityServer<L>, query: Option<&str>) -> Result<Page, Refused> {
    let bundle = server.trusted().ok_or(Refused::Statement)?;
    Ok(match BundleCall::from_query(query)? {
        BundleCall::Pem => Page {
            content_type: "application/x-pem-file",
            ..Page::json(bundle.to_pem())
        },
        BundleCall::Spiffe => {
            let sequence = server.state().statement.sequence;
            Page::json(spiffe_bundle(&bundle, sequence)?)
        }
    })
}
