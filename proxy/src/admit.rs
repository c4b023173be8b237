//! Inbound: who calls, and may it? A [`Permitted`] request is the only thing that is forwarded to the app.

use crate::answer::{Cause, Refusal};
use crate::authority::Authority;
use crate::exchange::Exchange;
use crate::headers::XFCC;
use crate::http::{Checked, MaybeReady, Refused};
use crate::over::{Over, POLICY_CHANGED};
use crate::plain::{PLAIN_HTTP, Plain, head_of_probe, is_probe};
use crate::response_body::ResponseBody;
use crate::snapshot::Snapshot;
use crate::still::Judging;
use crate::under_way::Claim;
use crate::upstream::Upstream;
use crate::which::Which;
use crate::wish::Wish;
use crate::world::World;
use config::SpiffeId;
use config::sidecar::Paths;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Response, Uri};
use identity::{Peer, Role};
use policy::{Ambiguous, CallerRules, Denied, Permit, Reading};
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::SystemTime;
use telemetry::{DecisionId, Verdict};
use tower::{Layer, Service};

/// The caller of one connection, and what the snapshot in force says of it.
pub(crate) struct Caller {
    world: Arc<World>,
    listener: Arc<Which>,
    who: Who,
    /// When its leaf or ours ends: no new request after it.
    ends: Option<SystemTime>,
    /// Who it is, as the app is told.
    xfcc: Option<HeaderValue>,
    view: Mutex<Arc<View>>,
}

/// Who calls.
pub(crate) enum Who {
    /// Somebody who proved it.
    Known {
        /// Who it is.
        peer: Peer,
        /// What it showed for that.
        chain: Vec<CertificateDer<'static>>,
    },
    /// Somebody in clear text.
    Plain(Plain),
}

impl Who {
    /// Whom policy takes it for.
    pub(crate) fn id(&self) -> SpiffeId {
        match self {
            Self::Known { peer, .. } => peer.id.clone(),
            Self::Plain(_) => SpiffeId::plaintext(),
        }
    }
    /// Who it proved to be.
    pub(crate) fn proven(&self) -> Option<Arc<str>> {
        match self {
            Self::Known { peer, .. } => Some(peer.id.as_str().into()),
            Self::Plain(_) => None,
        }
    }
    /// When its leaf or ours ends, if it has one.
    pub(crate) fn ends(&self, snapshot: &Snapshot) -> Option<SystemTime> {
        match self {
            Self::Known { peer, .. } => Some(peer.not_after.min(snapshot.identity.expiry().leaf)),
            Self::Plain(_) => None,
        }
    }
}

/// Why a caller would not be heard if it came now.
#[derive(Clone)]
enum Barred {
    /// It is not believed.
    Disbelieved(identity::Refused),
    /// It speaks clear text.
    ClearText,
}

impl Barred {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Disbelieved(refused) => {
                Refusal::unsent(Cause::IdentityEnded, refused.reason()).explained(refused)
            }
            Self::ClearText => Refusal::unsent(Cause::PolicyDenied, PLAIN_HTTP)
                .explained("it speaks HTTP in clear text: call through a sidecar"),
        }
    }
    fn over(&self) -> Over {
        match self {
            Self::Disbelieved(refused) => Over::disbelieved(refused),
            Self::ClearText => Over::because(PLAIN_HTTP, "clear text is not heard any more"),
        }
    }
}

/// What one snapshot says of one caller on one listener.
struct View {
    number: u64,
    trust: u64,
    barred: Option<Barred>,
    /// What a caller in clear text may ask without policy.
    probes: Vec<String>,
    rules: CallerRules,
    /// What becomes of paths that readers read differently.
    paths: Paths,
    /// `None` when the listener is no longer configured.
    app: Option<Arc<Upstream>>,
    /// The app's port, where others must not reach it.
    must_be_closed: Option<u16>,
}

impl View {
    fn of(snapshot: &Snapshot, who: &Who, barred: Option<Barred>, listener: &Which) -> Arc<Self> {
        let inbound = snapshot.inbound(listener);
        let probes = match (who, inbound) {
            (Who::Plain(_), Some(inbound)) => inbound.probes.clone(),
            _ => Vec::new(),
        };
        Arc::new(Self {
            number: snapshot.number,
            trust: snapshot.trust,
            barred,
            probes,
            rules: snapshot.rules_for(&who.id(), listener),
            paths: inbound.map_or(Paths::Strict, |inbound| inbound.paths),
            app: snapshot.app(listener).cloned(),
            must_be_closed: snapshot.must_be_closed(listener),
        })
    }
}

