//! Everything that reads: bounded, by index, and never a scan over what has ended.

use crate::record::{Entry, Instance, KeyHash, Parent};
use crate::revocation::{Mark, Revoked};
use crate::store::ledger::{
    Contested, LIST_MAX, Listed, Page, StatementSignature, StoredStatement, Summary,
};
use crate::template::Serial;
use crate::token::{Standing, TokenHash};
use config::SpiffeId;
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Row};

/// How a token stands with a key, and whom it admits.
pub(super) fn standing(
    db: &Connection,
    token: &TokenHash,
    key: &KeyHash,
) -> rusqlite::Result<Option<(SpiffeId, Standing<u64>)>> {
    let kept = db
        .prepare_cached("SELECT id, ends_s, uses, used FROM tokens WHERE hash = ?1")?
        .query_row((token.bytes(),), |row| {
            let standing = Standing {
                ends_s: row.get(1)?,
                uses: row.get(2)?,
                used: row.get(3)?,
                before: None,
            };
            Ok((spiffe_id(row, 0)?, standing))
        })
        .optional()?;
    let Some((id, mut standing)) = kept else {
        return Ok(None);
    };
    standing.before = db
        .prepare_cached("SELECT generation FROM token_keys WHERE token = ?1 AND key_hash = ?2")?
        .query_row((token.bytes(), key.bytes()), |row| row.get(0))
        .optional()?;
    Ok(Some((id, standing)))
}

/// What is known of a certificate whose successor is asked for, and its generation.
pub(super) fn parent(
    db: &Connection,
    serial: &Serial,
) -> rusqlite::Result<Option<(u64, Parent<u64>)>> {
    db.prepare_cached(
        "SELECT g.generation, i.id, g.key_hash, s.generation, s.key_hash, l.serial \
         FROM records r JOIN identities i USING (identity) JOIN generations g USING (generation) \
         LEFT JOIN generations s ON s.generation = g.successor LEFT JOIN records l ON l.idx = s.latest \
         WHERE r.serial = ?1",
    )?
    .query_row((serial.octets(),), |row| {
        let successor = match row.get::<_, Option<u64>>(3)? {
            None => None,
            Some(generation) => Some((generation, key_hash(row, 4)?, serial_of(row, 5)?)),
        };
        let parent = Parent {
            serial: *serial,
            id: spiffe_id(row, 1)?,
            key: key_hash(row, 2)?,
            successor,
        };
        Ok((row.get(0)?, parent))
    })
    .optional()
}

/// How a mark is kept.
pub(super) fn mark_columns(what: &Revoked) -> (&'static str, &[u8]) {
    match what {
        Revoked::Serial(serial) => ("serial", serial.octets()),
        Revoked::Key(key) => ("key", key.bytes()),
        Revoked::Id(id) => ("id", id.as_str().as_bytes()),
    }
}

/// The epoch of the mark on something, if it has one.
pub(super) fn epoch_of(db: &Connection, what: &Revoked) -> rusqlite::Result<Option<u64>> {
    db.prepare_cached("SELECT epoch FROM revocations WHERE kind = ?1 AND what = ?2")?
        .query_row(mark_columns(what), |row| row.get(0))
        .optional()
}

pub(super) fn revocations(
    db: &Connection,
    after_epoch: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Mark>> {
    db.prepare_cached(
        "SELECT epoch, kind, what, at_s FROM revocations WHERE epoch > ?1 ORDER BY epoch LIMIT ?2",
    )?
    .query_map((clamped(after_epoch), bounded(limit) as u64), |row| {
        let kind: String = row.get(1)?;
        let what = match kind.as_str() {
            "serial" => Revoked::Serial(serial_of(row, 2)?),
            "key" => Revoked::Key(key_hash(row, 2)?),
            _ => {
                let bytes: Vec<u8> = row.get(2)?;
                let text = String::from_utf8(bytes).map_err(|_| unreadable(2, Type::Blob))?;
                Revoked::Id(SpiffeId::parse(&text).map_err(|_| unreadable(2, Type::Blob))?)
            }
        };
        Ok(Mark {
            epoch: row.get(0)?,
            what,
            at_s: row.get(3)?,
        })
    })?
    .collect()
}

// What `listed` reads.
macro_rules! listed_where {
    ($rest:literal) => {
        concat!(
            "SELECT r.entry, i.id, r.instance, g.latest <> r.idx OR g.successor IS NOT NULL \
             FROM records r JOIN identities i USING (identity) JOIN generations g USING (generation) ",
            $rest
        )
    };
}

fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let entry: Vec<u8> = row.get(0)?;
    let instance: String = row.get(2)?;
    Ok(Listed {
        entry: Entry::decode(&entry).ok_or_else(|| unreadable(0, Type::Blob))?,
        id: spiffe_id(row, 1)?,
        instance: Instance::parse(&instance).map_err(|_| unreadable(2, Type::Text))?,
        replaced: row.get(3)?,
    })
}

