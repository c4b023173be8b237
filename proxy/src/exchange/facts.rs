//! What all exchanges of one connection share: who is at its ends, where it is counted, and how far it is.
//!
//! What comes of no exchange is told here: heads that were refused, and connections that a limit ends.

use super::series::{Common, Key, Known};
use crate::activity::{Activity, Stream};
use crate::answer::{Cause, Refusal};
use crate::interim::Interims;
use crate::load::{Full, Holder, Load, Probing};
use crate::spelled::Spelled;
use crate::under_way::UnderWay;
use http::{Method, Uri};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use telemetry::{AccessLog, AccessRecord, Direction, InFlight, SidecarMetrics};

/// What all exchanges of one connection share.
pub(crate) struct Facts {
    /// Which way the listener looks.
    pub(crate) direction: Direction,
    /// The listener's name.
    pub(crate) listener: Arc<str>,
    /// Our own identity when the connection began.
    pub(crate) local_id: Arc<str>,
    /// The caller, on inbound connections.
    pub(crate) peer_id: Option<Arc<str>>,
    /// Key exchange group of the inbound handshake.
    pub(crate) tls_group: &'static str,
    /// Where all are counted.
    pub(crate) metrics: Arc<SidecarMetrics>,
    /// Where all are logged, if anywhere.
    pub(crate) access_log: Option<AccessLog>,
    /// Requests of this listener now in flight.
    pub(crate) in_flight: InFlight,
    /// Who asks, and what it holds.
    holder: Arc<Holder>,
    /// What this connection is doing.
    pub(crate) activity: Activity,
    /// Why it is about to be cut, if it is.
    condemned: OnceLock<&'static str>,
    /// Exchanges that ever began on it.
    begun: AtomicU64,
    /// Those of them that ended.
    ended: AtomicU64,
    /// Those of them that became something else: bytes.
    upgraded: AtomicU64,
    /// What is under way on it.
    pub(crate) under_way: UnderWay,
    /// What is said before answers on it (HTTP/1).
    pub(crate) interims: Interims,
    /// How the names of the request under way were spelled (HTTP/1).
    pub(crate) asked_names: Spelled,
    /// The same of its answer, until that is written.
    pub(crate) answer_names: Spelled,
    /// Whether its requests are watched one by one.
    has_streams: AtomicBool,
    /// Whether its peer is a sidecar, as the marks of a request showed.
    of_sidecar: AtomicBool,
    /// Whether it closes without having begun what its peer may just be sending.
    leaves: AtomicBool,
    /// Whether its peer was told that it ends after what is under way.
    ends: AtomicBool,
    /// Streams that are about to be reset because their answers broke off.
    resets: AtomicU32,
    /// How its exchanges are counted.
    series: Known,
}