impl View {
    /// What the path of a target means; `*` is none: it is matched by methods alone.
    fn read<'a>(&self, target: &'a Uri) -> Result<Option<Reading<'a>>, Ambiguous> {
        match target.path() {
            "*" => Ok(None),
            raw => Reading::of(raw.as_bytes(), self.paths).map(Some),
        }
    }
    /// Asks policy.
    fn asked(
        &self,
        method: &Method,
        path: Option<&Reading<'_>>,
        authority: Option<&Authority>,
    ) -> Result<Permit, Denied> {
        let decide = |method| {
            self.rules.decide(&policy::Request::Http {
                method,
                host: authority.map_or("", |authority| authority.host()),
                port: authority.and_then(|authority| authority.port()),
                path,
            })
        };
        match method {
            // Only extended CONNECT comes here.
            &Method::CONNECT => either(decide("GET"), decide("CONNECT")),
            method => decide(method.as_str()),
        }
    }
}

impl Caller {
    /// A caller under the snapshot that it came to, and proved to who it is.
    pub(crate) fn new(
        world: Arc<World>,
        snapshot: &Snapshot,
        listener: Arc<Which>,
        who: Who,
    ) -> Arc<Self> {
        let ends = who.ends(snapshot);
        let barred = match &who {
            Who::Known { .. } => None,
            Who::Plain(_) => clear_text(snapshot, &listener),
        };
        let view = Mutex::new(View::of(snapshot, &who, barred, &listener));
        let xfcc = match &who {
            Who::Known { peer, .. } => xfcc(&snapshot.local_id, peer),
            Who::Plain(_) => None,
        };
        Arc::new(Self {
            world,
            listener,
            who,
            ends,
            xfcc,
            view,
        })
    }
    /// When no new request is taken any more.
    pub(crate) fn ends(&self) -> Option<SystemTime> {
        self.ends
    }
    /// What a snapshot says: computed once a snapshot, not once a request. A root that was taken away takes its callers' kept
    /// connections with it.
    fn view(&self, snapshot: &Snapshot) -> Arc<View> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        if view.number != snapshot.number {
            let barred = match &self.who {
                Who::Known { .. } if view.trust == snapshot.trust => view.barred.clone(),
                Who::Known { peer, chain } => {
                    let identity = &snapshot.identity;
                    let judged = identity.judge_open(chain, Role::Client, peer.not_after);
                    judged.err().map(Barred::Disbelieved)
                }
                Who::Plain(_) => clear_text(snapshot, &self.listener),
            };
            *view = View::of(snapshot, &self.who, barred, &self.listener);
        }
        view.clone()
    }
    /// How its requests are judged while they are under way.
    pub(crate) fn judging(self: &Arc<Self>) -> Judging {
        let caller = self.clone();
        Judging::by(&self.world, move |now, claim| caller.still_may(now, claim))
    }
    fn still_may(&self, now: &Snapshot, claim: &Claim) -> Result<(), Over> {
        let view = self.view(now);
        if let Some(barred) = &view.barred {
            return Err(barred.over());
        }
        let authority = claim.host.as_ref().map(Authority::read);
        // It could be read when it came.
        let authority = authority.and_then(Result::ok);
        let path = match view.read(&claim.uri) {
            Ok(path) => path,
            Err(ambiguous) => return Err(Over::because(POLICY_CHANGED, ambiguous.to_string())),
        };
        let verdict = view.asked(&claim.method, path.as_ref(), authority.as_ref());
        verdict.map(drop).map_err(|denied| Over::denied(&denied))
    }
}

