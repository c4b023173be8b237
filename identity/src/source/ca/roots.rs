//! Whom to believe, learned from signed statements, page by page.
//!
//! In: what is trusted or held, and somebody to ask. Out: the newest statement that follows from it.
//!
//! 1. Nobody needs to be believed for this but the roots that signed.
//! 2. Only forward: who has less to say than is held is refused, and held stays.
//! 3. No more is read than [`CHAIN_STATEMENTS_MAX`] statements.

use super::dial::{Ca, Unknown};
use super::failed::Failed;
use super::reply::statement_from_wire;
use crate::statement::CHAIN_STATEMENTS_MAX;
use crate::{FirstContact, SignedStatement, StatementRefused, walk};

/// Who is asked.
pub(super) enum Teller<'a> {
    /// The CA, on a connection that proved it.
    Ca(&'a mut Ca),
    /// Whoever is there.
    Unknown(&'a mut Unknown),
}

/// How far the chain was read.
struct Reading<'a> {
    teller: Teller<'a>,
    after: u64,
    read: usize,
}

impl Reading<'_> {
    /// The next page; `None`: there is no more.
    async fn next(&mut self) -> Result<Option<Vec<SignedStatement>>, Failed> {
        let reply = match &mut self.teller {
            Teller::Ca(ca) => ca.statements(self.after).await?,
            Teller::Unknown(unknown) => unknown.statements(self.after).await?,
        };
        let page = reply.statements.into_iter().map(statement_from_wire);
        let page = page.collect::<Result<Vec<_>, _>>()?;
        let last = page.last().map(|last| last.statement().sequence());
        // Who has less than is held says so by its latest one, who repeats itself by the page.
        let (found, held) = (last.unwrap_or(reply.latest_sequence), self.after);
        if found < held || last == Some(held) {
            return Err(StatementRefused::Backward { found, held }.into());
        }
        self.after = found;
        self.read += page.len();
        match self.read {
            statements if statements > CHAIN_STATEMENTS_MAX => {
                Err(StatementRefused::TooMany { statements }.into())
            }
            _ => Ok(last.map(|_| page)),
        }
    }
}

/// The newest statement that first contact leads to.
pub(super) async fn first(
    unknown: &mut Unknown,
    trusted: &FirstContact,
) -> Result<SignedStatement, Failed> {
    let mut reading = Reading {
        teller: Teller::Unknown(unknown),
        after: 0,
        read: 0,
    };
    let mut held = None;
    while let Some(page) = reading.next().await? {
        held = match &held {
            Some(held) => Some(walk(held, &page)?),
            None => match trusted.walk(&page) {
                Ok(found) => Some(found),
                // What is trusted may be named by a later page.
                Err(StatementRefused::NoneIncludesTrusted) => None,
                Err(why) => return Err(why.into()),
            },
        };
    }
    held.ok_or_else(|| {
        let none = match reading.read {
            0 => StatementRefused::EmptyChain,
            _ => StatementRefused::NoneIncludesTrusted,
        };
        none.into()
    })
}

/// The newest statement that follows from what is held; what is held if there is none newer.
pub(super) async fn forward(
    teller: Teller<'_>,
    held: &SignedStatement,
) -> Result<SignedStatement, Failed> {
    let mut reading = Reading {
        teller,
        after: held.statement().sequence(),
        read: 0,
    };
    let mut newest = held.clone();
    while let Some(page) = reading.next().await? {
        newest = walk(&newest, &page)?;
    }
    Ok(newest)
}
