//! Inbound: who calls, and may it? A [`Permitted`] request is the only thing that is forwarded to the app.

use crate::answer::{Cause, Refusal};
use crate::exchange::Exchange;
use crate::headers::XFCC;
use crate::http::{Checked, MaybeReady, Refused};
use crate::response_body::ResponseBody;
use crate::snapshot::Snapshot;
use crate::upstream::Upstream;
use crate::world::World;
use http::{HeaderValue, Response};
use identity::Peer;
use policy::{CallerRules, Canonical, Denied, Permit};
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;
use telemetry::{DecisionId, Verdict};
use tower::{Layer, Service};

/// The caller of one connection, and what the snapshot in force says of it.
pub(crate) struct Caller {
    world: Arc<World>,
    listener: Arc<str>,
    peer: Peer,
    /// What it showed for that.
    chain: Vec<CertificateDer<'static>>,
    /// When its leaf or ours ends: no new request after it.
    ends: SystemTime,
    /// Who it is, as the app is told.
    xfcc: Option<HeaderValue>,
    view: Mutex<Arc<View>>,
}

/// What one snapshot says of one caller on one listener.
struct View {
    number: u64,
    /// Why it would not be believed if it came now.
    disbelieved: Option<identity::Refused>,
    rules: CallerRules,
    /// `None` when the listener is no longer configured.
    app: Option<Arc<Upstream>>,
}

impl View {
    fn of(
        snapshot: &Snapshot,
        peer: &Peer,
        disbelieved: Option<identity::Refused>,
        listener: &str,
    ) -> Arc<Self> {
        Arc::new(Self {
            number: snapshot.number,
            disbelieved,
            rules: snapshot.rules.for_caller(&peer.id, listener),
            app: snapshot.app(listener).cloned(),
        })
    }
}

impl Caller {
    /// A caller that proved who it is, under the snapshot that it proved it to.
    pub(crate) fn new(
        world: Arc<World>,
        snapshot: &Snapshot,
        listener: Arc<str>,
        peer: Peer,
        chain: Vec<CertificateDer<'static>>,
    ) -> Arc<Self> {
        let ends = peer
            .not_after
            .min(snapshot.identity.svid().leaf().not_after);
        let view = Mutex::new(View::of(snapshot, &peer, None, &listener));
        let xfcc = xfcc(&snapshot.local_id, &peer);
        Arc::new(Self {
            world,
            listener,
            peer,
            chain,
            ends,
            xfcc,
            view,
        })
    }
    /// When no new request is taken any more.
    pub(crate) fn ends(&self) -> SystemTime {
        self.ends
    }
    /// What the snapshot in force says: computed once a snapshot, not once a request. A root that was taken away takes its
    /// callers' kept connections with it.
    fn view(&self) -> Arc<View> {
        let snapshot = self.world.snapshot();
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.number != snapshot.number {
            let judged = snapshot.identity.judge_client(Some(&self.chain));
            *view = View::of(&snapshot, &self.peer, judged.err(), &self.listener);
        }
        view.clone()
    }
}

