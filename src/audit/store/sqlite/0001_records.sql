-- The trail itself: appended, never changed. `body` holds everything but text; `content` holds the text as the audit
-- policies left it, apart, so that erasing text leaves the body as it was written. The columns of the hash chain
-- (the predecessor's hash and the record's own) are added here by a later migration.
CREATE TABLE records (
    seq     INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL, -- microseconds since 1970
    kind    TEXT NOT NULL,
    id      TEXT NOT NULL,
    body    TEXT NOT NULL,
    content TEXT
) STRICT;

CREATE TRIGGER records_are_never_changed
BEFORE UPDATE OF seq, at, kind, id, body ON records
BEGIN
    SELECT RAISE(ABORT, 'audit records are never changed');
END;

-- What is searched: one row for a request (intent and outcome), a pre-check or a reported call. It holds only what
-- is filtered by; all else is read from the records.
CREATE TABLE entries (
    seq          INTEGER PRIMARY KEY, -- the record that opened it
    outcome_seq  INTEGER,             -- the record that completed it
    id           TEXT NOT NULL UNIQUE,
    context_id   TEXT,
    kind         TEXT NOT NULL,
    at           INTEGER NOT NULL,
    tenant       TEXT NOT NULL,
    client       TEXT NOT NULL,
    user         TEXT NOT NULL,
    request_type TEXT NOT NULL,
    decision     TEXT NOT NULL
) STRICT;

-- Each ends, as every index does, with the row's `seq`: newest first needs no sorting.
CREATE INDEX entries_by_time ON entries (tenant, at);
CREATE INDEX entries_by_client ON entries (tenant, client, at);
CREATE INDEX entries_by_user ON entries (tenant, user, at);
CREATE INDEX entries_by_decision ON entries (tenant, decision, at);
CREATE INDEX entries_by_context ON entries (context_id) WHERE context_id IS NOT NULL;

-- The policies that matched, for the search by name.
CREATE TABLE entry_policies (
    tenant TEXT NOT NULL,
    policy TEXT NOT NULL,
    at     INTEGER NOT NULL,
    entry  INTEGER NOT NULL,
    PRIMARY KEY (tenant, policy, at, entry)
) STRICT, WITHOUT ROWID;

-- What a reported call is checked against. Cleaned a day after it expired.
CREATE TABLE contexts (
    context_id TEXT PRIMARY KEY,
    client     TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    approved   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX contexts_by_expiry ON contexts (expires_at);
