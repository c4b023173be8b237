//! What is asked for.
use crate::Reading;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// One HTTP request.
    Http {
        /// The method as on the wire.
        method: &'a str,
        /// Host, lower case, without port, IPv6 without brackets.
        host: &'a str,
        /// Its port if it names one.
        port: Option<u16>,
        /// The path; `None` for `*` and CONNECT targets: a clause with `paths` does not match them, one without does.
        path: Option<&'a Reading<'a>>,
    },
    /// One TCP connection: an allow clause with an HTTP field never matches, a deny clause ignores its HTTP fields.
    Tcp,
}
