//! What must agree across a sidecar document.
//!
//! In: the tree, not the values read from it, so that a mistake in one key hides none in another. Out: findings, each at
//! the place that a person would change.

use super::{identity, inbound, outbound, ports, service, tls};
use crate::form::{As, Listen, Reach};
use crate::listener::{Listener, addresses_differ};
use crate::probes::Health;
use crate::read::Value;
use crate::{Address, HostPattern, TrustDomain};
use std::collections::HashMap;

pub(super) fn check(root: &Value<'_>) {
    names_differ(&listener_names(root));
    names_differ(&service_names(root));
    hosts_differ(root);
    let listeners = listeners(root);
    addresses_differ(&listeners);
    apps_are_not_ourselves(root, &listeners);
    endpoints_are_not_ourselves(root);
    bound_services_exist(root);
    inbound_has_policy(root);
    federated_differ(root);
    identities_are_believed(root);
}

type Names<'d> = Vec<(Value<'d>, String)>;

fn listener_names<'d>(root: &Value<'d>) -> Names<'d> {
    let inbound = root
        .each("inbound")
        .into_iter()
        .filter_map(|item| Some((item.get("name")?, item.peek(&inbound::NAME)?)));
    let outbound = root
        .each("outbound")
        .into_iter()
        .filter_map(|item| Some((item.get("name")?, item.peek(&outbound::NAME)?)));
    inbound.chain(outbound).collect()
}

fn service_names<'d>(root: &Value<'d>) -> Names<'d> {
    root.each("services")
        .into_iter()
        .filter_map(|item| Some((item.get("name")?, item.peek(&service::NAME)?)))
        .collect()
}

fn names_differ(names: &Names<'_>) {
    let mut first = HashMap::new();
    for (value, name) in names {
        match first.get(name) {
            Some(other) => {
                value.note(
                    format!("`{name}` is also the name at {other}"),
                    "each name stands once",
                );
            }
            None => {
                first.insert(name, &value.at);
            }
        }
    }
}

fn hosts_differ(root: &Value<'_>) {
    let mut first: HashMap<(String, Option<u16>), String> = HashMap::new();
    let services = root.each("services");
    for host in services.iter().flat_map(|service| service.each("hosts")) {
        let Some(pattern) = host.quietly::<As<HostPattern>>() else {
            continue;
        };
        let key = (pattern.host().to_string(), pattern.port());
        match first.get(&key) {
            Some(other) => {
                host.note(
                    format!("`{}` is also the host at {other}", pattern.as_str()),
                    "each host belongs to one service",
                );
            }
            None => {
                first.insert(key, host.at.clone());
            }
        }
    }
}

fn listeners<'d>(root: &Value<'d>) -> Vec<Listener<'d>> {
    let listed = |item: Value<'d>, address: Option<Address>| {
        let value = item.get("listen")?;
        Some(Listener {
            at: item.at.clone(),
            value,
            written: true,
            address: address?,
        })
    };
    let mut all: Vec<_> = root
        .each("inbound")
        .into_iter()
        .filter_map(|item| listed(item.clone(), item.peek(&inbound::LISTEN)))
        .collect();
    all.extend(
        root.each("outbound")
            .into_iter()
            .filter_map(|item| listed(item.clone(), item.peek(&outbound::LISTEN))),
    );
    for (section, key) in [
        ("admin", &ports::ADMIN_LISTEN),
        ("metrics", &ports::METRICS_LISTEN),
        ("health", &Health::<Listen>::LISTEN),
    ] {
        all.extend(Listener::of_section(root, section, key));
    }
    let admin = root.get("admin");
    let socket = admin.as_ref().and_then(|admin| admin.get("socket"));
    let path = admin.as_ref().and_then(|admin| admin.peek(&ports::SOCKET));
    all.extend(socket.zip(path).map(|(value, path)| Listener {
        written: true,
        at: "admin.socket".to_owned(),
        address: Address::Unix(path),
        value,
    }));
    all
}

