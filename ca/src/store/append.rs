//! Everything that writes, each piece of work within a transaction that somebody else begins and commits.
//!
//! In: a [`Work`] and a connection in a transaction. Out: what is answered once that is committed. Whoever is refused has written
//! nothing, but for the note about a second successor. An error of SQLite means that the whole transaction must go.

use crate::record::{
    Entry, Ground, Leaf, LineageRefused, Succession, leaf_hash, running_hash, succeed,
};
use crate::revocation::Revoked;
use crate::store::ledger::{
    JoinRecord, OperatorRecord, Recorded, Refused, RenewRecord, STATEMENT_BYTES_MAX,
    StatementRefused, StoredStatement,
};
use crate::store::read;
use crate::template::Serial;
use crate::token::{Spend, Terms, TokenHash, TokenRefused, spend};
use config::SpiffeId;
use rusqlite::{Connection, OptionalExtension};

/// How long a token is remembered after its end, so that its holder hears that it ended: 30 days.
const ENDED_TOKENS_KEPT_S: u64 = 30 * 24 * 60 * 60;

/// A piece of work for the one writer.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Join(JoinRecord),
    Renew(RenewRecord),
    Issue(OperatorRecord),
    Revoke {
        what: Revoked,
        now_s: u64,
    },
    CreateToken {
        token: TokenHash,
        terms: Terms,
        now_s: u64,
    },
    AppendStatement(StoredStatement),
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Recorded(Recorded),
    Revoked { epoch: u64 },
    TokenCreated { ends_s: u64 },
    StatementKept,
}

/// The answer of the rules, within that of the disk.
pub(super) type Outcome = rusqlite::Result<Result<Done, Refused>>;

pub(super) fn apply(db: &Connection, work: &Work) -> Outcome {
    match work {
        Work::Join(join) => self::join(db, join),
        Work::Renew(renewal) => renew(db, renewal),
        Work::Issue(wanted) => issue(db, wanted),
        Work::Revoke { what, now_s } => revoke(db, what, *now_s),
        Work::CreateToken {
            token,
            terms,
            now_s,
        } => create_token(db, token, terms, *now_s),
        Work::AppendStatement(statement) => append_statement(db, statement),
    }
}

fn join(db: &Connection, JoinRecord { token, leaf }: &JoinRecord) -> Outcome {
    let Some((admits, standing)) = read::standing(db, token, &leaf.key)? else {
        return Ok(Err(TokenRefused::Unknown.into()));
    };
    if admits != leaf.id {
        return Ok(Err(TokenRefused::Identity { admits }.into()));
    }
    let spent = match spend(standing, leaf.issued_at_s) {
        Ok(spent) => spent,
        Err(refused) => return Ok(Err(refused.into())),
    };
    let generation = match spent {
        Spend::First => None,
        Spend::Again(generation) => Some(generation),
    };
    let recorded = append(db, leaf, Ground::JoinToken, *token.bytes(), generation)?;
    if let (Spend::First, Ok(Recorded { index, .. })) = (spent, &recorded) {
        db.prepare_cached("UPDATE tokens SET used = used + 1 WHERE hash = ?1")?
            .execute((token.bytes(),))?;
        db.prepare_cached(
            "INSERT INTO token_keys (token, key_hash, generation) VALUES (?1, ?2, ?3)",
        )?
        .execute((token.bytes(), leaf.key.bytes(), index))?;
    }
    Ok(recorded.map(Done::Recorded))
}

fn renew(db: &Connection, renewal: &RenewRecord) -> Outcome {
    let RenewRecord { parent, leaf, .. } = renewal;
    let Some((of, facts)) = read::parent(db, parent)? else {
        return Ok(Err(LineageRefused::Unknown { parent: *parent }.into()));
    };
    let asked = [
        Revoked::Serial(*parent),
        Revoked::Key(facts.key),
        Revoked::Id(facts.id.clone()),
    ];
    if let Some(what) = first_revoked(db, asked)? {
        return Ok(Err(what.into()));
    }
    let generation = match succeed(facts, &leaf.id, &leaf.key) {
        Ok(Succession::First) => None,
        Ok(Succession::Again(generation)) => Some(generation),
        Err(refused) => {
            if let LineageRefused::SecondSuccessor { .. } = refused {
                contest(db, of, renewal)?;
            }
            return Ok(Err(refused.into()));
        }
    };
    let ground = if renewal.in_grace {
        Ground::Grace { parent: *parent }
    } else {
        Ground::Renewal { parent: *parent }
    };
    let recorded = append(db, leaf, ground, renewal.evidence, generation)?;
    if let (None, Ok(Recorded { index, .. })) = (generation, &recorded) {
        db.prepare_cached("UPDATE generations SET successor = ?1 WHERE generation = ?2")?
            .execute((index, of))?;
    }
    Ok(recorded.map(Done::Recorded))
}

