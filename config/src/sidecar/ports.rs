//! The sidecar's own pages: admin and metrics.

use crate::Address;
use crate::describe::Element;
use crate::form::{As, File, Listen, Noun, object};
use crate::key::{Key, not_yet};
use crate::notes::Read;
use crate::read::Value;
use serde_json::Value as Json;
use std::path::PathBuf;

/// The admin pages (TCP, read-only) and the admin socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Loopback only.
    pub listen: Address,
    /// The unix socket; `None`: there is none.
    pub socket: Option<PathBuf>,
}

pub(super) const ADMIN_LISTEN: Key<As<Listen>> = Key::new(
    "listen",
    "Read-only pages; loopback or a unix socket only, port 0 takes a free one.",
)
.default(
    "\"127.0.0.1:15000\"",
    "they tell the whole configuration, which is nobody's business but this machine's",
);
pub(super) const SOCKET: Key<File> = Key::new(
    "socket",
    "A unix socket (0600) for what changes something. Without it there is none: two sidecars on one machine must not meet at \
     a path that neither chose.",
)
.optional()
.example("/run/countersign/admin.sock");

impl Noun for Admin {
    const ELEMENT: &'static Element = &Element {
        name: "admin",
        any_of: &[],
        doc: "The admin pages and the admin socket.",
        keys: &[ADMIN_LISTEN.about, SOCKET.about],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        let fields = value.fields(Self::ELEMENT)?;
        let (mut listen, socket) = (fields.take(&ADMIN_LISTEN), fields.maybe(&SOCKET));
        if let (Ok(address), Some(written)) = (&listen, value.get("listen"))
            && !address.is_loopback()
        {
            let help = "wanted a loopback address such as `127.0.0.1:15000`, or a unix socket: these pages tell the whole configuration";
            listen = Err(written.note(format!("`{address}` is not loopback"), help));
        }
        Ok(Self {
            listen: listen?,
            socket: socket?,
        })
    }

    fn show(&self) -> Json {
        let mut pairs = vec![ADMIN_LISTEN.show(&self.listen)];
        pairs.extend(self.socket.as_ref().map(|socket| SOCKET.show(socket)));
        object(pairs)
    }
}

/// Where `/metrics` is served.
pub(super) struct Metrics(pub(super) Address);

pub(super) const METRICS_LISTEN: Key<As<Listen>> =
    Key::new("listen", "Where `/metrics` is served, plain.").default(
        "\"0.0.0.0:15020\"",
        "a scraper comes from another machine and has no identity",
    );

impl Noun for Metrics {
    const ELEMENT: &'static Element = &Element {
        name: "metrics",
        any_of: &[],
        doc: "Metrics for Prometheus.",
        keys: &[
            METRICS_LISTEN.about,
            not_yet(
                "merge",
                "\"http://127.0.0.1:8080/metrics\"",
                "The app's own metrics, served along with ours.",
            ),
        ],
    };

    fn read(value: &Value<'_>) -> Read<Self> {
        value.fields(Self::ELEMENT)?.take(&METRICS_LISTEN).map(Self)
    }

    fn show(&self) -> Json {
        object([METRICS_LISTEN.show(&self.0)])
    }
}
