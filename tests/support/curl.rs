//! The real curl, and what it was answered.

use super::process::{Ran, run};
use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

/// A call as curl makes it.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Where to.
    pub to: SocketAddr,
    /// HTTP/2 without TLS and without asking first; else HTTP/1.1.
    pub http2: bool,
    /// `Host` or `:authority`.
    pub host: &'a str,
    /// The method.
    pub method: &'a str,
    /// The target, byte for byte: as a URL curl would refuse or mend some of them.
    pub target: &'a [u8],
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `None`: the connection or the stream was ended without an answer.
    pub status: Option<u16>,
    headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl Call<'_> {
    /// Makes the call.
    pub fn make(&self) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["-si", "--max-time", "20", "-X", self.method, "-H"])
            .arg(format!("Host: {}", self.host))
            .arg("--request-target")
            .arg(OsStr::from_bytes(self.target));
        if self.method == "HEAD" {
            curl.arg("-I");
        }
        if self.http2 {
            curl.arg("--http2-prior-knowledge");
        }
        let Ran { code, out, err } = run(curl.arg(format!("http://{}/", self.to)));
        assert!(code != Some(28), "{self:?}: no answer in time: {out}{err}");
        Answer::read(&out)
    }
}

impl Answer {
    fn read(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let headers = lines.filter_map(|line| line.split_once(": "));
        Answer {
            status: status.and_then(|status| status.parse().ok()),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    /// The first header of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str())
    }
}
