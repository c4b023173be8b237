//! Why an operator gets no answer but this.

use crate::refusal::{Fault, Refusal};
use crate::signer::SignerUnfit;
use crate::store;
use crate::token::{NoRandomness, TermsRefused};
use api::admin::{self, Malformed};
use config::NameError;
use daemon::pages::Page;
use http::StatusCode;
use std::fmt;

/// Why a call is refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// No such call.
    Path,
    /// The call is there, and wants another method.
    Method {
        /// Which one.
        wanted: &'static str,
    },
    /// What came is not understood.
    Malformed(Malformed),
    /// The identity is no SPIFFE ID.
    Id(NameError),
    /// The serial is none of ours, whatever was issued.
    Serial,
    /// No certificate of this serial stands in the record.
    Unknown {
        /// Which serial.
        serial: String,
    },
    /// A page of a list begins at a place that no page ended at.
    Place,
    /// No token on such terms.
    Terms(TermsRefused),
    /// No token without randomness.
    Randomness(NoRandomness),
    /// The newest statement cannot be read.
    Statement,
    /// A root that is trusted cannot be read.
    Root(SignerUnfit),
    /// As a workload would be refused.
    Call(Refusal),
    /// It was cut off before its end.
    Cut,
}

impl Refused {
    /// A label that never changes.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Refused::Path => "no_such_call",
            Refused::Method { .. } => "wrong_method",
            Refused::Malformed(malformed) => malformed.reason(),
            Refused::Id(_) => "id_malformed",
            Refused::Serial => "serial_malformed",
            Refused::Unknown { .. } => "serial_unknown",
            Refused::Place => "place_unknown",
            Refused::Terms(refused) => refused.reason(),
            Refused::Randomness(refused) => refused.reason(),
            Refused::Statement => "statement_unreadable",
            Refused::Root(unfit) => unfit.reason(),
            Refused::Call(refusal) => refusal.reason(),
            Refused::Cut => "cut_off",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Refused::Path | Refused::Unknown { .. } => StatusCode::NOT_FOUND,
            Refused::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Refused::Malformed(_) | Refused::Id(_) | Refused::Serial | Refused::Place => {
                StatusCode::BAD_REQUEST
            }
            Refused::Terms(_) => StatusCode::BAD_REQUEST,
            Refused::Randomness(_) | Refused::Statement | Refused::Root(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Refused::Cut => StatusCode::SERVICE_UNAVAILABLE,
            Refused::Call(refusal) => match refusal.fault() {
                Fault::Request => StatusCode::BAD_REQUEST,
                Fault::Unauthenticated | Fault::Denied => StatusCode::FORBIDDEN,
                Fault::TooMuch => StatusCode::TOO_MANY_REQUESTS,
                Fault::Passing => StatusCode::SERVICE_UNAVAILABLE,
                Fault::Ours => StatusCode::INTERNAL_SERVER_ERROR,
            },
        }
    }

    /// As it goes out.
    pub(super) fn page(&self) -> Page {
        let refusal = admin::Refusal {
            error: self.reason().to_owned(),
            message: self.to_string(),
        };
        Page {
            status: self.status(),
            ..Page::json(refusal.to_json())
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Path => f.write_str(
                "no such call: this ca answers /token, /issue, /list, /show, /status and /bundle; look at both versions",
            ),
            Refused::Method { wanted } => {
                write!(f, "wrong method: the call wants {wanted}; use that")
            }
            Refused::Malformed(malformed) => malformed.fmt(f),
            Refused::Id(why) => write!(
                f,
                "no such identity: {why}; name one such as spiffe://shop.example/orders"
            ),
            Refused::Serial => f.write_str(
                "no such serial: it is not 40 lower-case hex digits as this ca issues them; copy it whole from `countersign ca list`",
            ),
            Refused::Unknown { serial } => write!(
                f,
                "no certificate {serial}: this ca has no record of it; look for it with `countersign ca list`"
            ),
            Refused::Place => {
                f.write_str("no such place: the list has no page there; begin it anew")
            }
            Refused::Terms(refused) => refused.fmt(f),
            Refused::Randomness(refused) => refused.fmt(f),
            Refused::Statement => f.write_str(
                "the newest statement about the roots cannot be read; restore the record from a backup",
            ),
            Refused::Root(unfit) => unfit.fmt(f),
            Refused::Call(refusal) => refusal.fmt(f),
            Refused::Cut => f.write_str(
                "not answered: the ca ended meanwhile; look at `countersign ca list` when it is back, it may have been done",
            ),
        }
    }
}

macro_rules! from {
    ($($variant:ident($error:ty)),*) => {$(
        impl From<$error> for Refused {
            fn from(error: $error) -> Self {
                Refused::$variant(error.into())
            }
        }
    )*};
}
from!(
    Malformed(Malformed),
    Id(NameError),
    Terms(TermsRefused),
    Randomness(NoRandomness),
    Root(SignerUnfit),
    Call(Refusal),
    Call(store::Refused)
);

impl From<store::Fault> for Refused {
    fn from(fault: store::Fault) -> Self {
        store::Refused::from(fault).into()
    }
}