fn clear_text(snapshot: &Snapshot, listener: &Which) -> Option<Barred> {
    (!snapshot.is_permissive(listener)).then_some(Barred::ClearText)
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

/// A request that policy permits, or a declared probe: made only here.
pub(crate) struct Permitted {
    /// The request, with its caller's identity set.
    pub(crate) checked: Checked,
    /// Where it goes.
    pub(crate) app: Arc<Upstream>,
    _leave: Leave,
}

/// By what a request goes to the app.
enum Leave {
    /// Policy allowed it.
    Permit { _permit: Permit },
    /// It is a probe of the configuration, and was stripped of all that it does not need.
    Probe,
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
    if caller.ends.is_some_and(|ends| ends <= SystemTime::now()) {
        return Err(checked.refuse(Refusal::unsent(Cause::IdentityEnded, "certificate_ended")));
    }
    let view = caller.view(&caller.world.snapshot());
    let probes =
        checked.exchange_mut().wish == Wish::Answer && is_probe(checked.request(), &view.probes);
    if let Some(barred) = view.barred.as_ref().filter(|_| !probes) {
        return Err(checked.refuse(barred.refusal()));
    }
    let Some(app) = view.app.clone() else {
        return Err(checked.refuse(Refusal::unsent(Cause::Unavailable, "listener_removed")));
    };
    if let Err(refusal) = caller.world.app_is_closed(view.must_be_closed) {
        return Err(checked.refuse(refusal));
    }
    if let Who::Plain(_) = &caller.who {
        let exchange = checked.exchange_mut();
        let room = match probes {
            true => exchange.take_room_of_probes(&caller.world.load),
            false => exchange.take_room(),
        };
        if let Err(refusal) = room {
            return Err(checked.refuse(refusal));
        }
    }
    if probes {
        let headers = checked.request_mut().headers_mut();
        *headers = head_of_probe(headers);
        let _leave = Leave::Probe;
        return Ok(Permitted {
            checked,
            app,
            _leave,
        });
    }
    if let Who::Plain(plain) = &caller.who {
        plain.asks(&caller.listener.name, &caller.world.metrics);
    }
    match decide(&view, &mut checked) {
        Ok(permit) => {
            let headers = checked.request_mut().headers_mut();
            if let Some(xfcc) = &caller.xfcc {
                headers.insert(XFCC.clone(), xfcc.clone());
            }
            Ok(Permitted {
                checked,
                app,
                _leave: Leave::Permit { _permit: permit },
            })
        }
        Err(refusal) => Err(checked.refuse(refusal)),
    }
}

fn decide(view: &View, checked: &mut Checked) -> Result<Permit, Refusal> {
    let decision = DecisionId::fresh();
    let request = checked.request();
    let verdict = view.read(request.uri()).map(|path| {
        let verdict = view.asked(request.method(), path.as_ref(), checked.authority());
        let rewritten = path.as_ref().and_then(Reading::rewritten);
        verdict.map(|permit| (permit, rewritten.map(str::to_owned)))
    });
    let verdict = verdict.map_err(|ambiguous| {
        Refusal::unsent(Cause::Malformed, ambiguous.reason()).explained(ambiguous)
    });
    let exchange = checked.exchange_mut();
    exchange.decision = Some(decision);
    match verdict {
        Ok(Ok((permit, rewritten))) => {
            exchange.verdict = Verdict::Allowed;
            exchange.rule = Some(permit.rule().clone());
            exchange.permitted(view.number);
            if let Some(path) = rewritten {
                let uri = checked.request_mut().uri_mut();
                *uri = with_path(uri, &path)
                    .map_err(|_| Refusal::unsent(Cause::Malformed, "bad_target"))?;
            }
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

/// The same target with another path.
fn with_path(target: &Uri, path: &str) -> Result<Uri, http::Error> {
    let mut parts = target.clone().into_parts();
    let target = match target.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    parts.path_and_query = Some(PathAndQuery::try_from(target)?);
    Ok(Uri::from_parts(parts)?)
}

/// A WebSocket over HTTP/2 is decided by its path: the GET that it would be over HTTP/1 may be allowed, or the CONNECT that
/// it is. Who denies one of them denies it.
fn either(
    as_get: Result<Permit, Denied>,
    as_connect: Result<Permit, Denied>,
) -> Result<Permit, Denied> {
    match (as_get, as_connect) {
        (Err(denied), _) | (_, Err(denied)) if denied.rule.is_some() => Err(denied),
        (Ok(permit), _) | (_, Ok(permit)) => Ok(permit),
        (Err(denied), Err(_)) => Err(denied),
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
