//! What an issuance costs the CA beside proof, signature and check.
//!
//! A round is, one after the other: the bare loop, renewals over kept connections, the bare loop, joins over kept connections.
//! Every renewal is the first successor of a certificate, over a connection that was opened with it; every join is of a new key.
//! Connections are opened, keys and requests made, and answers verified outside of what is measured.

use super::burst::burst;
use super::client::{Asking, Connection, Trust};
use super::{Failed, ServerProcess, Spread};
use identity::Svid;
use std::time::{Duration, Instant};

/// How much of it to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issuance {
    /// Rounds.
    pub rounds: usize,
    /// Renewals of a round, as many joins, and as many turns of the bare loop.
    pub issuances: usize,
    /// Calls under way at a time.
    pub in_flight: usize,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Microseconds of proof, signature and check.
    pub bare_us: Spread,
    /// Renewals over kept connections.
    pub renewals: Calls,
    /// Joins over kept connections.
    pub joins: Calls,
}

/// One kind of call.
#[derive(Clone, Debug, PartialEq)]
pub struct Calls {
    /// The CA's processor time, in microseconds a call.
    pub cpu_us: Spread,
    /// That, to that of the bare loop just before.
    pub ratio: Spread,
    /// Calls a second by the clock, on processors that the clients share.
    pub per_second: Spread,
}

/// One kind of call in one round.
struct Turn {
    bare: Duration,
    cpu: Duration,
    wall: Duration,
}

impl Issuance {
    /// Measures.
    pub async fn measure(self, server: &mut ServerProcess) -> Result<Measured, Failed> {
        let trust = Trust::new(server.bundle())?;
        let (mut renewals, mut joins) = (Vec::new(), Vec::new());
        let (_, mut members) = self.joins(server, &trust).await?;
        server.bare(self.issuances)?;
        for _ in 0..self.rounds {
            let bare = server.bare(self.issuances)?;
            let (turn, renewed) = self.renewals(server, &trust, members, bare).await?;
            members = renewed;
            renewals.push(turn);
            let (turn, _) = self.joins(server, &trust).await?;
            joins.push(turn);
        }
        let bare = renewals.iter().chain(&joins).map(|turn| turn.bare);
        Ok(Measured {
            bare_us: self.spread(bare.map(|bare| self.us(bare)))?,
            renewals: self.calls(&renewals)?,
            joins: self.calls(&joins)?,
        })
    }

    async fn renewals(
        self,
        server: &mut ServerProcess,
        trust: &Trust,
        members: Vec<Svid>,
        bare: Duration,
    ) -> Result<(Turn, Vec<Svid>), Failed> {
        let to = server.address();
        let connect = {
            let trust = trust.clone();
            move |svid| {
                let trust = trust.clone();
                async move { trust.connect_as(&trust.member(svid)?, to).await }
            }
        };
        let connections = burst(members, self.in_flight, connect).await?;
        let renew = |(mut connection, asking): (Connection, Asking)| async move {
            let reply = connection.renew(asking.with_certificate()).await?;
            // The connection is given back: its end is not part of the call.
            Ok((connection, reply.into_inner(), asking.key))
        };
        let calls = self.asking(connections)?;
        self.turn(server, trust, bare, calls, renew).await
    }

    async fn joins(
        self,
        server: &mut ServerProcess,
        trust: &Trust,
    ) -> Result<(Turn, Vec<Svid>), Failed> {
        let bare = server.bare(self.issuances)?;
        let token = server.tokens(1, self.issuances)?.remove(0);
        let mut kept = Vec::new();
        for _ in 0..self.in_flight {
            kept.push(trust.connect(server.address()).await?);
        }
        let connections = kept.iter().cycle().take(self.issuances).cloned();
        let calls = self.asking(connections.collect())?;
        let join = move |(mut connection, asking): (Connection, Asking)| {
            let request = asking.with_token(&token);
            async move {
                let reply = connection.join(request).await?;
                Ok((connection, reply.into_inner(), asking.key))
            }
        };
        self.turn(server, trust, bare, calls, join).await
    }

    fn asking(self, connections: Vec<Connection>) -> Result<Vec<(Connection, Asking)>, Failed> {
        let asking = |connection| Ok((connection, Asking::new()?));
        connections.into_iter().map(asking).collect()
    }

    async fn turn<F>(
        self,
        server: &mut ServerProcess,
        trust: &Trust,
        bare: Duration,
        calls: Vec<(Connection, Asking)>,
        call: impl Fn((Connection, Asking)) -> F + Clone + Send + Sync + 'static,
    ) -> Result<(Turn, Vec<Svid>), Failed>
    where
        F: Future<Output = Result<(Connection, api::ca_v1::IssueReply, identity::Key), Failed>>
            + Send
            + 'static,
    {
        let asked = calls.len() as u64;
        let (before, began) = (server.used()?, Instant::now());
        let answers = burst(calls, self.in_flight, call).await?;
        let (wall, after) = (began.elapsed(), server.used()?);
        if after.entries - before.entries != asked {
            let recorded = after.entries - before.entries;
            return Err(format!("{asked} were answered and {recorded} recorded").into());
        }
        let svids = answers
            .into_iter()
            .map(|(_, reply, key)| trust.verified(reply, key))
            .collect::<Result<_, _>>()?;
        let cpu = after.cpu - before.cpu;
        Ok((Turn { bare, cpu, wall }, svids))
    }

    fn calls(self, turns: &[Turn]) -> Result<Calls, Failed> {
        let per_second = |turn: &Turn| self.issuances as f64 / turn.wall.as_secs_f64();
        let ratio = |turn: &Turn| turn.cpu.as_secs_f64() / turn.bare.as_secs_f64();
        Ok(Calls {
            cpu_us: self.spread(turns.iter().map(|turn| self.us(turn.cpu)))?,
            ratio: self.spread(turns.iter().map(ratio))?,
            per_second: self.spread(turns.iter().map(per_second))?,
        })
    }

    fn us(self, of_all: Duration) -> f64 {
        of_all.as_secs_f64() * 1e6 / self.issuances as f64
    }

    fn spread(self, measured: impl Iterator<Item = f64>) -> Result<Spread, Failed> {
        Spread::of(measured).ok_or_else(|| "no round was measured".into())
    }
}
