//! From a running CA: only the signing request goes over its socket.

use super::super::socket::Socket;
use super::{Granted, Request, Wish};
use crate::failure::Failure;
use api::admin::{IssueCall, IssueMade};
use config::TrustDomain;
use identity::pki_types::UnixTime;
use identity::{Bundle, Bundles, Key, Role, Svid, Verifier, pem};
use std::fmt::Display;
use std::time::{Duration, SystemTime};

/// Asks, and looks whether what came is what was asked for, as its peers will.
pub(super) fn issue(socket: &Socket, wish: &Wish) -> Result<Granted, Failure> {
    let call = IssueCall {
        id: wish.id.to_string(),
        csr: request_pem(&wish.request),
        ttl_s: wish.ttl_s,
    };
    let answer = socket.post("/issue", &call.to_json())?;
    let made = socket.read(IssueMade::from_json(&answer))?;
    let granted = Granted {
        serial: made.serial,
        not_after_s: made.not_after_unix_s,
        chain_pem: made.chain,
        bundle_pem: made.bundle,
    };
    match look(wish, &granted) {
        Ok(()) => Ok(granted),
        Err(why) => Err(socket.unusable(why)),
    }
}

fn request_pem(request: &Request) -> String {
    match request {
        Request::Own { csr, .. } => csr.to_pem(),
        Request::Foreign(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN ") => text.to_owned(),
            _ => pem::encode("CERTIFICATE REQUEST", bytes).to_string(),
        },
    }
}

fn look(wish: &Wish, granted: &Granted) -> Result<(), String> {
    let told = |error: &dyn Display| error.to_string();
    let chain = pem::certificates(granted.chain_pem.as_bytes()).map_err(|why| told(&why))?;
    let domain = TrustDomain::parse(wish.id.trust_domain()).map_err(|why| told(&why))?;
    let bundle = Bundle::from_pem(domain, granted.bundle_pem.as_bytes());
    let verifier = Verifier::new(Bundles::of(bundle.map_err(|why| told(&why))?));
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    let now = UnixTime::since_unix_epoch(since_1970);
    let peer = verifier.verify(&chain, Role::Server, now);
    let peer = peer.map_err(|why| told(&why))?;
    if peer.id != wish.id || peer.serial != granted.serial {
        return Err("its certificate is not the one that it speaks of".to_owned());
    }
    if let Request::Own { key, .. } = &wish.request {
        let key = Key::from_pem(key.to_pem().as_bytes()).map_err(|why| told(&why))?;
        Svid::new(chain, key).map_err(|why| told(&why))?;
    }
    Ok(())
}
