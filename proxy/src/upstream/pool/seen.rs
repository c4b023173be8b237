//! How the endpoints of an upstream stand, for whoever looks into a sidecar.

use super::endpoint::Endpoint;
use super::set::{Set, Target};
use crate::upstream::Place;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is written in the configuration, and where it leads now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// As it is written.
    pub(crate) written: String,
    /// How long its addresses hold; `None`: it names none, but is one, or it was not looked up yet.
    pub(crate) holds: Option<Duration>,
    /// Why it was not found when it was last looked up.
    pub(crate) failure: Option<Arc<str>>,
    /// Its addresses.
    pub(crate) addresses: Vec<AddressSeen>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddressSeen {
    /// Where, as it is logged.
    pub(crate) address: Arc<str>,
    /// The least is wanted most.
    pub(crate) priority: u16,
    /// How often its turn comes among those of its priority.
    pub(crate) weight: u32,
    /// Connections open.
    pub(crate) connections: usize,
    /// Requests under way.
    pub(crate) streams: usize,
    /// For how long others come before it yet, and why.
    pub(crate) ejected: Option<(Duration, &'static str)>,
}

/// How a set stands at `now`.
pub(super) fn seen(set: &Set, now: Instant) -> Vec<Seen> {
    let members = set.members();
    let address_seen = |endpoint: &Arc<Endpoint>| address(endpoint, now);
    let of_target = |target: &Target| match target {
        Target::Fixed(endpoint) => Seen {
            written: endpoint.label.to_string(),
            holds: None,
            failure: None,
            addresses: vec![address(endpoint, now)],
        },
        Target::Named(name, written) => {
            let answer = name.answer();
            let leads_to = |endpoint: &&Arc<Endpoint>| {
                let found = answer.found.iter();
                found
                    .map(|found| Place::Ip(found.at))
                    .any(|place| place == endpoint.place)
            };
            Seen {
                written: written.to_string(),
                holds: answer
                    .looked
                    .map(|(_, until)| until.saturating_duration_since(now)),
                failure: answer.failure.clone(),
                addresses: members.iter().filter(leads_to).map(address_seen).collect(),
            }
        }
    };
    set.targets().iter().map(of_target).collect()
}

fn address(endpoint: &Endpoint, now: Instant) -> AddressSeen {
    AddressSeen {
        address: endpoint.label.clone(),
        priority: endpoint.rank,
        weight: endpoint.weight(),
        connections: endpoint.connections.count(),
        streams: endpoint.streams.count(),
        ejected: endpoint
            .resting(now)
            .map(|rest| (rest.until - now, rest.reason)),
    }
}