/// `By=…;Hash=…;URI=…`, Envoy's format. SPIFFE IDs hold no character that it would have to quote.
fn xfcc(local_id: &str, peer: &Peer) -> Option<HeaderValue> {
    use std::fmt::Write;
    let mut text = format!("By={local_id};Hash=");
    for byte in peer.leaf_sha256 {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    let _ = write!(text, ";URI={}", peer.id);
    HeaderValue::from_str(&text).ok()
}

/// A request that policy permits: made only here.
pub(crate) struct Permitted {
    /// The request, with its caller's identity set.
    pub(crate) checked: Checked,
    /// Where it goes.
    pub(crate) app: Arc<Upstream>,
    _permit: Permit,
}

/// After the checks, since policy decides on one meaning; before anything is dialled, since the refused cost nothing.
#[derive(Clone)]
pub(crate) struct Admit {
    /// The connection's caller.
    pub(crate) caller: Arc<Caller>,
}

impl<S> Layer<S> for Admit {
    type Service = Admitting<S>;
    fn layer(&self, inner: S) -> Admitting<S> {
        Admitting {
            caller: self.caller.clone(),
            inner,
        }
    }
}

/// [`Admit`] over an inner service.
#[derive(Clone)]
pub(crate) struct Admitting<S> {
    caller: Arc<Caller>,
    inner: S,
}

impl<S> Service<Checked> for Admitting<S>
where
    S: Service<Permitted, Response = Response<ResponseBody>, Error = Refused>,
{
    type Response = Response<ResponseBody>;
    type Error = Refused;
    type Future = MaybeReady<S::Future, Refused>;
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        self.inner.poll_ready(cx)
    }
    fn call(&mut self, checked: Checked) -> Self::Future {
        match admit(&self.caller, checked) {
            Ok(permitted) => MaybeReady::Passed {
                inner: self.inner.call(permitted),
            },
            Err(refused) => MaybeReady::Refused {
                refused: Some(refused),
            },
        }
    }
}

fn admit(caller: &Caller, mut checked: Checked) -> Result<Permitted, Refused> {
    if caller.ends <= SystemTime::now() {
        return Err(checked.refuse(Refusal::unsent(Cause::IdentityEnded, "certificate_ended")));
    }
    let view = caller.view();
    if let Some(refused) = &view.disbelieved {
        let refusal = Refusal::unsent(Cause::IdentityEnded, refused.reason()).explained(refused);
        return Err(checked.refuse(refusal));
    }
    let Some(app) = view.app.clone() else {
        return Err(checked.refuse(Refusal::unsent(Cause::Unavailable, "listener_removed")));
    };
    match decide(&view, &mut checked) {
        Ok(permit) => {
            let headers = checked.request_mut().headers_mut();
            if let Some(xfcc) = &caller.xfcc {
                headers.insert(XFCC.clone(), xfcc.clone());
            }
            Ok(Permitted {
                checked,
                app,
                _permit: permit,
            })
        }
        Err(refusal) => Err(checked.refuse(refusal)),
    }
}

fn decide(view: &View, checked: &mut Checked) -> Result<Permit, Refusal> {
    let decision = DecisionId::fresh();
    let request = checked.request();
    let raw = request.uri().path();
    // `*` is no path: it is matched by methods alone.
    let path = if raw == "*" {
        None
    } else {
        Some(Canonical::of(raw.as_bytes()))
    };
    let path = path.transpose().map_err(|ambiguous| {
        Refusal::unsent(Cause::Malformed, ambiguous.reason()).explained(ambiguous)
    });
    let verdict = path.map(|path| {
        let authority = checked.authority();
        let asked = policy::Request::Http {
            method: request.method().as_str(),
            host: authority.map_or("", |authority| authority.host()),
            port: authority.and_then(|authority| authority.port()),
            path: path.as_ref(),
        };
        view.rules.decide(&asked)
    });
    let exchange = checked.exchange_mut();
    exchange.decision = Some(decision);
    match verdict {
        Ok(Ok(permit)) => {
            exchange.verdict = Verdict::Allowed;
            exchange.rule = Some(permit.rule().clone());
            Ok(permit)
        }
        Ok(Err(denied)) => Err(Refusal {
            decision: Some(decision),
            ..refusal(&denied, exchange)
        }),
        Err(ambiguous) => {
            exchange.verdict = Verdict::Denied;
            exchange.facts().metrics.denied("", ambiguous.reason);
            Err(Refusal {
                decision: Some(decision),
                ..ambiguous
            })
        }
    }
}

/// What the caller and the log are told of a denial.
fn refusal(denied: &Denied, exchange: &mut Exchange) -> Refusal {
    let reason = denied.reason.label();
    exchange.verdict = Verdict::Denied;
    exchange.rule = denied.rule_to_look_at().cloned();
    let rule = exchange.rule.as_deref().unwrap_or_default();
    exchange.facts().metrics.denied(rule, reason);
    Refusal::unsent(Cause::PolicyDenied, reason).explained(denied)
}
