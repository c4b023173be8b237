-- Whose record it is, how far it has come, and the hash over all of it. One row.
CREATE TABLE state (
    one           INTEGER PRIMARY KEY CHECK (one = 1),
    trust_domain  TEXT    NOT NULL,
    entries       INTEGER NOT NULL,
    running_hash  BLOB    NOT NULL,
    last_issued_s INTEGER NOT NULL
) STRICT;

CREATE TABLE identities (
    identity INTEGER PRIMARY KEY,
    id       TEXT NOT NULL UNIQUE
) STRICT;

-- The record. `entry` is what counts; the other columns are what it is looked up by.
CREATE TABLE records (
    idx         INTEGER PRIMARY KEY,
    entry       BLOB    NOT NULL CHECK (length(entry) <= 256),
    leaf_hash   BLOB    NOT NULL CHECK (length(leaf_hash) = 32),
    serial      BLOB    NOT NULL UNIQUE,
    identity    INTEGER NOT NULL,
    instance    TEXT    NOT NULL,
    not_after_s INTEGER NOT NULL,
    generation  INTEGER NOT NULL
) STRICT;
CREATE INDEX records_by_end ON records (not_after_s, idx);
CREATE INDEX records_by_identity ON records (identity, not_after_s, idx);
CREATE TRIGGER records_do_not_change BEFORE UPDATE ON records BEGIN SELECT raise(ABORT, 'the record is append-only'); END;
CREATE TRIGGER records_do_not_vanish BEFORE DELETE ON records BEGIN SELECT raise(ABORT, 'the record is append-only'); END;

-- The certificates of one key on one ground, named by the index of the first: what has one successor.
CREATE TABLE generations (
    generation  INTEGER PRIMARY KEY,
    key_hash    BLOB    NOT NULL,
    latest      INTEGER NOT NULL,
    not_after_s INTEGER NOT NULL,
    successor   INTEGER
) STRICT;
CREATE INDEX generations_in_use_by_end ON generations (not_after_s) WHERE successor IS NULL;

-- Who was refused as a second successor.
CREATE TABLE contested (
    generation INTEGER PRIMARY KEY,
    serial     BLOB    NOT NULL,
    key_hash   BLOB    NOT NULL,
    first_s    INTEGER NOT NULL,
    last_s     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL
) STRICT;
CREATE INDEX contested_by_time ON contested (last_s);

CREATE TABLE tokens (
    hash   BLOB    PRIMARY KEY,
    id     TEXT    NOT NULL,
    ends_s INTEGER NOT NULL,
    uses   INTEGER NOT NULL,
    used   INTEGER NOT NULL CHECK (used <= uses)
) STRICT, WITHOUT ROWID;
CREATE INDEX tokens_by_end ON tokens (ends_s);

-- The keys that a token admitted, and what each got.
CREATE TABLE token_keys (
    token      BLOB    NOT NULL,
    key_hash   BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (token, key_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE statements (
    sequence INTEGER PRIMARY KEY,
    body     BLOB    NOT NULL
) STRICT;
CREATE TABLE statement_signatures (
    sequence    INTEGER NOT NULL,
    place       INTEGER NOT NULL,
    root_key_id BLOB    NOT NULL,
    signature   BLOB    NOT NULL,
    PRIMARY KEY (sequence, place)
) STRICT, WITHOUT ROWID;
