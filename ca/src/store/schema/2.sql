-- The keys for which operators wanted certificates, and the generation that each began last.
CREATE TABLE operator_keys (
    identity   INTEGER NOT NULL,
    key_hash   BLOB    NOT NULL,
    generation INTEGER NOT NULL,
    PRIMARY KEY (identity, key_hash)
) STRICT, WITHOUT ROWID;
