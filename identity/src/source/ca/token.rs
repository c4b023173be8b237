//! The join token in its file.
//!
//! In: a path. Out: the token, wiped on drop and shown by no `Debug`, and whether others could read it too.

use api::bounds::TOKEN_BYTES_MAX;
use rustix::fs::OFlags;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A join token.
pub struct JoinToken {
    text: Zeroizing<String>,
    readers: Readers,
}

/// Who may read the file of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Its owner.
    Owner,
    /// Others too. Said aloud and taken: a token ends soon, and orchestrators mount secrets this way.
    Others {
        /// The permission bits.
        mode: u32,
    },
}

/// Why there is no token.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// Nothing is in it but blanks.
    Empty {
        /// Where.
        path: PathBuf,
    },
    /// It is longer than any token, or not one word of printable characters.
    NoToken {
        /// Where.
        path: PathBuf,
    },
}

impl TokenError {
    /// A label that never changes.
    pub fn reason(&self) -> &'static str {
        match self {
            TokenError::Unreadable { .. } => "token_unreadable",
            TokenError::Empty { .. } => "token_empty",
            TokenError::NoToken { .. } => "token_malformed",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::Unreadable { path, why } => write!(
                f,
                "the join token {} is not read: {why}; write there what `countersign ca token create` prints",
                path.display()
            ),
            TokenError::Empty { path } => write!(
                f,
                "the join token {} is empty; write there what `countersign ca token create` prints",
                path.display()
            ),
            TokenError::NoToken { path } => write!(
                f,
                "{} holds no join token: it is not one word of at most {TOKEN_BYTES_MAX} characters; \
                 write there what `countersign ca token create` prints",
                path.display()
            ),
        }
    }
}

impl std::error::Error for TokenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TokenError::Unreadable { why, .. } => Some(why),
            _ => None,
        }
    }
}

impl JoinToken {
    /// Reads a token; blanks and line ends around it are ignored.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let unreadable = |why| TokenError::Unreadable {
            path: path.to_owned(),
            why,
        };
        // A pipe that nobody writes into would hold the reader for ever.
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path);
        let file = opened.map_err(unreadable)?;
        let about = file.metadata().map_err(unreadable)?;
        if !about.is_file() {
            return Err(unreadable(io::Error::other("it is no file")));
        }
        let mode = about.mode() & 0o7777;
        // As much room as is ever read, at once: a buffer that grows leaves copies behind.
        let most = 2 * TOKEN_BYTES_MAX;
        let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
        file.take(most as u64)
            .read_to_end(&mut bytes)
            .map_err(unreadable)?;
        let path = || path.to_owned();
        let word = bytes.trim_ascii();
        if word.is_empty() {
            return Err(TokenError::Empty { path: path() });
        }
        let text = std::str::from_utf8(word)
            .ok()
            .filter(|word| word.len() <= TOKEN_BYTES_MAX)
            .filter(|word| word.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| TokenError::NoToken { path: path() })?;
        Ok(JoinToken {
            text: Zeroizing::new(text.to_owned()),
            readers: match mode & 0o077 {
                0 => Readers::Owner,
                _ => Readers::Others { mode },
            },
        })
    }

    /// The token itself.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Who may read its file.
    pub fn readers(&self) -> Readers {
        self.readers
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinToken(…)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_one_word_and_blanks_around_it_are_ignored() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("token");
        let check = |content: &[u8], expected: Result<&str, &str>| {
            fs::write(&path, content).unwrap();
            let read = JoinToken::read(&path);
            let seen = read
                .as_ref()
                .map(JoinToken::text)
                .map_err(TokenError::reason);
            assert_eq!(seen, expected);
        };
        check(b"cst_abc", Ok("cst_abc"));
        check(b" \tcst_abc\r\n\n", Ok("cst_abc"));
        check(b"", Err("token_empty"));
        check(b" \n", Err("token_empty"));
        check(b"two words", Err("token_malformed"));
        check(&[0xff, 0xfe], Err("token_malformed"));
        check(&[b'a'; TOKEN_BYTES_MAX], Ok(&"a".repeat(TOKEN_BYTES_MAX)));
        check(&[b'a'; TOKEN_BYTES_MAX + 1], Err("token_malformed"));
        check(&vec![b'a'; 1 << 20], Err("token_malformed"));
        fs::remove_file(&path).unwrap();
        assert_eq!(
            JoinToken::read(&path).unwrap_err().reason(),
            "token_unreadable"
        );
    }

    #[test]
    fn a_pipe_that_nobody_writes_into_holds_nobody() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("token");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let pipe = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, pipe, mode, 0).unwrap();

        let refused = JoinToken::read(&path).unwrap_err().to_string();

        assert!(refused.contains("it is no file"), "{refused}");
    }

    #[test]
    fn who_else_may_read_it_is_said_and_what_it_is_never() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, "cst_abc").unwrap();
        for (mode, readers) in [
            (0o600, Readers::Owner),
            (0o400, Readers::Owner),
            (0o644, Readers::Others { mode: 0o644 }),
            (0o640, Readers::Others { mode: 0o640 }),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let token = JoinToken::read(&path).unwrap();
            assert_eq!(token.readers(), readers);
            assert_eq!(format!("{token:?}"), "JoinToken(…)");
        }
    }
}
