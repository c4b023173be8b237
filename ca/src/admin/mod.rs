//! What operators ask of a running CA, over its unix socket.
//!
//! In: calls of [`api::admin`] from root and the CA's own user; the kernel says who calls, and everybody else's connection is
//! closed unheard. Out: answers, or refusals with their reason. Not here: the socket itself, and the verbs that ask.
//!
//! ```text
//! POST /token /issue             change something -calls-> done to the end, and logged
//! GET  /list /show /status /bundle      look        -shown, status-> at most a few MB
//! ```
//!
//! 1. A call that changes something is logged with the caller's uid, done or refused.
//! 2. It is done to its end, and logged, even if the caller goes away meanwhile.
//! 3. No private key comes in or goes out: whoever wants a certificate sends a signing request.

mod refused;

mod shown;

mod status;

mod calls;

mod serve;

pub use serve::serve;