fn apps_are_not_ourselves(root: &Value<'_>, listeners: &[Listener<'_>]) {
    for item in root.each("inbound") {
        let (Some(app), Some(value)) = (item.peek(&inbound::APP), item.get("app")) else {
            continue;
        };
        // A name or another machine's address may well use the same port: only what is surely ourselves is refused.
        let is_ours = |listener: &&Listener<'_>| {
            app == listener.address || app.is_loopback() && app.collides(&listener.address)
        };
        if let Some(listener) = listeners.iter().find(is_ours) {
            value.note(
                format!("`{app}` is where {} listens", listener.at),
                "name the address of the app: this would call ourselves",
            );
        }
    }
}

/// Of a unix socket it is certain that it is our own; where a name or a port leads, only dialling tells.
fn endpoints_are_not_ourselves(root: &Value<'_>) {
    let outbound = root.each("outbound");
    let sockets: Vec<_> = outbound
        .iter()
        .filter_map(|item| Some((item.peek(&outbound::LISTEN)?, &item.at)))
        .filter(|(address, _)| matches!(address, Address::Unix(_)))
        .collect();
    let services = root.each("services");
    for value in services.iter().flat_map(|item| item.each("endpoints")) {
        let address = value.quietly::<As<Reach>>();
        if let Some((address, at)) = sockets.iter().find(|(it, _)| Some(it) == address.as_ref()) {
            value.note(
                format!("`{address}` is where {at} listens"),
                "name the address of the service: this would call ourselves",
            );
        }
    }
}

fn bound_services_exist(root: &Value<'_>) {
    let names: Vec<_> = service_names(root)
        .into_iter()
        .map(|(_, name)| name)
        .collect();
    for item in root.each("outbound") {
        let (Some(service), Some(value)) = (item.peek(&outbound::SERVICE), item.get("service"))
        else {
            continue;
        };
        if !names.contains(&service) {
            let help = match crate::describe::nearest(&service, names.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "declare it under `services`".into(),
            };
            value.note(format!("there is no service `{service}`"), help);
        }
    }
}

fn inbound_has_policy(root: &Value<'_>) {
    if let Some(inbound) = root.get("inbound")
        && !root.each("inbound").is_empty()
        && root.get("policy").is_none()
    {
        inbound.note(
            "an inbound listener without a policy",
            "add `policy: { file: policy.yaml }`: no policy means no",
        );
    }
}

fn own_domain(root: &Value<'_>) -> Option<TrustDomain> {
    root.get("identity")?.peek(&identity::TRUST_DOMAIN)
}

fn federated<'d>(root: &Value<'d>) -> Vec<Value<'d>> {
    root.get("identity")
        .map(|identity| identity.each("federated"))
        .unwrap_or_default()
}

fn federated_differ(root: &Value<'_>) {
    let own = own_domain(root);
    let mut seen = Vec::new();
    for item in federated(root) {
        let (Some(domain), Some(value)) =
            (item.peek(&identity::OTHER_DOMAIN), item.get("trustDomain"))
        else {
            continue;
        };
        if Some(&domain) == own.as_ref() {
            value.note(
                format!("`{domain}` is the own trust domain"),
                "remove it: its roots are those of `identity`",
            );
        } else if seen.contains(&domain) {
            value.note(
                format!("`{domain}` is federated twice"),
                "put all of its roots into one bundle",
            );
        }
        seen.push(domain);
    }
}

fn identities_are_believed(root: &Value<'_>) {
    let Some(own) = own_domain(root) else { return };
    let mut believed = vec![own];
    for item in federated(root) {
        match item.peek(&identity::OTHER_DOMAIN) {
            Some(domain) => believed.push(domain),
            // A federated domain that does not read may be the very one: its own finding is enough.
            None => return,
        }
    }
    for item in root.each("services") {
        let (Some(id), Some(value)) = (item.peek(&tls::IDENTITY), item.get("identity")) else {
            continue;
        };
        if !believed.iter().any(|domain| id.is_in(domain)) {
            let help =
                "wanted an identity of the own trust domain, or of one under `identity.federated`";
            value.note(
                format!(
                    "`{}` is a trust domain whose roots are not known",
                    id.trust_domain()
                ),
                help,
            );
        }
    }
}
