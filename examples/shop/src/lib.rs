//! A small shop in clear text: three services that know nothing of TLS.
//!
//! [`Storefront`] shows a page of orders, which it asks of [`Orders`] over HTTP; orders keeps its entries in the [`Ledger`],
//! a line protocol over TCP in which the server speaks first. In: where to listen, and where to reach the next service
//! (an own sidecar, usually). Out: a [`Running`] service that remembers what really reached it, so that a test can
//! observe a call at the app and not at a proxy.
//!
//! Each serves HTTP/1.1 and HTTP/2 without TLS; none authenticates anybody: that is the sidecar's part. What the sidecar
//! says of the caller (`x-forwarded-client-cert`) is remembered, and told in the answers of orders.

mod seen;

mod serve;

mod ledger;
mod orders;
mod storefront;

pub use ledger::Ledger;
pub use orders::Orders;
pub use seen::{Request, Seen};
pub use serve::Running;
pub use storefront::Storefront;