fn revoke(db: &Connection, what: &Revoked, now_s: u64) -> Outcome {
    let (kind, value) = read::mark_columns(what);
    if let Some(epoch) = read::epoch_of(db, what)? {
        return Ok(Ok(Done::Revoked { epoch }));
    }
    let epoch = db
        .prepare_cached("SELECT coalesce(max(epoch), 0) + 1 FROM revocations")?
        .query_row((), |row| row.get(0))?;
    db.prepare_cached("INSERT INTO revocations (epoch, kind, what, at_s) VALUES (?1, ?2, ?3, ?4)")?
        .execute((epoch, kind, value, now_s))?;
    Ok(Ok(Done::Revoked { epoch }))
}

/// Within the transaction that records, so that a mark which was answered is never too late.
fn first_revoked<const N: usize>(
    db: &Connection,
    asked: [Revoked; N],
) -> rusqlite::Result<Option<Revoked>> {
    for what in asked {
        if read::epoch_of(db, &what)?.is_some() {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

/// One row a certificate, however often somebody tries: an attacker must not be able to fill the disk.
fn contest(db: &Connection, generation: u64, renewal: &RenewRecord) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO contested (generation, serial, key_hash, first_s, last_s, attempts) VALUES (?1, ?2, ?3, ?4, ?4, 1) \
         ON CONFLICT (generation) DO UPDATE SET \
         key_hash = excluded.key_hash, last_s = excluded.last_s, attempts = attempts + 1",
    )?
    .execute((
        generation,
        renewal.parent.octets(),
        renewal.leaf.key.bytes(),
        renewal.leaf.issued_at_s,
    ))?;
    Ok(())
}

fn issue(db: &Connection, wanted: &OperatorRecord) -> Outcome {
    let OperatorRecord {
        uid,
        evidence,
        leaf,
    } = wanted;
    // Once it has a successor an operator's word begins a new line: the old one could not be renewed any more.
    let generation = db
        .prepare_cached(
            "SELECT o.generation FROM operator_keys o JOIN identities i USING (identity) \
             JOIN generations g USING (generation) WHERE i.id = ?1 AND o.key_hash = ?2 AND g.successor IS NULL",
        )?
        .query_row((leaf.id.as_str(), leaf.key.bytes()), |row| row.get(0))
        .optional()?;
    let ground = Ground::Operator { uid: *uid };
    let recorded = append(db, leaf, ground, *evidence, generation)?;
    if let (None, Ok(Recorded { index, .. })) = (generation, &recorded) {
        db.prepare_cached(
            "INSERT INTO operator_keys (identity, key_hash, generation) VALUES (?1, ?2, ?3) \
             ON CONFLICT (identity, key_hash) DO UPDATE SET generation = excluded.generation",
        )?
        .execute((identity(db, &leaf.id)?, leaf.key.bytes(), index))?;
    }
    Ok(recorded.map(Done::Recorded))
}

/// Appends to the record; a new generation unless one is named.
fn append(
    db: &Connection,
    leaf: &Leaf,
    ground: Ground,
    evidence: [u8; 32],
    generation: Option<u64>,
) -> rusqlite::Result<Result<Recorded, Refused>> {
    if is_used(db, &leaf.serial)? {
        let serial = leaf.serial;
        return Ok(Err(Refused::SerialTaken { serial }));
    }
    let asked = [Revoked::Key(leaf.key), Revoked::Id(leaf.id.clone())];
    if let Some(what) = first_revoked(db, asked)? {
        return Ok(Err(what.into()));
    }
    let (index, running): (u64, [u8; 32]) = db
        .prepare_cached("SELECT entries, running_hash FROM state")?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let entry = Entry::of(leaf, index, ground, evidence).encode();
    let leaf_hash = leaf_hash(&entry);
    let not_after_s = leaf.validity.not_after_s;
    db.prepare_cached(
        "INSERT INTO records (idx, entry, leaf_hash, serial, identity, instance, not_after_s, generation) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        index,
        entry,
        leaf_hash,
        leaf.serial.octets(),
        identity(db, &leaf.id)?,
        leaf.instance.as_str(),
        not_after_s,
        generation.unwrap_or(index),
    ))?;
    db.prepare_cached(
        "INSERT INTO generations (generation, key_hash, latest, not_after_s) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT (generation) DO UPDATE SET latest = excluded.latest, not_after_s = excluded.not_after_s",
    )?
    .execute((
        generation.unwrap_or(index),
        leaf.key.bytes(),
        index,
        not_after_s,
    ))?;
    db.prepare_cached(
        "UPDATE state SET entries = ?1, running_hash = ?2, last_issued_s = max(last_issued_s, ?3)",
    )?
    .execute((
        index + 1,
        running_hash(&running, &leaf_hash),
        leaf.issued_at_s,
    ))?;
    Ok(Ok(Recorded {
        index,
        serial: leaf.serial,
        leaf_hash,
        again: generation.is_some(),
    }))
}

