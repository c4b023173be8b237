-- What is no longer believed, in the order in which it was marked. `what` is a serial, a key's hash or an identity.
CREATE TABLE revocations (
    epoch INTEGER PRIMARY KEY CHECK (epoch > 0),
    kind  TEXT    NOT NULL CHECK (kind IN ('serial', 'key', 'id')),
    what  BLOB    NOT NULL,
    at_s  INTEGER NOT NULL,
    UNIQUE (kind, what)
) STRICT;
CREATE TRIGGER revocations_do_not_change BEFORE UPDATE ON revocations BEGIN SELECT raise(ABORT, 'marks are append-only'); END;
CREATE TRIGGER revocations_do_not_vanish BEFORE DELETE ON revocations BEGIN SELECT raise(ABORT, 'marks are append-only'); END;
