//! The CA's process, seen from outside.

use super::server::Serving;
use super::{DOMAIN, Failed};
use ca::{Algorithm, Authority, Dir};
use config::TrustDomain;
use identity::Bundle;
use std::io::{BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// A new authority, and the process that serves it. Both end when this is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    address: SocketAddr,
    bundle: Bundle,
    child: Child,
    /// `None` once it was told to end.
    questions: Option<ChildStdin>,
    answers: Lines<BufReader<ChildStdout>>,
    _folder: TempDir,
}

/// What it has used until now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Processor time, the kernel's part for it included.
    pub cpu: Duration,
    /// Certificates in the record.
    pub entries: u64,
    /// Resident memory.
    pub resident_kib: u64,
}

impl ServerProcess {
    /// Makes an authority below `place` and starts `program serve FOLDER HOW`.
    pub fn start(program: &Path, place: &Path, serving: Serving) -> Result<Self, Failed> {
        let folder = TempDir::new_in(place)?;
        let dir = folder.path().join("ca");
        let domain = TrustDomain::parse(DOMAIN)?;
        let authority = Authority::create(&domain, Algorithm::P256, SystemTime::now())?;
        Dir::create(&dir, &authority)?;
        let mut child = Command::new(program)
            .arg("serve")
            .arg(&dir)
            .arg(serving.word())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = child.stdout.take().ok_or("its output is not ours")?;
        let mut answers = BufReader::new(answers).lines();
        let address = answers.next().ok_or("the CA's process has ended")??;
        Ok(ServerProcess {
            address: address.parse()?,
            bundle: authority.bundle().clone(),
            questions: child.stdin.take(),
            child,
            answers,
            _folder: folder,
        })
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whom to believe.
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// What it has used until now.
    pub fn used(&mut self) -> Result<Used, Failed> {
        let answer = self.ask("used")?;
        match answer.split(' ').collect::<Vec<_>>()[..] {
            [cpu_ns, entries, resident_kib] => Ok(Used {
                cpu: Duration::from_nanos(cpu_ns.parse()?),
                entries: entries.parse()?,
                resident_kib: resident_kib.parse()?,
            }),
            _ => Err(format!("not an answer: {answer}").into()),
        }
    }

    /// Processor time of proof, sign and check, so many times.
    pub fn bare(&mut self, times: usize) -> Result<Duration, Failed> {
        let answer = self.ask(&format!("bare {times}"))?;
        Ok(Duration::from_nanos(answer.parse()?))
    }

    /// Join tokens; that at place K is for the identity `/w/K`.
    pub fn tokens(&mut self, tokens: usize, uses: usize) -> Result<Vec<String>, Failed> {
        let first = self.ask(&format!("tokens {tokens} {uses}"))?;
        let mut all = vec![first];
        while all.len() < tokens {
            all.push(self.answer()?);
        }
        Ok(all)
    }

    fn ask(&mut self, question: &str) -> Result<String, Failed> {
        let questions = self
            .questions
            .as_mut()
            .ok_or("the CA's process has ended")?;
        writeln!(questions, "{question}")?;
        self.answer()
    }

    fn answer(&mut self) -> Result<String, Failed> {
        Ok(self.answers.next().ok_or("the CA's process has ended")??)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        drop(self.questions.take());
        // Its input has ended, so it will; how, nobody asks any more.
        let _ = self.child.wait();
    }
}
