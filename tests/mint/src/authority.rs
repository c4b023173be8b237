//! Somebody who signs certificates, rightly unless told otherwise.

use crate::{Draft, Key, Svid, der};
use std::sync::atomic::{AtomicU32, Ordering};

/// A root or an issuer, with its key and the certificates from itself up to, but without, its root.
#[derive(Clone, Debug)]
pub struct Authority {
    /// Whom it vouches for.
    pub trust_domain: String,
    /// Its key.
    pub key: Key,
    /// Its own certificate.
    pub certificate: Vec<u8>,
    /// Its subject's Name in DER.
    pub subject: Vec<u8>,
    /// What it sends along with a leaf: itself and what is between it and the root. Empty for a root.
    pub chain: Vec<Vec<u8>>,
    /// Its root's certificate; its own for a root.
    pub root: Vec<u8>,
}

/// So that no two authorities have one name, as `pki` wants it; a test that wants it otherwise sets `subject`.
fn unique(what: &str, trust_domain: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!(
        "{what} {} of {trust_domain}",
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}

impl Authority {
    /// A P-256 root of a trust domain.
    pub fn root(trust_domain: &str) -> Self {
        Self::root_with(trust_domain, Key::p256(), |_| {})
    }

    /// A root with a key and changes of your own.
    pub fn root_with(trust_domain: &str, key: Key, change: impl FnOnce(&mut Draft)) -> Self {
        let mut draft = Draft::authority(trust_domain, &unique("root", trust_domain), &key);
        draft.issuer = draft.subject.clone();
        draft.authority_key_id = Some(key.id());
        change(&mut draft);
        let certificate = draft.sign(&key);
        Authority {
            trust_domain: trust_domain.to_owned(),
            root: certificate.clone(),
            subject: draft.subject,
            chain: Vec::new(),
            certificate,
            key,
        }
    }

    /// A P-256 issuer below this one, with pathLen 0.
    pub fn issuer(&self) -> Self {
        self.issuer_with(|_| {})
    }

    /// An issuer with changes of your own.
    pub fn issuer_with(&self, change: impl FnOnce(&mut Draft)) -> Self {
        let key = Key::p256();
        let name = unique("issuer", &self.trust_domain);
        let mut draft = Draft::authority(&self.trust_domain, &name, &key);
        draft.basic = draft.basic.map(|basic| crate::Basic {
            path_len: Some(0),
            ..basic
        });
        self.fill_in(&mut draft);
        change(&mut draft);
        let certificate = draft.sign(&self.key);
        let chain = std::iter::once(certificate.clone()).chain(self.chain.iter().cloned());
        Authority {
            trust_domain: self.trust_domain.clone(),
            chain: chain.collect(),
            root: self.root.clone(),
            subject: draft.subject,
            certificate,
            key,
        }
    }

    /// A leaf of a new P-256 key, valid from a minute ago until in an hour.
    pub fn leaf(&self, id: &str) -> Svid {
        self.leaf_with(id, |_| {})
    }

    /// A leaf with changes of your own.
    pub fn leaf_with(&self, id: &str, change: impl FnOnce(&mut Draft)) -> Svid {
        self.leaf_of(Key::p256(), id, change)
    }

    /// A leaf of a key of your own.
    pub fn leaf_of(&self, key: Key, id: &str, change: impl FnOnce(&mut Draft)) -> Svid {
        let mut draft = Draft::leaf(id, &key);
        self.fill_in(&mut draft);
        change(&mut draft);
        let leaf = draft.sign(&self.key);
        let chain = std::iter::once(leaf)
            .chain(self.chain.iter().cloned())
            .collect();
        Svid { chain, key }
    }

    /// The PEM of the root.
    pub fn bundle_pem(&self) -> String {
        crate::pem("CERTIFICATE", &self.root)
    }

    fn fill_in(&self, draft: &mut Draft) {
        draft.issuer = self.subject.clone();
        draft.authority_key_id = Some(self.key.id());
    }
}

impl Svid {
    /// A leaf that nobody vouches for but itself.
    pub fn self_signed(id: &str) -> Self {
        let key = Key::p256();
        let mut draft = Draft::leaf(id, &key);
        draft.subject = der::name("nobody else");
        draft.issuer = draft.subject.clone();
        Svid {
            chain: vec![draft.sign(&key)],
            key,
        }
    }
}
