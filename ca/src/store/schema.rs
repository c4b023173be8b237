//! The database: where it lies, how it is opened, and its schema step by step.
//!
//! 1. A step that was ever released never changes: another is added behind it.
//! 2. A database of a newer schema, of another program or of another trust domain is not touched.
//! 3. Durable means synced: WAL with `synchronous=FULL`. What was cut off is ignored when it is opened again.

use crate::store::fault::{Fault, StoreError};
use config::TrustDomain;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::path::Path;
use std::time::Duration;

/// How long another program may hold the file before the work is refused.
const BUSY_MAX: Duration = Duration::from_secs(2);
/// Tells our databases from others': `cstn`.
const APPLICATION: i64 = 0x6373_746e;
/// What a log that grew in a burst is cut back to.
const WAL_BYTES_KEPT: i64 = 16 * 1024 * 1024;
/// How many pages of 4 KiB the log has before they are moved into the database: as many as are kept. A page that many
/// issuances changed meanwhile is moved once.
const WAL_PAGES_MOVED: i64 = WAL_BYTES_KEPT / 4096;

/// Each brings a database from the schema of its place to the next.
const STEPS: &[&str] = &[
    include_str!("schema/1.sql"),
    include_str!("schema/2.sql"),
    include_str!("schema/3.sql"),
];

/// For the one writer. Makes what is not there, and brings up to date what is older.
pub(super) fn open_writer(path: &Path, domain: &TrustDomain) -> Result<Connection, StoreError> {
    let on = |error: rusqlite::Error| StoreError::Database {
        path: path.to_owned(),
        source: Fault::from(error),
    };
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(on)?;
    let found = version(&connection, path)?;
    connection
        .pragma_update(None, "journal_mode", "wal")
        .and_then(|()| connection.pragma_update(None, "synchronous", "full"))
        .and_then(|()| connection.pragma_update(None, "journal_size_limit", WAL_BYTES_KEPT))
        .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES_MOVED))
        .and_then(|()| migrate(&connection, found, domain))
        .map_err(on)?;
    let owner: String = connection
        .query_row("SELECT trust_domain FROM state", [], |row| row.get(0))
        .map_err(on)?;
    if owner == domain.as_str() {
        Ok(connection)
    } else {
        Err(StoreError::TrustDomain {
            path: path.to_owned(),
            found: owner,
            expected: domain.clone(),
        })
    }
}

/// For those who only read.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

/// The file must be there: it was made with our mode, and SQLite gives that mode to the files that it makes beside it.
fn open(path: &Path, how: OpenFlags) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Without this a statement is planned anew whenever a bound value might change its plan: at every renewal.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// The schema that is there, read before anything is changed.
fn version(connection: &Connection, path: &Path) -> Result<i64, StoreError> {
    let number = |sql| {
        connection
            .query_row(sql, (), |row| row.get::<_, i64>(0))
            .map_err(|error| StoreError::Database {
                path: path.to_owned(),
                source: Fault::from(error),
            })
    };
    let found = number("PRAGMA user_version")?;
    let application = number("PRAGMA application_id")?;
    // Not the number of pages: one that was killed between its first header and its first table is ours to go on with.
    let empty = number("SELECT count(*) FROM sqlite_schema")? == 0;
    let known = STEPS.len() as i64;
    match (found, application) {
        (0, 0) if empty => Ok(0),
        (_, APPLICATION) if (0..=known).contains(&found) => Ok(found),
        (_, APPLICATION) => Err(StoreError::Newer {
            path: path.to_owned(),
            found,
            known,
        }),
        _ => Err(StoreError::Foreign {
            path: path.to_owned(),
        }),
    }
}

fn migrate(connection: &Connection, found: i64, domain: &TrustDomain) -> rusqlite::Result<()> {
    let steps = STEPS.iter().enumerate().skip(found as usize);
    for (place, step) in steps {
        // SQLite's DDL and header are transactional: a step is there whole, with its number, or not at all.
        let transaction = connection.unchecked_transaction()?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", place as i64 + 1)?;
        if place == 0 {
            transaction.execute(
                "INSERT INTO state (one, trust_domain, entries, running_hash, last_issued_s) VALUES (1, ?1, 0, ?2, 0)",
                (domain.as_str(), [0_u8; 32]),
            )?;
        }
        transaction.commit()?;
    }
    // Numbers that do not agree mean that somebody else wrote here.
    let next: Option<i64> = connection
        .query_row("SELECT max(idx) + 1 FROM records", [], |row| row.get(0))
        .optional()?
        .flatten();
    let counted: i64 = connection.query_row("SELECT entries FROM state", [], |row| row.get(0))?;
    if next.unwrap_or(0) == counted {
        Ok(())
    } else {
        Err(rusqlite::Error::IntegralValueOutOfRange(0, counted))
    }
}