pub(super) fn list(
    db: &Connection,
    of: Option<&SpiffeId>,
    now_s: u64,
    after: Option<(u64, u64)>,
    limit: usize,
) -> rusqlite::Result<Page> {
    // A page begins behind the last (end, index) of the one before, but never with what has ended since.
    let (end_s, index) = match after {
        Some((end_s, index)) if end_s >= now_s => (clamped(end_s), clamped(index)),
        _ => (clamped(now_s), -1),
    };
    let limit = bounded(limit);
    let listed: Vec<Listed> = match of {
        None => db
            .prepare_cached(listed_where!(
                "WHERE (r.not_after_s, r.idx) > (?1, ?2) ORDER BY r.not_after_s, r.idx LIMIT ?3"
            ))?
            .query_map((end_s, index, limit as u64), listed)?
            .collect::<rusqlite::Result<_>>()?,
        Some(id) => db
            .prepare_cached(listed_where!(
                "WHERE r.identity = (SELECT identity FROM identities WHERE id = ?4) \
                 AND (r.not_after_s, r.idx) > (?1, ?2) ORDER BY r.not_after_s, r.idx LIMIT ?3"
            ))?
            .query_map((end_s, index, limit as u64, id.as_str()), listed)?
            .collect::<rusqlite::Result<_>>()?,
    };
    let next = listed
        .last()
        .filter(|_| listed.len() == limit)
        .map(|last| (last.entry.validity.not_after_s, last.entry.index));
    Ok(Page { listed, next })
}

pub(super) fn show(db: &Connection, serial: &Serial) -> rusqlite::Result<Option<Listed>> {
    db.prepare_cached(listed_where!("WHERE r.serial = ?1"))?
        .query_row((serial.octets(),), listed)
        .optional()
}

pub(super) fn first_to_end(db: &Connection, now_s: u64) -> rusqlite::Result<Option<Listed>> {
    db.prepare_cached(listed_where!(
        "WHERE r.idx = (SELECT latest FROM generations WHERE successor IS NULL AND not_after_s >= ?1 \
         ORDER BY not_after_s, generation LIMIT 1)"
    ))?
    .query_row((now_s,), listed)
    .optional()
}

pub(super) fn contested(db: &Connection, limit: usize) -> rusqlite::Result<Vec<Contested>> {
    db.prepare_cached(
        "SELECT i.id, c.serial, l.serial, c.key_hash, c.first_s, c.last_s, c.attempts \
         FROM contested c JOIN records r ON r.idx = c.generation JOIN identities i USING (identity) \
         JOIN generations g ON g.generation = c.generation JOIN generations s ON s.generation = g.successor \
         JOIN records l ON l.idx = s.latest ORDER BY c.last_s DESC, c.generation DESC LIMIT ?1",
    )?
    .query_map((bounded(limit) as u64,), |row| {
        Ok(Contested {
            id: spiffe_id(row, 0)?,
            serial: serial_of(row, 1)?,
            successor: serial_of(row, 2)?,
            refused_key: key_hash(row, 3)?,
            first_s: row.get(4)?,
            last_s: row.get(5)?,
            attempts: row.get(6)?,
        })
    })?
    .collect()
}

pub(super) fn summary(db: &Connection) -> rusqlite::Result<Summary> {
    db.prepare_cached("SELECT entries, running_hash, last_issued_s FROM state")?
        .query_row((), |row| {
            Ok(Summary {
                entries: row.get(0)?,
                running_hash: row.get(1)?,
                last_issued_s: row.get(2)?,
            })
        })
}

pub(super) fn entries(db: &Connection, from: u64, limit: usize) -> rusqlite::Result<Vec<Vec<u8>>> {
    let Some(from) = countable(from) else {
        return Ok(Vec::new());
    };
    db.prepare_cached("SELECT entry FROM records WHERE idx >= ?1 ORDER BY idx LIMIT ?2")?
        .query_map((from, bounded(limit) as u64), |row| row.get(0))?
        .collect()
}

pub(super) fn statements(
    db: &Connection,
    from: u64,
    limit: usize,
) -> rusqlite::Result<Vec<StoredStatement>> {
    let Some(from) = countable(from) else {
        return Ok(Vec::new());
    };
    let mut statements: Vec<StoredStatement> = db
        .prepare_cached(
            "SELECT sequence, body FROM statements WHERE sequence >= ?1 ORDER BY sequence LIMIT ?2",
        )?
        .query_map((from, bounded(limit) as u64), |row| {
            Ok(StoredStatement {
                sequence: row.get(0)?,
                body: row.get(1)?,
                signatures: Vec::new(),
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut by = db.prepare_cached(
        "SELECT root_key_id, signature FROM statement_signatures WHERE sequence = ?1 ORDER BY place",
    )?;
    for statement in &mut statements {
        statement.signatures = by
            .query_map((statement.sequence,), |row| {
                Ok(StatementSignature {
                    root_key_id: row.get(0)?,
                    signature: row.get(1)?,
                })
            })?
            .collect::<rusqlite::Result<_>>()?;
    }
    Ok(statements)
}

fn bounded(limit: usize) -> usize {
    limit.clamp(1, LIST_MAX)
}

/// SQLite counts to 2^63 - 1: from beyond that on there is nothing to find.
fn countable(from: u64) -> Option<i64> {
    i64::try_from(from).ok()
}

/// The same where what is found comes after, so that the last there can be finds nothing.
fn clamped(after: u64) -> i64 {
    countable(after).unwrap_or(i64::MAX)
}

fn spiffe_id(row: &Row<'_>, column: usize) -> rusqlite::Result<SpiffeId> {
    let text: String = row.get(column)?;
    SpiffeId::parse(&text).map_err(|_| unreadable(column, Type::Text))
}

fn key_hash(row: &Row<'_>, column: usize) -> rusqlite::Result<KeyHash> {
    row.get(column).map(KeyHash::from_bytes)
}

fn serial_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Serial> {
    let octets: [u8; 20] = row.get(column)?;
    Serial::from_octets(&octets).ok_or_else(|| unreadable(column, Type::Blob))
}

fn unreadable(column: usize, of: Type) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, of, Box::new(FromSqlError::InvalidType))
}
