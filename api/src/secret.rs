//! `Debug` of the messages that carry a secret: everything but the secret.
use crate::ca_v1::{JoinRequest, join_request::Evidence};
use crate::workload::X509svid;
use std::fmt;

impl fmt::Debug for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Evidence::JoinToken(_) => f.write_str("JoinToken(…)"),
        }
    }
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest")
            .field("csr", &self.csr)
            .field("evidence", &self.evidence)
            .field("instance", &self.instance)
            .field("capabilities", &self.capabilities)
            .finish()
    }
}

impl fmt::Debug for X509svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509svid")
            .field("spiffe_id", &self.spiffe_id)
            .field("x509_svid", &self.x509_svid)
            .field("x509_svid_key", &format_args!("…"))
            .field("bundle", &self.bundle)
            .field("hint", &self.hint)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shown: &str, said: &[&str], secret: &[&str]) {
        for said in said {
            assert!(shown.contains(said), "{said} is missing in {shown}");
        }
        for secret in secret {
            assert!(!shown.contains(secret), "{secret} stands in {shown}");
        }
    }

    #[test]
    fn debug_shows_neither_token_nor_key() {
        let join = JoinRequest {
            evidence: Some(Evidence::JoinToken("hunter2".into())),
            instance: "orders-7".into(),
            ..JoinRequest::default()
        };
        let svid = X509svid {
            spiffe_id: "spiffe://shop.example/orders".into(),
            x509_svid_key: vec![201, 202, 203],
            ..X509svid::default()
        };

        check(
            &format!("{join:?}"),
            &["JoinToken", "orders-7"],
            &["hunter2"],
        );
        check(
            &format!("{svid:#?}"),
            &["shop.example/orders"],
            &["201", "202"],
        );
    }
}
