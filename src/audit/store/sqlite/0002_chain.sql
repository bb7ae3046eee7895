-- The hash chain. What stands in `records` already is older than it: it keeps its number, as a record of node 0 without
-- a hash. `place` is the node's number times 2^40, and the record's number in that node's chain.
DROP TRIGGER records_are_never_changed;

-- Text, apart from everything else: it may be erased.
CREATE TABLE contents (
    place   INTEGER PRIMARY KEY,
    content TEXT NOT NULL
) STRICT;

INSERT INTO contents (place, content) SELECT seq, content FROM records WHERE content IS NOT NULL;
ALTER TABLE records DROP COLUMN content;
ALTER TABLE records RENAME COLUMN seq TO place;
ALTER TABLE records ADD COLUMN hash BLOB;

CREATE TRIGGER records_are_never_changed
BEFORE UPDATE ON records
BEGIN
    SELECT RAISE(ABORT, 'audit records are never changed');
END;

ALTER TABLE entries RENAME COLUMN seq TO place;
ALTER TABLE entries RENAME COLUMN outcome_seq TO outcome_place;

-- Who writes records.
CREATE TABLE nodes (
    number INTEGER PRIMARY KEY,
    id     TEXT NOT NULL UNIQUE,
    role   TEXT NOT NULL -- `gateway`, or `operator`: whoever erases texts
) STRICT;

-- Signatures over how long a chain was and what it ended with. `place` is that of its last record.
CREATE TABLE checkpoints (
    place      INTEGER NOT NULL,
    kind       TEXT NOT NULL, -- `checkpoint`, or `cut`: what stood before it was removed on purpose
    at         INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    public_key BLOB NOT NULL,
    signature  BLOB NOT NULL,
    PRIMARY KEY (place, kind)
) STRICT, WITHOUT ROWID;
