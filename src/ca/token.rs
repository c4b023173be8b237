//! `countersign ca token`.

use super::socket::SocketOption;
use super::whole_seconds;
use crate::failure::Failure;
use crate::output;
use api::admin::{TokenCall, TokenMade};
use ca::date;
use clap::{Args, Subcommand};
use config::SpiffeId;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

/// Tokens that admit workloads.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token with which a workload gets its first certificate.
    Create(Create),
}

/// Make a token with which a workload gets its first certificate. It goes to standard output, alone.
///
/// Whoever has the token may join as ID until it ends, with as many different keys as it has uses; the same key may repeat it.
/// The CA keeps only its hash: who loses it makes another.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 made, 1 refused, 2 the command line or FILE is not fit, 3 the CA cannot be asked.\n\
                  Example: countersign ca token create --id spiffe://shop.example/orders --out join-token"
)]
pub(crate) struct Create {
    /// Whom it admits, such as spiffe://shop.example/orders
    #[arg(long, value_name = "SPIFFE_ID")]
    id: String,
    /// How long it is good, 1s to 30d
    #[arg(long, value_name = "TTL", default_value = "10m")]
    ttl: String,
    /// How many different keys it admits: one per instance
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// Write it into this new file (0600) instead; nothing that is there is overwritten
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    socket: SocketOption,
}

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Token::Create(create) = self;
        create.run()
    }
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let verb = "ca token create";
        let id = SpiffeId::parse(&self.id).map_err(|error| {
            Failure::Unfit(format!(
                "{verb} --id {}: {error}; name one such as spiffe://shop.example/orders",
                self.id
            ))
        })?;
        let ttl_s = whole_seconds(verb, &self.ttl)?;
        let socket = self.socket.socket()?;
        // A token that can be written nowhere is not made.
        let file = self.out.as_deref().map(New::begin).transpose()?;
        let call = TokenCall {
            id: id.to_string(),
            ttl_s,
            uses: self.uses,
        };
        let answer = socket.post("/token", &call.to_json())?;
        let made = socket.read(TokenMade::from_json(&answer))?;
        if ca::Token::parse(&made.token).is_err() {
            return Err(socket.unusable("it holds no token"));
        }
        let line = Zeroizing::new(format!("{}\n", made.token));
        match file {
            None => output::print(&line),
            Some(file) => {
                let path = file.finish(&line)?;
                output::print(&format!(
                    "token   for {id}\nuntil   {}\nfile    {}\n",
                    date(made.ends_unix_s),
                    path.display()
                ))
            }
        }
    }
}

/// A file that will be there whole or not at all, in nobody's place.
struct New<'a> {
    path: &'a Path,
    folder: &'a Path,
    file: NamedTempFile,
}

impl<'a> New<'a> {
    fn begin(path: &'a Path) -> Result<Self, Failure> {
        if path.symlink_metadata().is_ok() {
            return Err(occupied(path));
        }
        let parent = path.parent().filter(|parent| *parent != Path::new(""));
        let folder = parent.unwrap_or(Path::new("."));
        let begun = NamedTempFile::new_in(folder).and_then(|file| {
            // As with the files of `ca issue`: root leaves them to the folder's owner. Who is not root keeps them.
            let owner = fs::metadata(folder)?;
            match fchown(file.as_file(), Some(owner.uid()), Some(owner.gid())) {
                Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
                _ => Ok(file),
            }
        });
        let file = begun.map_err(|error| unwritten(path, &error))?;
        Ok(New { path, folder, file })
    }

    fn finish(mut self, text: &str) -> Result<&'a Path, Failure> {
        let path = self.path;
        let written = self.file.write_all(text.as_bytes());
        written
            .and_then(|()| self.file.as_file().sync_all())
            .map_err(|error| unwritten(path, &error))?;
        self.file
            .persist_noclobber(path)
            .map_err(|failed| match failed.error.kind() {
                io::ErrorKind::AlreadyExists => occupied(path),
                _ => unwritten(path, &failed.error),
            })?;
        File::open(self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| unwritten(path, &error))?;
        Ok(path)
    }
}

fn occupied(path: &Path) -> Failure {
    Failure::Unfit(format!(
        "{} is not written: something is there already; remove it, or name another file",
        path.display()
    ))
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::Unfit(format!(
        "{} is not written: {error}; name a file in a folder that can be written",
        path.display()
    ))
}