fn is_used(db: &Connection, serial: &Serial) -> rusqlite::Result<bool> {
    db.prepare_cached("SELECT 1 FROM records WHERE serial = ?1")?
        .exists((serial.octets(),))
}

fn identity(db: &Connection, id: &SpiffeId) -> rusqlite::Result<i64> {
    let known = db
        .prepare_cached("SELECT identity FROM identities WHERE id = ?1")?
        .query_row((id.as_str(),), |row| row.get(0))
        .optional()?;
    match known {
        Some(identity) => Ok(identity),
        None => db
            .prepare_cached("INSERT INTO identities (id) VALUES (?1)")?
            .insert((id.as_str(),)),
    }
}

fn create_token(db: &Connection, token: &TokenHash, terms: &Terms, now_s: u64) -> Outcome {
    forget_tokens(db, now_s.saturating_sub(ENDED_TOKENS_KEPT_S))?;
    let ends_s = now_s.saturating_add(terms.ttl().as_secs());
    let kept = db
        .prepare_cached(
            "INSERT INTO tokens (hash, id, ends_s, uses, used) VALUES (?1, ?2, ?3, ?4, 0) ON CONFLICT DO NOTHING",
        )?
        .execute((token.bytes(), terms.id().as_str(), ends_s, terms.uses()))?;
    Ok(if kept == 1 {
        Ok(Done::TokenCreated { ends_s })
    } else {
        Err(Refused::TokenTaken)
    })
}

/// Tokens that ended before this second. What they admitted stays in the record.
fn forget_tokens(db: &Connection, ended_before_s: u64) -> rusqlite::Result<()> {
    db.prepare_cached(
        "DELETE FROM token_keys WHERE token IN (SELECT hash FROM tokens WHERE ends_s < ?1)",
    )?
    .execute((ended_before_s,))?;
    db.prepare_cached("DELETE FROM tokens WHERE ends_s < ?1")?
        .execute((ended_before_s,))?;
    Ok(())
}

fn append_statement(db: &Connection, statement: &StoredStatement) -> Outcome {
    let StoredStatement {
        sequence,
        body,
        signatures,
    } = statement;
    let signed = signatures
        .iter()
        .map(|by| by.root_key_id.len() + by.signature.len());
    let bytes = body.len() + signed.sum::<usize>();
    if bytes > STATEMENT_BYTES_MAX {
        return Ok(Err(StatementRefused::Length { bytes }.into()));
    }
    let newest: Option<u64> = db
        .prepare_cached("SELECT max(sequence) FROM statements")?
        .query_row((), |row| row.get(0))?;
    if let Some(newest) = newest.filter(|newest| sequence <= newest) {
        let same = read::statements(db, *sequence, 1)?.first() == Some(statement);
        let refused = StatementRefused::NotNewer {
            sequence: *sequence,
            newest,
        };
        return Ok(if same {
            Ok(Done::StatementKept)
        } else {
            Err(refused.into())
        });
    }
    db.prepare_cached("INSERT INTO statements (sequence, body) VALUES (?1, ?2)")?
        .execute((sequence, body))?;
    let mut insert = db.prepare_cached(
        "INSERT INTO statement_signatures (sequence, place, root_key_id, signature) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (place, by) in signatures.iter().enumerate() {
        insert.execute((sequence, place as u64, &by.root_key_id, &by.signature))?;
    }
    Ok(Ok(Done::StatementKept))
}