impl Facts {
    /// The facts of a new connection.
    pub(crate) fn new(
        direction: Direction,
        listener: Arc<str>,
        local_id: Arc<str>,
        peer: Option<(Arc<str>, &'static str)>,
        metrics: Arc<SidecarMetrics>,
        access_log: Option<AccessLog>,
        holder: Arc<Holder>,
    ) -> Arc<Self> {
        let in_flight = metrics.in_flight(direction, &listener);
        let (peer_id, tls_group) = peer.map_or((None, ""), |(id, group)| (Some(id), group));
        Arc::new(Self {
            direction,
            listener,
            local_id,
            peer_id,
            tls_group,
            metrics,
            access_log,
            in_flight,
            holder,
            activity: Activity::new(),
            condemned: OnceLock::new(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            upgraded: AtomicU64::new(0),
            under_way: UnderWay::default(),
            interims: Interims::default(),
            asked_names: Spelled::default(),
            answer_names: Spelled::default(),
            has_streams: AtomicBool::new(false),
            of_sidecar: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            ends: AtomicBool::new(false),
            resets: AtomicU32::new(0),
            series: Known::default(),
        })
    }
    /// The connection is about to be cut: whatever is still open on it gives this reason, the first that was given.
    pub(crate) fn condemn(&self, reason: &'static str) {
        let _first = self.condemned.set(reason);
    }
    /// Whether it is about to be cut, for a reason that was told.
    pub(crate) fn is_condemned(&self) -> bool {
        self.condemned.get().is_some()
    }
    /// Why it is about to be cut, if it is.
    pub(super) fn condemned(&self) -> Option<&'static str> {
        self.condemned.get().copied()
    }
    /// An exchange begins on it. What is watched of that alone, where its requests are watched one by one.
    pub(super) fn exchange_begins(&self) -> Option<Arc<Stream>> {
        self.activity.work_began();
        self.begun.fetch_add(1, Ordering::Relaxed);
        let has_streams = self.has_streams.load(Ordering::Relaxed);
        has_streams.then(Stream::begin)
    }
    /// One is relayed bytes from now on.
    pub(super) fn exchange_upgraded(&self) {
        self.upgraded.fetch_add(1, Ordering::Relaxed);
    }
    /// One has ended.
    pub(super) fn exchange_ended(&self, was_upgraded: bool) {
        self.activity.work_ended();
        self.ended.fetch_add(1, Ordering::Relaxed);
        if was_upgraded {
            self.upgraded.fetch_sub(1, Ordering::Relaxed);
        }
    }
    /// One is counted among its like.
    pub(super) fn observe(&self, key: &Key, took: Duration) {
        let common = Common {
            metrics: &self.metrics,
            direction: self.direction,
            listener: &self.listener,
            peer_id: self.peer_id.as_deref(),
        };
        self.series.observe(&common, key, took);
    }
    /// How many requests on it have not ended, and how many were and are now relayed bytes.
    pub(crate) fn exchanges(&self) -> (u64, u64) {
        let upgraded = self.upgraded.load(Ordering::Relaxed);
        // What ended is read first, so that what ends meanwhile is at worst counted as open.
        let ended = self.ended.load(Ordering::Relaxed);
        let open = self.begun().saturating_sub(ended);
        (open.saturating_sub(upgraded), upgraded)
    }
    /// Nothing is asked for a while: what only spares requests something is given up.
    pub(crate) fn rest(&self) {
        self.under_way.rest();
        self.series.forget();
    }
    /// How many requests ever began on it.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }
    /// Whether so many requests have begun on it, and every one has ended.
    pub(crate) fn has_answered(&self, requests: u64) -> bool {
        self.ended.load(Ordering::Relaxed) == requests && self.begun() == requests
    }
    /// From now on whoever spawns its requests watches them one by one: [`Stream::begun`].
    pub(crate) fn watch_streams(&self) {
        self.has_streams.store(true, Ordering::Relaxed);
    }
    /// Its peer is a sidecar, which understands [`Declined`](crate::declined::Declined).
    pub(crate) fn is_of_sidecar(&self) {
        self.of_sidecar.store(true, Ordering::Relaxed);
    }
    /// Whether its client is another sidecar, as far as its requests showed. On an outbound listener it is an app, which may pass
    /// on what a sidecar said to it.
    pub(crate) fn has_sidecar(&self) -> bool {
        self.direction == Direction::Inbound && self.of_sidecar.load(Ordering::Relaxed)
    }
    /// It ends after what is under way; at once where that is nothing: what its peer may just be sending is not read.
    pub(crate) fn leaves(&self) {
        self.ends.store(true, Ordering::Relaxed);
        self.leaves
            .store(!self.activity.is_at_work(), Ordering::Relaxed);
    }
    /// Whether its end was asked for, and is not owed to what its peer did.
    pub(crate) fn is_asked_to_end(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }
    /// Whether a sidecar is to be told, before it closes, that nothing more of it was read. Once.
    pub(crate) fn owes_farewell(&self) -> bool {
        self.of_sidecar.load(Ordering::Relaxed)
            && self.leaves.swap(false, Ordering::Relaxed)
            && !self.activity.is_at_work()
    }
    /// A limit refuses or ends one of its requests: counted under its reason, which is given back.
    pub(crate) fn limits_it(&self, reason: &'static str) -> &'static str {
        self.metrics.limited(self.direction, &self.listener, reason);
        reason
    }
    /// A limit ends the connection: counted under its reason, and told.
    pub(crate) fn limited(&self, reason: &'static str) {
        self.limits_it(reason);
        self.tell_limited(reason);
    }
    /// Told, since no exchange comes of it.
    pub(crate) fn tell_limited(&self, reason: &'static str) {
        self.tell(reason, "a limit ends its connection");
    }
    /// It breaks a rule, and ends: counted among what is refused for what its bytes are, and told.
    pub(crate) fn breaks(&self, reason: &'static str, error: &str) {
        self.metrics.refused_head(reason);
        self.tell(reason, error);
    }
    /// Something of it ended of which no exchange comes, or may come.
    pub(crate) fn tell(&self, reason: &'static str, error: &str) {
        let listener = &*self.listener;
        tracing::debug!(listener, reason, error, "refused what is no request");
        if let Some(access_log) = &self.access_log {
            access_log.write(&AccessRecord {
                listener,
                local_id: &self.local_id,
                peer_id: self.peer_id.as_deref().unwrap_or_default(),
                reason,
                error,
                tls_group: self.tls_group,
                ..AccessRecord::of(self.direction)
            });
        }
    }
    /// A head was refused before it was a request: counted and told here, since no exchange comes of it.
    ///
    /// `asked` is what its request line says, where that was right.
    pub(crate) fn refused_head(
        &self,
        reason: &'static str,
        status: u16,
        asked: Option<&(Method, Uri)>,
    ) {
        self.metrics.refused_head(reason);
        let listener = &*self.listener;
        tracing::debug!(listener, reason, "refused a head");
        if let Some(access_log) = &self.access_log {
            access_log.write(&AccessRecord {
                listener,
                local_id: &self.local_id,
                peer_id: self.peer_id.as_deref().unwrap_or_default(),
                method: asked.map_or("", |(method, _)| method.as_str()),
                path: asked.map_or("", |(_, uri)| uri.path()),
                status,
                reason,
                error: "what it sent is no request",
                tls_group: self.tls_group,
                ..AccessRecord::of(self.direction)
            });
        }
    }
    /// An answer on it breaks off, and so its stream is about to be reset, over HTTP/2: its exchange says why.
    pub(crate) fn resets_itself(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }
    /// Whether a stream that was reset is one of those: once for each.
    pub(crate) fn reset_itself(&self) -> bool {
        let one_less = |resets: u32| resets.checked_sub(1);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.resets.fetch_update(set, get, one_less).is_ok()
    }
    /// Whether its caller is in clear text: what it asks decides in which room it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.direction == Direction::Inbound && self.peer_id.is_none()
    }
    /// Room for one more request among those of its caller, until [`Self::gives_room_back`].
    pub(super) fn take_room(&self) -> Result<(), Refusal> {
        self.holder.began().map_err(|full| self.full(full))
    }
    /// The next may have the room of one.
    pub(super) fn gives_room_back(&self) {
        self.holder.ended();
    }
    /// Room for one more probe, until what is given is dropped.
    pub(super) fn take_room_of_probes(&self, load: &Load) -> Result<Probing, Refusal> {
        load.probe().map_err(|full| self.full(full))
    }
    /// There is no room for a request, which is counted.
    fn full(&self, full: Full) -> Refusal {
        let reason = self.limits_it(full.reason());
        Refusal::unsent(Cause::LimitReached, reason).explained(full)
    }
}
